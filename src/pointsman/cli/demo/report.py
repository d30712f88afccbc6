"""What a demo found out, as data."""

from msgspec import Struct

from pointsman.conformance.lab import Reply


class PodShare(Struct, frozen=True):
    """How many of the connections a pod got, and what part of all that is."""

    pod: str
    endpoint: str
    connections: int
    share: float


class WayStep(Struct, frozen=True):
    """A step on the first packet's way; its fields are those of `pointsman.core.packet.Step`."""

    topic: str
    text: str
    where: str
    probability: float


class DemoReport(Struct, frozen=True):
    """What happened.

    ``chi_squared`` measures how far the counts are from even, with ``degrees_of_freedom``; ``p_value`` is how
    often perfectly random picks would be as uneven as this or more. ``way`` was read back from the kernel.
    ``answer`` is what one pod said; its ``client`` is whom the pod saw.
    """

    backend: str
    kernel: str
    service: str
    virtual_ip: str
    port: int
    client: str
    connections: int
    answered: int
    other_outcomes: dict[str, int]
    seconds: float
    pods: tuple[PodShare, ...]
    chi_squared: float
    degrees_of_freedom: int
    p_value: float
    way: tuple[WayStep, ...]
    answer: Reply | None
