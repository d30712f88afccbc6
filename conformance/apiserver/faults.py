"""What a client has to live with: each fault is arranged beforehand and strikes at the next occasion.

``verb`` and ``plural`` narrow down whom it strikes: Kubernetes' verb (list, watch, get, …) and the resource's
plural; None and empty stand for any.
"""

import threading
from collections.abc import Iterator

from msgspec import Struct

from . import answers
from .answers import Failure
from .encoding import encode
from .requests import Request

FOREVER = 1 << 62


class _Rule(Struct):
    effect: str
    verb: str
    plural: str
    times: int
    failure: Failure | None = None


class Faults:
    """The faults of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._flow = threading.Event()
        self._flow.set()

    def clear(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._rules.clear()
        self._flow.set()

    # Answers in place of the right one.

    def fail(
        self, code: int, *, times: int = 1, verb: str = "", plural: str = "", retry_after: int = 0
    ) -> None:
        """Answer requests with a Status of this HTTP code; ``retry_after`` seconds are named with it."""
        details = {"retryAfterSeconds": retry_after} if retry_after else None
        message, reason = _WORDS.get(code, (f"an error arranged for a test: {code}", ""))
        failure = Failure(code, message, reason, details=details)
        self._add(_Rule("fail", verb, plural, times, failure))

    def expire(self, *, times: int = 1, verb: str = "", plural: str = "") -> None:
        """Let revisions be too old: 410 for a list, an ERROR event for a watch that has been accepted."""
        self._add(_Rule("expire", verb, plural, times, answers.too_old(1, 2)))

    def hang_up(self, *, times: int = 1, verb: str = "", plural: str = "") -> None:
        """Close the connection instead of answering."""
        self._add(_Rule("hang up", verb, plural, times))

    def intercept(self, *, times: int = 1, verb: str = "", plural: str = "") -> None:
        """Answer with a page of HTML and status 200, as a login page on the way does."""
        self._add(_Rule("intercept", verb, plural, times))

    # In a watch's stream.

    def cut(self, *, times: int = 1, plural: str = "") -> None:
        """Break connections off in the middle of the next line of a watch."""
        self._add(_Rule("cut", "watch", plural, times))

    def garble(self, *, times: int = 1, plural: str = "") -> None:
        """Send a line that is no JSON in place of the next one of a watch."""
        self._add(_Rule("garble", "watch", plural, times))

    def duplicate(self, *, times: int = 1, plural: str = "") -> None:
        """Send the next lines of watches twice."""
        self._add(_Rule("duplicate", "watch", plural, times))

    def reorder(self, *, times: int = 1, plural: str = "") -> None:
        """Send the next line of a watch after the one that follows it."""
        self._add(_Rule("reorder", "watch", plural, times))

    def freeze(self) -> None:
        """Send nothing more, on any connection; they stay open."""
        self._flow.clear()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._flow.set()

    # For the server.

    def wait_while_frozen(self, seconds: float) -> bool:
        """Whether anything may be sent, after waiting for it for a while."""
        return self._flow.wait(seconds)

    def strike(self, effect: str, request: Request) -> _Rule | None:
        """Use up one stroke of a fault that concerns a request."""
        with self._lock:
            for rule in self._rules:
                if (
                    rule.effect == effect
                    and rule.verb in ("", request.verb)
                    and rule.plural in ("", request.plural)
                ):
                    rule.times -= 1
                    if not rule.times:
                        self._rules.remove(rule)
                    return rule
        return None

    def lines(self, request: Request, right: Iterator[bytes]) -> Iterator[bytes]:
        """A watch's lines with what goes wrong in them.

        Raises:
            CutOff: the connection is to be broken off after what came last.
        """
        if rule := self.strike("expire", request):
            assert rule.failure is not None
            yield b'{"type":"ERROR","object":%s}\n' % encode(rule.failure.status)
            return
        held = b""
        for line in right:
            if not line:
                yield line
            elif self.strike("cut", request):
                yield line[: len(line) // 2]
                raise CutOff
            elif self.strike("garble", request):
                yield b'{"type":"ADDED","object":{"kind"\n'
            elif not held and self.strike("reorder", request):
                held = line
            else:
                yield line
                if self.strike("duplicate", request):
                    yield line
                if held:
                    yield held
                    held = b""

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)


class CutOff(Exception):
    """A connection is to be broken off."""


_WORDS = {
    429: ("the server has received too many requests and has asked us to try again later", "TooManyRequests"),
    500: ("Internal error occurred: arranged for a test", "InternalError"),
    503: ("the server is currently unable to handle the request", "ServiceUnavailable"),
}
