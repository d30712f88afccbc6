"""Which of the kernel's optional parts rules make use of."""

from msgspec import Struct

from .memory import Memory


class Means(Struct, frozen=True):
    """What there is to make rules with.

    ``memory`` is how clients are remembered for session affinity; ``counted`` says whether nfacct objects
    count what MET-12 names, ``compared`` whether a rule can compare a packet's source and destination, which
    the lean form needs.
    """

    memory: Memory
    counted: bool = False
    compared: bool = False
