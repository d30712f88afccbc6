"""The reconciler: listens to syncs, and looks after UDP flows on a thread of its own.

No sync ever waits for it. Whatever comes together while it looks, or while it rests, is looked after in one
go, and it rests long enough to stay within its share of a processor: a table of half a million entries costs
a delay and no core.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from pointsman.core.addresses import IPFamily
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plan import SyncPlan
from pointsman.core.runner import Clock
from pointsman.core.waiting import next_of

from .flows import Flow, Target
from .occupancy import Occupancy, occupancy
from .pending import Pending, Waiting
from .table import BATCH, Interrupted, Table

BUDGET = 0.1
"""The share of one processor that it may take while there is always something to look after."""

ATTEMPTS = 5
"""How often entries that change meanwhile are read, before what could be read has to do (CT-07)."""

RETRY_SECONDS = 30.0
"""After a failure."""

_STEP = 0.05
_SHOWN = 3.0
# Microseconds, see `table`: for walking past a bucket or an entry, and for showing an entry.

log = logging.getLogger(__name__)

Reconciled = Callable[[IPFamily, float, int], None]


def _unheard(family: IPFamily, seconds: float, deleted: int) -> None:
    """Nobody wants to know."""


class Flows(Protocol):
    """What `Table` is to the reconciler."""

    def flows(self, family: IPFamily, target: Target | None = None) -> Iterator[Flow]: ...

    def delete(self, family: IPFamily, flows: Sequence[Flow]) -> int: ...

    def close(self) -> None: ...


class Reconciler:
    """Observes syncs; its thread deletes the entries of UDP flows that are where they must not be.

    Args:
        families: those that are served.
        reconciled: told, on the thread, of each look: the family, the seconds that it took and the number of
            entries that were deleted (MET-14).
        table: opens the table, in the thread's network namespace. It is kept open: closing a socket of
            netfilter's waits for a grace period of RCU, 10 ms or more, with the lock that every commit to
            nf_tables in the namespace needs (``nft_rcv_nl_event``), and a sync would wait with it.
        room: how full the table is.
        clock: monotonic seconds.
        worked: seconds that the thread has had of a processor, which is what the budget is of: waiting for
            one, on a machine that has none to spare, is rest enough.
    """

    def __init__(
        self,
        families: Iterable[IPFamily],
        reconciled: Reconciled = _unheard,
        *,
        table: Callable[[], Flows] = Table,
        room: Callable[[], Occupancy] = occupancy,
        clock: Clock = time.monotonic,
        worked: Clock = time.thread_time,
    ) -> None:
        self._pending = {family: Pending() for family in families}
        self._reconciled = reconciled
        self._open = table
        self._table: Flows | None = None
        self._room = room
        self._clock = clock
        self._worked = worked
        self._rested = dict.fromkeys(self._pending, clock())
        self._failed: set[IPFamily] = set()
        self._news: queue.SimpleQueue[tuple[SyncPlan, bool] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="conntrack", daemon=True)

    def start(self) -> None:
        """Start the thread, which stays in the network namespace of the caller's."""
        self._thread.start()

    def stop(self) -> None:
        """Stop once the look under way is done. Idempotent."""
        self._news.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @hookimpl
    def pointsman_before_sync(self, plan: SyncPlan) -> None:
        """Flows that this plan makes possible must not be held against the last one."""
        self._pending[plan.family].begin(plan)

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, error: Exception | None) -> None:
        """Only what a dataplane holds tells right from wrong (CT-01)."""
        self._news.put((plan, error is None))

    def wait(self) -> float | None:
        """Seconds until a look is due, 0 if one is; None for not before the next plan."""
        return min(
            (wait for family in self._pending if (wait := self._wait(family)) is not None), default=None
        )

    def run_due(self) -> None:
        """Look after the families that are due. What goes wrong is logged, and tried again (CT-07)."""
        for family in self._pending:
            if self._wait(family) == 0.0:
                self._reconcile(family)

    def take(self, plan: SyncPlan, *, done: bool) -> None:
        """Take in how a plan went."""
        self._pending[plan.family].take(plan, done=done)

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._close()

    def _serve(self) -> None:
        while True:
            try:
                news = next_of(self._news, self.wait())
            except queue.Empty:
                self.run_due()
                continue
            if news is None:
                return
            plan, done = news
            self.take(plan, done=done)

    def _wait(self, family: IPFamily) -> float | None:
        due = self._pending[family].due()
        return None if due is None else max(0.0, max(due, self._rested[family]) - self._clock())

    def _reconcile(self, family: IPFamily) -> None:
        began, worked = self._clock(), self._worked()
        try:
            if self._table is None:
                self._table = self._open()
            deleted, complete = self._look(self._table, family, began)
        except Exception as error:
            self._close()
            self._rested[family] = self._clock() + RETRY_SECONDS
            self._report(family, error)
            return
        seconds = self._clock() - began
        rest = (self._worked() - worked) / BUDGET if complete else RETRY_SECONDS
        self._rested[family] = self._clock() + rest
        if family in self._failed:
            self._failed.remove(family)
            log.info("conntrack_works_again", extra={"family": str(family)})
        level = logging.INFO if deleted else logging.DEBUG
        fields = {"family": str(family), "deleted": deleted, "seconds": round(seconds, 6)}
        log.log(level, "conntrack_reconciled", extra=fields)
        self._reconciled(family, seconds, deleted)

    def _close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def _report(self, family: IPFamily, error: Exception) -> None:
        if family in self._failed:
            return
        self._failed.add(family)
        log.warning(
            "conntrack_failed",
            extra={
                "family": str(family),
                "error": str(error) or repr(error),
                "kept": "UDP flows that may be with endpoints that have gone",
                "remedy": f"tried again every {RETRY_SECONDS:.0f} s; "
                "needs CAP_NET_ADMIN and nf_conntrack_netlink",
            },
            exc_info=None if isinstance(error, OSError) else error,
        )

    def _look(self, table: Flows, family: IPFamily, now: float) -> tuple[int, bool]:
        """How many entries were deleted, and whether all were seen that should be."""
        pending = self._pending[family]
        targets = pending.start(now)
        later: Waiting = {}
        deleted, complete = 0, True
        for target in self._questions(targets):
            for _ in range(ATTEMPTS):
                stale = pending.judge(table.flows(family, target), now, later)
                count, whole = _delete(table, family, stale)
                deleted += count
                if whole:
                    break
            else:
                complete = False
        if complete:
            pending.finish(targets, later)
        return deleted, complete

    def _questions(self, targets: Collection[Target] | None) -> Sequence[Target | None]:
        """What to ask the kernel for: some frontends one by one, or everything, whichever takes less time."""
        if targets is None:
            return [None]
        entries, _, buckets = self._room()
        walk = (entries + buckets) * _STEP
        return sorted(targets, key=repr) if len(targets) * walk < walk + entries * _SHOWN else [None]


def _delete(table: Flows, family: IPFamily, stale: Iterator[Flow]) -> tuple[int, bool]:
    """Delete flows as they are found, so that many are never held; how many, and whether none was missed."""
    deleted, whole = 0, True
    batch: list[Flow] = []
    try:
        for flow in stale:
            batch.append(flow)
            if len(batch) == BATCH:
                deleted += table.delete(family, batch)
                batch = []
    except Interrupted:
        whole = False
    return deleted + table.delete(family, batch), whole
