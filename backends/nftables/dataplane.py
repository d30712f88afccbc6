"""The nftables dataplane: the hooks, and the only place that commits."""

from collections.abc import Callable
from errno import ENOENT

from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.errors import ResyncRequired, SyncError
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Model
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.traffic import Count

from .changes import Writer
from .layout import layout
from .listener import Listener
from .netlink import messages
from .netlink.errors import NetlinkError, StaleGeneration
from .netlink.messages import Operation
from .netlink.netfilter import NetfilterSocket
from .observe import observed
from .planner import Books, Review, full, partial
from .probe import NAME, probe
from .review import reviewed
from .state import read
from .traffic import counts

# How often somebody else may commit between our look at the generation and our own commit.
_PATIENCE = 20

# Bytes of a transaction from which on listening to it costs more than it tells.
_BULK = 1 << 16


class NftablesDataplane:
    """One family's table.

    The sockets are opened on first use, in the network namespace of the calling thread, and then kept:
    closing one costs 10 ms.
    """

    def __init__(self, settings: DataplaneSettings) -> None:
        self._layout = layout(settings.family, settings.instance, counted=settings.traffic)
        self._writer = Writer(self._layout)
        self._books = Books()
        self._netlink: NetfilterSocket | None = None
        self._listener: Listener | None = None

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        """See `Drive.dataplane_probe`."""
        return probe(self._layout)

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """See `Drive.dataplane_sync`."""
        try:
            netlink, listener = self._open()
            generation = netlink.generation()
            anew = False
            if listener.heard() or plan.full:
                books = Books()
                step, anew = full(self._layout, plan, read(netlink, self._layout))
            else:
                books = self._books
                step = partial(self._layout, plan.delta, plan.desired, books)
        except OSError as error:
            raise SyncError(NAME, f"can't read table {self._layout.table}: {error}") from error
        phases = [self._writer.create(step.changes)] if anew else self._writer.phases(step.changes)
        transactions = self._commit(phases, generation)
        step.note(books)
        self._books = books
        writes = step.changes.writes() if transactions else 0
        for review in step.reviews:
            reviewed = self._review(review)
            writes += reviewed
            transactions += bool(reviewed)
        return SyncReport(transactions, writes)

    @hookimpl
    def dataplane_observe(self, meant: Model | None) -> Observed:
        """See `Drive.dataplane_observe`."""
        return observed(self._layout, read(self._open()[0], self._layout), meant)

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        """See `Drive.dataplane_trace`."""
        # Imported late: only who explains packets pays for the interpreter.
        from .trace import trace

        return trace(self._layout, self._open()[0], packet)

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        """See `Drive.dataplane_cleanup`."""
        (netlink, _), table = self._open(), self._layout.table
        if not any(info.table == table for info in netlink.dump_tables(table.family)):
            return False
        netlink.commit([messages.delete_table(table)])
        self._books = Books()
        return True

    @hookimpl
    def dataplane_close(self) -> None:
        """See `Drive.dataplane_close`."""
        for opened in (self._listener, self._netlink):
            if opened is not None:
                opened.close()
        self._netlink = self._listener = None

    @hookimpl
    def dataplane_watch(self, changed: Callable[[], None]) -> None:
        """See `Drive.dataplane_watch`."""
        self._open()[1].tell(changed)

    @hookimpl
    def dataplane_traffic(self, model: Model) -> list[Count]:
        """See `Drive.dataplane_traffic`."""
        table = self._layout.table
        try:
            netlink, _ = self._open()
            return list(counts(self._layout, model, lambda name: netlink.dump_elements(table, name)))
        except OSError as error:
            raise SyncError(NAME, f"can't read what table {table} has counted: {error}") from error

    def _open(self) -> tuple[NetfilterSocket, Listener]:
        if self._netlink is None or self._listener is None:
            self._netlink = NetfilterSocket()
            self._listener = Listener(self._layout.table, self._netlink.portid)
        return self._netlink, self._listener

    def _review(self, review: Review) -> int:
        """Look through a map of clients; how many entries were taken out or given another time."""
        (netlink, _), table = self._open(), self._layout.table
        for _ in range(_PATIENCE):
            elements = netlink.dump_elements(table, review.clients.name)
            operations, count = reviewed(table, review, elements)
            try:
                netlink.commit(operations)
            except NetlinkError as error:
                if error.errno != ENOENT:
                    raise ResyncRequired(NAME, str(error)) from error
                continue  # an entry's time was up in between
            return count
        raise ResyncRequired(
            NAME, f"entries of {review.clients.name} end faster than they can be looked through"
        )

    def _commit(self, phases: list[list[Operation]], generation: int) -> int:
        """Commit each phase, provided that our table is still as it was when the phases were made."""
        netlink, listener = self._open()
        for done, operations in enumerate(phases):
            # A failure after the first transaction leaves a state in which all packets find their way, but
            # not the one that is remembered.
            failed = ResyncRequired if done else SyncError
            for _ in range(_PATIENCE):
                try:
                    self._commit_one(operations, generation)
                    break
                except StaleGeneration:
                    if listener.heard():
                        raise failed(
                            NAME, f"somebody else is writing to table {self._layout.table}"
                        ) from None
                except NetlinkError as error:
                    raise failed(NAME, str(error)) from error
                except OSError as error:
                    raise ResyncRequired(NAME, str(error)) from error
                generation = netlink.generation()
            else:
                raise failed(NAME, f"others commit to nf_tables without a pause; {_PATIENCE} tries failed")
            generation = netlink.generation()
        return len(phases)

    def _commit_one(self, operations: list[Operation], generation: int) -> None:
        netlink, listener = self._open()
        if sum(len(operation.attributes) for operation in operations) < _BULK:
            netlink.commit(operations, generation)
            return
        with listener.paused():
            netlink.commit(operations, generation)
        if netlink.generation() != generation + 1:
            listener.suspect()
