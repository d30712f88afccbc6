"""The network of real kernels: the lab, with servers on all its pods."""

import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ParamSpec, TypeVar

from pointsman.conformance.lab import (
    NODE,
    ROUTER,
    Connection,
    Lab,
    Outcome,
    Page,
    burst,
    open_connection,
    ping,
    request,
)
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

from .scene import OUTSIDE, PODS, PORTS, REAL_PORT, SPEC, scene
from .wire import Wire

P = ParamSpec("P")
R = TypeVar("R")

_MEETING = 5.0
_AT_A_TIME = 32


class KernelNetwork:
    """A `Network` of namespaces; nothing of it outlives the process.

    Raises:
        LabUnavailable: this machine or user can't have a lab.
    """

    def __init__(self) -> None:
        with ExitStack() as stack:
            self._lab = stack.enter_context(Lab(SPEC))
            for protocol in Protocol:
                if not self.missing(protocol):
                    self._populate(protocol)
            self._meet()
            self._conntrack = self.run(_conntrack)
            stack.callback(self.run, self._conntrack.close)
            self._stack = stack.pop_all()

    @property
    def wire(self) -> Wire:
        """See `Network.wire`."""
        return Wire(self._lab)

    def close(self) -> None:
        """Take everything down."""
        self._stack.close()

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Network.run`."""
        return self._lab.node.run(function, *args, **kwargs)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on the node; see `Namespace.popen`."""
        return self._lab.node.popen(argv, **options)

    def missing(self, protocol: Protocol) -> str:
        """See `Network.missing`."""
        return self._lab.capabilities.sctp.reason if protocol is Protocol.SCTP else ""

    def burst(
        self,
        client: str,
        destination: tuple[str, int],
        protocol: Protocol,
        *,
        count: int,
        wait: float,
        source: str | None,
    ) -> list[Outcome]:
        """See `Network.burst`."""
        sources = () if source is None else (source,)
        return burst(self._lab[client], *destination, protocol, count=count, sources=sources, wait=wait)

    def each(
        self,
        client: str,
        sources: Sequence[str],
        destination: tuple[str, int],
        protocol: Protocol,
        *,
        wait: float,
    ) -> list[Outcome]:
        """See `Network.each`."""
        return burst(
            self._lab[client], *destination, protocol, count=len(sources), sources=sources, wait=wait
        )

    def now(self) -> float:
        """See `Network.now`."""
        return time.monotonic()

    def pass_time(self, seconds: float) -> None:
        """See `Network.pass_time`."""
        time.sleep(seconds)

    def burst_during(
        self,
        changes: Sequence[Callable[[], object]],
        client: str,
        destination: tuple[str, int],
        protocol: Protocol,
    ) -> list[Outcome]:
        """See `Network.burst_during`."""
        outcomes: list[Outcome] = []
        done = threading.Event()

        def connect() -> None:
            last = False
            while not last:
                last = done.is_set()  # so that the last ones begin after all changes
                outcomes.extend(
                    self.burst(client, destination, protocol, count=_AT_A_TIME, wait=_MEETING, source=None)
                )

        with ThreadPoolExecutor(1, thread_name_prefix="clients") as clients:
            connecting = clients.submit(connect)
            try:
                for change in changes:
                    change()
            finally:
                done.set()
            connecting.result()
        return outcomes

    def hold(self, client: str, destination: tuple[str, int], protocol: Protocol) -> Connection:
        """See `Network.hold`."""
        return open_connection(self._lab[client], *destination, protocol)

    def ping(self, client: str, destination: str, wait: float) -> Outcome:
        """See `Network.ping`."""
        return ping(self._lab[client], destination, wait=wait)

    def request(
        self, client: str, address: str, port: int, path: str, *, method: str, wait: float
    ) -> Page | Outcome:
        """See `Network.request`."""
        return request(self._lab[client], address, port, path, method=method, wait=wait)

    def serve(
        self, machine: str, protocol: Protocol, family: IPFamily, port: int
    ) -> AbstractContextManager[object]:
        """See `Network.serve`."""
        return self._lab.serve(machine, protocol, family, port)

    def without_address(self, address: str) -> AbstractContextManager[None]:
        """See `Network.without_address`."""
        return self._lab.without_address(NODE, address)

    def forget_flows(self) -> None:
        """See `Network.forget_flows`."""
        self.run(self._conntrack.flush)

    def _populate(self, protocol: Protocol) -> None:
        for family in IPFamily:
            for pod in PODS:
                for port in PORTS:
                    self._lab.serve(pod, protocol, family, port)
            self._lab.claim(scene(family).real_load_balancer_ip)
            self._lab.serve(ROUTER, protocol, family, REAL_PORT)

    def _meet(self) -> None:
        """Have everybody find everybody else's link-layer address.

        In a lab that has just come up, a first neighbour solicitation may be lost, and is repeated only after
        a second.
        """
        for family in IPFamily:
            at = scene(family)
            servers = [*((at.address(pod), PORTS[0]) for pod in PODS), (at.real_load_balancer_ip, REAL_PORT)]
            for client, destination in itertools.product((NODE, OUTSIDE, *PODS), servers):
                self.burst(client, destination, Protocol.TCP, count=1, wait=_MEETING, source=None)


def _conntrack() -> Any:
    from pyroute2 import NFCTSocket

    return NFCTSocket()
