"""Does the kernel hold what it should? Asked in the background, within a budget.

Dataplanes that hear of others' writes mend them at once; the audit is for what nobody hears of, and for those
that can't hear. A read-back may be wrong while the kernel is busy, so only what is found twice counts.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from .addresses import IPFamily, format_address
from .backend import Observed, expected
from .model import Model
from .plugins import Dataplane
from .runner import Clock

PERIOD = 60.0
"""Seconds between two audits of a family, at least."""

BUDGET = 0.02
"""The share of one processor that audits may take."""

TOLD = 5
"""Differences named in one report."""

log = logging.getLogger(__name__)


def differences(meant: Observed, found: Observed) -> Iterator[str]:
    """What is not as it is meant to be, one line each."""
    for match in sorted(meant.frontends.keys() | found.frontends.keys(), key=str):
        if match not in found.frontends:
            yield f"{match} is missing"
        elif match not in meant.frontends:
            yield f"{match} should not be there"
        elif meant.frontends[match] != found.frontends[match]:
            yield f"{match} answers in another way"
    for address in sorted(meant.cluster_ips ^ found.cluster_ips):
        what = "is missing from" if address in meant.cluster_ips else "should not be among"
        yield f"{format_address(address)} {what} the ClusterIPs"
    for network in sorted(meant.service_cidrs ^ found.service_cidrs):
        what = "is missing from" if network in meant.service_cidrs else "should not be among"
        yield f"{network} {what} the service networks"
    yield from found.strange


class Auditor:
    """Compares, family by family, what the kernel holds with the model that was applied last.

    Args:
        applied: the model a family's dataplane holds, as far as is known; called on the auditor's thread.
        dataplanes: to read with; not those that write, for they belong to another thread.
        drifted: told of a family whose kernel state differs, and how.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        applied: Callable[[IPFamily], Model],
        dataplanes: Mapping[IPFamily, Dataplane],
        drifted: Callable[[IPFamily, str], None],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._applied = applied
        self._dataplanes = dataplanes
        self._drifted = drifted
        self._clock = clock

    def audit(self, family: IPFamily) -> float:
        """Audit a family once; the seconds to wait before the next time, so as to keep within the budget."""
        began = self._clock()
        found = self._found(family)
        if found and found == self._found(family):
            more = f" (and {len(found) - TOLD} more)" if len(found) > TOLD else ""
            self._drifted(family, "; ".join(found[:TOLD]) + more)
        return max(PERIOD, (self._clock() - began) / BUDGET)

    def _found(self, family: IPFamily) -> list[str]:
        """What differs now; nothing if the model changed while the kernel was read."""
        model = self._applied(family)
        found = list(differences(expected(model), self._dataplanes[family].observe()))
        return found if self._applied(family) is model else []


class AuditThread:
    """Runs an auditor until told to stop."""

    def __init__(
        self, auditor: Auditor, families: tuple[IPFamily, ...], clock: Clock = time.monotonic
    ) -> None:
        self._auditor = auditor
        self._due = {family: clock() + PERIOD for family in families}
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Start auditing, one period from now."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, once the audit under way is done."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            family = min(self._due, key=lambda family: self._due[family])
            if self._stopping.wait(max(0.0, self._due[family] - self._clock())):
                return
            try:
                pause = self._auditor.audit(family)
            except Exception:
                # The dataplane can't be read now; whatever is wrong with it will show in the next sync.
                log.exception("audit_failed", extra={"family": str(family)})
                pause = PERIOD
            self._due[family] = self._clock() + pause
