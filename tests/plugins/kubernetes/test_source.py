"""What the source asks for and tells, while all goes well."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from pointsman.conformance.apiserver import FOREVER, ApiServer
from pointsman.core.apis import Node, Service
from pointsman.plugins.kubernetes.client import Request, connect
from pointsman.plugins.kubernetes.reflector import PAGE

from .following import (
    FAST,
    NODE,
    cidr,
    endpoint_slice,
    followed,
    following,
    node,
    queries,
    read,
    service,
    wait_for_status,
)


def test_what_is_there_is_listed_and_what_changes_is_told(server: ApiServer, tmp_path: Path) -> None:
    for manifest in (service(), endpoint_slice("web-1", "10.0.0.1"), node(), cidr("extra", "10.97.0.0/16")):
        server.put(manifest)
    with following(server, tmp_path) as (source, mirror):
        mirror.wait_until_same(server)
        server.put(service("db", "10.96.0.11"))
        server.put(endpoint_slice("web-1", "10.0.0.1", "10.0.0.2"))
        server.put(node(zone="a"))
        mirror.wait_until_same(server)
        server.delete("Service", "shop", "web")
        server.delete("EndpointSlice", "shop", "web-1")
        server.delete("ServiceCIDR", "", "extra")
        mirror.wait_until_same(server)
        assert mirror.names() == {"db"}
        status = source.status()["Service"]
        assert (status.listed, status.served, status.lists, status.watches) == (True, True, 1, 1)
        assert (status.failures, status.error) == (0, "")
        assert status.heard is not None
        assert 0 <= time.monotonic() - status.heard < 20
        # One request for each kind: the watch goes on where its list ends.
        assert len(server.requests) == 4


def test_IN_SVC_01_IN_EPS_01_IN_NODE_01_what_is_not_ours_is_not_even_sent(
    server: ApiServer, tmp_path: Path
) -> None:
    foreign = {"service.kubernetes.io/service-proxy-name": ""}
    server.put(service())
    server.put(service("foreign", "10.96.0.11", labels=foreign))
    server.put(endpoint_slice("web-1", "10.0.0.1"))
    server.put(endpoint_slice("none-1", "10.0.0.2", **{"service.kubernetes.io/headless": "yes"}))
    server.put(node())
    server.put(node("node-b"))
    with following(server, tmp_path) as (_, mirror):
        assert mirror.names() == {"web"}
        assert mirror.names("EndpointSlice") == {"web-1"}
        assert mirror.names("Node") == {NODE}
        # Labelled while we watch, it goes; without its label it is back.
        server.put(service(labels=foreign))
        server.put(service("foreign", "10.96.0.11"))
        mirror.wait_for(lambda: mirror.names() == {"foreign"})
        server.put(endpoint_slice("web-1", "10.0.0.1", **{"service.kubernetes.io/headless": ""}))
        mirror.wait_for(lambda: not mirror.names("EndpointSlice"))


def test_a_node_that_is_not_there_is_an_empty_list(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (_, mirror):
        assert Node in mirror.lists
        server.put(node())
        mirror.wait_for(lambda: mirror.names("Node") == {NODE})


def test_a_server_without_streaming_lists_is_asked_for_pages(server: ApiServer, tmp_path: Path) -> None:
    for number in range(PAGE + 3):
        server.put(service(f"s-{number}", f"10.96.{number >> 8}.{number & 255}"))
    for plural in ("services", "endpointslices", "nodes", "servicecidrs"):
        server.faults.fail(422, verb="watch", plural=plural)
    with following(server, tmp_path) as (source, mirror):
        mirror.wait_until_same(server)
        lists = queries(server, "services", "list")
        assert lists[0]["resourceVersion"] == "0"
        assert {query["limit"] for query in lists} == {str(PAGE)}
        server.put(service("late", "10.97.0.1"))
        mirror.wait_until_same(server)
        assert "sendInitialEvents" not in queries(server, "services")[-1]
        # Next time it isn't asked again for what it doesn't have, but for nothing older than what we know.
        server.compact()
        server.faults.expire(verb="watch", plural="services")
        server.drop_connections()
        wait_for_status(source, "Service", lambda status: status.lists == 2)
        later = queries(server, "services", "list")[len(lists) :]
        assert "resourceVersion" not in later[0]
        assert [query.get("continue", "") != "" for query in later] == [False, True]
        mirror.wait_until_same(server)


@pytest.mark.parametrize("code", [404, 403])
def test_service_cidrs_that_are_not_served_are_none(server: ApiServer, tmp_path: Path, code: int) -> None:
    server.put(service())
    server.put(cidr("extra", "10.97.0.0/16"))
    server.faults.fail(code, plural="servicecidrs", times=3)
    with following(server, tmp_path) as (source, mirror):
        # It is looked for now and then.
        mirror.wait_for(lambda: mirror.names("ServiceCIDR") == {"extra"})
        status = wait_for_status(source, "ServiceCIDR", lambda status: status.lists == 1)
        assert status.served
        assert (status.failures, status.error) == (0, "")
        # Once it has been served, it is not taken for gone.
        server.faults.fail(code, plural="servicecidrs", times=2)
        server.drop_connections()
        server.put(cidr("more", "10.98.0.0/16"))
        mirror.wait_until_same(server)


def test_while_service_cidrs_are_not_served_the_status_says_so(server: ApiServer, tmp_path: Path) -> None:
    server.faults.fail(404, plural="servicecidrs", times=FOREVER)
    with following(server, tmp_path) as (source, _):
        status = wait_for_status(source, "ServiceCIDR", lambda status: not status.served)
        assert status.listed
        assert (status.failures, status.lists) == (0, 0)
        assert "404" in status.error


def test_services_that_are_not_granted_keep_everybody_waiting(server: ApiServer, tmp_path: Path) -> None:
    server.faults.fail(403, plural="services", times=FOREVER)
    with followed(connect(str(server.kubeconfig(tmp_path / "kubeconfig")))) as (source, mirror):
        status = wait_for_status(source, "Service", lambda status: status.failures > 2)
        assert not status.listed
        assert "403" in status.error
        assert Service not in mirror.lists
        server.faults.clear()
        mirror.wait_until_listed()


def test_an_object_that_cannot_be_used_is_rejected_and_the_rest_goes_on(
    server: ApiServer, tmp_path: Path
) -> None:
    bad = service("bad", "10.96.0.66")
    bad["spec"]["ports"] = [{"port": "http"}]
    origin = "/api/v1/namespaces/shop/services/bad"
    server.put(service())
    server.put(bad)
    with following(server, tmp_path) as (source, mirror):
        mirror.wait_for(lambda: bool(mirror.rejections.get(origin)))
        assert mirror.names() == {"web"}
        (rejection,) = mirror.wrong()
        assert (rejection.kind, rejection.name, rejection.origin) == ("Service", "shop/bad", origin)
        assert rejection.field == "$.spec.ports[0].port"
        # It becomes good, bad again, and is listed again while it is: what was good stays.
        server.put(service("bad", "10.96.0.66"))
        mirror.wait_for(lambda: not mirror.wrong() and mirror.names() == {"web", "bad"})
        server.put(bad)
        mirror.wait_for(lambda: bool(mirror.wrong()))
        assert mirror.names() == {"web", "bad"}
        server.faults.expire(verb="watch", plural="services")
        server.drop_connections()
        wait_for_status(source, "Service", lambda status: status.lists == 2)
        assert mirror.names() == {"web", "bad"}
        assert mirror.wrong()
        server.delete("Service", "shop", "bad")
        mirror.wait_for(lambda: not mirror.wrong() and mirror.names() == {"web"})


def test_what_was_rejected_and_is_gone_from_the_next_list_is_well_again(
    server: ApiServer, tmp_path: Path
) -> None:
    bad = service("bad", "10.96.0.66")
    bad["spec"]["ports"] = "http"
    server.put(bad)
    with following(server, tmp_path) as (_, mirror):
        mirror.wait_for(lambda: bool(mirror.wrong()))
        server.go_away()
        server.delete("Service", "shop", "bad")
        server.compact()
        server.come_back()
        mirror.wait_for(lambda: not mirror.wrong())


def test_a_watch_that_is_over_is_begun_anew_from_where_it_was(server: ApiServer, tmp_path: Path) -> None:
    server.put(service())
    with following(server, tmp_path, replace(FAST, watch=0.5)) as (source, mirror):
        server.put(service("db", "10.96.0.11"))
        revision = server.put(endpoint_slice("web-1", "10.0.0.1"))
        status = wait_for_status(source, "EndpointSlice", lambda status: status.watches > 2)
        server.put(endpoint_slice("web-1", "10.0.0.2"))
        mirror.wait_until_same(server)
        assert (status.failures, status.lists) == (0, 1)
        assert queries(server, "endpointslices")[-1]["resourceVersion"] == str(revision)


def test_nothing_is_told_before_the_start_or_after_the_stop(server: ApiServer, tmp_path: Path) -> None:
    with following(server, tmp_path) as (source, mirror):
        source.stop()
        server.put(service())
        assert not mirror.names()


def test_every_request_is_counted(server: ApiServer, tmp_path: Path) -> None:
    client = connect(str(server.kubeconfig(tmp_path / "kubeconfig")))
    seen: list[Request] = []
    client.observe(seen.append)
    read(client)
    server.go_away()
    with pytest.raises(Exception, match="refused"):
        read(client)
    assert [(request.code, request.method, request.host) for request in seen] == [
        ("200", "GET", f"127.0.0.1:{server.port}"),
        ("<error>", "GET", f"127.0.0.1:{server.port}"),
    ]
    assert all(0 <= request.seconds < 20 for request in seen)
