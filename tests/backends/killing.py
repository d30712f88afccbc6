"""Processes that sync until they are killed: what they do, and how tests start and end them."""

import pickle
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pointsman.conformance.lab import Namespace
from pointsman.core.model import Model
from pointsman.core.plan import Delta, SyncPlan, diff

ROOT = Path(__file__).parents[2]


class Syncs(Protocol):
    """A dataplane, as far as it is needed here."""

    def dataplane_sync(self, plan: SyncPlan) -> object: ...


def given_models() -> list[Model]:
    """The models that the test hands to the process it has started."""
    models: list[Model] = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test that started us
    return models


def sync_for_ever(dataplane: Syncs, models: Sequence[Model], first_done: Callable[[], None]) -> None:
    """Bring the kernel to the first model, then to the others in turn, saying before each which one it is."""
    family = models[0].node.family
    dataplane.dataplane_sync(SyncPlan(family, models[0], Delta(), full=True))
    first_done()
    at = 0
    while True:
        towards = (at + 1) % len(models)
        print(towards, flush=True)  # noqa: T201 - to the test
        plan = SyncPlan(family, models[towards], diff(models[at], models[towards]), full=False)
        dataplane.dataplane_sync(plan)
        at = towards


def run_and_kill(
    namespace: Namespace,
    module: str,
    arguments: Sequence[str],
    models: Sequence[Model],
    limits: tuple[float, float],
) -> int:
    """Start a process that syncs, kill it; the number of the model that it was about to bring.

    ``limits`` are the seconds within which it must have begun, and after which it is killed.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = namespace.popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    begins, ends = limits
    with process.stdin, process.stdout:
        process.stdin.write(pickle.dumps(list(models)))
        process.stdin.close()
        ready, _, _ = select.select([process.stdout], [], [], begins)
        assert ready, "it never began"
        try:
            process.wait(ends)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.returncode == -9, "it ended on its own"
        return int(process.stdout.read().split()[-1])
