"""What is watched: a path and a selector for each kind.

The selectors are upstream's (IN-SVC-01, IN-EPS-01, IN-NODE-01): what they leave out never comes over
the wire, and an object that is relabelled out of a selection is reported by the server as deleted.
"""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

from pointsman.core.apis import EndpointSlice, Kind, Node, Service, ServiceCIDR
from pointsman.core.model import NamespacedName

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"


class Resource(Struct, frozen=True):
    """A kind as the API serves it.

    Attributes:
        group: the path of its group and version, such as ``/api/v1``.
        plural: what it is called in paths.
        selection: query parameters that choose among its objects.
        optional: whether to put up with a server that doesn't serve it, or a role that doesn't grant it.
    """

    kind: Kind
    group: str
    plural: str
    selection: Mapping[str, str] = {}
    optional: bool = False

    @property
    def path(self) -> str:
        """Where all objects are listed and watched, in every namespace."""
        return f"{self.group}/{self.plural}"

    def origin(self, name: NamespacedName) -> str:
        """The path of one object, whose name may be anything."""
        within = f"namespaces/{quote(name.namespace)}/" if name.namespace else ""
        return f"{self.group}/{within}{self.plural}/{quote(name.name)}"


def resources(node_name: str) -> tuple[Resource, ...]:
    """Everything that is watched, of all nodes' objects only this one's (IN-NODE-01)."""
    return (
        Resource(Service, "/api/v1", "services", {"labelSelector": f"!{PROXY_NAME}"}),
        Resource(
            EndpointSlice, "/apis/discovery.k8s.io/v1", "endpointslices", {"labelSelector": f"!{HEADLESS}"}
        ),
        Resource(Node, "/api/v1", "nodes", {"fieldSelector": f"metadata.name={node_name}"}),
        # Since Kubernetes 1.33, and not in the role of kube-proxy before 1.31.
        Resource(ServiceCIDR, "/apis/networking.k8s.io/v1", "servicecidrs", optional=True),
    )
