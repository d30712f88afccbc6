"""Calls that may never return: made on a thread of their own, so that who waits can give up and say why."""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_Call = tuple[Future[Any], Callable[[], Any]]


class Unreturned(Exception):
    """A call has not returned within the time it has; the message names it."""


class Caller:
    """Makes calls, one after another, and waits for each no longer than ``limit`` seconds.

    Nothing ends a call that hangs: as long as it does, no other is made. Its thread starts with the first
    call, in the network namespace of who makes that, and ends with this object.
    """

    def __init__(self, name: str, limit: float) -> None:
        self._name = name
        self._limit = limit
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._turn = threading.Lock()
        self._last: tuple[str, float, Future[Any]] | None = None
        self._thread: threading.Thread | None = None

    @property
    def hanging(self) -> str:
        """Which call has not returned; empty if all have."""
        if self._last is None or self._last[2].done():
            return ""
        what, began, _ = self._last
        return f"{what} has not returned for {time.monotonic() - began:.0f} s"

    def call(self, what: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function``, and return what it returns or raise what it raises; ``what`` is its name.

        Raises:
            Unreturned: it did not return in time, or another one still hasn't.
        """
        with self._turn:
            if hanging := self.hanging:
                raise Unreturned(hanging)
            if self._thread is None:
                self._start()
            future: Future[R] = Future()
            self._last = (what, time.monotonic(), future)
            self._calls.put((future, partial(function, *args, **kwargs)))
            try:
                return future.result(self._limit)
            except TimeoutError:
                if future.done():
                    return future.result()
                raise Unreturned(self.hanging) from None
            finally:
                del future  # it holds what was raised, whose traceback holds this frame

    def close(self) -> None:
        """End the thread, once no call is under way; the next call would start another."""
        self._calls.put(None)
        self._calls, self._thread = SimpleQueue(), None

    def _start(self) -> None:
        self._thread = threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True)
        self._thread.start()
        weakref.finalize(self, self._calls.put, None).atexit = False


def _serve(calls: "SimpleQueue[_Call | None]") -> None:
    """Make calls until told to end."""
    while (call := calls.get()) is not None:
        future, function = call
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
            del result
        del call, future, function  # nothing is kept alive until the next one comes
