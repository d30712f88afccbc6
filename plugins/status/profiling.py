"""``/debug/pprof``: what can honestly be had of it in Python. Nothing of this is served unless asked for.

The forms are not those of Go's pprof: stacks are plain text, and a profile is a line for each stack with the
number of times it was seen ("collapsed"), as flame graph programs and speedscope read it.
"""

import sys
import threading
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType

from pointsman.plugins.http.messages import Handler, Later, Request, Response, text

SAMPLES_PER_SECOND = 100
LONGEST_SECONDS = 60.0
DEFAULT_SECONDS = 10.0
ALLOCATIONS_TOLD = 50

INDEX = """\
/debug/pprof/goroutine  the stack of every thread
/debug/pprof/profile    stacks seen in ?seconds=10, with how often
/debug/pprof/heap       where memory was allocated since this was first asked for
/debug/pprof/cmdline    the command line
"""


def profiling_routes(set_verbosity: Callable[[int], None]) -> Mapping[str, Handler]:
    """Handlers by path."""
    return {
        "/debug/pprof/": lambda _: text(INDEX),
        "/debug/pprof/cmdline": lambda _: text("\0".join(sys.orig_argv)),
        "/debug/pprof/goroutine": lambda _: text(_stacks()),
        "/debug/pprof/heap": lambda _: Later(lambda: text(_allocations())),
        "/debug/pprof/profile": _profile,
        "/debug/flags/v": lambda request: _set_verbosity(request, set_verbosity),
    }


WRITING = {"/debug/flags/v": "PUT"}
"""Those of the routes that change something, with their method."""


def _stacks() -> str:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"thread {names.get(ident, '?')}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )


def _profile(request: Request) -> Response | Later:
    try:
        seconds = float(request.query.get("seconds", DEFAULT_SECONDS))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST_SECONDS:
        return text(f"seconds must be a number up to {LONGEST_SECONDS:g}\n", 400)
    return Later(lambda: text(_sampled(seconds)))


def _sampled(seconds: float) -> str:
    """The stacks of all threads but this one, as often as they were seen."""
    seen: Counter[str] = Counter()
    until = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < until:
        for ident, frame in sys._current_frames().items():
            if ident != threading.get_ident():
                seen[_collapsed(frame)] += 1
        pause.wait(1 / SAMPLES_PER_SECOND)
    return "".join(f"{stack} {times}\n" for stack, times in seen.most_common())


def _collapsed(frame: FrameType | None) -> str:
    names = []
    while frame is not None:
        names.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return ";".join(reversed(names))


def _allocations() -> str:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
        return "From now on allocations are recorded, which costs time and memory until the next restart.\n"
    found = tracemalloc.take_snapshot().statistics("lineno")
    return "".join(f"{line}\n" for line in found[:ALLOCATIONS_TOLD])


def _set_verbosity(request: Request, set_verbosity: Callable[[int], None]) -> Response:
    try:
        level = int(request.body.decode("ascii"))
    except ValueError:
        return text(f"{request.body[:40]!r} is not a whole number\n", 400)
    set_verbosity(level)
    return text(f"successfully set klog.logging.verbosity to {level}")
