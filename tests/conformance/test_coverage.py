"""Every number that packets can show has a case, and every other one a reason why it has none."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pointsman.conformance import cases, coverage

LISTED = re.compile(r"^\| ((?:[A-Z][A-Z0-9]*-)+\d\d) \|", re.MULTILINE)
NUMBER = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z]+)?-\d\d")
CONTRACT = Path(__file__).parents[2] / "docs/semantics.md"


def named(text: str) -> Iterator[str]:
    """The numbers that a text's cases name, in marks or in tables that marks are made of."""
    for item in ast.walk(ast.parse(text)):
        if isinstance(item, ast.Constant) and isinstance(item.value, str) and NUMBER.fullmatch(item.value):
            yield item.value


def named_by_cases() -> set[str]:
    [folder] = cases.__path__
    return {
        number
        for file in Path(folder).glob("test_*.py")
        for number in named(file.read_text(encoding="utf-8"))
    }


def contract() -> set[str]:
    return set(LISTED.findall(CONTRACT.read_text(encoding="utf-8")))


def test_every_number_that_packets_show_has_a_case() -> None:
    assert coverage.visible() - named_by_cases() == set()


def test_every_number_that_a_case_names_is_said_to_be_visible() -> None:
    assert named_by_cases() - coverage.visible() == set()


def test_every_number_of_the_contract_is_listed_and_no_other() -> None:
    listed = coverage.visible() | coverage.invisible().keys()
    assert contract() - listed == set(), "these are neither visible nor invisible"
    assert listed - contract() == set(), "the contract has no such numbers"
    assert coverage.visible() & coverage.invisible().keys() == set(), "these are both"


def test_every_reason_says_something() -> None:
    assert not [number for number, reason in coverage.invisible().items() if len(reason.split()) < 3]


def test_what_counts_as_named() -> None:
    text = """
@pytest.mark.semantics("SEL-01", "IN-EPS-09")
def test_one(): "SEL-02 is no mark"
ROWS = (Row("MTX-01"), "none")
"""
    assert set(named(text)) == {"SEL-01", "IN-EPS-09", "MTX-01"}
