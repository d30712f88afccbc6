"""What a case needs of a network, be it of namespaces or of nothing but answers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ParamSpec, Protocol, TypeVar

from pointsman.conformance.lab import Outcome, Page, Reply
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol as Transport

from .wire import Wire

P = ParamSpec("P")
R = TypeVar("R")


class Held(Protocol):
    """A connection held open."""

    greeting: Reply

    def exchange(self, size: int = 8) -> Outcome:
        """Ask once more over the same connection; request and reply are of ``size`` bytes."""

    def close(self) -> None:
        """End it."""


class Network(Protocol):
    """The machines of the scene, each known by its name, with their servers."""

    @property
    def wire(self) -> Wire | None:
        """What can be done with packets themselves, None where there are none."""

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function where the node's dataplanes live."""

    def missing(self, protocol: Transport) -> str:
        """Why there is no such protocol here; empty if there is."""

    def burst(
        self,
        client: str,
        destination: tuple[str, int],
        protocol: Transport,
        *,
        count: int,
        wait: float,
        source: str | None,
    ) -> list[Outcome]:
        """Make new connections, all at once; the outcomes are in the order in which they were started.

        Nothing that comes within ``wait`` seconds is silence. Without ``source`` the client's kernel chooses.
        """

    def each(
        self,
        client: str,
        sources: Sequence[str],
        destination: tuple[str, int],
        protocol: Transport,
        *,
        wait: float,
    ) -> list[Outcome]:
        """Make a new connection from each of a client's addresses; the outcomes are in their order."""

    def now(self) -> float:
        """Seconds on the clock by which timeouts run here."""

    def pass_time(self, seconds: float) -> None:
        """Let time go by, in which nobody connects."""

    def burst_during(
        self,
        changes: Sequence[Callable[[], object]],
        client: str,
        destination: tuple[str, int],
        protocol: Transport,
    ) -> list[Outcome]:
        """Make new connections while changes are carried out, one after another.

        Where nothing happens at the same time as anything else, connections are made between them.
        """

    def hold(self, client: str, destination: tuple[str, int], protocol: Transport) -> Held:
        """Make a connection and keep it. Raises `NotConnected`."""

    def ping(self, client: str, destination: str, wait: float) -> Outcome:
        """Send an ICMP echo request."""

    def request(
        self, client: str, address: str, port: int, path: str, *, method: str, wait: float
    ) -> Page | Outcome:
        """Ask a web server for a page, or find out that there is none."""

    def serve(
        self, machine: str, protocol: Transport, family: IPFamily, port: int
    ) -> AbstractContextManager[object]:
        """Answer on a port of a machine until the context ends."""

    def without_address(self, address: str) -> AbstractContextManager[None]:
        """Have the node under test go without one of its further addresses until the context ends."""

    def forget_flows(self) -> None:
        """Have the node forget every connection it knows of."""
