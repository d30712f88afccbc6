"""Runs of the conformance suite: pytest's, in this process or in a guest."""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

from pointsman.core.errors import PointsmanError

if TYPE_CHECKING:
    import pytest

CASES = "pointsman.conformance.cases"
REPLAY = "pointsman.conformance.scenarios.test_replay"

_ANYBODY = "memory"  # a backend that is always there

_BY_SIGNAL = 128  # and the signal's number, as in shells


def here(args: argparse.Namespace) -> int:
    """Run pytest in this process; its exit status.

    Raises:
        PointsmanError: there is no folder for temporary files, which pytest can't do without.
    """
    import pytest

    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise PointsmanError(
            f"{error.strerror}; make one of them writable, or name another in TMPDIR"
        ) from error
    return int(pytest.main([*_isolation(), *_selection(args), *_reports(args), *args.words]))


class _Collector:
    """A pytest plugin that keeps the names of what would be played."""

    cases: Sequence[str] = ()

    def pytest_collection_finish(self, session: "pytest.Session") -> None:
        """Take them from the suite's own plugin."""
        suite: Any = session.config.pluginmanager.get_plugin("pointsman-selection")
        self.cases = suite.chosen.cases


def collected(args: argparse.Namespace) -> Sequence[str]:
    """The names of the cases that a run would play, whoever it is for."""
    import pytest

    args.backend = [_ANYBODY]
    collector = _Collector()
    with redirect_stdout(StringIO()) as said:
        status = pytest.main([*_isolation(), *_selection(args), "--collect-only"], plugins=[collector])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise PointsmanError(f"the cases can't be collected: {said.getvalue()}")
    return collector.cases


def in_guest(args: argparse.Namespace) -> int:
    """Run the same command in a guest, which writes reports and scenarios to this machine.

    Raises:
        VmError: there can't be a guest, or it failed.
    """
    from rich.console import Console

    from pointsman.conformance.vm import Guest, obtain
    from pointsman.conformance.vm.progress import shown

    with shown(Console(stderr=True)) as progress:
        kernel = obtain(args.vm or None, progress)
    folders = sorted({str(file.absolute().parent) for file in args.report})
    command = [sys.executable, "-m", "pointsman", "conformance", *_again(args)]
    status = Guest(kernel, writable=folders).run(command).returncode
    return status if status >= 0 else _BY_SIGNAL - status


def _isolation() -> Iterator[str]:
    """Nobody's settings but ours, whatever folder this is called from, and nothing written into it."""
    spec = importlib.util.find_spec(CASES)
    assert spec is not None
    assert spec.submodule_search_locations
    yield from ("-c", "/dev/null", "--rootdir", spec.submodule_search_locations[0])
    yield from ("--no-header", "--import-mode=importlib", "--strict-markers")
    # The plugin has to be there even where autoloading is off; and this process has imported it already.
    yield from ("-p", "no:cacheprovider", "-p", "pointsman")
    yield from ("-W", "ignore::pytest.PytestAssertRewriteWarning")


def _selection(args: argparse.Namespace) -> Iterator[str]:
    yield from ("--pyargs", REPLAY if args.replay else CASES)
    yield from ("--family", args.family, "--conformance-profile", args.profile)
    yield from _repeated("--backend", args.backend)
    yield from _repeated("--target-command", args.target_command)
    yield from _repeated("--conformance-replay", args.replay)
    yield from _given("--instance", args.instance)
    yield from _given("--conformance-scenarios", args.scenarios)
    yield from _given("--conformance-seed", args.seed)
    yield from _given("-k", args.k)
    if args.n is not None:
        yield from ("-n", args.n, "--dist", "worksteal", "-p", "xdist")


def _reports(args: argparse.Namespace) -> Iterator[str]:
    for file in args.report:
        yield f"--junitxml={file}" if file.suffix == ".xml" else f"--conformance-report={file}"


def _again(args: argparse.Namespace) -> Iterator[str]:
    """The same arguments, but for the guest."""
    yield from ("--family", args.family, "--profile", args.profile)
    yield from _repeated("--backend", args.backend)
    yield from _repeated("--target-command", args.target_command)
    yield from _repeated("--replay", [file.absolute() for file in args.replay])
    yield from _repeated("--report", [file.absolute() for file in args.report])
    for name in ("instance", "scenarios", "seed"):
        yield from _given(f"--{name}", getattr(args, name))
    for name in ("k", "n"):
        yield from _given(f"-{name}", getattr(args, name))
    yield from ("--", *args.words)


def _repeated(option: str, values: Sequence[object]) -> Iterator[str]:
    for value in values:
        yield from (option, str(value))


def _given(option: str, value: str | None) -> Iterator[str]:
    if value is not None:
        yield from (option, value)
