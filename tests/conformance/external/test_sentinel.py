"""The sentinel is served only once both its objects have been taken in."""

import pytest

from pointsman.conformance.external.sentinel import Sentinel
from pointsman.conformance.lab import Outcome, Refused, Reply
from pointsman.conformance.objects import Manifest
from pointsman.conformance.scene import scene
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol


class Proxy:
    """A proxy of one service, as a network: it knows the objects that it was told of, and no others."""

    def __init__(self, family: IPFamily) -> None:
        self._scene = scene(family)
        self._known: dict[str, Manifest] = {}

    def take(self, manifest: Manifest) -> None:
        self._known[manifest["kind"]] = manifest

    def burst(
        self, client: str, destination: tuple[str, int], protocol: Protocol, **how: object
    ) -> list[Outcome]:
        service, endpoints = self._known["Service"], self._known["EndpointSlice"]
        [port] = service["spec"]["ports"]
        if destination != (service["spec"]["clusterIP"], port["port"]):
            return [Refused(111)]
        [address] = endpoints["endpoints"][0]["addresses"]
        pod = self._scene.owner(address)
        assert pod is not None
        return [Reply(pod, endpoints["ports"][0]["port"], self._scene.address(client), 40000, protocol)]


@pytest.mark.parametrize("family", IPFamily)
@pytest.mark.parametrize("late", ["Service", "EndpointSlice"])
def test_a_change_that_one_stream_has_not_brought_yet_is_seen(family: IPFamily, late: str) -> None:
    sentinel, proxy = Sentinel(family), Proxy(family)
    for manifest in sentinel.next():
        proxy.take(manifest)
    for _ in range(25):  # more generations than there are endpoints to name
        assert sentinel.is_served(proxy)  # type: ignore[arg-type]  # all it needs of a network
        told = {manifest["kind"]: manifest for manifest in sentinel.next()}
        missing = told.pop(late)
        proxy.take(*told.values())
        assert not sentinel.is_served(proxy)  # type: ignore[arg-type]
        proxy.take(missing)
