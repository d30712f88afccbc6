"""The plugin that brings conntrack reconciliation to whoever drives an engine by himself."""

from collections.abc import Sequence

from pointsman.core.addresses import IPFamily
from pointsman.core.companions import Companion, CompanionRegistry, CompanionSpec
from pointsman.core.hookspecs import hookimpl


def _start(families: Sequence[IPFamily]) -> Companion:
    # Late: whoever lists the plugins needs no table of flows.
    from .reconciler import Reconciler

    reconciler = Reconciler(families, lambda _family, _seconds, _deleted: None)
    reconciler.start()
    return reconciler


SPEC = CompanionSpec("conntrack", "takes UDP flows away from endpoints that have left", _start)


@hookimpl
def pointsman_register_companions(registry: CompanionRegistry) -> None:
    """Add the reconciler."""
    registry.add(SPEC)
