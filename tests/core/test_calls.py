"""Calls that may never return."""

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from pointsman.core.calls import Caller, Unreturned

LONG = 30.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a call hangs on; let go at the end, so that no thread stays."""
    gate = threading.Event()
    yield gate
    gate.set()


def fail() -> None:
    raise KeyError("zone")


def late() -> None:
    raise TimeoutError("of its own")


def test_a_call_gives_what_the_function_gives() -> None:
    caller = Caller("mine", LONG)
    assert caller.call("divmod", divmod, 7, 2) == (3, 1)
    with pytest.raises(KeyError, match="zone"):
        caller.call("fail", fail)
    assert caller.hanging == ""
    caller.close()


def test_a_call_after_the_end_is_made_all_the_same() -> None:
    caller = Caller("mine", LONG)
    first = caller.call("where", threading.current_thread)
    caller.close()
    first.join(LONG)
    assert not first.is_alive()
    assert caller.call("where", threading.current_thread) is not first
    caller.close()


def test_a_time_out_of_the_functions_own_is_the_functions() -> None:
    with pytest.raises(TimeoutError, match="of its own"):
        Caller("mine", LONG).call("late", late)


def test_all_calls_are_made_on_one_thread() -> None:
    caller = Caller("mine", LONG)
    first, second = (caller.call("where", threading.current_thread) for _ in range(2))
    assert first is second
    assert first is not threading.current_thread()


def test_a_call_that_does_not_return_is_named_and_keeps_nobody(gate: threading.Event) -> None:
    caller = Caller("mine", 0.05)
    with pytest.raises(Unreturned, match=r"^wait has not returned for \d+ s$"):
        caller.call("wait", gate.wait)
    assert caller.hanging.startswith("wait has not returned")


def test_while_one_hangs_no_other_is_made(gate: threading.Event) -> None:
    caller = Caller("mine", 0.05)
    made: list[int] = []
    with pytest.raises(Unreturned):
        caller.call("wait", gate.wait)
    with pytest.raises(Unreturned, match=r"^wait has not returned"):
        caller.call("append", made.append, 1)
    assert made == []


def test_once_it_has_returned_after_all_others_are_made(gate: threading.Event) -> None:
    caller, over = Caller("mine", 0.05), threading.Event()
    with pytest.raises(Unreturned):
        caller.call("wait", gate.wait)
    caller._last[2].add_done_callback(lambda _: over.set())  # type: ignore[index]
    gate.set()
    assert over.wait(LONG)
    assert caller.hanging == ""
    assert caller.call("abs", abs, -1) == 1


def test_the_thread_ends_with_its_caller() -> None:
    caller = Caller("mine", LONG)
    thread = caller.call("where", threading.current_thread)
    del caller
    gc.collect()
    thread.join(LONG)
    assert not thread.is_alive()


def test_what_was_called_is_let_go_when_it_has_returned() -> None:
    class Heavy:
        def weigh(self) -> None: ...

    gone = threading.Event()
    caller, heavy = Caller("mine", LONG), Heavy()

    weakref.finalize(heavy, gone.set)
    caller.call("weigh", heavy.weigh)
    del heavy
    assert gone.wait(LONG)
