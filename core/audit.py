"""Does the kernel hold what it should? Asked in the background, within a budget.

Dataplanes that hear of others' writes mend them at once; the audit is for what nobody hears of, and for those
that can't hear. A read-back may be wrong while the kernel is busy, so only what is found twice counts.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

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


class AuditResult(Struct, frozen=True):
    """How an audit of a family ended: what was found twice to be otherwise than meant.

    ``differences`` counts it, ``examples`` are one line each. ``seconds`` is how long the audit took.
    """

    family: IPFamily
    differences: int
    examples: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """The examples in one line, and how many more there are."""
        more = self.differences - len(self.examples)
        return "; ".join(self.examples) + (f" (and {more} more)" if more else "")


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
        audited: told of every audit.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        applied: Callable[[IPFamily], Model],
        dataplanes: Mapping[IPFamily, Dataplane],
        drifted: Callable[[IPFamily, str], None],
        audited: Callable[[AuditResult], None],
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._applied = applied
        self._dataplanes = dataplanes
        self._drifted = drifted
        self._audited = audited
        self._clock = clock

    def audit(self, family: IPFamily) -> float:
        """Audit a family once; the seconds to wait before the next time, so as to keep within the budget."""
        began = self._clock()
        found = self._found(family)
        if found and found != self._found(family):
            found = []
        audit = AuditResult(family, len(found), tuple(found[:TOLD]), self._clock() - began)
        self._audited(audit)
        if found:
            self._drifted(family, str(audit))
        return max(PERIOD, (self._clock() - began) / BUDGET)

    def _found(self, family: IPFamily) -> list[str]:
        """What differs now; nothing if the model changed while the kernel was read."""
        model = self._applied(family)
        shown = self._dataplanes[family].observe(model)
        # Asked before the comparison, which takes as much memory again, and would be for nothing.
        return list(differences(expected(model), shown)) if self._applied(family) is model else []


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
