"""What a server adds to the Services that clients write: defaults, and addresses and ports of their own."""

import ipaddress
from collections.abc import Iterable, Iterator

from . import answers
from .encoding import Manifest
from .resources import SERVICES
from .store import Store

_NODE_PORTS = range(30000, 32768)
_OUTSIDE = ("NodePort", "LoadBalancer")


class ServiceDefaults:
    """Fills in what a Service lacks.

    Args:
        store: where the others are, whose addresses and ports are taken.
        service_cidrs: where ClusterIPs are taken from; the first network is the cluster's main family.
    """

    def __init__(self, store: Store, service_cidrs: Iterable[str]) -> None:
        self._store = store
        self._networks = {f"IPv{net.version}": net for net in map(ipaddress.ip_network, service_cidrs)}

    def filled(self, manifest: Manifest) -> Manifest:
        """The Service as the server keeps it. Raises `Failure` if addresses or ports have run out."""
        spec: Manifest = {"type": "ClusterIP", "sessionAffinity": "None", **(manifest.get("spec") or {})}
        if spec.get("ports"):
            spec["ports"] = [{"protocol": "TCP", "targetPort": one["port"], **one} for one in spec["ports"]]
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")
            self._give_addresses(spec)
        if spec["type"] in _OUTSIDE:
            spec.setdefault("externalTrafficPolicy", "Cluster")
            self._give_node_ports(spec)
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        return {**manifest, "spec": spec}

    def _give_addresses(self, spec: Manifest) -> None:
        given = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
        if given == ["None"]:
            families = spec.get("ipFamilies") or list(self._networks)[:1]
        elif given:
            families = [f"IPv{ipaddress.ip_address(one).version}" for one in given]
        else:
            dual = spec.get("ipFamilyPolicy", "SingleStack") != "SingleStack"
            families = spec.get("ipFamilies") or list(self._networks)[: 2 if dual else 1]
            given = [self._free_address(family) for family in families]
        spec["clusterIP"], spec["clusterIPs"] = given[0], given
        spec["ipFamilies"] = families
        spec.setdefault("ipFamilyPolicy", "SingleStack" if len(families) == 1 else "RequireDualStack")

    def _free_address(self, family: str) -> str:
        if family not in self._networks:
            raise answers.bad_request(f"this server has no {family} addresses for Services")
        taken = {address for spec in self._specs() for address in spec.get("clusterIPs") or ()}
        for address in self._networks[family].hosts():
            if str(address) not in taken:
                return str(address)
        raise answers.bad_request(f"no {family} address is free")

    def _give_node_ports(self, spec: Manifest) -> None:
        if spec.get("allocateLoadBalancerNodePorts") is False:
            return
        wanting = [one for one in spec.get("ports") or () if not one.get("nodePort")]
        if not wanting:
            return
        taken = {port.get("nodePort") for other in self._specs() for port in other.get("ports") or ()}
        taken.update(port.get("nodePort") for port in spec["ports"])
        free = (number for number in _NODE_PORTS if number not in taken)
        for port in wanting:
            number = next(free, None)
            if number is None:
                raise answers.bad_request("no node port is free")
            port["nodePort"] = number

    def _specs(self) -> Iterator[Manifest]:
        return (stored.manifest()["spec"] for stored in self._store.objects(SERVICES)[1])
