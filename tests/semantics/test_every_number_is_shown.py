"""Every number of the contract that is ours to show has a test, and none is named that isn't there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = ROOT / "docs/semantics.md"
# Where numbers are named: in test names with underscores, in all other text with hyphens.
TESTS = ("tests", "conformance")
SOURCES = (*TESTS, "core", "backends", "plugins", "src/pointsman/cli", "examples", "bench")

ROW = re.compile(r"^\| ((?:[A-Z][A-Z0-9]*-)+\d\d) \|", re.MULTILINE)
IN_TEST_NAME = re.compile(r"(?<![A-Za-z0-9])((?:[A-Z][A-Z0-9]*_)+\d\d)(?![0-9])")

# Inputs and traffic, conntrack, syncing and cleaning up, configuration, and what divides dataplanes.
DECIDED_HERE = (
    "IN",
    "TRK",
    "SEL",
    "MTX",
    "SVC",
    "NOEP",
    "AFF",
    "PRO",
    "MSQ",
    "SEC",
    "DIV",
    "CFG",
    "CLN",
    "CT",
    "HC",
    "HTTP",
    "HZ",
    "MET",
    "SYNC",
)

# What no model can show, since kernels, the command line or sources do it. Each goes with the work named here
# and has to leave this list once a test names the number.
ELSEWHERE = {
    "SVC-CIP-02": "conntrack carries established connections: the conformance suite's cases on real kernels",
    "AFF-07": "the size of a kernel's table: conformance cases, per dataplane",
    "AFF-08": "IPVS persistence templates: with the IPVS dataplane",
    "PRO-03": "probing which families the machine has: with the drop-in command line",
    "MSQ-02": "the kernel picks address and port: conformance cases on real kernels",
    "DIV-16": "as AFF-07",
    "DIV-19": "rules beside a FORWARD policy of DROP; each dataplane's README says what it does",
    "DIV-20": "watching the kernel: with each dataplane",
    "DIV-21": "as SVC-CIP-02",
    "SYNC-05": "what a partial sync leaves alone: the planners' tests, per dataplane",
    "SYNC-06": "the kernel's transactions: test_dataplane.py and test_kill.py, per dataplane",
    "SYNC-09": "economies of large states: tests/backends/iptables/test_lean.py",
    "SYNC-10": "chains that nobody needs any more: tests/backends/nftables/test_changes.py",
}


def listed() -> list[str]:
    return ROW.findall(LIST.read_text(encoding="utf-8"))


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        found = sorted((ROOT / folder).rglob("*.py"))
        yield from (file for file in found if file != Path(__file__))


def names_of_tests(text: str) -> Iterator[str]:
    """The names of all tests in a source text."""
    for item in ast.walk(ast.parse(text)):
        match item:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if name.lower().startswith("test"):
                    yield name


def shown(text: str) -> set[str]:
    """The numbers in the names of tests of a source text."""
    return {
        number.replace("_", "-") for name in names_of_tests(text) for number in IN_TEST_NAME.findall(name)
    }


def named(text: str, prefixes: set[str]) -> set[str]:
    """All that looks like a number of one of the contract's groups in a text."""
    groups = "|".join(sorted(prefixes, key=len, reverse=True))
    return set(re.findall(rf"(?<![A-Za-z0-9-])((?:{groups})-\d\d)(?!\d)", text))


def prefixes() -> set[str]:
    return {number.rpartition("-")[0] for number in listed()}


def test_the_list_has_no_number_twice() -> None:
    numbers = listed()
    assert len(numbers) > 300
    assert len(numbers) == len(set(numbers))


def test_every_number_is_shown_or_has_its_place() -> None:
    found: set[str] = set()
    for file in files(*TESTS):
        found |= shown(file.read_text(encoding="utf-8"))
    wanted = {number for number in listed() if number.startswith(DECIDED_HERE)}
    assert wanted - found - ELSEWHERE.keys() == set(), "no test shows these"
    assert ELSEWHERE.keys() - wanted == set(), "these are excused and don't exist"
    assert ELSEWHERE.keys() & found == set(), "these are excused and shown"


def test_no_file_names_a_number_that_does_not_exist() -> None:
    numbers, groups = set(listed()), prefixes()
    unknown = {}
    for file in files(*SOURCES):
        text = file.read_text(encoding="utf-8")
        if strangers := (named(text, groups) | shown(text)) - numbers:
            unknown[str(file.relative_to(ROOT))] = strangers
    assert not unknown


def test_what_counts_as_shown() -> None:
    text = """
def test_SVC_LB_02_and_SVC_LB_04_ranges() -> None: ...
class TestMTX_01:
    async def test_IN_EPS_09_x(self): "SEL-01"
def helper_AFF_01(): ...
def test_ipv4_10_addresses(): ...
"""
    assert shown(text) == {"SVC-LB-02", "SVC-LB-04", "IN-EPS-09"}


def test_what_counts_as_named() -> None:
    text = "SEL-01…SEL-09, IN-SVC-05: SVC-LB-99 (MTX-*) XSEL-01 SEL-011 IN-SVC-5"
    assert named(text, {"SEL", "IN-SVC", "SVC-LB", "SVC"}) == {"SEL-01", "SEL-09", "IN-SVC-05", "SVC-LB-99"}
