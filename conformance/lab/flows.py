"""The client's end of one flow: a non-blocking socket that knows when it has an outcome.

A refusal by ICMP may arrive while ``connect()`` still holds the socket's lock, as it does over a veth pair
where the answer is back before the call is done. The kernel then keeps it to itself until the SYN is repeated
a second later (``sk_err_soft`` in net/ipv4/tcp_ipv4.c). It does put it on the socket's error queue at
once, where IP_RECVERR asks for one; so that queue is read first.
"""

import errno
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable

from pointsman.core.addresses import IPFamily, format_address

from .outcomes import Denied, EchoReply, Outcome, Refused, Silent, decode_reply

_IP_RECVERR = 11  # <linux/in.h>; these two are not in the socket module
_IPV6_RECVERR = 25  # <linux/in6.h>
_ERROR_MESSAGES = ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))
_EXTENDED_ERROR = struct.Struct("=IBBBxII")  # errno, origin, type, code, info, data: <linux/errqueue.h>
_ICMP_ORIGINS = (2, 3)
_RESET_ON_CLOSE = struct.pack("=ii", 1, 0)
_REFUSALS = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE)
_LARGEST_READ = 65535
_ADDRESS_IN_SOCKADDR = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}  # start and length
_ECHO_REQUEST = {IPFamily.IPV4: 8, IPFamily.IPV6: 128}


class Flow(ABC):
    """A client socket on its way to an outcome: `start` it, then `advance` it whenever it is readable."""

    def __init__(self, opened: socket.socket, destination: tuple[str, int]) -> None:
        self._socket = opened
        self._destination = destination
        self._denied: Denied | None = None
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)

    def fileno(self) -> int:
        """The socket's descriptor, for selectors."""
        return self._socket.fileno()

    def start(self) -> Outcome | None:
        """Send what there is to send first; an outcome if there is one already."""
        return self._send(self._first)

    def advance(self) -> Outcome | None:
        """Read what has come; an outcome once there is one."""
        refused = self._refusal()
        if refused is not None:
            return refused
        try:
            return self._receive()
        except BlockingIOError:
            return None
        except OSError as error:
            return self._refusal() or Refused(error.errno or errno.EIO)

    def expire(self, seconds: float) -> Outcome:
        """What to make of a flow nothing more has come for."""
        return self._denied or Silent(seconds)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @abstractmethod
    def _first(self) -> None:
        """Do the flow's first system call."""

    @abstractmethod
    def _receive(self) -> Outcome | None:
        """Read once; may raise any OSError."""

    def _send(self, call: Callable[[], None]) -> Outcome | None:
        try:
            call()
        except (BlockingIOError, TimeoutError):
            pass
        except OSError as error:
            code = error.errno or errno.EIO
            refused = self._refusal()
            if refused is not None or code in _REFUSALS:
                return refused or Refused(code)
            self._denied = Denied(code)
            # A firewall that rejects also answers EPERM, and its ICMP error is on its way.
            return None if code == errno.EPERM else self._denied
        return None

    def _refusal(self) -> Refused | None:
        """The first ICMP error on the error queue, emptied so far."""
        while True:
            try:
                _, ancillary, _, _ = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return None
            for level, kind, data in ancillary:
                if (level, kind) in _ERROR_MESSAGES and (refused := _parse_error(data)) is not None:
                    return refused


class StreamFlow(Flow):
    """TCP or one-to-one SCTP: connects, then expects a line; later a line for each request."""

    def __init__(self, opened: socket.socket, destination: tuple[str, int]) -> None:
        super().__init__(opened, destination)
        # The next attempt may want the port, and thousands of sockets in TIME_WAIT would hold it.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._line = b""

    def ask(self, size: int, seconds: float) -> Outcome | None:
        """Send a request of ``size`` bytes; takes up to ``seconds`` where the way is full."""
        return self._send(lambda: self._send_all(size, seconds))

    def _send_all(self, size: int, seconds: float) -> None:
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(_request(size))
        finally:
            self._socket.setblocking(False)

    def _first(self) -> None:
        self._socket.connect(self._destination)

    def _receive(self) -> Outcome | None:
        data = self._socket.recv(_LARGEST_READ)
        if not data:
            return Refused(errno.ECONNRESET)
        line, newline, rest = (self._line + data).partition(b"\n")
        if not newline:
            self._line = line
            return None
        self._line = rest
        return decode_reply(line)


class DatagramFlow(Flow):
    """UDP: a connected socket, so that only answers from the address asked are answers."""

    def __init__(self, opened: socket.socket, destination: tuple[str, int], size: int) -> None:
        super().__init__(opened, destination)
        self._size = size

    def ask(self, size: int, seconds: float) -> Outcome | None:
        """Send a datagram of ``size`` bytes; ``seconds`` does not matter, as UDP never waits."""
        return self._send(lambda: self._send_one(size))

    def _send_one(self, size: int) -> None:
        self._socket.send(_request(size))

    def _first(self) -> None:
        self._socket.connect(self._destination)
        self._send_one(self._size)

    def _receive(self) -> Outcome | None:
        return decode_reply(self._socket.recv(_LARGEST_READ))


class EchoFlow(Flow):
    """ICMP echo over a ping socket: the kernel fills in identifier and checksum and sorts out the replies."""

    def _first(self) -> None:
        self._socket.connect(self._destination)
        kind = _ECHO_REQUEST[IPFamily(self._socket.family)]
        self._socket.send(struct.pack(">BBHHH", kind, 0, 0, 0, 1))

    def _receive(self) -> Outcome | None:
        _, sender = self._socket.recvfrom(_LARGEST_READ)
        return EchoReply(sender[0])


def _request(size: int) -> bytes:
    return b"\n".rjust(size, b".")


def _parse_error(data: bytes) -> Refused | None:
    """Read a ``struct sock_extended_err`` and the offender's address behind it; None if it is not ICMP's."""
    code, origin, icmp_type, icmp_code, _, _ = _EXTENDED_ERROR.unpack_from(data)
    if origin not in _ICMP_ORIGINS:
        return None
    [family] = struct.unpack_from("=H", data, _EXTENDED_ERROR.size)
    start, length = _ADDRESS_IN_SOCKADDR[family]
    address = data[_EXTENDED_ERROR.size + start :][:length]
    return Refused(code, (icmp_type, icmp_code), format_address(address))
