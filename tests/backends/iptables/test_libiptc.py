"""Reading in process, and what python-iptables does to those who use more of it than we do."""

import builtins
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pointsman.backends.iptables import libiptc, skeleton
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Refused, Variant
from pointsman.backends.iptables.tables import ChainName, Change
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import expected
from pointsman.core.model import Model
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import seed

iptc = pytest.importorskip("iptc", reason="python-iptables is not installed: it needs a C compiler")

pytestmark = [pytest.mark.netns, pytest.mark.program("iptables-legacy", "ip6tables-legacy")]

families = pytest.mark.parametrize("family", IPFamily, ids=str)
ABORTED = -6
LONG_ENOUGH = 60.0


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(path))
    return path


@pytest.fixture(params=IPFamily, ids=str)
def kernel(request: pytest.FixtureRequest, lock: Path) -> Iterator[Kernel]:
    with Namespace("libiptc") as namespace:
        opened = Kernel(namespace, Variant.LEGACY, request.param)
        yield opened
        opened.close()


def jumps() -> dict[ChainName, Change]:
    return {base: Change(None, rules) for base, rules in skeleton.jumps().items()}


def rules(kernel: Kernel) -> list[str]:
    return [line for line in kernel.save().splitlines() if line.startswith("-A")]


def test_the_probe_says_that_tables_are_read_in_process(kernel: Kernel) -> None:
    remarks = kernel.namespace.run(kernel.dataplane.dataplane_probe).remarks

    assert "jumps are mended in process, by python-iptables" in remarks


def test_without_the_package_the_programs_do_it_all(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *arguments: object) -> object:
        if name == "iptc":
            raise ImportError("No module named 'iptc'")
        return real(name, *arguments)  # type: ignore[arg-type]

    libiptc.why_not.cache_clear()
    monkeypatch.setattr(builtins, "__import__", absent)
    kernel.dataplane = IptablesDataplane(kernel.settings, Variant.LEGACY)
    kernel.dataplane._name = "without"
    try:
        model = Model(seed().node) if kernel.family is IPFamily.IPV4 else kernel.model
        remarks = kernel.namespace.run(kernel.dataplane.dataplane_probe).remarks
        kernel.sync(model, full=True)
        assert kernel.observe() == expected(model)
    finally:
        libiptc.why_not.cache_clear()

    assert "by running iptables-legacy" in remarks[0]
    assert "pip install 'pointsman[iptables]'" in remarks[0]


