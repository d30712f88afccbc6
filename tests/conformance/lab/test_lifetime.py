"""A lab leaves nothing behind, however it ends."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from pointsman.conformance.lab import Lab, LabSpec, Namespace, Outcome, Reply, burst, connect
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

pytestmark = pytest.mark.netns


def holdings() -> tuple[set[str], set[str], set[str]]:
    """What this process holds: descriptors, threads, and the network namespaces its threads are in."""
    files = set()
    for file in Path("/proc/self/fd").iterdir():
        if file.is_symlink():  # not so the descriptor of this very listing, closed by now
            files.add(f"{file.name} {file.readlink()}")
    files = {file for file in files if not file.endswith(f"/proc/{os.getpid()}/fd")}
    threads = {thread.name for thread in threading.enumerate()}
    return files, threads, {str(task.readlink()) for task in Path("/proc/self/task").glob("*/ns/net")}


def assert_holdings(expected: tuple[set[str], set[str], set[str]]) -> None:
    """Python's join() returns when a thread has run; its kernel task may need a moment more to be gone."""
    deadline = time.monotonic() + 5
    while holdings() != expected and time.monotonic() < deadline:
        os.sched_yield()
    assert holdings() == expected


class Interrupted(Exception):
    """Stands for the user's Ctrl-C."""


def interrupt(done: int, outcome: Outcome) -> None:
    if done == 10:
        raise Interrupted


def test_closing_leaves_no_descriptor_thread_or_namespace() -> None:
    before = holdings()
    lab = Lab()
    for protocol in (Protocol.TCP, Protocol.UDP):
        for family in IPFamily:
            lab.serve("pod-a", protocol, family, 8080)
            assert isinstance(connect(lab["client"], lab.address("pod-a", family), 8080, protocol), Reply)
            with pytest.raises(Interrupted):
                burst(
                    lab["client"], lab.address("pod-a", family), 8080, protocol, count=99, progress=interrupt
                )
    assert holdings() != before
    lab.close()
    lab.close()
    assert_holdings(before)


def test_a_lab_that_cannot_be_built_leaves_nothing_either() -> None:
    before = holdings()
    with pytest.raises(ValueError, match="not-an-address"):
        Lab(LabSpec(virtual_networks=("not-an-address/8",)))
    with pytest.raises(Exception, match="Invalid argument"):
        Lab(LabSpec(virtual_networks=("10.96.0.1/12",)))  # host bits: only the kernel minds
    assert_holdings(before)


def test_two_labs_at_once_do_not_meet() -> None:
    with Lab() as one, Lab() as other:
        for lab in (one, other):
            lab.serve("pod-a", Protocol.TCP, IPFamily.IPV4, 8080)
        one["pod-a"].sysctl({"ipv4/ip_default_ttl": 7})
        assert isinstance(connect(other["client"], "10.244.1.2", 8080), Reply)
        assert isinstance(connect(one["client"], "10.244.1.2", 8080), Reply)
        assert not {one[name].inode for name in ("node", "pod-a")} & {
            other[name].inode for name in ("node", "pod-a")
        }


KILLED = """
import json, os, sys
from pointsman.conformance.lab import Lab
from pointsman.conformance.lab.build import add_link
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

lab = Lab()
lab.serve("pod-a", Protocol.TCP, IPFamily.IPV4, 8080)
witness = os.open(sys.argv[1], os.O_RDONLY)
lab.node.configure(
    lambda netlink: add_link(netlink, "towitness", "veth", peer={"ifname": "fromlab", "net_ns_fd": witness})
)
os.close(witness)
program = lab.node.popen(["sleep", "300"])
print(json.dumps({"program": program.pid}), flush=True)
sys.stdin.read()
"""


def has_interface_from_lab(netlink: IPRoute) -> bool:
    return any(link.get("ifname") == "fromlab" for link in netlink.get_links())


def test_the_kernel_clears_up_after_sigkill() -> None:
    """A veth pair from the lab to a witness goes with the lab's end, and so does a program started there."""
    with Namespace("witness") as witness:
        [events] = witness.sockets(1, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        argv = [sys.executable, "-c", KILLED, f"/proc/{os.getpid()}/fd/{witness.fileno()}"]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        with child, events:
            events.bind((0, 1))  # RTMGRP_LINK
            try:
                program = os.pidfd_open(json.loads(child.stdout.readline())["program"])
                assert witness.configure(has_interface_from_lab)
            finally:
                child.kill()
            with os.fdopen(program):
                assert select.select([program], [], [], 10)[0], "the program outlived the lab"
            while witness.configure(has_interface_from_lab):
                assert select.select([events], [], [], 10)[0], "the namespace outlived the lab"
                events.recv(65536)


UNPRIVILEGED = """
import os, sys
from pointsman.conformance.lab import Lab, LabUnavailable
os.setuid(int(sys.argv[1]))
try:
    Lab()
except LabUnavailable as unavailable:
    print(unavailable.reason, unavailable.remedy, sep="; ")
"""


@pytest.mark.parametrize(
    ("user", "prefix"),
    [("65534", ()), ("0", ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"))],
    ids=["ordinary user", "root without CAP_NET_ADMIN"],
)
def test_who_may_not_is_told_what_to_do(user: str, prefix: tuple[str, ...]) -> None:
    argv = [*prefix, sys.executable, "-c", UNPRIVILEGED, user]
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "Operation not permitted" in said.stdout
    assert "CAP_NET_ADMIN" in said.stdout
