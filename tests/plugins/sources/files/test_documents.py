"""Bytes to objects: every form that objects come in, and a name, a place and a reason for what isn't one."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.apis import EndpointSlice, Node, Service, ServiceCIDR
from pointsman.core.model import NamespacedName
from pointsman.plugins.sources.files import documents
from pointsman.plugins.sources.files.documents import read
from pointsman.plugins.sources.files.reading import Key, Place, Reading

ANSWERS = Path(__file__).parents[5] / "shared/data/apiserver-1.36"
real = pytest.mark.skipif(not ANSWERS.is_dir(), reason="the API server's recorded answers are not here")

WEB = Key(Service, NamespacedName("shop", "web"))


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def from_yaml(text: str | bytes) -> Reading:
    return read(text if isinstance(text, bytes) else text.encode(), "services.yaml")


def from_json(value: object) -> Reading:
    return read(json.dumps(value).encode(), "services.json")


def names(reading: Reading) -> list[str]:
    return [str(key) for key in reading.objects]


def faults(reading: Reading) -> list[tuple[str, str, str, str]]:
    return [(str(f.place), f.error.name, f.error.field, f.error.reason) for f in reading.faults]


def test_the_four_kinds_are_read() -> None:
    text = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, creationTimestamp: 2026-11-23T03:53:53Z}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
endpoints: [{addresses: [2001:db8::1]}]
ports: [{port: 8080}]
---
apiVersion: v1
kind: Node
metadata: {name: node-a, creationTimestamp: null}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/16]}
"""
    reading = from_yaml(text)
    assert not reading.faults
    assert list(reading.objects) == [
        WEB,
        Key(EndpointSlice, NamespacedName("shop", "web-1")),
        Key(Node, NamespacedName("", "node-a")),
        Key(ServiceCIDR, NamespacedName("", "kubernetes")),
    ]
    assert [str(located.place) for located in reading.objects.values()] == [
        "document 1, line 1", "document 2, line 6", "document 3, line 13", "document 4, line 17",
    ]  # fmt: skip
    web = reading.objects[WEB].object
    assert isinstance(web, Service)
    assert web.metadata.creation_timestamp == "2026-11-23T03:53:53Z"


@pytest.mark.parametrize("kind", ["List", "ServiceList"])
@pytest.mark.parametrize("form", ["json", "yaml", "json in yaml"])
def test_lists_are_read_as_kubectl_and_the_api_server_give_them(kind: str, form: str) -> None:
    items = [service("web"), service("db")]
    if kind == "ServiceList":
        for item in items:
            del item["kind"], item["apiVersion"]
    listing = {"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": ""}, "items": items}
    data = yaml.safe_dump(listing) if form == "yaml" else json.dumps(listing, indent=2)
    reading = read(data.encode(), "list.json" if form == "json" else "list.yml")
    assert not reading.faults
    assert names(reading) == ["shop/web", "shop/db"]
    assert [located.place.item for located in reading.objects.values()] == [1, 2]
    lines = [located.place.line for located in reading.objects.values()]
    assert lines == ([3, 9] if (form, kind) == ("yaml", "List") else [3, 7] if form == "yaml" else [0, 0])


@pytest.mark.parametrize("items", [None, []])
def test_an_empty_list_lists_nothing(items: object) -> None:
    assert from_json({"apiVersion": "v1", "kind": "List", "items": items}) == Reading({}, [], {})


@real
@pytest.mark.parametrize(
    ("answer", "kind", "count"),
    [
        ("list-services", Service, 20), ("list-services-page1", Service, 5), ("list-nodes", Node, 2),
        ("list-endpointslices", EndpointSlice, 19), ("list-servicecidrs", ServiceCIDR, 1),
        ("get-node", Node, 1),
    ],
)  # fmt: skip
def test_answers_of_a_real_api_server_are_read(answer: str, kind: type, count: int) -> None:
    data = (ANSWERS / f"{answer}.json").read_bytes()
    reading = read(data, "answer.json")
    assert not reading.faults
    assert len(reading.objects) == count
    assert {key.kind for key in reading.objects} == {kind}
    items = json.loads(data).get("items", [json.loads(data)])
    assert [key.name.name for key in reading.objects] == [item["metadata"]["name"] for item in items]
    # The same in YAML, which is what `kubectl get -o yaml` makes of it, comes to the same objects.
    as_yaml = read(yaml.safe_dump(json.loads(data)).encode(), "answer.yaml")
    assert {key: located.object for key, located in as_yaml.objects.items()} == {
        key: located.object for key, located in reading.objects.items()
    }


