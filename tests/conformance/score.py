"""How many of all broken proxies the suite finds out; ``python -m tests.conformance.score`` says it in JSON.

Each mutant is played in the one case that is said to find it out. Those of a kernel need root.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.conformance import besidemutants, enginemutants, kernelmutants
from tests.conformance.mutants import mutants
from tests.conformance.runs import CASES, Case, install_mutants, play, play_mutants

_BOTH = "test_dual_stack::"


class Score(NamedTuple):
    """Mutants by name, each with the case that should find it out."""

    caught: Mapping[str, str]
    survived: Mapping[str, str]

    @property
    def percent(self) -> float:
        """The share of those caught; 100 is what is asked for."""
        return 100 * len(self.caught) / (len(self.caught) + len(self.survived))


SUBJECTS = tuple(dict.fromkeys(mutant.__module__ for mutant in mutants()))
"""What simulated dataplanes are wrong about. All of them as backends of one run would take it very long."""
ON_KERNELS = {"nftables": kernelmutants.ON_NFTABLES, "iptables": kernelmutants.ON_IPTABLES}


def of_dataplanes(folder: Path, subject: str) -> tuple[dict[str, str], list[Case]]:
    """Dataplanes that are simulated and broken in one way, and what becomes of them and of a healthy one."""
    caught_by = {mutant.__name__: mutant.caught_by for mutant in mutants() if mutant.__module__ == subject}
    both = {mutant: case for mutant, case in caught_by.items() if case.startswith(_BOTH)}
    one = {mutant: case for mutant, case in caught_by.items() if mutant not in both}
    played = play_mutants(folder, one, "4")
    return caught_by, [*played, *play_mutants(folder, both, "both")] if both else played


def of_parts(folder: Path) -> tuple[dict[str, str], list[Case]]:
    """Broken parts beside the rules."""
    caught_by = besidemutants.CAUGHT_BY
    return caught_by, play_mutants(folder, caught_by, "4", "-p", besidemutants.__name__)


def of_kernels(folder: Path, healthy: str) -> tuple[dict[str, str], list[Case]]:
    """Broken dataplanes of a kernel, and a healthy one of the same backend."""
    caught_by = ON_KERNELS[healthy]
    return caught_by, play_mutants(folder, caught_by, "4", "-p", kernelmutants.__name__, healthy=healthy)


def everyone() -> dict[str, str]:
    """All mutants by name, each with the case that should find it out."""
    return {
        **{mutant.__name__: mutant.caught_by for mutant in mutants()},
        **besidemutants.CAUGHT_BY,
        **kernelmutants.CAUGHT_BY,
        **enginemutants.CAUGHT_BY,
    }


def caught(played: Iterable[Case], mutant: str) -> list[Case]:
    """The cases of a mutant that failed for what a case or the oracle says, not for a fault of its own."""
    said = ("AssertionError", "assert", "pointsman.conformance.")
    return [
        case
        for case in played
        if case.properties.get("backend") == mutant
        and case.outcome == "failure"
        and case.message.startswith(said)
    ]


def score(folder: Path) -> Score:
    """The score of all mutants; ``folder`` is where they are installed."""
    results = dict(_results(folder))
    return Score(
        {mutant: case for (mutant, case), found in results.items() if found},
        {mutant: case for (mutant, case), found in results.items() if not found},
    )


def _results(folder: Path) -> Iterator[tuple[tuple[str, str], bool]]:
    groups = [of_dataplanes(folder, subject) for subject in SUBJECTS]
    groups += [of_kernels(folder, backend) for backend in ON_KERNELS]
    for caught_by, played in (*groups, of_parts(folder)):
        for mutant, case in caught_by.items():
            yield (mutant, case), bool(caught(played, mutant))
    for mutant, case in enginemutants.CAUGHT_BY.items():
        yield (mutant, case), bool(caught(of_engine(folder, mutant), "memory"))


def of_engine(folder: Path, mutant: str) -> list[Case]:
    """What becomes of a healthy dataplane under a broken engine."""
    options = ("--backend", "memory", "--family", "4", "-p", enginemutants.__name__)
    variables = {enginemutants.VARIABLE: mutant}
    return play(folder, f"{CASES}.{enginemutants.CAUGHT_BY[mutant]}", *options, variables=variables).cases


def main() -> int:
    """Print the score; the exit status, which is 0 where nobody survived."""
    with TemporaryDirectory() as made:
        install_mutants(Path(made))
        result = score(Path(made))
    json.dump({"percent": result.percent, **result._asdict()}, sys.stdout, indent=2)
    return 1 if result.survived else 0


if __name__ == "__main__":
    sys.exit(main())
