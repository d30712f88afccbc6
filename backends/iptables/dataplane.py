"""The iptables dataplane: the hooks, and the only place that writes."""

import logging
import threading
from collections.abc import Callable

from msgspec.structs import replace

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, Observed, expected
from pointsman.core.errors import BackendUnavailable, SyncError
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Model
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.traffic import Count

from . import accounting
from .changes import CHUNK, Changes
from .counting import RuleCounts
from .form import is_lean
from .image import NAME, Image, Others
from .kernel import Refused, Tools, Variant, allow_localnet, choose
from .observe import observed
from .planner import difference, removal
from .probe import DEFAULT_INSTANCE, Found, check_permitted, examine, probe
from .sets import Sets
from .skeleton import CANARIES
from .state import State, others
from .traffic import counts
from .watch import Watch
from .writing import Writer, read

log = logging.getLogger(__name__)


class IptablesDataplane:
    """One family's chains.

    ``image`` is what the kernel is known to hold; None where that has to be found out. ``settled`` says that
    the chains were ours once: whoever flushes them takes the mark away, but not whose they are.
    """

    def __init__(self, settings: DataplaneSettings, variant: Variant | None) -> None:
        self._family = settings.family
        self._instance = settings.instance
        self._period = settings.sync_period
        self._variant = variant
        self._name = f"{NAME}-{variant}" if variant else NAME
        self._tools: Tools | None = None
        self._sets = Sets(settings.family)
        self._image: Image | None = None
        self._counts = RuleCounts()
        self._settled = False
        # The watch doesn't look while something is half written.
        self._writing = threading.Lock()
        self._watch: Watch | None = None

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        """See `Drive.dataplane_probe`."""
        found = probe(self._name, self._family, self._open())
        self._check_owner(self._read())
        return found

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """See `Drive.dataplane_sync`."""
        with self._writing:
            return self._sync(plan)

    @hookimpl
    def dataplane_observe(self, meant: Model | None) -> Observed:
        """See `Drive.dataplane_observe`.

        What the very rules do that a model is compiled to needn't be read out of them.
        """
        state = self._read()
        if meant is None:
            return observed(self._family, self._found().means, state)
        image = self._image_for(meant, lean=state.lean)
        chains = (held for fragment in image.fragments(meant) for held in fragment.chains.items())
        left = difference(state, image.around(), chains)
        return observed(self._family, self._found().means, state, left) if left else expected(meant)

    @hookimpl
    def dataplane_watch(self, changed: Callable[[], None]) -> None:
        """See `Drive.dataplane_watch`: only flushes of whole tables are noticed, within one period."""
        self._watch = Watch(self._intact, changed, self._period)
        self._watch.start()

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        """See `Drive.dataplane_trace`."""
        # Imported late: only who explains packets pays for the interpreter.
        from .trace import trace

        return trace(self._read(), packet)

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        """See `Drive.dataplane_cleanup`."""
        check_permitted(self._name, self._open().variant)
        with self._writing:
            return self._clean_up()

    @hookimpl
    def dataplane_traffic(self, model: Model) -> list[Count]:
        """See `Drive.dataplane_traffic`."""
        try:
            return list(counts(self._open().read_counts(), model))
        except Refused as refusal:
            raise SyncError(self._name, f"can't read what rules have counted: {refusal}") from refusal

    @hookimpl
    def dataplane_close(self) -> None:
        """See `Drive.dataplane_close`."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self._sets.close()

    def _sync(self, plan: SyncPlan) -> SyncReport:
        image, self._image = self._image, None
        if plan.full or image is None or plan.delta.node:
            return self._full(plan)
        changes, before, after = image.apply(plan.delta)
        report = self._write(changes, before, after, {*before} - {*after})
        self._image = image
        return replace(report, tables=self._counts.moved(changes))

    def _clean_up(self) -> bool:
        self._image = None
        state = self._read()
        # What has no mark may be kube-proxy's, which is for somebody else to clean up; but not all of it is.
        if not self._owns(state) or (state.owner == "" and not (self._settled or state.beyond_kube_proxy)):
            return False
        changes = removal(state)
        self._commit(changes)
        gone = self._sets.destroy(set(self._held_sets()))
        self._settled = False
        return bool(changes or gone)

    def _full(self, plan: SyncPlan) -> SyncReport:
        """Look at what there is, and write what differs."""
        state = self._read()
        self._check_owner(state)
        lean = self._is_lean(plan, state)
        image = self._image_for(plan.desired, lean=lean)
        tables = image.fill(plan.desired, Others() if plan.complete else others(state))
        if plan.desired.node.node_ports.loopback and self._family is IPFamily.IPV4:
            try:
                allow_localnet()
            except OSError as error:
                raise SyncError(self._name, f"can't let loopback addresses be routed: {error}") from error
        present = self._held_sets()
        gone = present.keys() - tables.sets.keys() if plan.complete else set()
        changes = difference(state, tables, keep_others=not plan.complete)
        _tell_of_kept(state, changes)
        report = self._write(changes, present, tables.sets, gone)
        self._settled = True
        # After an early part of a cold start there is more than the image knows of.
        self._image = image if plan.complete else None
        return replace(report, tables=self._counts.filled(tables, changes))

    def _image_for(self, model: Model, *, lean: bool) -> Image:
        return Image(model.node, self._found().means, self._instance, lean=lean)

    def _is_lean(self, plan: SyncPlan, state: State) -> bool:
        """Whether rules are to have the lean form. Only full plans change it, and early parts never do."""
        if not plan.complete and state.owner is not None:
            return state.lean
        return self._found().means.compared and is_lean(plan.desired, held=state.lean)

    def _write(
        self, changes: Changes, present: dict[str, int], wanted: dict[str, int], gone: set[str]
    ) -> SyncReport:
        """Sets before the rules that use them, and after them those that no rule uses any more."""
        created = {name: seconds for name, seconds in wanted.items() if name not in present}
        retimed = {n: seconds for n, seconds in wanted.items() if present.get(n, seconds) != seconds}
        try:
            if self._found().means.counted:
                accounting.ensure()
            self._sets.create(created)
            self._sets.retime(retimed)
        except OSError as error:
            self._sets.destroy(set(created))
            raise SyncError(self._name, f"{error}; nothing was written") from error
        try:
            transactions = self._commit(changes)
        except SyncError:
            self._sets.destroy(set(created))
            raise
        writes = changes.writes() + len(created) + len(retimed) + self._sets.destroy(gone)
        return SyncReport(transactions + bool(created or retimed or gone), writes)

    def _commit(self, changes: Changes) -> int:
        """Write; how many transactions that took."""
        inside = changes.only_jumps and self._is_inside()
        return Writer(self._name, self._family, self._open(), inside).write(changes, CHUNK)

    def _read(self) -> State:
        return read(self._name, self._open())

    def _open(self) -> Tools:
        if self._tools is None:
            self._tools = choose(self._name, self._family, self._variant)
        return self._tools

    def _found(self) -> Found:
        return examine(self._name, self._family, self._open())

    def _is_inside(self) -> bool:
        """Whether tables can be reached without running a program."""
        return not self._found().outside

    def _intact(self) -> bool:
        """Whether nobody has flushed a table since we wrote to it. Raises `Refused`."""
        with self._writing:
            return not self._settled or all(map(self._open().has_rules, CANARIES))

    def _held_sets(self) -> dict[str, int]:
        try:
            return self._sets.held() if self._found().means.memory.needs_sets else {}
        except OSError as error:
            raise SyncError(self._name, str(error)) from error

    def _owns(self, state: State) -> bool:
        """Whether the chains there are are ours, or kube-proxy's and ours to take over."""
        unmarked = self._settled or self._instance == DEFAULT_INSTANCE
        return state.owner == self._instance or (state.owner == "" and unmarked)

    def _check_owner(self, state: State) -> None:
        """KUBE-… names can't be shared: who else has them in this network namespace must go first."""
        owner = state.owner
        if owner is None or self._owns(state):
            return
        whose = f"instance {owner}" if owner else "kube-proxy"
        raise BackendUnavailable(
            self._name,
            f"the KUBE-… chains of this network namespace belong to {whose}",
            f"stop it and clean up after it (pointsman cleanup --instance {owner or 'NAME'}),"
            " or run in another network namespace",
        )


def _tell_of_kept(state: State, changes: Changes) -> None:
    """Say which chains can't go, and because of whom."""
    users = state.used_by_others() if any(change.new == () for change in changes.chains.values()) else {}
    for name, change in changes.chains.items():
        if change.new == () and name in users:
            log.warning(
                "chain_in_use",
                extra={
                    "chain": f"{name.name} of table {name.table}",
                    "kept": f"it is emptied, and stays: a rule in {users[name].name} leads to it",
                    "remedy": "remove that rule; the chain goes with the next full sync",
                },
            )