@real
@pytest.mark.parametrize("answer", ["error-404", "table-services", "index"])
def test_other_answers_of_a_real_api_server_hold_nothing(answer: str) -> None:
    reading = read((ANSWERS / f"{answer}.json").read_bytes(), "answer.json")
    assert not reading.objects
    assert reading.ignored or reading.faults


@pytest.mark.parametrize(
    "text",
    [
        "kind: Deployment\napiVersion: apps/v1",
        "kind: Service\napiVersion: serving.knative.dev/v1\nmetadata: {}",
        "kind: ConfigMap\nmetadata: {name: 5}",
        "kind: List\napiVersion: v1\nitems: [{kind: Pod, apiVersion: v1}]",
        "kind: PodList\nitems: 5",
    ],
)
def test_other_kinds_are_counted_and_ignored(text: str) -> None:
    reading = from_yaml(text)
    assert (reading.objects, reading.faults, sum(reading.ignored.values())) == ({}, [], 1)


def test_without_a_namespace_an_object_is_in_the_default_one() -> None:
    bare = service()
    del bare["metadata"]["namespace"]
    assert names(from_json(bare)) == names(from_yaml(yaml.safe_dump(bare))) == ["default/web"]


BOM = "\ufeff"
TEXT = yaml.safe_dump(service("web")) + "---\n" + yaml.safe_dump(service("db"))


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        (BOM + TEXT).encode(),
        (BOM + TEXT.replace("\n", "\r\n")).encode("utf-16-le"),
        (BOM + TEXT).encode("utf-16-be"),
        f"---\n---\n# nothing\n---\n{TEXT}...\n---\n".encode(),
        f"%YAML 1.1\n---\n{TEXT}".encode(),
        f"{json.dumps(service('web'))}\n---\n \n{json.dumps(service('db'), indent=2)}\n...\n".encode(),
    ],
    ids=["plain", "CRLF", "BOM", "UTF-16-LE", "UTF-16-BE", "empty documents", "directive", "JSON documents"],
)
def test_text_comes_in_many_forms(data: bytes) -> None:
    reading = from_yaml(data)
    assert not reading.faults
    assert names(reading) == ["shop/web", "shop/db"]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_json_may_have_a_byte_order_mark(codec: str) -> None:
    assert names(read(json.dumps(service()).encode(codec), "web.json")) == ["shop/web"]


