"""A sink that keeps what it was told, and lets a test wait until that is as it should be."""

import threading
from collections.abc import Callable, Iterable

from pointsman.core.apis import KINDS, ApiObject, Kind, Service
from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection
from pointsman.plugins.sources.files.reading import Key, key_of

SECONDS = 20.0


class RecordingSink:
    """Follows a source as an engine does; ``history`` has all Services' names after each news of one."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self.objects: dict[Key, ApiObject] = {}
        self.listed: set[Kind] = set()
        self.rejections: dict[str, list[Rejection]] = {}
        self.failures: list[BaseException] = []
        self.history: list[set[str]] = []

    def replaced(self, kind: Kind, objects: Iterable[ApiObject], kept: Iterable[NamespacedName] = ()) -> None:
        with self._news:
            assert kind not in self.listed
            self.listed.add(kind)
            self.objects |= {key_of(listed): listed for listed in objects}
            self._noted(kind)

    def updated(self, updated: ApiObject) -> None:
        with self._news:
            assert self.objects.get(key_of(updated)) != updated
            self.objects[key_of(updated)] = updated
            self._noted(type(updated))

    def deleted(self, kind: Kind, name: NamespacedName) -> None:
        with self._news:
            del self.objects[Key(kind, name)]
            self._noted(kind)

    def rejected(self, origin: str, rejections: Iterable[Rejection]) -> None:
        with self._news:
            self.rejections[origin] = list(rejections)
            self._news.notify_all()

    def failed(self, error: BaseException) -> None:
        with self._news:
            self.failures.append(error)
            self._news.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        with self._news:
            if not self._news.wait_for(condition, SECONDS):
                raise AssertionError(f"not in {SECONDS} s: {self.ips()} {self.rejections} {self.failures}")

    def wait_until_listed(self) -> None:
        self.wait_for(lambda: self.listed == set(KINDS.values()))

    def wait_for_ips(self, **ips: str) -> None:
        """Wait until these are all Services and their cluster IPs."""
        self.wait_for(lambda: self.ips() == ips)

    def wait_for_reason(self, text: str) -> Rejection:
        """Wait until something is rejected for a reason with this text."""
        self.wait_for(lambda: any(text in rejection.reason for rejection in self.wrong()))
        return next(rejection for rejection in self.wrong() if text in rejection.reason)

    def wait_until_well(self) -> None:
        self.wait_for(lambda: not self.wrong())

    def ips(self) -> dict[str, str | None]:
        """The cluster IPs of all Services, by name."""
        return {
            service.metadata.name: service.spec.cluster_ip
            for service in self.objects.values()
            if isinstance(service, Service)
        }

    def wrong(self) -> list[Rejection]:
        """All that is rejected now."""
        return [rejection for rejections in self.rejections.values() for rejection in rejections]

    def _noted(self, kind: Kind) -> None:
        if kind is Service:
            self.history.append(set(self.ips()))
        self._news.notify_all()
