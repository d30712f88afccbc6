"""What kube-proxy 1.36 asks, request by request, as its client library words it.

No binary of it is needed here: whoever has one finds the flags in the suite's README.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pointsman.conformance import objects
from pointsman.conformance.apiserver import ApiServer
from tests.conformance.apiserver.asking import Client, Response, service

ACCEPT = "application/vnd.kubernetes.protobuf, */*"
NOT_OURS = "%21service.kubernetes.io%2Fheadless%2C%21service.kubernetes.io%2Fservice-proxy-name"
INITIAL = (
    "allowWatchBookmarks=true&{selector}resourceVersionMatch=NotOlderThan&sendInitialEvents=true"
    "&timeout=9m3s&timeoutSeconds=543&watch=true"
)
RESUMED = (
    "allowWatchBookmarks=true&{selector}resourceVersion={revision}&timeout=5m1s&timeoutSeconds=301&watch=true"
)
INFORMERS = {
    "/api/v1/nodes": "fieldSelector=metadata.name%3Dnode-a&",
    "/api/v1/services": f"fieldSelector=spec.clusterIP%21%3DNone&labelSelector={NOT_OURS}&",
    "/apis/discovery.k8s.io/v1/endpointslices": f"labelSelector={NOT_OURS}&",
    "/apis/networking.k8s.io/v1/servicecidrs": "",
}
"""What is watched, and which objects of it."""


@pytest.fixture
def cluster(server: ApiServer) -> ApiServer:
    """A server with an object of each kind that kube-proxy wants, and some that it doesn't."""
    other = {"service.kubernetes.io/service-proxy-name": "other"}
    server.replace_all(
        [
            objects.node("node-a", ["192.0.2.1"], ["10.244.1.0/24"], "zone-1"),
            objects.node("node-b", ["192.0.2.2"], ["10.244.2.0/24"], "zone-1"),
            objects.service_cidr("kubernetes", ["10.96.0.0/16"]),
            service("web"),
            service("others", labels=other),
            objects.service("headless"),
            objects.endpoint_slice("web-1", "web", "IPv4", [], [objects.target(8080)]),
        ]
    )
    return server


def asked(client: Client, path: str, query: str) -> Iterator[tuple[str, Any]]:
    """A watch's events."""
    for line in client.lines(f"{path}?{query}", Accept=ACCEPT, User_Agent="kube-proxy/v1.36.0"):
        event = json.loads(line)
        yield event["type"], event["object"]


def name(it: Any) -> str:
    return str(it["metadata"].get("name", ""))


@pytest.mark.parametrize("path", INFORMERS)
def test_an_informer_starts_with_a_watch_list_and_resumes_from_its_bookmark(
    cluster: ApiServer, client: Client, path: str
) -> None:
    selector = INFORMERS[path]
    told = asked(client, path, INITIAL.format(selector=selector))
    (kind, it), (end, bookmark) = next(told), next(told)
    due = {"nodes": "node-a", "services": "web", "endpointslices": "web-1", "servicecidrs": "kubernetes"}
    assert (kind, name(it)) == ("ADDED", due[path.rpartition("/")[2]])
    assert end == "BOOKMARK"
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (bookmark["kind"], bookmark["apiVersion"]) == (it["kind"], it["apiVersion"])
    revision = bookmark["metadata"]["resourceVersion"]
    again = asked(client, path, RESUMED.format(selector=selector, revision=revision))
    changed = {**it, "metadata": {**it["metadata"], "annotations": {"changed": "yes"}}}
    cluster.put(changed)
    kind, it = next(again)
    assert (kind, it["metadata"]["annotations"]) == ("MODIFIED", {"changed": "yes"})


@pytest.mark.parametrize("path", INFORMERS)
def test_an_informer_that_can_not_have_a_watch_list_pages_through_a_list(
    cluster: ApiServer, client: Client, path: str
) -> None:
    """As with the feature gate WatchListClient switched off, and after a 410."""
    for query in ("limit=500&resourceVersion=0", "limit=500"):
        answer = client.ask(f"{path}?{INFORMERS[path]}{query}", Accept=ACCEPT)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert len(answer.decoded["items"]) == 1


def test_a_service_that_becomes_headless_is_gone_for_its_informer(cluster: ApiServer, client: Client) -> None:
    path = "/api/v1/services"
    told = asked(client, path, INITIAL.format(selector=INFORMERS[path]))
    assert [next(told)[0], next(told)[0]] == ["ADDED", "BOOKMARK"]
    cluster.put(objects.service("web"))
    kind, it = next(told)
    assert (kind, name(it)) == ("DELETED", "web")


def test_an_expired_watch_is_told_in_the_stream(cluster: ApiServer, client: Client) -> None:
    revision = cluster.put(service("web", port=81))
    cluster.put(service("web", port=82))
    cluster.compact()
    path = "/api/v1/services"
    [(kind, it)] = asked(client, path, RESUMED.format(selector=INFORMERS[path], revision=revision))
    assert (kind, it["kind"], it["code"], it["reason"]) == ("ERROR", "Status", 410, "Expired")


def test_a_node_is_read_by_name(cluster: ApiServer, client: Client) -> None:
    assert name(client.ask("/api/v1/nodes/node-a", Accept=ACCEPT).decoded) == "node-a"
    missing = client.ask("/api/v1/nodes/node-c", Accept=ACCEPT)
    assert (missing.status, missing.decoded["details"]) == (404, {"name": "node-c", "kind": "nodes"})


def posted(client: Client, body: object, content_type: str) -> Response:
    """What becomes of an Event."""
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    return client.ask(path, method="POST", body=body, Accept=ACCEPT, Content_Type=content_type)


def test_events_are_taken_in_json_and_refused_in_protobuf(cluster: ApiServer, client: Client) -> None:
    """The refusal says which form is understood; kube-proxy logs it and goes on."""
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "node-a.1", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "kube-proxy",
        "reportingInstance": "kube-proxy-node-a",
        "action": "StartKubeProxy",
        "reason": "Starting",
        "regarding": {"kind": "Node", "name": "node-a", "uid": "node-a"},
        "type": "Normal",
    }
    assert posted(client, event, "application/json").status == 201
    assert [one["reason"] for one in cluster.objects("Event", "events.k8s.io/v1")] == ["Starting"]
    refused = posted(client, {}, "application/vnd.kubernetes.protobuf")
    assert (refused.status, refused.decoded["reason"]) == (415, "UnsupportedMediaType")
    assert "application/json" in refused.decoded["message"]


@pytest.mark.parametrize("path", ["/api", "/apis", "/version", "/api/v1", "/apis/discovery.k8s.io/v1"])
def test_discovery_is_answered_whatever_form_is_preferred(client: Client, path: str) -> None:
    """Aggregated discovery is asked for first, in forms that are not served."""
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    for accept in (ACCEPT, f"{aggregated},application/json", "application/json, */*"):
        answer = client.ask(path, Accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json"), accept