GOOD = yaml.safe_dump(service("good"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("- a", ("", "?", "$", "not an object")),
        ("just text", ("", "?", "$", "not an object")),
        ("a: [", (", line 3", "?", "$", "did not find expected node content")),
        ("a: 1\na: 2", (", line 3", "?", "$", "'a' is there twice")),
        ("a: \0", (", line 2", "?", "$", "control characters are not allowed")),
        ("metadata: {}", (", line 2", "?", "$.kind", "missing")),
        ("kind: [a]", (", line 2", "?", "$.kind", "no string")),
        ("kind: List\nitems: 5", (", line 2", "?", "$.items", "not a list")),
        ("kind: List\nitems: no", (", line 2", "?", "$.items", "not a list")),
        ("kind: List\nitems: [5]", (", item 1", "?", "$", "not an object")),
        ("kind: List\nitems:\n- {kind: List}", (", item 1, line 4", "?", "$", "list in a list")),
        ("kind: Service\napiVersion: v1", (", line 2", "?", "$", "missing required field `metadata`")),
        ("kind: Service\nmetadata: {name: a}\nspec: {}",
         (", line 2", "default/a", "$.apiVersion", "none is given")),
        ("kind: Node\napiVersion: v2\nmetadata: {name: a}",
         (", line 2", "a", "$.apiVersion", "'v2' is given, v1 is read")),
        ("kind: EndpointSlice\napiVersion: discovery.k8s.io/v1beta1\nmetadata: {name: a}\naddressType: IPv4",
         (", line 2", "default/a", "$.apiVersion", "discovery.k8s.io/v1 is read")),
        ("kind: Node\napiVersion: v1\nmetadata: {name: a, namespace: b}",
         (", line 2", "a", "$.metadata.namespace", "in no namespace")),
        ("kind: Service\napiVersion: v1\nmetadata: {name: 123}\nspec: {}",
         (", line 2", "default/?", "$.metadata.name", "Expected `str`, got `int`")),
        ("kind: Service\napiVersion: v1\nmetadata: {name: a, labels: {ok: 'yes', version: 1.10}}\nspec: {}",
         (", line 2", "default/a", "$.metadata.labels[...]", "Expected `str`, got `float`")),
        ("kind: Service\napiVersion: v1\nmetadata: {name: a, labels: {enabled: yes}}\nspec: {}",
         (", line 2", "default/a", "$.metadata.labels[...]", "Expected `str`, got `bool`")),
        ("kind: Service\napiVersion: v1\nmetadata: {name: a}\nspec: {ports: [{port: 80}, {port: '80'}]}",
         (", line 2", "default/a", "$.spec.ports[1].port", "Expected `int`, got `str`")),
    ],
)  # fmt: skip
def test_a_bad_document_is_named_and_spoils_no_other(
    document: str, expected: tuple[str, str, str, str]
) -> None:
    reading = from_yaml(f"---\n{document}\n---\n{GOOD}")
    assert names(reading) == ["shop/good"]
    [(place, name, field, reason)] = faults(reading)
    assert (place, name, field) == ("document 1" + expected[0], *expected[1:3])
    assert expected[3] in reason


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('{"kind": "Service"\n', 2, "Input data was truncated"),
        ('{\n"kind": Service}', 2, "JSON is malformed: invalid character (byte 10)"),
        ('{"kind": "Service"}\n{}', 2, "JSON is malformed: trailing characters (byte 21)"),
        ('{"kind": "\0"}', 1, "JSON is malformed: invalid character (byte 10)"),
        ("[" * 100_000, 0, "Expected `object`, got `array`"),
        ('{"x": ' + "[" * 100_000, 1, "recursion"),
        ("", 0, "it is empty, as if about to be written"),
        ("kind: Service", 1, "JSON is malformed"),
        ("\ufeff", 1, "Input data was truncated"),
    ],
    ids=str,
)
def test_what_is_not_json_is_said_with_its_line(text: str, line: int, reason: str) -> None:
    [fault] = read(text.encode(), "services.json").faults
    assert reason in fault.error.reason
    assert fault.place.line == line


@pytest.mark.parametrize("path", ["a.json", "a.yaml"])
@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"\xfe\xff\xd8\x00", b"\xff", b'{"kind": "\xff"}', b"\xef\xbb"]
)
def test_bad_encoding_is_a_fault_of_the_file_or_document(path: str, data: bytes) -> None:
    reading = read(data, path)
    assert not reading.objects
    [fault] = reading.faults
    assert fault.key is None


def test_a_bad_item_is_named_and_spoils_no_other() -> None:
    items = [service("a"), service("b", ports=[{"port": "http"}]), 7, service("c")]
    listing = {"apiVersion": "v1", "kind": "List", "items": items}
    reading = from_json(listing)
    assert names(reading) == ["shop/a", "shop/c"]
    assert faults(reading) == [
        ("document 1, item 2", "shop/b", "$.spec.ports[0].port", "Expected `int`, got `str`"),
        ("document 1, item 3", "?", "$", "Expected `object`, got `int`"),
    ]
    assert [fault.key for fault in reading.faults] == [Key(Service, NamespacedName("shop", "b")), None]
    in_yaml = from_yaml("# a comment\n" + yaml.safe_dump(listing, sort_keys=False))
    assert names(in_yaml) == ["shop/a", "shop/c"]
    assert [str(fault.place) for fault in in_yaml.faults] == [
        "document 1, item 2, line 11",
        "document 1, item 3",
    ]


def test_the_first_of_two_documents_with_the_same_object_counts() -> None:
    reading = from_yaml(f"{GOOD}---\n{yaml.safe_dump(service('good', clusterIP='10.96.0.99'))}")
    assert names(reading) == ["shop/good"]
    assert reading.objects[Key(Service, NamespacedName("shop", "good"))].place == Place(1, 0, 1)
    assert faults(reading) == [("document 2, line 8", "shop/good", "$", "document 1, line 1 has it already")]


