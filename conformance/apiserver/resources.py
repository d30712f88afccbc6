"""What the server serves: its resources, and the shape of their objects.

Names, field orders and what an empty object looks like are those of Kubernetes 1.36.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

Shape = Mapping[str, Any]
"""An object's fields in the order in which a server writes them; below each the shape of what it holds.

None stands for what has no fields of its own, or keeps the order in which it comes.
"""


class Resource(Struct, frozen=True, eq=False):
    """One kind of object and where it is served.

    ``empty`` is what an object has at least, beside its metadata; a bookmark has nothing else.
    ``counted`` says that ``metadata.generation`` counts its changes. ``selectable`` are the fields by which
    objects may be selected, beside their names and namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    shape: Shape
    empty: Mapping[str, Any]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    counted: bool = False
    selectable: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """Group and version as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """The plural, with the group if there is one: what error messages say."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> bytes:
        """What an object that stands alone starts with."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()


def _fields(*names: str, **shapes: Shape) -> Shape:
    """Fields in order; those with a shape have it given by name too."""
    return {name: shapes.get(name) for name in names}


METADATA = _fields(
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences"),
    *("finalizers", "managedFields"),
)
"""The shape of ``metadata``."""

_CONDITION = _fields("type", "status", "observedGeneration", "lastTransitionTime", "reason", "message")
_TARGET = _fields("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

SERVICES = Resource(
    *("", "v1", "services", "Service"),
    short_names=("svc",),
    shape=_fields(
        *("metadata", "spec", "status"),
        metadata=METADATA,
        spec=_fields(
            *("ports", "selector", "clusterIP", "clusterIPs", "type", "externalIPs", "sessionAffinity"),
            *("loadBalancerIP", "loadBalancerSourceRanges", "externalName", "externalTrafficPolicy"),
            *("healthCheckNodePort", "publishNotReadyAddresses", "sessionAffinityConfig", "ipFamilies"),
            *("ipFamilyPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass"),
            *("internalTrafficPolicy", "trafficDistribution"),
            ports=_fields("name", "protocol", "appProtocol", "port", "targetPort", "nodePort"),
        ),
        status=_fields(
            *("loadBalancer", "conditions"),
            loadBalancer=_fields("ingress", ingress=_fields("ip", "hostname", "ipMode", "ports")),
            conditions=_CONDITION,
        ),
    ),
    empty={"spec": {}, "status": {"loadBalancer": {}}},
    selectable=("spec.clusterIP", "spec.type"),
)

NODES = Resource(
    *("", "v1", "nodes", "Node"),
    namespaced=False,
    selectable=("spec.unschedulable",),
    short_names=("no",),
    shape=_fields(
        *("metadata", "spec", "status"),
        metadata=METADATA,
        spec=_fields(
            *("podCIDR", "podCIDRs", "providerID", "unschedulable", "taints"),
            taints=_fields("key", "value", "effect", "timeAdded"),
        ),
        status=_fields(
            *("capacity", "allocatable", "phase", "conditions", "addresses", "daemonEndpoints", "nodeInfo"),
            addresses=_fields("type", "address"),
        ),
    ),
    empty={
        "spec": {},
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": "",
                "osImage": "",
                "containerRuntimeVersion": "",
                "kubeletVersion": "",
                "kubeProxyVersion": "",
                "operatingSystem": "",
                "architecture": "",
            },
        },
    },
)

ENDPOINT_SLICES = Resource(
    *("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    counted=True,
    shape=_fields(
        *("metadata", "addressType", "endpoints", "ports"),
        metadata=METADATA,
        endpoints=_fields(
            *("addresses", "conditions", "hostname", "targetRef", "deprecatedTopology", "nodeName", "zone"),
            "hints",
            conditions=_fields("ready", "serving", "terminating"),
            targetRef=_TARGET,
            hints=_fields("forZones", "forNodes"),
        ),
        ports=_fields("name", "protocol", "port", "appProtocol"),
    ),
    empty={"addressType": "", "endpoints": None, "ports": None},
)

SERVICE_CIDRS = Resource(
    *("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR"),
    namespaced=False,
    shape=_fields(
        *("metadata", "spec", "status"),
        metadata=METADATA,
        spec=_fields("cidrs"),
        status=_fields("conditions", conditions=_CONDITION),
    ),
    empty={"spec": {}, "status": {}},
)

EVENTS = Resource(
    *("events.k8s.io", "v1", "events", "Event"),
    short_names=("ev",),
    shape=_fields(
        *("metadata", "eventTime", "series", "reportingController", "reportingInstance", "action", "reason"),
        *("regarding", "related", "note", "type", "deprecatedSource", "deprecatedFirstTimestamp"),
        *("deprecatedLastTimestamp", "deprecatedCount"),
        metadata=METADATA,
        regarding=_TARGET,
        related=_TARGET,
    ),
    empty={"eventTime": None},
)

CORE_EVENTS = Resource(
    *("", "v1", "events", "Event"),
    short_names=("ev",),
    selectable=(
        *(f"involvedObject.{field}" for field in ("kind", "namespace", "name", "uid", "apiVersion")),
        *("involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type"),
        "reportingComponent",
    ),
    shape=_fields(
        *("metadata", "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp"),
        *("count", "type", "eventTime", "series", "action", "related", "reportingComponent"),
        "reportingInstance",
        metadata=METADATA,
        involvedObject=_TARGET,
        related=_TARGET,
    ),
    empty={
        "involvedObject": {},
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
)

RESOURCES = (SERVICES, NODES, CORE_EVENTS, ENDPOINT_SLICES, SERVICE_CIDRS, EVENTS)
"""All that is served. An Event stays in the group that it was posted to."""
