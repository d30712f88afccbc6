"""What connection tracking says of UDP flows, and how frontends are told in it."""

from typing import NamedTuple

Place = tuple[bytes, int]
"""An address, packed, and a port."""


class Flow(NamedTuple):
    """One UDP entry of the table.

    Attributes:
        destination: where the client sends to.
        source: who answers: the endpoint, or the destination itself where nobody translated it.
        handle: by which the table knows the entry again.
        answered: whether a packet has come back by it.
    """

    destination: Place
    source: Place
    handle: bytes = b""
    answered: bool = True

    @property
    def translated(self) -> bool:
        """Whether it was sent on to somebody else."""
        return self.source != self.destination


class Target(NamedTuple):
    """What flows to one frontend have in common; ``address`` None stands for every one, as for node ports.

    It equals the `Place` that it names, if it names one.
    """

    address: bytes | None
    port: int
