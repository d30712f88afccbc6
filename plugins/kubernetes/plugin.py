"""The plugin that brings the source ``kubernetes``."""

from pointsman.core.config import ProxyConfig
from pointsman.core.hookspecs import hookimpl
from pointsman.core.source import Source, SourceRegistry, SourceSpec


def _make(argument: str, config: ProxyConfig) -> Source:
    # Late: whoever chooses another source need not load an HTTP client.
    from .client import connect
    from .source import KubernetesSource

    return KubernetesSource(connect(argument), config.node_name)


SPEC = SourceSpec(
    "kubernetes",
    "an API server: kubernetes:KUBECONFIG, or kubernetes: for the one of the cluster that this is a pod of",
    _make,
)


@hookimpl
def pointsman_register_sources(registry: SourceRegistry) -> None:
    """Add the source."""
    registry.add(SPEC)
