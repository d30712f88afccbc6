"""Metrics as text, worded as client_golang words them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from pointsman.plugins.http.messages import Request, Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _AsGo:
    """A registry's metrics, with the differences between the two client libraries taken away.

    Rules and dashboards made for kube-proxy name buckets ``le="1"``, which would be ``1.0`` here; and there
    are no ``_created`` series.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            alike = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            alike.samples = [_as_go(s) for s in metric.samples if not s.name.endswith("_created")]
            yield alike


def exposition(registry: CollectorRegistry, _: Request) -> Response:
    """The answer to who scrapes a registry."""
    # Its only use of the registry is to collect.
    return Response(200, generate_latest(_AsGo(registry)), CONTENT_TYPE)


def _as_go(sample: Sample) -> Sample:
    bound = sample.labels.get("le", "")
    if not bound.endswith(".0"):
        return sample
    return sample._replace(labels=sample.labels | {"le": bound.removesuffix(".0")})
