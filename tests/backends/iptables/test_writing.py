"""Transactions that are refused, that are ended, and that have to wait, with both variants."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from pointsman.backends.iptables import dataplane as subject
from pointsman.backends.iptables import kernel as door
from pointsman.backends.iptables import libiptc
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Tools, Variant, choose
from pointsman.conformance.lab import Namespace
from pointsman.core.backend import expected
from pointsman.core.errors import ResyncRequired, SyncError
from pointsman.core.model import Model
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import seed
from tests.backends.iptables.test_steps import many

pytestmark = [pytest.mark.netns, pytest.mark.program("iptables-legacy", "iptables-nft")]

AT_MOST = 4.0
# The rules of the seed's example that lead to it, or refuse what it hasn't.
LAST = r"KUBE-SERVICES .*KUBE-SVC\|KUBE-CLUSTER-IPS -d"
SOON = 20.0


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(path))
    return path


@pytest.fixture(params=Variant, ids=str)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Namespace("writing") as namespace:
        opened = Kernel(namespace, request.param)
        yield opened
        opened.close()


@pytest.fixture
def legacy(lock: Path) -> Iterator[Kernel]:
    """The variant that heeds the lock."""
    with Namespace("writing") as namespace:
        opened = Kernel(namespace, Variant.LEGACY)
        yield opened
        opened.close()


@pytest.mark.parametrize("number", [1, 2])
def test_a_restore_that_fails_leaves_nothing_half_applied(
    kernel: Kernel, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.sync(Model(seed().node), full=True)
    before = _rules(kernel.save())
    tools = choose("iptables", kernel.family, kernel.variant)
    _restoring_by(kernel, _breaking(tools.restore, number, tmp_path), monkeypatch)

    with pytest.raises(SyncError, match="line") as failure:
        kernel.sync(seed())

    assert _rules(kernel.save()) == before
    if number == 1:
        assert "default/seed:http" in str(failure.value)
        assert "nothing was written" in str(failure.value)
    else:
        assert "taken back" in str(failure.value)
    monkeypatch.setattr(kernel.dataplane, "_tools", tools)
    kernel.sync(seed(), full=True)
    assert kernel.observe() == expected(seed())


@pytest.mark.parametrize("number", [2, 5])
def test_a_change_in_many_transactions_that_fails_half_way_is_taken_back(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel lacks a match that a rule in the middle asks for."""
    monkeypatch.setattr(subject, "CHUNK", 12)
    with Namespace("writing") as namespace:
        kernel = Kernel(namespace, Variant.NFT)
        kernel.sync(many(range(2)), full=True)
        before = _rules(kernel.save())
        tools = choose("iptables", kernel.family, kernel.variant)
        with monkeypatch.context() as patched:
            script = _breaking(tools.restore, number, tmp_path, where="-A KUBE-S")
            _restoring_by(kernel, script, patched)
            with pytest.raises(SyncError, match=r"line.*of default/service-\d+.*taken back"):
                kernel.sync(many(range(8)))
        assert _rules(kernel.save()) == before
        kernel.sync(many(range(8)))
        assert kernel.observe(many(range(8))) == expected(many(range(8)))
        kernel.close()


def _breaking(restore: str, number: int, folder: Path, where: str = LAST) -> Path:
    """A tool that is given a module nobody has, in such rules, at its n-th call."""
    script, calls = folder / "restore", folder / "calls"
    calls.write_text("0")
    script.write_text(
        "#!/bin/sh\n"
        f"n=$(($(cat {calls}) + 1)); echo $n > {calls}\n"
        f'[ $n = {number} ] || exec {restore} "$@"\n'
        f"sed '/{where}/s/-j /-m nosuchmodule -j /'"
        f' | {restore} "$@"\n'
    )
    script.chmod(0o755)
    return script


