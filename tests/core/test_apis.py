"""Decoding: what is read, what is refused, and that nothing hostile gets through."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointsman.core.addresses import IPFamily
from pointsman.core.apis import (
    KINDS,
    ApiObject,
    EndpointSlice,
    Kind,
    Node,
    Service,
    ServiceCIDR,
    convert,
    decode,
    kind_name,
    split_list,
)
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import ObjectRejected

from .fakes import Bench
from .objects import NODE

# An object of each kind with every field that is read, and some that are not.
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "6ad2ad42-52a0-4d5a-9c5f-6ee6c8ad9a31",
        "labels": {"app": "web"},
        "annotations": {"pointsman.dev/weights": "2,10.0.0.1=5", "pointsman.dev/drain-seconds": "30"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10", "fd00::10"],
        "ipFamilies": ["IPv4", "IPv6"],
        "ports": [
            {"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080, "targetPort": "web"},
            {"name": "quic", "port": 443, "protocol": "UDP", "nodePort": 30443, "targetPort": 8443},
        ],
        "externalIPs": ["198.51.100.1", "2001:db8::1"],
        "loadBalancerSourceRanges": [" 203.0.113.0/24 ", "2001:db8::/32"],
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 30999,
        "selector": {"app": "web"},
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2", "ipMode": "VIP"}, {"hostname": "x"}]}},
}
SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "web-x7k2p",
        "namespace": "shop",
        "labels": {"kubernetes.io/service-name": "web"},
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00.123456789Z"},
    },
    "addressType": "IPv4",
    "endpoints": [
        {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": NODE,
            "zone": "zone-1",
            "hints": {"forZones": [{"name": "zone-1"}], "forNodes": [{"name": NODE}]},
            "targetRef": {"kind": "Pod", "name": "web-1"},
        },
        {"addresses": ["10.0.0.2"], "conditions": {}},
    ],
    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "quic", "port": 8443}],
}
NODE_OBJECT: dict[str, Any] = {
    "metadata": {"name": NODE, "labels": {"topology.kubernetes.io/zone": "zone-1"}},
    "spec": {"podCIDRs": ["10.244.1.0/24"], "taints": [{"key": "k", "effect": "NoSchedule"}]},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
}
CIDR: dict[str, Any] = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16", "fd00::/108"]}}
VALID: dict[Kind, dict[str, Any]] = {
    Service: SERVICE,
    EndpointSlice: SLICE,
    Node: NODE_OBJECT,
    ServiceCIDR: CIDR,
}
NAMES = {Service: "shop/web", EndpointSlice: "shop/web-x7k2p", Node: NODE, ServiceCIDR: "kubernetes"}


def test_there_are_as_many_examples_as_kinds() -> None:
    assert set(VALID) == set(KINDS.values())


@pytest.mark.parametrize("kind", VALID)
def test_a_whole_object_is_read(kind: Kind) -> None:
    decoded = decode(kind, json.dumps(VALID[kind]).encode())
    assert isinstance(decoded, kind)
    assert kind_name(decoded) == kind.__name__
    assert decoded == convert(kind, VALID[kind])


@pytest.mark.parametrize("kind", VALID)
def test_absent_and_null_are_alike(kind: Kind) -> None:
    """Go's encoders write null where nothing is."""
    fields = list(optional_fields(kind))
    assert fields
    for path, key in fields:
        assert decode(kind, edited(kind, path, key, None)) == decode(kind, edited(kind, path, key, ...))


