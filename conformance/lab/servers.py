"""Servers that say who they are, in any number of namespaces, all served by one thread.

A TCP or SCTP server sends its line as soon as it is connected to, and one more for each line it gets. A UDP
server answers each datagram from the address it was asked on: address translation undoes itself on no other.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

from .netns import Namespace
from .outcomes import Reply, encode_reply

_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; these three are not in the socket module
_IP_PKTINFO = 8  # <linux/in.h>
_IN_PKTINFO = struct.Struct("=i4s4s")  # interface, source for the answer, destination of the request
_IN6_PKTINFO = struct.Struct("=16si")  # destination of the request or source for the answer, interface
_BACKLOG = 4096
_UDP_BUFFER = 4 << 20
_LARGEST_DATAGRAM = 65535

R = TypeVar("R")


class Server:
    """One listening socket. Closing it also cuts the connections it has accepted.

    Attributes:
        pod: the name it answers with.
        protocol, family, port: where it listens.
    """

    def __init__(self, pod: str, protocol: Protocol, listener: socket.socket, loop: "ServerThread") -> None:
        self.pod = pod
        self.protocol = protocol
        self.family = IPFamily(listener.family)
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._loop = loop
        self._acceptor: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()
        self._ended = False

    def __enter__(self) -> Self:
        """Serve until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop listening and cut what is connected; returns when it is done."""
        self._loop.forget(self)

    async def begin(self) -> None:
        """Start serving; runs in the server thread."""
        loop = asyncio.get_running_loop()
        if self.protocol is Protocol.UDP:
            loop.add_reader(self._listener, self._answer_datagrams)
        else:
            self._acceptor = await loop.create_server(
                lambda: _Conversation(self), sock=self._listener, backlog=_BACKLOG
            )

    async def end(self) -> None:
        """Stop serving; runs in the server thread."""
        self._ended = True
        if self._acceptor is not None:
            self._acceptor.close()
        else:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # lets the loop close the sockets of the connections just aborted

    def connected(self, connection: asyncio.Transport) -> None:
        """Keep a connection to cut it in the end; one accepted just before the end is cut at once."""
        if self._ended:
            connection.abort()
        else:
            self._connections.add(connection)

    def disconnected(self, connection: asyncio.Transport) -> None:
        """Forget a connection that is over."""
        self._connections.discard(connection)

    def reply_to(self, client: tuple[Any, ...], size: int) -> bytes:
        """The line that answers ``size`` bytes from a client."""
        return encode_reply(Reply(self.pod, self.port, client[0], client[1], self.protocol, size))

    def _answer_datagrams(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._answer_one()

    def _answer_one(self) -> None:
        request, ancillary, _, client = self._listener.recvmsg(_LARGEST_DATAGRAM, 64)
        # An answer that the local firewall will not let out is lost like any other packet.
        with suppress(PermissionError):
            self._listener.sendmsg([self.reply_to(client, len(request))], _answer_from(ancillary), 0, client)


class _Conversation(asyncio.Protocol):
    """One accepted TCP or SCTP connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client: tuple[Any, ...] = transport.get_extra_info("peername")
        self._server.connected(transport)
        transport.write(self._server.reply_to(self._client, 0))

    def data_received(self, data: bytes) -> None:
        *lines, self._request = (self._request + data).split(b"\n")
        for line in lines:
            self._transport.write(self._server.reply_to(self._client, len(line) + 1))

    def connection_lost(self, error: Exception | None) -> None:
        self._server.disconnected(self._transport)


class ServerThread:
    """The thread that serves all servers of a lab."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab servers", daemon=True)
        self._servers: set[Server] = set()
        self._thread.start()

    def serve(
        self,
        namespace: Namespace,
        pod: str,
        protocol: Protocol,
        family: IPFamily,
        port: int,
        address: str = "",
    ) -> Server:
        """Listen in a namespace on one address, or on all for ``""``; port 0 lets the kernel choose.

        Raises:
            OSError: the address is not the namespace's or the port is taken, or the protocol is missing.
        """
        kind = socket.SOCK_DGRAM if protocol is Protocol.UDP else socket.SOCK_STREAM
        [listener] = namespace.sockets(1, family, kind, protocol)
        try:
            _prepare(listener, protocol)
            listener.bind((address, port))
        except OSError:
            listener.close()
            raise
        server = Server(pod, protocol, listener, self)
        self._call(server.begin())
        self._servers.add(server)
        return server

    def forget(self, server: Server) -> None:
        """End a server; nothing happens if it has ended."""
        if server in self._servers:
            self._servers.discard(server)
            self._call(server.end())

    def close(self) -> None:
        """End all servers and the thread."""
        if self._loop.is_closed():
            return
        for server in tuple(self._servers):
            self.forget(server)
        self._call(_finish_accepting())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _finish_accepting() -> None:
    """Let connections that were being accepted arrive and be cut, lest their sockets stay open."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
    await asyncio.sleep(0)


def _prepare(listener: socket.socket, protocol: Protocol) -> None:
    if protocol is not Protocol.UDP:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return
    listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _UDP_BUFFER)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _answer_from(ancillary: Sequence[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that sends an answer from the address its request came to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, _, destination = _IN_PKTINFO.unpack(data)
            return [(level, kind, _IN_PKTINFO.pack(0, destination, bytes(4)))]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            destination, _ = _IN6_PKTINFO.unpack(data)
            return [(level, kind, _IN6_PKTINFO.pack(destination, 0))]
    return []
