import select
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from pointsman.conformance.lab import LabClosed, LabUnavailable, Namespace
from pointsman.conformance.lab.build import add_link

pytestmark = pytest.mark.netns

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def namespace_of_this_thread() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def open_files() -> set[str]:
    return {file.name for file in Path("/proc/self/fd").iterdir()}


def names_of_links(netlink: IPRoute) -> set[str]:
    return {link.get("ifname") for link in netlink.get_links()}


def test_functions_threads_and_programs_run_inside() -> None:
    def in_a_new_thread() -> int:
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(namespace_of_this_thread()))
        thread.start()
        thread.join()
        return seen[0]

    with Namespace("a") as a:
        assert a.inode != namespace_of_this_thread()
        assert a.run(namespace_of_this_thread) == a.inode
        assert a.run(in_a_new_thread) == a.inode
        child = a.popen(["readlink", "/proc/self/ns/net"], stdout=subprocess.PIPE, text=True)
        assert child.communicate(timeout=10)[0] == f"net:[{a.inode}]\n"


def test_a_call_from_inside_runs_at_once() -> None:
    with Namespace("a") as a:
        assert a.run(lambda: a.run(namespace_of_this_thread)) == a.inode


def test_an_exception_comes_out() -> None:
    with Namespace("a") as a, pytest.raises(ZeroDivisionError):
        a.run(lambda: 1 // 0)


def test_settings_are_the_namespaces_own() -> None:
    outside = FORWARDING.read_text()
    with Namespace("a") as a, Namespace("b") as b:
        a.sysctl({"ipv4/ip_forward": 1})
        b.sysctl({"ipv4/ip_forward": 0})
        assert a.run(FORWARDING.read_text) == "1\n"
        assert b.run(FORWARDING.read_text) == "0\n"
        assert FORWARDING.read_text() == outside


def test_a_missing_setting_is_named() -> None:
    with Namespace("a") as a, pytest.raises(LabUnavailable, match="net/ipv4/no_such_thing"):
        a.sysctl({"ipv4/no_such_thing": 1})


def test_a_missing_kind_of_interface_is_named() -> None:
    with Namespace("a") as a, pytest.raises(LabUnavailable, match="no nosuchkind interfaces"):
        a.configure(lambda netlink: add_link(netlink, "x", "nosuchkind"))


def test_loopback_is_up_and_sockets_are_the_namespaces_own() -> None:
    with Namespace("a") as a, Namespace("b") as b:
        [here] = a.sockets(1, socket.AF_INET, socket.SOCK_STREAM, 0)
        [there] = b.sockets(1, socket.AF_INET, socket.SOCK_STREAM, 0)
        with here, there:
            here.bind(("127.0.0.1", 8080))
            there.bind(("127.0.0.1", 8080))  # the same port is free: another loopback
            here.listen()
            [caller] = a.sockets(1, socket.AF_INET, socket.SOCK_STREAM, 0)
            with caller:
                caller.settimeout(5)
                caller.connect(("127.0.0.1", 8080))


def test_a_missing_protocol_leaves_no_socket_open() -> None:
    with Namespace("a") as a:
        before = open_files()
        with pytest.raises(OSError, match="not supported"):
            a.sockets(3, socket.AF_INET, socket.SOCK_STREAM, 254)
        assert open_files() == before


def test_closing_kills_its_programs_and_refuses_more_work() -> None:
    a = Namespace("a")
    child = a.popen(["sleep", "300"])
    a.close()
    a.close()
    assert child.returncode == -9
    with pytest.raises(LabClosed, match="namespace a is closed"):
        a.run(namespace_of_this_thread)


def test_a_program_that_is_not_there_is_reported_here() -> None:
    with Namespace("a") as a, pytest.raises(FileNotFoundError, match="no-such-program"):
        a.popen(["no-such-program"])


def test_a_closed_namespace_is_gone() -> None:
    """The kernel removes a veth pair with the namespace of either end, and tells the other end's."""
    with Namespace("witness") as witness:
        [events] = witness.sockets(1, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        with events:
            events.bind((0, 1))  # RTMGRP_LINK
            with Namespace("a") as a:
                peer = {"ifname": "eth0", "net_ns_fd": a.fileno()}
                witness.configure(lambda netlink: add_link(netlink, "veth0", "veth", peer=peer))
                assert "veth0" in witness.configure(names_of_links)
            while "veth0" in witness.configure(names_of_links):
                assert select.select([events], [], [], 10)[0], "the namespace outlives its close()"
                events.recv(65536)
