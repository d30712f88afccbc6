"""The iptables dataplane: the hooks, and the only place that writes."""

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.errors import BackendUnavailable, ResyncRequired, SyncError
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import SyncPlan, SyncReport

from .changes import CHUNK, Changes, Step, steps
from .image import NAME, Image
from .kernel import Refused, Tools, Variant, allow_localnet, choose
from .memory import Memory, memory
from .observe import observed
from .planner import difference, movement, removal, way_back
from .probe import DEFAULT_INSTANCE, attempt, check_permitted, probe
from .services import Root
from .sets import Sets
from .state import State, frontends, read_tables


class IptablesDataplane:
    """One family's chains.

    ``image`` is what the kernel is known to hold; None where that has to be found out. ``settled`` says that
    the chains were ours once: whoever flushes them takes the mark away, but not whose they are.
    """

    def __init__(self, settings: DataplaneSettings, variant: Variant | None) -> None:
        self._family = settings.family
        self._instance = settings.instance
        self._variant = variant
        self._name = f"{NAME}-{variant}" if variant else NAME
        self._tools: Tools | None = None
        self._memory: Memory | None = None
        self._sets = Sets(settings.family)
        self._image: Image | None = None
        self._settled = False

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        """See `Drive.dataplane_probe`."""
        found = probe(self._name, self._family, self._open())
        self._check_owner(self._read())
        return found

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """See `Drive.dataplane_sync`."""
        image, self._image = self._image, None
        if plan.full or image is None or plan.delta.node:
            return self._full(plan)
        before = image.tables.sets
        changed, gone = image.apply(plan.delta)
        changes = movement(image.tables.chains, changed)
        report = self._write(changes, before, image.tables.sets, gone)
        image.note(changed)
        self._image = image
        return report

    @hookimpl
    def dataplane_observe(self) -> Observed:
        """See `Drive.dataplane_observe`."""
        return observed(self._family, self._remember(), self._read())

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        """See `Drive.dataplane_trace`."""
        # Imported late: only who explains packets pays for the interpreter.
        from .trace import trace

        return trace(self._read(), packet)

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        """See `Drive.dataplane_cleanup`."""
        check_permitted(self._name)
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

    @hookimpl
    def dataplane_close(self) -> None:
        """See `Drive.dataplane_close`."""
        self._sets.close()

    def _full(self, plan: SyncPlan) -> SyncReport:
        """Look at what there is, and write what differs."""
        state = self._read()
        self._check_owner(state)
        image = Image(plan.desired.node, self._remember(), self._instance)
        others = None if plan.complete else {root: frontends(state, root) for root in Root}
        image.fill(plan.desired, others)
        if plan.desired.node.node_ports.loopback and self._family is IPFamily.IPV4:
            try:
                allow_localnet()
            except OSError as error:
                raise SyncError(self._name, f"can't let loopback addresses be routed: {error}") from error
        present = self._held_sets()
        gone = present.keys() - image.tables.sets.keys() if plan.complete else set()
        changes = difference(state, image.tables, keep_others=not plan.complete)
        report = self._write(changes, present, image.tables.sets, gone)
        self._settled = True
        # After an early part of a cold start there is more than the image knows of.
        self._image = image if plan.complete else None
        return report

    def _write(
        self, changes: Changes, present: dict[str, int], wanted: dict[str, int], gone: set[str]
    ) -> SyncReport:
        """Sets before the rules that use them, and after them those that no rule uses any more."""
        created = {name: seconds for name, seconds in wanted.items() if name not in present}
        retimed = {n: seconds for n, seconds in wanted.items() if present.get(n, seconds) != seconds}
        try:
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
        """Write each step; if one is refused, take back those before."""
        done = 0
        planned = self._steps(changes)
        for step in planned:
            try:
                self._open().write(step)
            except Refused as refusal:
                self._take_back(changes, planned, done, step, refusal)
            done += 1
        return done

    def _take_back(
        self, changes: Changes, planned: list[Step], done: int, step: Step, refusal: Refused
    ) -> None:
        what = f"{refusal}; at fault is {step.culprit(refusal.line)}"
        if done == 0:
            raise SyncError(self._name, f"{what}; nothing was written") from refusal
        try:
            for undo in self._steps(way_back(self._read(), changes)):
                self._open().write(undo)
        except (Refused, SyncError) as error:
            raise ResyncRequired(
                self._name, f"{what}; {done} of {len(planned)} steps were written and stay ({error})"
            ) from refusal
        raise SyncError(self._name, f"{what}; what had been written is taken back") from refusal

    def _steps(self, changes: Changes) -> list[Step]:
        return list(steps(changes, CHUNK if self._open().variant is Variant.NFT else None))

    def _read(self) -> State:
        try:
            return read_tables(self._open().read_ours())
        except Refused as refusal:
            raise SyncError(self._name, f"can't read the tables: {refusal}") from refusal

    def _open(self) -> Tools:
        if self._tools is None:
            self._tools = choose(self._name, self._family, self._variant)
        return self._tools

    def _remember(self) -> Memory:
        if self._memory is None:
            sets = attempt(self._family, self._open(), memory(self._family, sets=True)) is None
            self._memory = memory(self._family, sets=sets)
        return self._memory

    def _held_sets(self) -> dict[str, int]:
        try:
            return self._sets.held() if self._remember().needs_sets else {}
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
