"""Lists and watches beyond what was recorded: selectors, pages, expiry, resumption."""

import pytest

from pointsman.conformance import objects
from pointsman.conformance.apiserver import ApiServer
from tests.conformance.apiserver.asking import SERVICES, Client, service

WATCH = f"{SERVICES}?watch=1&timeoutSeconds=10"


def names(body: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", ["a", "b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier=front", ["a"]),
        ("tier==front", ["a"]),
        ("tier!=front", ["b", "c"]),
        ("tier in (front,back)", ["a", "b"]),
        ("tier notin (front)", ["b", "c"]),
        ("tier in (front, back),size>5", ["b"]),
        ("size<5", ["a"]),
        ("!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name,tier", ["a", "b"]),
        ("tier=", []),
    ],
)
def test_label_selectors(server: ApiServer, client: Client, selector: str, chosen: list[str]) -> None:
    server.put(service("a", labels={"tier": "front", "size": "3"}))
    server.put(service("b", labels={"tier": "back", "size": "7"}))
    server.put(service("c"))
    query = selector.translate(
        {ord(" "): "%20", ord("!"): "%21", ord("="): "%3D", ord(">"): "%3E", ord("<"): "%3C"}
    )
    assert names(client.ask(f"{SERVICES}?labelSelector={query}").decoded) == chosen


def test_field_selectors(server: ApiServer, client: Client) -> None:
    server.put(service("a"))
    server.put(service("b", namespace="other"))
    assert names(client.ask(f"{SERVICES}?fieldSelector=metadata.name%3Da").decoded) == ["a"]
    assert names(client.ask(f"{SERVICES}?fieldSelector=metadata.namespace!%3Ddefault").decoded) == ["b"]


def test_fields_that_only_some_kinds_can_be_selected_by(server: ApiServer, client: Client) -> None:
    server.put(service("a"))
    headless = objects.service("b")
    server.put(headless)
    server.put(objects.service("c", "10.96.0.11", type="NodePort"))
    for selector, chosen in (
        ("spec.clusterIP!%3DNone", ["a", "c"]),
        ("spec.clusterIP%3DNone", ["b"]),
        ("spec.type%3DNodePort", ["c"]),
        ("spec.type!%3DNodePort,metadata.name!%3Db", ["a"]),
    ):
        assert names(client.ask(f"{SERVICES}?fieldSelector={selector}").decoded) == chosen, selector
    server.put(objects.node("n", ["192.0.2.1"], [], None))
    for selector, chosen in (("spec.unschedulable%3Dfalse", ["n"]), ("spec.unschedulable%3Dtrue", [])):
        assert names(client.ask(f"/api/v1/nodes?fieldSelector={selector}").decoded) == chosen
    assert client.ask("/api/v1/nodes?fieldSelector=spec.clusterIP%3DNone").status == 400


@pytest.mark.parametrize(
    "query", ["labelSelector=%28", "labelSelector=a%3D%3D%3Db", "fieldSelector=spec.sessionAffinity%3Dx"]
)
def test_a_selector_that_nobody_understands_is_refused(client: Client, query: str) -> None:
    answer = client.ask(f"{SERVICES}?{query}")
    assert (answer.status, answer.decoded["reason"]) == (400, "BadRequest")


