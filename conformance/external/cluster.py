"""A case's cluster whose proxy is a target: objects go to the API server, and to an oracle here."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from pointsman.conformance import objects
from pointsman.conformance.cluster import Cluster
from pointsman.conformance.objects import Manifest
from pointsman.conformance.subject import Subject
from pointsman.core.addresses import IPFamily
from pointsman.core.plan import SyncReport

from .target import Target

SETTLING = 3.0
"""Seconds for what the sentinel doesn't tell of: a mismatch counts only if there is one after these."""


class OutOfSight(Exception):
    """A case asks for something that can't be seen, or can't be had, of a program that is somebody else's."""


class TargetCluster(Cluster):
    """Plays the objects of a case to a target.

    Args:
        shadow: the oracle as a backend; its engine says what is right.
        target: what is under test.

    Raises:
        OutOfSight: from every method that needs more than packets.
        SyncFailed: from every method that changes anything.
    """

    def __init__(self, shadow: Subject, target: Target) -> None:
        self._target = target
        self.settled = 0.0
        super().__init__(shadow)
        target.begin(self._manifests.values())
        self._settle()

    def apply(self, manifests: Iterable[Manifest], *, flaws: int = 0) -> Mapping[IPFamily, SyncReport]:
        if flaws:
            raise OutOfSight("an API server admits no such objects, so that nobody's proxy meets them")
        listed = list(manifests)
        super().apply(listed)
        self._target.change(listed)
        return self._settle()

    def delete(self, manifests: Iterable[Manifest]) -> Mapping[IPFamily, SyncReport]:
        listed = list(manifests)
        super().delete(listed)
        self._target.change((), [objects.identity(manifest) for manifest in listed])
        return self._settle()

    def restart(self, manifests: Iterable[Manifest] | None, **settings: Any) -> Mapping[IPFamily, SyncReport]:
        others = [name for name, value in settings.items() if value != getattr(self.config, name)]
        if others:
            raise OutOfSight(f"this would need the proxy to run with other settings: {', '.join(others)}")
        super().restart(manifests)
        self._target.restart(self._manifests.values())
        return self._settle()

    def wipe(self) -> NoReturn:
        raise OutOfSight("nobody knows which rules are the proxy's, and when it looks at them next")

    @contextmanager
    def without_address(self, address: str) -> Iterator[None]:
        with super().without_address(address):
            self._settle()
            yield
        self._settle()

    def verify(self) -> None:
        """See that the program is still there: what it holds can't be seen."""
        self._target.assert_alive()

    def _settle(self) -> "_Unseen":
        self.settled = time.monotonic() + SETTLING
        return _Unseen()


class _Unseen(Mapping[IPFamily, SyncReport]):
    """The reports that there would be of a backend. Raises `OutOfSight` when looked at."""

    def __getitem__(self, key: IPFamily) -> NoReturn:
        raise OutOfSight("what a proxy writes can't be seen")

    def __iter__(self) -> NoReturn:
        raise OutOfSight("what a proxy writes can't be seen")

    def __len__(self) -> NoReturn:
        raise OutOfSight("what a proxy writes can't be seen")
