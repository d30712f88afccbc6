"""Waiting for what comes out of a queue."""

from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def next_of(news: "SimpleQueue[T]", timeout: float | None) -> T:
    """What comes next, for the only thread that takes anything out; ``timeout`` in seconds, None for any.

    `SimpleQueue.get` with a limit may wait for ever (CPython 3.11, 3.12, ``_queuemodule.c``): where it finds
    the queue empty and its lock free, as after something was taken without waiting, it tries once more with
    what is left of the limit. That may be less than nothing by then, which means no limit. A try without
    waiting leaves the lock as a wait needs it.

    Raises:
        Empty: nothing has come in time.
    """
    try:
        return news.get_nowait()
    except Empty:
        return news.get(timeout=timeout)
