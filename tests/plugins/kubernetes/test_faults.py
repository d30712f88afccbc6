"""What goes wrong on the way, and that each time it ends as if it hadn't, without a restart."""

import logging
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from pointsman.conformance.apiserver import FOREVER, ApiServer
from pointsman.plugins.kubernetes.client import connect
from pointsman.plugins.kubernetes.source import KubernetesSource

from .following import (
    FAST,
    Mirror,
    endpoint_slice,
    followed,
    following,
    queries,
    service,
    wait_for_status,
)

# Sockets of connections that break while they are made are urllib3's, which leaves some to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <ssl.SSLSocket:ResourceWarning",
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning",
)


def edit(server: ApiServer, number: int = 1) -> None:
    """Change something of both of the kinds that change most."""
    server.put(service("db", f"10.96.1.{number}"))
    server.put(endpoint_slice("db-1", f"10.0.1.{number}"))


@pytest.fixture(autouse=True)
def _something_is_there(server: ApiServer) -> None:
    server.put(service())
    server.put(endpoint_slice("web-1", "10.0.0.1"))


def test_a_stream_that_is_cut_in_an_object_is_resumed(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.faults.cut(times=3, plural="services")
        for number in range(1, 5):
            edit(server, number)
        mirror.wait_until_same(server)
        status = wait_for_status(source, "Service", lambda status: status.watches == 4)
        assert (status.lists, status.failures) == (1, 0)


def test_a_streaming_list_that_is_cut_is_nothing_yet(server: ApiServer, tmp_path: Path) -> None:
    server.faults.cut(times=2, plural="services")
    with following(server, tmp_path) as (source, mirror):
        mirror.wait_until_same(server)
        assert source.status()["Service"].lists == 1
        assert all("sendInitialEvents" in query for query in queries(server, "services"))


def test_watches_that_end_at_once_are_no_reason_to_hurry(server: ApiServer, tmp_path: Path) -> None:
    """Each counts as a failure, after which is waited longer and longer."""
    timing = replace(FAST, first_wait=0.05, longest_wait=10.0, short=1.0)
    with following(server, tmp_path, timing) as (source, mirror):
        server.faults.cut(times=FOREVER, plural="services")
        began = time.monotonic()
        edit(server)
        status = wait_for_status(source, "Service", lambda status: status.failures == 3)
        assert time.monotonic() - began > 0.05 + 0.1  # the waits between the three, at the shortest
        assert "cut" in status.error
        server.faults.clear()
        mirror.wait_until_same(server)
        wait_for_status(source, "Service", lambda status: (status.failures, status.error) == (0, ""))


def test_events_that_come_twice_are_told_once(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.faults.duplicate(times=2)
        edit(server)
        edit(server, 2)
        mirror.wait_until_same(server)
        assert sorted(map(str, mirror.updates)) == ["shop/db", "shop/db", "shop/db-1", "shop/db-1"]
        assert {status.lists for status in source.status().values()} == {1}


def test_events_that_come_out_of_order_leave_no_trace(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.faults.reorder(plural="services")
        server.put(service("db", "10.96.1.1"))
        server.put(service("db", "10.96.1.2"))
        wait_for_status(source, "Service", lambda status: status.lists == 2)
        mirror.wait_until_same(server)


def test_a_line_that_is_no_event_is_followed_by_a_list(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.faults.garble(times=2)
        edit(server)
        wait_for_status(source, "Service", lambda status: status.lists > 1)
        wait_for_status(source, "EndpointSlice", lambda status: status.lists > 1)
        mirror.wait_until_same(server)


def test_a_version_that_has_expired_is_followed_by_a_list(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.go_away()
        server.delete("Service", "shop", "web")
        edit(server)
        server.compact()
        server.come_back()
        mirror.wait_until_same(server)
        assert mirror.names() == {"db"}
        wait_for_status(source, "Service", lambda status: status.lists == 2 and not status.failures)


@pytest.mark.parametrize("pages", [False, True])
def test_versions_that_expire_again_and_again(server: ApiServer, tmp_path: Path, pages: bool) -> None:
    """By an ERROR event in a watch, by an answer to a list, and with the pages of one."""
    if pages:
        server.faults.fail(422, times=4, verb="watch")
    with following(server, tmp_path) as (source, mirror):
        server.faults.expire(times=6)
        server.drop_connections()
        edit(server)
        mirror.wait_until_same(server)
        # All six have struck, and what came after is seen.
        wait_for_status(source, "Service", lambda status: not status.failures)
        edit(server, 2)
        mirror.wait_until_same(server)


def test_a_page_that_has_expired_is_begun_anew(server: ApiServer, tmp_path: Path) -> None:
    for number in range(1100):
        server.put(service(f"s-{number}", f"10.96.{number >> 8}.{number & 255}"))
    server.faults.fail(422, verb="watch", plural="services")
    with followed(connect(str(server.kubeconfig(tmp_path / "kubeconfig")))) as (source, mirror):
        wait_for_status(source, "Service", lambda status: status.listed)
        mirror.wait_until_same(server)
    # That was the first time, and whole; this time the second page is not to be had.
    server.faults.fail(422, verb="watch", plural="services")
    server.faults.fail(410, verb="list", plural="services")
    before = len(queries(server, "services", "list"))
    with following(server, tmp_path) as (source, mirror):
        mirror.wait_until_same(server)
        later = queries(server, "services", "list")[before:]
        assert "continue" not in later[1]


@pytest.mark.parametrize("code", [500, 503, 504])
def test_a_server_that_is_ill_is_asked_again(
    server: ApiServer, tmp_path: Path, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.fail(code, times=8)
    with caplog.at_level(logging.WARNING), following(server, tmp_path) as (source, mirror):
        mirror.wait_until_same(server)
        server.faults.fail(code, times=8)
        server.drop_connections()
        edit(server)
        mirror.wait_until_same(server)
        wait_for_status(source, "Service", lambda status: not status.failures)
        assert not mirror.wrong()
    said = [record for record in caplog.records if record.message == "watch_failed"]
    assert said
    assert all(vars(record)["kept"] for record in said)


def test_a_server_that_never_goes_on_from_a_version_is_asked_for_a_list(
    server: ApiServer, tmp_path: Path
) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.faults.fail(500, times=3, verb="watch", plural="services")
        server.drop_connections()
        edit(server)
        mirror.wait_until_same(server)
        wait_for_status(source, "Service", lambda status: status.lists == 2)


def test_a_server_that_asks_for_patience_is_left_alone_for_so_long(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.faults.fail(429, plural="services", retry_after=1)
        server.drop_connections()
        wait_for_status(source, "Service", lambda status: "429" in status.error)
        began, asked = time.monotonic(), len(queries(server, "services"))
        edit(server)
        mirror.wait_until_same(server)
        assert time.monotonic() - began > 0.9
        assert len(queries(server, "services")) == asked + 1
        assert source.status()["Service"].lists == 1


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        server.break_tls()
        server.drop_connections()
        edit(server)
        status = wait_for_status(source, "Service", lambda status: status.failures > 2)
        assert "TLS" in status.error
        assert "certificate" in status.error
        assert mirror.names() == {"web"}
        server.mend_tls()
        mirror.wait_until_same(server)


def test_a_server_that_is_away_for_a_while_is_awaited(
    server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), following(server, tmp_path) as (source, mirror):
        before = dict(mirror.objects)
        server.go_away()
        edit(server)
        heard = wait_for_status(source, "Service", lambda status: status.failures > 0).heard
        status = wait_for_status(source, "Service", lambda status: status.failures > 4)
        assert "refused" in status.error
        assert (status.listed, status.heard) == (True, heard)
        assert mirror.objects == before
        server.come_back()
        mirror.wait_until_same(server)
        status = wait_for_status(source, "Service", lambda status: not status.failures)
        assert status.error == ""
        assert source.status()["Service"].lists == 1
    # Of all the failures of one kind only the first is worth a line.
    said = [vars(record) for record in caplog.records if record.message == "watch_failed"]
    assert sum(record["kind"] == "Service" and "refused" in record["error"] for record in said) == 1


def test_a_server_that_comes_late_is_awaited(server: ApiServer, tmp_path: Path) -> None:
    server.go_away()
    with followed(connect(str(server.kubeconfig(tmp_path / "kubeconfig")))) as (source, mirror):
        wait_for_status(source, "Service", lambda status: status.failures > 2)
        assert not mirror.lists
        server.come_back()
        mirror.wait_until_listed()
        mirror.wait_until_same(server)


def test_a_server_that_falls_silent_is_asked_again(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path, replace(FAST, silence=0.4)) as (source, mirror):
        server.faults.freeze()
        edit(server)
        status = wait_for_status(source, "Service", lambda status: status.failures > 1)
        assert "timed out" in status.error or "nothing came" in status.error
        server.faults.thaw()
        mirror.wait_until_same(server)
        assert source.status()["Service"].lists == 1


def test_connections_that_are_closed_instead_of_answered(server: ApiServer, tmp_path: Path) -> None:
    server.faults.hang_up(times=6)
    with following(server, tmp_path) as (_, mirror):
        mirror.wait_until_same(server)


def test_a_source_that_is_stopped_while_it_waits_stops_at_once(server: ApiServer, tmp_path: Path) -> None:
    server.go_away()
    client = connect(str(server.kubeconfig(tmp_path / "kubeconfig")))
    with followed(client, replace(FAST, first_wait=60.0, longest_wait=60.0)) as (source, _):
        wait_for_status(source, "Service", lambda status: status.failures == 1)
        began = time.monotonic()
        source.stop()
        assert time.monotonic() - began < 2.0


def test_what_should_never_happen_ends_the_process(server: ApiServer, tmp_path: Path) -> None:
    class Broken(Mirror):
        def updated(self, updated: object) -> None:
            raise RuntimeError("the sink is broken")

    mirror = Broken()
    source = KubernetesSource(connect(str(server.kubeconfig(tmp_path / "kubeconfig"))), "node-a", FAST)
    source.start(mirror)
    mirror.wait_until_listed()
    edit(server)
    with pytest.raises(AssertionError):
        mirror.wait_until_same(server)
    assert str(mirror.failures[0]) == "the sink is broken"
    source.stop()
