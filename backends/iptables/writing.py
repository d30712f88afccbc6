"""Carrying out changes, one transaction after another, and taking them back where one is refused."""

import logging
from typing import NoReturn

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.errors import ResyncRequired, SyncError

from . import libiptc
from .changes import Changes, Step, culprit, steps
from .kernel import Refused, Tools, Variant, lock_file
from .planner import way_back
from .state import State, read_tables

log = logging.getLogger(__name__)


def read(backend: str, tools: Tools) -> State:
    """What the kernel holds.

    Raises:
        SyncError: it can't be read.
    """
    try:
        return read_tables(tools.read_ours())
    except Refused as refusal:
        raise SyncError(backend, f"can't read the tables: {refusal}") from refusal


class Writer(Struct):
    """Writes one family's tables; ``inside`` says whether jumps can be put right without a program."""

    backend: str
    family: IPFamily
    tools: Tools
    inside: bool

    def write(self, changes: Changes, chunk: int) -> int:
        """Write each step, of so many lines at most with the nft variant; how many there were.

        Raises:
            SyncError: nothing is written, or nothing any more.
            ResyncRequired: nobody knows what is written.
        """
        if self.inside and self._led(changes):
            return 1
        planned = self._steps(changes, chunk)
        for done, step in enumerate(planned):
            try:
                self.tools.write(step)
            except Refused as refusal:
                self._give_up(changes, planned, done, refusal, chunk)
        return len(planned)

    def _led(self, changes: Changes) -> bool:
        """Mend the way to our chains in process; whether that was possible."""
        try:
            libiptc.lead(self.family, changes.jumps)
        except Refused as refusal:
            if refusal.locked:
                raise SyncError(self.backend, f"{_locked(refusal)}; nothing was written") from refusal
            log.warning("libiptc_failed", extra={"error": str(refusal), "instead": self.tools.restore})
            return False
        return True

    def _give_up(
        self, changes: Changes, planned: list[Step], done: int, refusal: Refused, chunk: int
    ) -> NoReturn:
        if refusal.perhaps_done:
            # It may have been a moment from its end, or at the beginning: what is there has to be looked at.
            raise ResyncRequired(
                self.backend,
                f"{refusal}; whether it wrote step {done + 1} of {len(planned)} nobody knows, those before it"
                " stay; the next sync reads the tables back and writes what differs",
            ) from refusal
        fault = f"{refusal}; at fault is {culprit(planned[done], refusal.line, changes)}"
        what = _locked(refusal) if refusal.locked else fault
        if done == 0:
            raise SyncError(self.backend, f"{what}; nothing was written") from refusal
        try:
            for undo in self._steps(way_back(read(self.backend, self.tools), changes), chunk):
                self.tools.write(undo)
        except (Refused, SyncError) as error:
            raise ResyncRequired(
                self.backend, f"{what}; {done} of {len(planned)} steps were written and stay ({error})"
            ) from refusal
        raise SyncError(self.backend, f"{what}; what had been written is taken back") from refusal

    def _steps(self, changes: Changes, chunk: int) -> list[Step]:
        return list(steps(changes, chunk if self.tools.variant is Variant.NFT else None))


def _locked(refusal: Refused) -> str:
    """Who can't write because of somebody else is told how to find them."""
    return f"{refusal}; see who holds it (fuser -v {lock_file()}), it is tried again"
