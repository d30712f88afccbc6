"""Attempts from inside a namespace: one, many at once, or one that is held open.

Waits are in seconds and bound silence only: replies and refusals are known within milliseconds of being sent
(see `flows`), refusals of SCTP by ICMP in a tenth of a second. `DEFAULT_WAIT` outlasts the first repetition
of a SYN, so that one lost packet is not taken for silence; a caller who expects silence and knows that
nothing is lost may wait less, such as 0.3.
"""

import errno
import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from pointsman.core.addresses import IPFamily, family_of, parse_address
from pointsman.core.errors import PointsmanError
from pointsman.core.model import Protocol

from .flows import DatagramFlow, EchoFlow, Flow, StreamFlow
from .netns import Namespace
from .outcomes import Outcome, Reply
from .race import Race

DEFAULT_WAIT = 1.2
"""Seconds after which an attempt counts as silent."""

_ICMP = {IPFamily.IPV4: socket.IPPROTO_ICMP, IPFamily.IPV6: socket.IPPROTO_ICMPV6}
_SMALL = 8
_PORT_TRIES = 1000

Talk = StreamFlow | DatagramFlow


class NotConnected(PointsmanError):
    """A connection that was to be held open did not come about.

    Attributes:
        outcome: what came instead of a reply.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"no connection: {outcome}")
        self.outcome = outcome


class Connection:
    """A flow held open: a TCP or SCTP connection, or a UDP socket that keeps its ports.

    Attributes:
        greeting: the server's first line.
    """

    def __init__(self, flow: Talk, greeting: Reply) -> None:
        self._flow = flow
        self.greeting = greeting

    def __enter__(self) -> Self:
        """Hold it until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def exchange(self, size: int = _SMALL, wait: float = DEFAULT_WAIT) -> Outcome:
        """Send a request of ``size`` bytes; what comes back is one reply as long, or what became of it."""
        return self._flow.ask(size, wait) or _await(self._flow, wait)

    def close(self) -> None:
        """End it; TCP by a reset."""
        self._flow.close()


def connect(
    namespace: Namespace,
    destination: str,
    port: int,
    protocol: Protocol = Protocol.TCP,
    *,
    source: str | None = None,
    wait: float = DEFAULT_WAIT,
    size: int = _SMALL,
) -> Outcome:
    """Ask who answers at an address; ``size`` is the length of a UDP request, which its reply will have too.

    Raises:
        OSError: ``source`` is not the namespace's, or the kernel lacks the protocol.
    """
    sources = () if source is None else (source,)
    [flow] = _flows(namespace, (destination, port), protocol, sources, 1, size)
    try:
        return flow.start() or _await(flow, wait)
    finally:
        flow.close()


def open_connection(
    namespace: Namespace,
    destination: str,
    port: int,
    protocol: Protocol = Protocol.TCP,
    *,
    source: str | None = None,
    wait: float = DEFAULT_WAIT,
) -> Connection:
    """Connect, and keep the connection; UDP counts as connected once answered.

    Raises:
        NotConnected: there was no reply.
        OSError: as in `connect`.
    """
    sources = () if source is None else (source,)
    [flow] = _flows(namespace, (destination, port), protocol, sources, 1, _SMALL)
    try:
        outcome = flow.start() or _await(flow, wait)
        if not isinstance(outcome, Reply):
            raise NotConnected(outcome)
    except BaseException:
        flow.close()
        raise
    return Connection(flow, outcome)


def ping(
    namespace: Namespace, destination: str, *, source: str | None = None, wait: float = DEFAULT_WAIT
) -> Outcome:
    """Send an ICMP or ICMPv6 echo request.

    Raises:
        OSError: ``source`` is not the namespace's.
    """
    family = family_of(parse_address(destination))
    [opened] = namespace.sockets(1, family, socket.SOCK_DGRAM, _ICMP[family])
    with opened:
        if source is not None:
            opened.bind((source, 0))
        flow = EchoFlow(opened, (destination, 0))
        return flow.start() or _await(flow, wait)


def burst(  # noqa: PLR0913 - all but the destination are options, by keyword
    namespace: Namespace,
    destination: str,
    port: int,
    protocol: Protocol = Protocol.TCP,
    *,
    count: int,
    concurrency: int = 64,
    sources: Sequence[str] = (),
    wait: float = DEFAULT_WAIT,
    size: int = _SMALL,
    progress: Callable[[int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Make many attempts, each a new flow from a source port that has long not been used.

    Up to ``concurrency`` are under way at a time. ``sources`` are taken in turn; without any the kernel
    chooses. ``progress`` is called after each attempt with the number done so far and the outcome.

    Returns:
        The outcomes, in the order in which the attempts were started.

    Raises:
        OSError: as in `connect`.
    """
    turns = itertools.cycle(sources)
    with Race(wait, concurrency, progress) as race:
        for begun in range(0, count, concurrency):
            batch = min(concurrency, count - begun)
            from_here = tuple(itertools.islice(turns, batch))
            race.admit(_flows(namespace, (destination, port), protocol, from_here, batch, size))
        return race.finish()


def _await(flow: Flow, wait: float) -> Outcome:
    deadline = time.monotonic() + wait
    ready = select.poll()
    ready.register(flow, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if ready.poll(left * 1000) and (outcome := flow.advance()) is not None:
            return outcome
    return flow.expire(wait)


def _flows(
    namespace: Namespace,
    destination: tuple[str, int],
    protocol: Protocol,
    sources: Sequence[str],
    count: int,
    size: int,
) -> list[Talk]:
    """Flows ready to start, each bound to a fresh port; ``sources`` is empty or has ``count`` addresses."""
    family = family_of(parse_address(destination[0]))
    datagrams = protocol is Protocol.UDP
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    if protocol is Protocol.SCTP and not sources:
        sources = [_source_towards(namespace, destination)] * count
    opened = namespace.sockets(count, family, kind, protocol)
    try:
        for one, source in zip(opened, sources or [""] * count, strict=True):
            _bind(one, source, namespace.ports)
    except BaseException:
        for one in opened:
            one.close()
        raise
    if datagrams:
        return [DatagramFlow(one, destination, size) for one in opened]
    return [StreamFlow(one, destination) for one in opened]


def _source_towards(namespace: Namespace, destination: tuple[str, int]) -> str:
    """The address a packet to the destination would be sent from; "" without a route.

    Not bound to it, SCTP would offer its peer all addresses of the machine, and might be called back on any.
    """
    [probe] = namespace.sockets(1, family_of(parse_address(destination[0])), socket.SOCK_DGRAM, Protocol.UDP)
    with probe:
        try:
            probe.connect(destination)
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _bind(opened: socket.socket, source: str, ports: Iterator[int]) -> None:
    """Bind to the next port that is free.

    Left to itself the kernel may give a port a second time while conntrack still remembers its last flow; the
    new one would then go where the old one went, and a sample of endpoints would be none.
    """
    for port in itertools.islice(ports, _PORT_TRIES):
        try:
            opened.bind((source, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
