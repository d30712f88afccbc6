"""Which cases are played: what each says of itself, and whether any were left out that belong to the run."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pointsman.conformance.report.model import BOTH
from pointsman.core.addresses import IPFamily
from pointsman.core.features import CORE, Feature

from . import cases
from .account import Chosen
from .parts import Part

MARKERS = (
    "semantics(identifier, ...): the rules of the service contract that a case is about",
    "requires(feature, ...): features without which a case makes no sense",
    "dual_stack: a case about both families at once",
    "extended: a case that is not part of the core, whatever features it needs",
)

_IDENTIFIER = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z]+)?-\d\d")
_FUNCTION = re.compile(r"^def (test_\w+)", re.MULTILINE)


class Variant(NamedTuple):
    """Whom a case is played for, and in which family."""

    backend: str
    family: IPFamily

    @property
    def label(self) -> str:
        """Its part of the names that pytest shows."""
        return f"{self.backend}-{self.family}"


class Selection:
    """The hooks of a run's collection.

    Args:
        families: those to be served and asked for.
        core_only: leave out what is not needed of every service proxy.
    """

    def __init__(self, families: Sequence[IPFamily], *, core_only: bool) -> None:
        self._families = families
        self._core_only = core_only
        self._offered: set[str] = set()
        self._left_out: set[pytest.Item] = set()
        self._others_left_out = False
        self.chosen = Chosen()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Check what cases say of themselves, and leave out what profile and families leave no room for."""
        for item in items:
            variant = variant_of(item)
            if variant is None:
                continue
            self._offered.add(_function(item))
            item.user_properties += _described(item, variant)
            if self._has_no_room(item, variant):
                self._left_out.add(item)
        if self._left_out:
            config.hook.pytest_deselected(items=list(self._left_out))
            items[:] = [item for item in items if item not in self._left_out]

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        """Notice that somebody else left out a case: ``-k``, ``--lf`` and the like."""
        self._others_left_out |= any(variant_of(item) for item in items if item not in self._left_out)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember what is to be played."""
        played = [(case_name(item), variant) for item in session.items if (variant := variant_of(item))]
        self.chosen = Chosen(
            cases=tuple(sorted({name for name, _ in played})),
            by_backend=Counter(variant.backend for _, variant in played),
            trimmed=self._others_left_out or not all_functions() <= self._offered,
        )

    def _has_no_room(self, item: pytest.Item, variant: Variant) -> bool:
        if self._core_only and not is_core(item):
            return True
        both = len(self._families) > 1 and variant.family is self._families[0]
        return is_dual_stack(item) and not both


def variant_of(item: pytest.Item) -> Variant | None:
    """Whom a case is played for, None for a test that is no case."""
    variant = (
        item.callspec.params.get("variant")
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else None
    )
    return variant if isinstance(variant, Variant) else None


def case_name(item: pytest.Item) -> str:
    """A case's name, whoever it is played for: ``test_cluster_ip::test_ports[tcp]``."""
    variant = variant_of(item)
    assert isinstance(item, pytest.Function)
    assert variant is not None
    rest = item.callspec.id.replace(variant.label, "", 1).replace("--", "-").strip("-")
    return f"{_function(item)}[{rest}]" if rest else _function(item)


def features_of(item: pytest.Item) -> set[Feature | Part]:
    """The features and parts that a case needs."""
    return {feature for mark in item.iter_markers("requires") for feature in mark.args}


def is_core(item: pytest.Item) -> bool:
    """Whether a case asks for nothing but what makes a service proxy."""
    return features_of(item) <= CORE and not item.get_closest_marker("extended")


def is_dual_stack(item: pytest.Item) -> bool:
    """Whether a case is about both families at once."""
    return item.get_closest_marker("dual_stack") is not None


def all_functions() -> frozenset[str]:
    """All cases of the suite, without the variants that they come in."""
    files = (file for folder in cases.__path__ for file in sorted(Path(folder).glob("test_*.py")))
    return frozenset(
        f"{file.stem}::{name}" for file in files for name in _FUNCTION.findall(file.read_text("utf-8"))
    )


def _function(item: pytest.Item) -> str:
    assert isinstance(item, pytest.Function)
    return f"{item.path.stem}::{item.originalname}"


def _described(item: pytest.Item, variant: Variant) -> list[tuple[str, object]]:
    """What a report has to know of a case. Raises `pytest.UsageError` if the case doesn't say it."""
    identifiers = [identifier for mark in item.iter_markers("semantics") for identifier in mark.args]
    wrong = [identifier for identifier in identifiers if not _IDENTIFIER.fullmatch(identifier)]
    if wrong or not identifiers:
        raise pytest.UsageError(
            f"{item.nodeid}: name the rules it is about, as in semantics('SEL-10'): {wrong}"
        )
    return [
        ("case", case_name(item)),
        ("backend", variant.backend),
        ("family", BOTH if is_dual_stack(item) else str(variant.family)),
        ("semantics", " ".join(identifiers)),
        ("core", is_core(item)),
    ]
