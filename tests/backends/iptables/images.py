"""Models as the tables that the backend would make of them, without a kernel."""

from typing import NamedTuple

from pointsman.backends.iptables.image import Image
from pointsman.backends.iptables.means import Means
from pointsman.backends.iptables.memory import memory
from pointsman.backends.iptables.state import State
from pointsman.backends.iptables.tables import Tables
from pointsman.core.model import Model

INSTANCE = "pointsman"


class Made(NamedTuple):
    """An image, and the tables as it was made with."""

    image: Image
    tables: Tables


def image(model: Model, *, sets: bool = True, counted: bool = True, lean: bool = False) -> Made:
    """What the tables are to hold for a model."""
    made = Image(model.node, Means(memory(model.node.family, sets=sets), counted), INSTANCE, lean=lean)
    return Made(made, made.fill(model))


def state(made: Made) -> State:
    """The state of a kernel that holds an image and nothing else."""
    tables = made.tables
    foreign = {
        chain: (*tables.jumps.get(chain, ()), *tables.shared.get(chain, ()))
        for chain in {*tables.jumps, *tables.shared}
    }
    return State(dict(tables.chains), foreign)