def _restoring_by(kernel: Kernel, script: Path, patched: pytest.MonkeyPatch) -> None:
    """Have another program write from now on; what the machine can do is known by then."""
    tools = choose("iptables", kernel.family, kernel.variant)
    found = kernel.namespace.run(kernel.dataplane._found)
    patched.setattr(kernel.dataplane, "_found", lambda: found)
    patched.setattr(kernel.dataplane, "_tools", replace(tools, restore=str(script)))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("committed", "end"), [(True, "wait"), (False, "wait"), (True, "kill -9 $$"), (False, "kill -9 $$")]
)
def test_of_a_tool_that_is_ended_nobody_knows_what_it_did(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, committed: bool, end: str
) -> None:
    kernel.sync(Model(seed().node), full=True)
    before = _rules(kernel.save())
    tools = choose("iptables", kernel.family, kernel.variant)
    with monkeypatch.context() as patched:
        _restoring_by(kernel, _ending(tools.restore, number, tmp_path, committed=committed, end=end), patched)
        patched.setattr(door, "PATIENCE", AT_MOST)
        with pytest.raises(ResyncRequired, match=f"it wrote step {number} of . nobody knows"):
            kernel.sync(seed())

    if number == 1:
        assert (_rules(kernel.save()) == before) is not committed
    assert _is_gone(tmp_path / "left")
    kernel.sync(seed())
    assert kernel.observe(seed()) == expected(seed())
    assert kernel.sync(seed(), full=True) == 0


def _ending(restore: str, number: int, where: Path, *, committed: bool, end: str) -> Path:
    """A tool that doesn't come to its end at its n-th call, before or after it did its work."""
    script, calls, left = where / "restore", where / "calls", where / "left"
    calls.write_text("0")
    script.write_text(
        "#!/bin/sh\n"
        f"n=$(($(cat {calls}) + 1)); echo $n > {calls}\n"
        f'[ $n = {number} ] || exec {restore} "$@"\n'
        + (f'{restore} "$@"\n' if committed else "")
        + (f"sleep 1000 & echo $! > {left}; {end}\n" if end == "wait" else f"{end}\n")
    )
    script.chmod(0o755)
    return script


def _is_gone(left: Path) -> bool:
    """Whether what a tool has started is ended with it, if it had started anything."""
    if not left.exists():
        return True
    process, deadline = Path("/proc", left.read_text().strip()), time.monotonic() + SOON
    while process.exists() and "Z" not in process.joinpath("stat").read_text().split()[2]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Somebody else has the xtables lock."""
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@pytest.mark.parametrize("inside", [True, False])
def test_who_holds_the_lock_too_long_is_named_and_what_there_is_serves_on(
    legacy: Kernel, lock: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    """Both ways to write: python-iptables mends jumps, a program writes chains."""
    if inside:
        pytest.importorskip("iptc", reason="python-iptables is not installed")
    monkeypatch.setattr(IptablesDataplane, "_is_inside", lambda _: inside)
    for module in (door, libiptc):
        monkeypatch.setattr(module, "LOCK_WAIT", 1)
    legacy.sync(seed(), full=True)
    legacy.command("-F", "OUTPUT")
    before = _rules(legacy.save())

    with held(lock), monkeypatch.context() as patched:
        if inside:
            patched.setattr(Tools, "write", _never)
        began = time.monotonic()
        with pytest.raises(SyncError, match=r"xtables lock.*fuser -v .*; nothing was written"):
            legacy.sync(seed(), full=True)
        assert time.monotonic() - began < SOON
        assert _rules(legacy.save()) == before
        assert "chain OUTPUT of table filter doesn't lead to ours" in legacy.observe(seed()).strange

    legacy.sync(seed())
    assert legacy.observe(seed()) == expected(seed())


def _never(*_: object) -> None:
    raise AssertionError("the same lock keeps the program waiting")


def test_who_takes_the_lock_between_two_transactions_leaves_nothing_that_serves_half(
    legacy: Kernel, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy.sync(seed(), full=True)
    write = Tools.write
    monkeypatch.setattr(door, "LOCK_WAIT", 1)
    emptied = Model(seed().node)
    with pytest.MonkeyPatch.context() as patched:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)

        def overtaken(tools: Tools, step: object) -> None:
            write(tools, step)  # type: ignore[arg-type]
            fcntl.flock(handle, fcntl.LOCK_EX)

        patched.setattr(Tools, "write", overtaken)
        try:
            with pytest.raises(ResyncRequired, match=r"xtables lock.*1 of 2 steps were written and stay"):
                legacy.sync(emptied)
        finally:
            os.close(handle)

    legacy.sync(emptied)
    assert legacy.observe(emptied) == expected(emptied)


def _rules(text: str) -> set[str]:
    """The chains and rules in a dump, without its counters and times."""
    return {
        line.split(" [", 1)[0] for line in text.splitlines() if line.startswith((":", "-A", "*")) and line
    }
