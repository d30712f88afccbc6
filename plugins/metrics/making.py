"""Making metrics with all of their series, so that none of them appears only when something fails."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pointsman.core.addresses import IPFamily

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Maker:
    """Makes metrics of a registry.

    The stability of all is that of kube-proxy's, ``[ALPHA]``. Keyword arguments are labels that come after
    ``ip_family``, with the values they can have.
    """

    def __init__(self, registry: CollectorRegistry, families: Sequence[IPFamily]) -> None:
        self.registry = registry
        self._families = tuple(map(str, families))

    def counter(self, name: str, text: str, **labels: Sequence[str]) -> Counter:
        """A counter of each family."""
        counter = Counter(name, f"[ALPHA] {text}", ("ip_family", *labels), registry=self.registry)
        for values in self._series(labels):
            counter.labels(*values)
        return counter

    def gauge(self, name: str, text: str, **labels: Sequence[str]) -> Gauge:
        """A gauge of each family."""
        gauge = Gauge(name, f"[ALPHA] {text}", ("ip_family", *labels), registry=self.registry)
        for values in self._series(labels):
            gauge.labels(*values)
        return gauge

    def histogram(self, name: str, text: str, bounds: Sequence[float], **labels: Sequence[str]) -> Histogram:
        """A histogram of each family."""
        names = ("ip_family", *labels)
        histogram = Histogram(name, f"[ALPHA] {text}", names, buckets=bounds, registry=self.registry)
        for values in self._series(labels):
            histogram.labels(*values)
        return histogram

    def single(self, kind: type[Metric], name: str, text: str) -> Metric:
        """A metric without labels."""
        return kind(name, f"[ALPHA] {text}", registry=self.registry)

    def _series(self, labels: dict[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
        return product(self._families, *labels.values())