def test_pages_show_one_moment_whatever_happens_between_them(server: ApiServer, client: Client) -> None:
    for name in "abcd":
        server.put(service(name))
    page = client.ask(f"{SERVICES}?limit=2").decoded
    server.delete("Service", "default", "c")
    server.put(service("bb"))
    server.put(service("d", port=81))
    rest = client.ask(f"{SERVICES}?limit=2&continue={page['metadata']['continue']}").decoded
    assert names(page) + names(rest) == list("abcd")
    assert rest["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]
    assert "continue" not in rest["metadata"]
    assert rest["items"][1]["spec"]["ports"][0]["port"] == 80


def test_pages_of_one_namespace(server: ApiServer, client: Client) -> None:
    server.put(service("z", namespace="another"))
    for name in "abc":
        server.put(service(name))
    path = "/api/v1/namespaces/default/services"
    page = client.ask(f"{path}?limit=2").decoded
    rest = client.ask(f"{path}?limit=2&continue={page['metadata']['continue']}").decoded
    assert (names(page), names(rest)) == (["a", "b"], ["c"])


def test_a_page_whose_moment_is_forgotten_offers_to_go_on_inconsistently(
    server: ApiServer, client: Client
) -> None:
    for name in "abc":
        server.put(service(name))
    page = client.ask(f"{SERVICES}?limit=1").decoded
    server.put(service("b", port=81))
    server.compact()
    gone = client.ask(f"{SERVICES}?limit=5&continue={page['metadata']['continue']}")
    assert (gone.status, gone.decoded["reason"]) == (410, "Expired")
    rest = client.ask(f"{SERVICES}?limit=5&continue={gone.decoded['metadata']['continue']}").decoded
    assert names(rest) == ["b", "c"]


def test_any_revision_knows_no_pages(server: ApiServer, client: Client) -> None:
    for name in "abc":
        server.put(service(name))
    assert len(client.ask(f"{SERVICES}?limit=1&resourceVersion=0").decoded["items"]) == 3


def test_a_list_at_an_exact_revision(server: ApiServer, client: Client) -> None:
    revision = server.put(service("a"))
    server.put(service("b"))
    then = client.ask(f"{SERVICES}?resourceVersion={revision}&resourceVersionMatch=Exact").decoded
    assert names(then) == ["a"]
    server.compact()
    gone = client.ask(f"{SERVICES}?resourceVersion={revision}&resourceVersionMatch=Exact")
    assert (gone.status, gone.decoded["reason"]) == (410, "Expired")


def test_a_watch_resumes_where_a_list_ended(server: ApiServer, client: Client) -> None:
    server.put(service("a"))
    revision = client.ask(SERVICES).decoded["metadata"]["resourceVersion"]
    server.put(service("b"))
    server.delete("Service", "default", "a")
    told = client.events(f"{WATCH}&resourceVersion={revision}")
    assert [(kind, it["metadata"]["name"]) for kind, it in (next(told), next(told))] == [
        ("ADDED", "b"),
        ("DELETED", "a"),
    ]
    server.put(service("b", port=81))
    kind, it = next(told)
    assert (kind, it["spec"]["ports"][0]["port"]) == ("MODIFIED", 81)


def test_for_a_watch_only_what_it_selects_exists(server: ApiServer, client: Client) -> None:
    revision = server.put(service("a", labels={"hidden": ""}))
    told = client.events(f"{WATCH}&labelSelector=%21hidden&resourceVersion={revision}")
    server.put(service("a"))
    server.put(service("a", port=81))
    last = server.put(service("a", labels={"hidden": ""}))
    server.delete("Service", "default", "a")
    server.put(service("end"))
    seen = [next(told) for _ in range(4)]
    assert [(kind, it["metadata"]["name"]) for kind, it in seen] == [
        ("ADDED", "a"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
        ("ADDED", "end"),
    ]
    assert seen[2][1]["metadata"]["resourceVersion"] == str(last)


def test_a_watch_of_one_namespace(server: ApiServer, client: Client) -> None:
    server.put(service("a", namespace="other"))
    server.put(service("b"))
    told = client.events("/api/v1/namespaces/other/services?watch=1&timeoutSeconds=1")
    assert [it["metadata"]["name"] for _, it in told] == ["a"]


def test_a_watch_from_a_forgotten_revision_is_told_so(server: ApiServer, client: Client) -> None:
    revision = server.put(service("a"))
    server.put(service("b"))
    server.compact()
    [(kind, it)] = client.events(f"{WATCH}&resourceVersion={revision}")
    assert (kind, it["code"], it["reason"]) == ("ERROR", 410, "Expired")
    assert it["message"] == f"too old resource version: {revision} ({revision + 1})"


def test_a_watch_that_is_open_does_not_mind_forgetting(server: ApiServer, client: Client) -> None:
    told = client.events(f"{WATCH}&resourceVersion={server.put(service('a'))}")
    server.put(service("b"))
    assert next(told)[1]["metadata"]["name"] == "b"
    server.compact()
    server.put(service("c"))
    assert next(told)[1]["metadata"]["name"] == "c"


def test_history_has_an_end() -> None:
    with ApiServer(history=4) as server, Client(server) as client:
        first = server.put(service("a"))
        revisions = [server.put(service("a", port=port)) for port in range(81, 90)]
        assert [kind for kind, _ in client.events(f"{WATCH}&resourceVersion={first}")] == ["ERROR"]
        told = client.events(f"{WATCH}&resourceVersion={revisions[-2]}")
        assert next(told)[1]["spec"]["ports"][0]["port"] == 89


def test_bookmarks_by_the_clock() -> None:
    with ApiServer(bookmark_every=0.05) as server, Client(server) as client:
        revision = server.put(service("a"))
        told = client.events(f"{WATCH}&allowWatchBookmarks=true&resourceVersion={revision}")
        kind, it = next(told)
        assert (kind, it["metadata"]) == ("BOOKMARK", {"resourceVersion": str(revision)})


def test_nobody_gets_bookmarks_unasked(server: ApiServer, client: Client) -> None:
    server.put(service("a"))
    told = client.events(f"{WATCH}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    assert next(told)[0] == "ADDED"
    server.bookmark()
    server.put(service("b"))
    assert next(told)[0] == "ADDED"


@pytest.mark.parametrize("query", ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan"])
def test_initial_events_are_asked_for_in_full(client: Client, query: str) -> None:
    answer = client.ask(f"{WATCH}&{query}")
    assert (answer.status, answer.decoded["reason"]) == (422, "Invalid")


def test_what_stays_the_same_is_no_change(server: ApiServer) -> None:
    revision = server.put(service("a"))
    assert server.put(service("a")) == revision
    assert server.put(service("a", port=81)) == revision + 1


def test_slices_count_their_changes(server: ApiServer) -> None:
    for port in (8080, 8081):
        server.put(objects.endpoint_slice("web-1", "web", "IPv4", [], [objects.target(port)]))
    [known] = server.objects("EndpointSlice")
    assert known["metadata"]["generation"] == 2


def test_replacing_all_touches_only_what_differs(server: ApiServer, client: Client) -> None:
    for name in "ab":
        server.put(service(name))
    revision = client.ask(SERVICES).decoded["metadata"]["resourceVersion"]
    told = client.events(f"{WATCH}&resourceVersion={revision}")
    server.replace_all([service("b"), service("c")])
    assert [(kind, it["metadata"]["name"]) for kind, it in (next(told), next(told))] == [
        ("DELETED", "a"),
        ("ADDED", "c"),
    ]


@pytest.mark.parametrize(
    ("accept", "status", "kind"),
    [
        ("application/vnd.kubernetes.protobuf,application/json", 200, "ServiceList"),
        ("application/vnd.kubernetes.protobuf", 406, "Status"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", 200, "Table"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", 200, "ServiceList"),
        ("*/*", 200, "ServiceList"),
        ("", 200, "ServiceList"),
        ("application/yaml", 406, "Status"),
    ],
)
def test_what_a_client_accepts(client: Client, accept: str, status: int, kind: str) -> None:
    answer = client.ask(SERVICES, Accept=accept)
    assert (answer.status, answer.decoded["kind"]) == (status, kind)
