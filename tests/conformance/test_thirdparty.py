"""Backends of third parties: found by their entry points, held to the suite, and blamed by name."""

import shutil
from pathlib import Path

import pytest

from tests.conformance.runs import ROOT, Run, play

pytestmark = pytest.mark.suite

EXAMPLE = ROOT / "examples/thirdparty-sqlite/pointsman_sqlite"
CASE = "pointsman.conformance.cases.test_cluster_ip::test_a_pod_that_is_the_only_endpoint_reaches_itself"
OTHERS = "pointsman.conformance.cases.test_cluster_ip"
BROKEN = """
from pointsman.core.backend import BackendSpec
from pointsman.core.hookspecs import hookimpl
from pointsman_sqlite.dataplane import SqliteDataplane


class Broken(SqliteDataplane):
{method}


@hookimpl
def pointsman_register_backends(registry):
    registry.add(BackendSpec("broken", "not as it should be", Broken, simulated={simulated}, patience=2.0))
"""
RAISING = """
    @hookimpl
    def dataplane_sync(self, plan):
        raise KeyError("no such luck")
"""
HANGING = """
    @hookimpl
    def dataplane_{hook}(self):
        import threading
        threading.Event().wait()
"""
HARD_TO_MAKE = """
    def __init__(self, settings):
        import pathlib, threading
        with pathlib.Path("made").open("a") as made:
            made.write(".")
        if pathlib.Path("made").stat().st_size > {easily}:
            threading.Event().wait()
        super().__init__(settings)
"""
MISSPELT = """
    @hookimpl
    def dataplane_sync(self, plann):
        return None
"""
UNHEARD_OF = """
    @hookimpl
    def dataplane_shine(self):
        return None
"""


def install(folder: Path, name: str, module: str) -> None:
    """Make a folder hold what pip would for a distribution."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[pointsman]\n{name} = {module}\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / EXAMPLE.name, ignore=shutil.ignore_patterns("__pycache__"))
    install(tmp_path, "sqlite", EXAMPLE.name)
    return tmp_path


def held(site: Path, method: str, *cases: str, simulated: bool = True) -> Run:
    """A broken one of somebody else's, held to a case."""
    (site / "somebody.py").write_text(BROKEN.format(method=method, simulated=simulated))
    install(site, "somebody-else", "somebody")
    return play(site, *(cases or (CASE,)), "--backend", "broken", "--family", "4")


def test_the_example_is_found_and_passes(site: Path) -> None:
    """All of the core is asked of its wheel: tox -e thirdparty."""
    run = play(site, CASE, "--backend", "sqlite")
    assert run.status == 0, run.output
    assert {case.outcome for case in run.cases} == {"passed"}


def test_one_that_raises_is_named_with_what_it_raised(site: Path) -> None:
    run = held(site, RAISING)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    [message] = [case.message for case in run.cases]
    assert "broken: dataplane_sync raised KeyError('no such luck')" in message


@pytest.mark.parametrize("hook", ["sync", "trace", "observe", "cleanup"])
def test_one_that_hangs_is_named_with_what_hangs(site: Path, hook: str) -> None:
    run = held(site, HANGING.format(hook=hook))
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    assert run.cases
    assert all(f"broken: dataplane_{hook} has not returned for " in case.message for case in run.cases)


@pytest.mark.netns
def test_one_that_hangs_in_a_kernel_does_not_hang_the_lab(site: Path) -> None:
    """The cases that follow are not kept waiting, and say the same."""
    run = held(site, HANGING.format(hook="sync"), OTHERS, simulated=False)
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    played = [case for case in run.cases if case.outcome != "skipped"]
    assert len(played) > 5
    assert all("broken: dataplane_sync has not returned for " in case.message for case in played)


@pytest.mark.parametrize("easily", [0, 1], ids=["at-first", "later"])
def test_one_that_hangs_while_it_is_made_is_waited_for_once(site: Path, easily: int) -> None:
    """The cases that follow are answered at once, with the same blame: a run has an end."""
    run = held(site, HARD_TO_MAKE.format(easily=easily), OTHERS)
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    assert len(run.cases) > 20
    for case in run.cases:
        assert "backend broken can't be made: making it has not returned for " in case.message
    assert (site / "made").stat().st_size == easily + 1


@pytest.mark.parametrize(
    ("method", "why"), [(MISSPELT, "plann"), (UNHEARD_OF, "dataplane_shine")], ids=["misspelt", "unheard-of"]
)
def test_one_with_hooks_that_are_none_is_named(site: Path, method: str, why: str) -> None:
    run = held(site, method)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    [message] = [case.message for case in run.cases]
    assert "backend broken" in message
    assert why in message
