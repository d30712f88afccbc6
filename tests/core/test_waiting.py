"""Waits end."""

import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

import pytest

from pointsman.core.waiting import next_of

SECONDS = 30  # far more than anything here takes; only a failure waits for it


def test_a_wait_ends_however_short_it_is_and_whatever_was_taken_before() -> None:
    """`SimpleQueue.get` by itself doesn't return from one of these in some thousands."""

    def wait_often() -> None:
        for number in range(20_000):
            news: SimpleQueue[int] = SimpleQueue()
            news.put(number)
            assert next_of(news, None) == number
            with suppress(Empty):
                next_of(news, 1e-9)

    waiting = threading.Thread(target=wait_often, daemon=True)
    waiting.start()
    waiting.join(SECONDS)
    assert not waiting.is_alive()


def test_what_comes_during_a_wait_is_had_and_nothing_is_empty() -> None:
    news: SimpleQueue[str] = SimpleQueue()
    later = threading.Timer(0.01, news.put, ["late"])
    later.start()
    assert next_of(news, SECONDS) == "late"
    later.join()
    for limit in (0.0, 0.001):
        with pytest.raises(Empty):
            next_of(news, limit)