HOSTILE = [
    "a\nb",
    "a\rb",
    "a\u2028b",
    "a'b",
    'a"b',
    "a b",
    "a;b",
    "A",
    "",
    "-a",
    "../a",
    "a\x1b[31m",
    "ä",
    "a" * 300,
    "a\0",
]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("where", ["name", "namespace", "kind", "apiVersion", "port", "key"])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_hostile_text_neither_gets_through_nor_breaks_a_line(hostile: str, where: str, form: str) -> None:
    value = service("web", ports=[{"port": 80, "name": hostile if where == "port" else "http"}])
    if where in ("name", "namespace"):
        value["metadata"][where] = hostile
    elif where in ("kind", "apiVersion"):
        value[where] = hostile
    elif where == "key":
        value[hostile] = [hostile]
    data = json.dumps(value) if form == "json" else yaml.safe_dump(value, allow_unicode=True)
    if where == "key" and form == "yaml":
        data = f"{data}{yaml.safe_dump({hostile: 1})}"
    reading = read(data.encode(), f"services.{form}")
    if hostile or where not in ("namespace", "port"):
        assert WEB not in reading.objects or (where, form) == ("key", "json")
    for fault in reading.faults:
        for text in (
            str(fault.place),
            fault.error.kind,
            fault.error.name,
            fault.error.field,
            fault.error.reason,
        ):
            assert text.isprintable()
            assert len(text) < 500
    assert all(kind.isprintable() and len(kind) < 100 for kind in reading.ignored)


def test_a_file_with_too_many_faults_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_FAULTS", 10)
    reading = from_yaml(f"{GOOD}---\n" + "a: [\n---\n" * 20)
    assert names(reading) == ["shop/good"]
    assert len(reading.faults) == 11
    assert faults(reading)[-1] == (
        "",
        "services.yaml",
        "$",
        "it has more than 10 faults; the rest is not read",
    )
    assert len(from_yaml("a: [\n---\n" * 10).faults) == 10


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=10,
)


@st.composite
def mangled(draw: st.DrawFn) -> object:
    """A document that is right but for some values."""
    value: dict[str, Any] = draw(
        st.sampled_from(
            [
                service("web", ports=[{"port": 80, "name": "http"}], type="ClusterIP"),
                {
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "web-1", "namespace": "shop"}, "ports": [{"port": 80}],
                    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
                },
                {
                    "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"},
                    "spec": {"podCIDRs": ["10.0.0.0/24"]},
                },
                {"apiVersion": "v1", "kind": "List", "items": [service("a"), service("b")]},
            ]
        )
    )  # fmt: skip
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        at: Any = value
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and draw(st.booleans()):
                at = at[key]
                continue
            at[key] = draw(json_values)
            break
    return value


def outcome(reading: Reading) -> object:
    """A reading without the places, which JSON and YAML know differently well."""
    objects = {key: located.object for key, located in reading.objects.items()}
    return (
        objects,
        [(fault.error.kind, fault.error.name, fault.key) for fault in reading.faults],
        reading.ignored,
    )


@given(mangled() | json_values)
def test_any_structure_is_read_or_named_alike_in_json_and_yaml(value: object) -> None:
    as_json = read(json.dumps(value, ensure_ascii=False).encode(), "a.json")
    as_yaml = read(yaml.safe_dump(value, default_style='"', allow_unicode=True).encode(), "a.yaml")
    if value is not None:  # an empty document in YAML, a wrong one in JSON
        assert outcome(as_json) == outcome(as_yaml)
    for reading in (as_json, as_yaml):
        for fault in reading.faults:
            assert fault.error.field.startswith("$")
            assert all(
                text.isprintable() for text in (fault.error.name, fault.error.field, fault.error.reason)
            )


@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.yaml"]))
def test_any_bytes_are_read_or_refused(data: bytes, path: str) -> None:
    reading = read(data, path)
    assert not reading.objects
    assert all(fault.error.reason.isprintable() for fault in reading.faults)


broken = st.sampled_from(
    ["a: [", "a: {b", '"', "a: 1\na: 2", "\t\tx: [", "a: *b", "!x y", "a: \ufffe", "%x", "&a &b c", "- a\nb"]
)


@given(st.lists(st.none() | broken, min_size=1, max_size=8))
def test_good_documents_among_broken_ones_are_all_read(parts: list[str | None]) -> None:
    texts = [part if part is not None else yaml.safe_dump(service(f"s{i}")) for i, part in enumerate(parts)]
    reading = from_yaml("".join(f"---\n{text}\n" for text in texts))
    assert names(reading) == [f"shop/s{i}" for i, part in enumerate(parts) if part is None]
    assert [f.place.document for f in reading.faults] == [
        i for i, part in enumerate(parts, 1) if part is not None
    ]
