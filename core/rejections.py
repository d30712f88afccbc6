"""Bad input, said once: what is wrong with which object now, and how often anything was."""

import logging
from collections.abc import Iterable, Iterator

from .source import Rejection

log = logging.getLogger(__name__)


class Rejections:
    """What is rejected at present, by origin or object.

    A rejection is logged when it appears and not again while it lasts; when nothing is wrong any more at its
    key, that is said too. ``total`` counts every appearance. Iterating is safe on any thread.
    """

    def __init__(self) -> None:
        self._current: dict[object, tuple[Rejection, ...]] = {}
        self.total = 0

    def __iter__(self) -> Iterator[Rejection]:
        """All that is wrong now."""
        # One step of the interpreter copies them: nothing can be reported meanwhile.
        for rejections in list(self._current.values()):
            yield from rejections

    def places(self) -> Iterable[object]:
        """The keys at which anything is wrong now."""
        return self._current.keys()

    def report(self, key: object, rejections: Iterable[Rejection]) -> None:
        """Set all that is wrong at a key; nothing clears it."""
        now = tuple(dict.fromkeys(rejections))
        if not now and key not in self._current:
            return
        before = self._current.pop(key, ())
        if now:
            self._current[key] = now
        for rejection in now:
            if rejection not in before:
                self.total += 1
                log.warning("rejected", extra=_fields(rejection))
        if before and not now:
            log.info("accepted_again", extra={"object": str(key)})


def _fields(rejection: Rejection) -> dict[str, str]:
    """Log fields; ``name`` is a record's own attribute, so the object's goes by another word."""
    fields = {
        "kind": rejection.kind,
        "object": rejection.name,
        "field": rejection.field,
        "reason": rejection.reason,
    }
    return fields | ({"origin": rejection.origin} if rejection.origin else {})