def optional_fields(kind: Kind) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a field may be left out: everywhere but for names, ports' numbers and the slice's type."""
    needed = {
        "name",
        "namespace",
        "metadata",
        "spec",
        "port",
        "addressType",
        "key",
        "type",
        "address",
        "labels",
    }
    for path, value in places(VALID[kind]):
        if isinstance(value, dict) and path[-1:] not in (("labels",), ("annotations",)):
            for key in value:
                if key not in needed:
                    yield path, key


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Every value within a value, with the way to it."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def edited(kind: Kind, path: tuple[str | int, ...], key: str | int, value: object) -> bytes:
    """A valid object but for one place: another value there, or none if it is ``...``."""
    plain = json.loads(json.dumps(VALID[kind]))
    parent = plain
    for step in path:
        parent = parent[step]
    if value is ...:
        del parent[key]
    else:
        parent[key] = value
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("kind", "path", "key", "value", "field", "reason"),
    [
        (Service, ("spec", "ports", 1), "port", "x", "$.spec.ports[1].port", "Expected `int`, got `str`"),
        (Service, ("spec", "ports", 1), "port", 65536, "$.spec.ports[1].port", "Expected `int` <= 65535"),
        (Service, ("spec", "ports", 0), "nodePort", -1, "$.spec.ports[0].nodePort", "Expected `int` >= 0"),
        (Service, ("spec", "ports", 0), "port", ..., "$.spec.ports[0]", "missing required field `port`"),
        (Service, ("spec", "ports", 0), "name", "a b", "$.spec.ports[0].name", "'a b' is not a port name"),
        (Service, ("spec",), "externalIPs", "10.0.0.1", "$.spec.externalIPs", "Expected `array | null`"),
        (Service, (), "spec", None, "$.spec", "Expected `object`, got `null`"),
        (Service, (), "metadata", ..., "$", "missing required field `metadata`"),
        (EndpointSlice, (), "addressType", 4, "$.addressType", "Expected `str`, got `int`"),
        (EndpointSlice, ("ports", 0), "name", "A", "$.ports[0].name", "'A' is not a port name"),
        (Node, ("spec",), "podCIDRs", {}, "$.spec.podCIDRs", "Expected `array | null`"),
        (ServiceCIDR, ("spec",), "cidrs", [1], "$.spec.cidrs[0]", "Expected `str`, got `int`"),
    ],
)
def test_a_bad_object_is_named_with_field_and_reason(
    kind: Kind, path: tuple[str | int, ...], key: str, value: object, field: str, reason: str
) -> None:
    raw = edited(kind, path, key, value)
    with pytest.raises(ObjectRejected) as caught:
        decode(kind, raw)
    error = caught.value
    assert error.kind == kind.__name__
    assert error.name == ("?" if key == "metadata" else NAMES[kind])
    assert error.field == field
    assert reason in error.reason
    assert str(error) == f"{error.kind} {error.name}: {error.field}: {error.reason}"
    with pytest.raises(ObjectRejected) as again:
        convert(kind, json.loads(raw))
    assert str(again.value) == str(error)


HOSTILE = [
    "",
    "web\n",
    "we b",
    'we"b',
    "we'b",
    "web;",
    "../web",
    "web/x",
    "wéb",
    "w\u2028b",
    "w\x00b",
    "WEB",
    "-web",
    "web-",
    "we..b",
    "we.-b",
    "$(web)",
    "w" * 254,
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", VALID)
def test_hostile_names_are_refused(kind: Kind, name: str) -> None:
    with pytest.raises(ObjectRejected) as caught:
        decode(kind, edited(kind, ("metadata",), "name", name))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [*HOSTILE, "sho.p", "s" * 64])
@pytest.mark.parametrize("kind", [Service, EndpointSlice])
def test_hostile_namespaces_are_refused(kind: Kind, name: str) -> None:
    with pytest.raises(ObjectRejected):
        decode(kind, edited(kind, ("metadata",), "namespace", name))


@pytest.mark.parametrize("name", ["w.eb", "w" * 64])
def test_service_names_are_labels(name: str) -> None:
    with pytest.raises(ObjectRejected, match="is not a DNS label"):
        decode(Service, edited(Service, ("metadata",), "name", name))


@pytest.mark.parametrize("name", ["w", "0web", "w" * 63, "web-1"])
def test_good_names_are_taken(name: str) -> None:
    assert decode(Service, edited(Service, ("metadata",), "name", name)).metadata.name == name


@pytest.mark.parametrize("name", ["web.1", "w" * 253])
def test_slice_names_may_be_subdomains(name: str) -> None:
    assert decode(EndpointSlice, edited(EndpointSlice, ("metadata",), "name", name)).metadata.name == name


def test_a_list_is_split_without_decoding_its_items() -> None:
    raw = b'{"kind": "ServiceList", "items": [%s, {"metadata": 5}]}' % json.dumps(SERVICE).encode()
    good, bad = split_list(raw)
    assert decode(Service, good).metadata.name == "web"
    with pytest.raises(ObjectRejected):
        decode(Service, bad)


@pytest.mark.parametrize("raw", [b'{"items": null}', b"{}", b'{"items": []}'])
def test_an_empty_list(raw: bytes) -> None:
    assert list(split_list(raw)) == []


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"items": {}}', b'{"items": [', b"\xff"])
def test_what_is_no_list_is_refused(raw: bytes) -> None:
    with pytest.raises(ObjectRejected, match=r"List \?: \$"):
        split_list(raw)


# Fuzzing: valid objects, damaged in any way.

texts = st.text(max_size=20) | st.sampled_from(
    [*HOSTILE, "10.0.0.1", "010.0.0.1", "fe80::1%eth0", "::ffff:10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "None",
     "1e9", "TCP", "IPv4", "x" * 5000, "10.0.0.1=5", "9" * 5000, "2026-13-01T00:00:00Z", "1=2=3"]
)  # fmt: skip
numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 65536, 2**63, 2**64, 10**400])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Kind, Any]:
    """A kind, and one of its valid objects with some places overwritten or gone."""
    kind = draw(st.sampled_from(list(VALID)))
    plain = json.loads(json.dumps(VALID[kind]))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([path for path, _ in places(plain) if path] or [()]))
        if not path:
            break
        parent = plain
        for step in path[:-1]:
            parent = parent[step]
        if draw(st.booleans()) or isinstance(parent, list):
            parent[path[-1]] = draw(values)
        else:
            del parent[path[-1]]
    return kind, plain


def taken(decoded: ApiObject) -> Bench:
    """An engine that was given an object and planned with it."""
    bench = Bench(ProxyConfig(NODE, families=tuple(IPFamily), min_sync_period=0))
    bench.list_all()
    bench.engine.updated(decoded)
    bench.engine.run_due()
    return bench


CLEAN_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def check_harmless(bench: Bench) -> None:
    """What reaches dataplanes and logs holds no text that could be anything else."""
    for script in bench.scripts.values():
        for name in script.plans[-1].desired.services:
            assert CLEAN_NAME.fullmatch(name.namespace)
            assert CLEAN_NAME.fullmatch(name.name)
            assert CLEAN_NAME.fullmatch(name.port or "none")
        for service in [*script.plans[-1].stale_udp, *(t.service for t in script.plans[-1].triggers)]:
            assert CLEAN_NAME.fullmatch(service.name)
    for rejection in bench.engine.rejections:
        for text in (rejection.name, rejection.field, rejection.reason):
            assert text.isprintable()
            assert len(text) < 1000


def test_objects_of_one_namespace_share_its_name() -> None:
    """There are tens of thousands of them."""
    raw = [json.dumps(plain).encode() for plain in (SERVICE, SLICE)]
    one, other = decode(Service, raw[0]), decode(EndpointSlice, raw[1])
    assert one.metadata.namespace == "shop"
    assert one.metadata.namespace is other.metadata.namespace


@given(damaged())
@example((Service, {**SERVICE, "spec": {**SERVICE["spec"], "externalIPs": ["x" * 5000]}}))
@example((EndpointSlice, {**SLICE, "metadata": {"name": "a", "namespace": "b", "labels": {
    "kubernetes.io/service-name": "we\nb"}}}))  # fmt: skip
def test_damaged_objects_are_refused_by_name_or_harmless(case: tuple[Kind, Any]) -> None:
    kind, plain = case
    try:
        decoded = decode(kind, json.dumps(plain).encode())
    except ObjectRejected as error:
        check_named(error, kind, plain)
    else:
        check_harmless(taken(decoded))


def check_readable(error: ObjectRejected) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1000


def check_named(error: ObjectRejected, kind: Kind, plain: Any) -> None:
    assert error.kind == kind.__name__
    check_readable(error)
    metadata = plain.get("metadata")
    if isinstance(metadata, dict) and metadata.get("name") == VALID[kind]["metadata"]["name"]:
        assert metadata["name"] in error.name


@given(damaged())
def test_damaged_plain_objects_are_refused_by_name_or_harmless(case: tuple[Kind, Any]) -> None:
    """As YAML gives them: the same answer as JSON's, but for what JSON can't say."""
    kind, plain = case
    try:
        decoded = convert(kind, plain)
    except ObjectRejected as error:
        check_named(error, kind, plain)
    else:
        assert isinstance(decoded, kind)


@given(st.sampled_from(list(VALID)), st.data())
def test_damaged_bytes_are_refused_or_harmless(kind: Kind, data: st.DataObject) -> None:
    raw = bytearray(json.dumps(VALID[kind]).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=10))
    try:
        decoded = decode(kind, bytes(raw))
    except ObjectRejected as error:
        check_readable(error)
    else:
        check_harmless(taken(decoded))


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"metadata":' * 100_000)
@example(b'{"metadata": {"name": "\\ud800"}}')
@example(b'{"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1e400}], "podCIDRs": 1, "cidrs": 1}}')
def test_any_bytes_are_refused(raw: bytes) -> None:
    for kind in VALID:
        with pytest.raises(ObjectRejected) as caught:
            decode(kind, raw)
        check_readable(caught.value)


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"items": ' * 100_000)
def test_any_bytes_are_refused_as_a_list_or_empty(raw: bytes) -> None:
    try:
        items = split_list(raw)
    except ObjectRejected as error:
        check_readable(error)
    else:
        assert not items


@given(values)
def test_any_plain_value_is_refused(plain: object) -> None:
    for kind in VALID:
        with pytest.raises(ObjectRejected):
            convert(kind, plain)
