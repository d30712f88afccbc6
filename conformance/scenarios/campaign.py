"""The search as a case runs it: what it finds is written down, to be played again."""

from pathlib import Path

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.features import Feature

from .files import dump
from .search import Worlds, search

_QUOTED = 20


class Campaign(Struct, frozen=True):
    """A search for a scenario that fails, for one backend in one family.

    Attributes:
        backend: its name.
        family: the family that scenarios are about.
        other: the family that is served beside it.
        worlds: makes worlds of that family.
        features: what can be had beyond the core.
        ours: whether the proxy's rules can be removed behind its back, and its settings be changed.
        number: how many scenarios to go through.
        seed: what they are made from.
        folder: where one that fails is written.
    """

    backend: str
    family: IPFamily
    other: IPFamily | None
    worlds: Worlds
    features: frozenset[Feature]
    ours: bool
    number: int
    seed: int
    folder: Path

    def run(self) -> None:
        """Go through the scenarios. Raises `AssertionError`, which names the file of one that failed."""
        finding = search(
            self.worlds,
            other=self.other,
            features=self.features,
            ours=self.ours,
            number=self.number,
            seed=self.seed,
        )
        if finding is None:
            return
        file = self.folder / f"scenario-{self.backend}-{self.family}.yaml"
        replay = f"pointsman conformance --backend {self.backend} --replay {file.name}"
        why = str(finding.error).splitlines()[:_QUOTED]
        text = dump(finding.scenario, comment=["Play it again:", f"    {replay}", "What was seen:", *why])
        file.write_text(text, encoding="utf-8")
        raise AssertionError(f"{finding.error}\nafter the steps of {file}:\n{text}") from finding.error