def test_lost_jumps_are_mended_in_process(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.sync(kernel.model, full=True)
    before = rules(kernel)
    kernel.command("-F", "INPUT")
    kernel.command("-t", "nat", "-D", "PREROUTING", "1")
    outdated = ("-m", "comment", "--comment", "kubernetes service portals", "-j", "KUBE-SERVICES")
    kernel.command("-A", "FORWARD", *outdated)
    written = count(type(kernel.dataplane._open()), "write", monkeypatch)

    assert kernel.sync(kernel.model, full=True)

    assert not written
    assert sorted(rules(kernel)) == sorted(before)
    assert kernel.sync(kernel.model, full=True) == 0


def test_rules_of_others_stay_and_ours_come_first(kernel: Kernel) -> None:
    kernel.sync(kernel.model, full=True)
    kernel.command("-F", "INPUT")
    kernel.command("-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    kernel.sync(kernel.model, full=True)

    *ours, other = [line for line in rules(kernel) if line.startswith("-A INPUT")]
    assert "--dport 22" in other
    assert len(ours) == 4


def test_the_lock_that_iptables_takes_is_taken(
    kernel: Kernel, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.sync(kernel.model, full=True)
    monkeypatch.setattr(libiptc, "LOCK_WAIT", 0.2)
    held = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="has held the xtables lock"):
            kernel.namespace.run(libiptc.lead, kernel.family, jumps())
    finally:
        os.close(held)


def test_somebody_who_writes_without_the_lock_is_survived(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.sync(kernel.model, full=True)
    kernel.command("-F", "OUTPUT")
    real, times = libiptc._replace, 0

    def meddle(*arguments: object) -> None:
        nonlocal times
        real(*arguments)  # type: ignore[arg-type]
        if (times := times + 1) == 1:
            _without_lock(kernel, "-A", "OUTPUT", "-j", "ACCEPT")

    monkeypatch.setattr(libiptc, "_replace", meddle)
    kernel.namespace.run(libiptc.lead, kernel.family, jumps())

    assert times > len(jumps())  # one table was begun again
    assert kernel.sync(kernel.model, full=True) == 0


def _without_lock(kernel: Kernel, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XTABLES_LOCKFILE", f"{os.environ['XTABLES_LOCKFILE']}.other")
        kernel.command(*arguments)


def test_nothing_is_kept_of_the_namespace_that_was_read_before(kernel: Kernel) -> None:
    kernel.sync(kernel.model, full=True)
    with Namespace("elsewhere") as elsewhere:
        for _ in range(2):
            assert kernel.namespace.run(libiptc.written_alike, kernel.family, skeleton.jumps()) == ""
            assert elsewhere.run(libiptc.written_alike, kernel.family, skeleton.jumps()) != ""


def test_no_other_table_comes_into_being_by_mending(kernel: Kernel) -> None:
    name = "ip_tables_names" if kernel.family is IPFamily.IPV4 else "ip6_tables_names"

    def there() -> set[str]:
        return set(Path(f"/proc/thread-self/net/{name}").read_text().split())

    kernel.sync(kernel.model, full=True)
    kernel.command("-F", "INPUT")
    kernel.sync(kernel.model, full=True)
    assert kernel.namespace.run(there) == {"nat", "filter"}


def test_output_of_other_threads_stays_where_it_goes(kernel: Kernel, tmp_path: Path) -> None:
    kernel.sync(kernel.model, full=True)
    where, stopping, seen = os.fstat(1), threading.Event(), set[tuple[int, int]]()

    def watch() -> None:
        while not stopping.is_set():
            now = os.fstat(1)
            seen.add((now.st_dev, now.st_ino))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(50):
        kernel.namespace.run(libiptc.written_alike, kernel.family, skeleton.jumps())
    kernel.command("-F", "INPUT")
    kernel.namespace.run(libiptc.lead, kernel.family, jumps())
    stopping.set()
    watcher.join()

    assert seen == {(where.st_dev, where.st_ino)}


def test_threads_may_use_it_at_once(kernel: Kernel) -> None:
    kernel.sync(kernel.model, full=True)
    found = set[str]()

    def read() -> None:
        for _ in range(20):
            found.add(libiptc.written_alike(kernel.family, skeleton.jumps()))

    def together() -> None:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    kernel.namespace.run(together)
    assert found == {""}


# Why the module is as it is: each of these happens to whoever uses python-iptables' rules.

TWO_TARGETS = """
import iptc
chain = iptc.Chain(iptc.Table("nat"), "PREROUTING")
rules = [iptc.Rule() for _ in range(2)]
for rule in rules:
    rule.protocol = "tcp"
targets = [rule.create_target("DNAT") for rule in rules]
for n in range(5):
    for at, target in enumerate(targets):
        target.to_destination = f"192.0.2.{at}:{80 + n}"
for rule in rules:
    chain.append_rule(rule)
told = [rule.target.to_destination for rule in chain.rules]
assert told[0] == told[1], told
del target, targets, rule, rules
"""
REDIRECTED = """
import os, threading, iptc
rule = iptc.Rule(); rule.protocol = "tcp"
match = rule.create_match("tcp"); match.dport = "80"
before, seen, stopping = os.fstat(1).st_ino, set(), threading.Event()
def watch():
    while not stopping.is_set():
        seen.add(os.fstat(1).st_ino)
watcher = threading.Thread(target=watch); watcher.start()
for _ in range(3000):
    match.get_all_parameters()
stopping.set(); watcher.join()
assert seen != {before}, "never redirected"
"""
BROADER = """
import iptc
rule = iptc.easy.encode_iptc_rule({"protocol": "tcp", "tcp": {"dport": "notaport"}, "target": "ACCEPT"})
assert rule.matches[0].dport is None, "the error was not swallowed"
"""
ALL_TABLES = """
import iptc
iptc.Table("filter").create_chain("MINE")
rule = iptc.Rule(); rule.create_target("MINE")
names = open("/proc/thread-self/net/ip_tables_names").read().split()
assert len(names) == 5, names
"""
CACHED = """
import iptc
assert iptc.Table("filter") is iptc.Table("filter") and iptc.Table("filter").autocommit
"""


@pytest.mark.parametrize(
    "trap", [REDIRECTED, BROADER, ALL_TABLES, CACHED], ids=["fd", "easy", "tables", "cache"]
)
def test_a_trap_that_we_stay_out_of_is_still_there(trap: str, lock: Path) -> None:
    done = in_a_child(trap)

    assert done.returncode == 0, done.stderr


def test_two_targets_alive_at_once_corrupt_the_process(lock: Path) -> None:
    done = in_a_child(TWO_TARGETS)

    assert done.returncode == ABORTED, done.stderr
    assert "free" in done.stderr


def test_we_use_nothing_but_handles() -> None:
    source = Path(libiptc.__file__).read_text(encoding="utf-8")

    for trap in ("iptc.Rule", "iptc.Chain", "iptc.Match", "iptc.Target", "iptc.easy.", "create_target"):
        assert trap not in source


def in_a_child(program: str) -> subprocess.CompletedProcess[str]:
    with Namespace("trap") as namespace:
        child = namespace.popen(
            [sys.executable, "-W", "ignore", "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = child.communicate(timeout=LONG_ENOUGH)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def count(owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Calls of a method from now on."""
    calls: list[object] = []
    real: Callable[..., object] = getattr(owner, name)

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls
