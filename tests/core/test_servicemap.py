"""What the contract has no number for: our own annotations, and what is kept of both kinds of object."""

import pytest

from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.annotations import DRAIN, SCHEDULER, WEIGHTS, Weights
from pointsman.core.endpointsmap import EndpointsMap
from pointsman.core.model import NamespacedName
from pointsman.core.servicemap import ServiceMap, ServicePort

from .objects import NAMESPACE, NODE, endpoint, endpoint_slice, service, service_port

WEB = NamespacedName(NAMESPACE, "web")


def read(**annotations: str) -> tuple[ServicePort, list[str]]:
    """A Service's one port as it is kept, and the fields that were wrong."""
    services = ServiceMap(IPFamily.IPV4)
    names = {"weights": WEIGHTS, "drain": DRAIN, "scheduler": SCHEDULER}
    metadata = {"annotations": {names[key]: text for key, text in annotations.items()}}
    rejections = services.update(service(metadata=metadata))
    (port,) = services.current[WEB]
    return port, [rejection.field for rejection in rejections]


def test_annotations_are_read() -> None:
    port, wrong = read(weights="2,10.0.0.1=5", drain="30", scheduler="lc")
    assert port.weights == Weights(2, ((parse_address("10.0.0.1"), 5),))
    assert port.drain == 30
    assert port.scheduler == "lc"
    assert wrong == []


@pytest.mark.parametrize(
    "annotations", [{"weights": "heavy"}, {"drain": "soon"}, {"drain": "-1"}, {"scheduler": "l c"}]
)
def test_annotations_that_cannot_be_read_are_reported_and_ignored(annotations: dict[str, str]) -> None:
    port, wrong = read(**annotations)
    assert (port.weights, port.drain, port.scheduler) == (Weights(), 0, "")
    assert len(wrong) == 1
    assert wrong[0].startswith("$.metadata.annotations[pointsman.dev/")


def test_every_port_has_the_services_annotations() -> None:
    services = ServiceMap(IPFamily.IPV4)
    ports = [service_port(80, "a"), service_port(81, "b")]
    services.update(service(ports=ports, metadata={"annotations": {DRAIN: "30", WEIGHTS: "7"}}))
    assert [(port.drain, port.weights.others) for port in services.current[WEB]] == [(30, 7), (30, 7)]


def test_weights_of_a_slice_are_its_endpoints() -> None:
    endpoints = EndpointsMap(IPFamily.IPV4, NODE)
    slices = endpoint_slice([endpoint("10.0.0.1"), endpoint("10.0.0.2")], annotations={WEIGHTS: "10.0.0.1=0"})
    assert endpoints.update(slices) == []
    (info,) = endpoints.current.values()
    assert [one.weight for one in info.endpoints] == [0, None]


def test_weights_of_a_slice_that_cannot_be_read_are_reported_and_ignored() -> None:
    endpoints = EndpointsMap(IPFamily.IPV4, NODE)
    (rejection,) = endpoints.update(endpoint_slice([endpoint("10.0.0.1")], annotations={WEIGHTS: "x"}))
    assert rejection.field == f"$.metadata.annotations[{WEIGHTS}]"
    (info,) = endpoints.current.values()
    assert [one.weight for one in info.endpoints] == [None]


def test_what_changed_is_told_once_also_if_it_changed_back() -> None:
    services = ServiceMap(IPFamily.IPV4)
    services.update(service())
    assert services.take_changed() == {WEB}
    services.settle()
    services.update(service(ip="10.96.0.99"))
    services.update(service())
    assert not services.pending
    assert services.take_changed() == {WEB}
    assert services.take_changed() == set()
