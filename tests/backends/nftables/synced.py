"""A simulated table, brought from model to model as the dataplane brings the kernel's."""

from collections.abc import Iterator

from msgspec.structs import replace

from pointsman.backends.nftables.changes import Writer
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.planner import Books, full, partial
from pointsman.core.model import Model
from pointsman.core.plan import Delta, SyncPlan
from tests.backends.nftables.simulated import Simulated


class Synced:
    """A table that holds a model, made anew by the transaction ``created``."""

    def __init__(self, model: Model) -> None:
        self.layout = layout(model.node.family, "pointsman")
        self.table = Simulated(self.layout.table)
        self._writer = Writer(self.layout)
        self._books = Books()
        step, anew = full(self.layout, SyncPlan(model.node.family, model, Delta(), full=True), None)
        assert anew
        self.created = self._writer.create(step.changes)
        self.table.commit(self.created)
        step.note(self._books)

    def advance(self, desired: Model, delta: Delta) -> Iterator[None]:
        """Apply a delta, one transaction at a time."""
        step = partial(self.layout, delta, desired, self._books)
        for operations in self._writer.phases(step.changes):
            self.table.commit(operations)
            yield
        step.note(self._books)


def without_loopback(model: Model) -> Model:
    """The model without node ports on loopback addresses, which this backend has none of (DIV-06)."""
    node = replace(model.node, node_ports=replace(model.node.node_ports, loopback=False))
    return replace(model, node=node)
