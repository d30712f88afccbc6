"""What may become of a connection attempt, and the line by which a server tells who answered."""

import msgspec
from msgspec import Struct

from pointsman.core.model import Protocol


class Reply(Struct, frozen=True):
    """A server answered; this is also the JSON line it sends.

    ``port`` is the server's own, ``client`` and ``client_port`` are the source as the server saw it.
    ``size`` is how many bytes of request it answers: 0 for the greeting of a new TCP or SCTP connection.
    """

    pod: str
    port: int
    client: str
    client_port: int
    protocol: Protocol
    size: int = 0


class EchoReply(Struct, frozen=True):
    """ICMP echo was answered by ``address``."""

    address: str


class Refused(Struct, frozen=True):
    """Somebody on the way, or the destination, said no.

    ``icmp`` is the type and code of the ICMP or ICMPv6 error, and ``offender`` the address it came from; both
    are None where the answer was a TCP reset, an SCTP abort, or an early end of the connection.
    ``errno`` is what a program sees, such as ECONNREFUSED.
    """

    errno: int
    icmp: tuple[int, int] | None = None
    offender: str | None = None


class Denied(Struct, frozen=True):
    """The sender's own kernel would not send: EPERM from a local firewall, ENETUNREACH without a route.

    A firewall that rejects, and says so by ICMP too, makes `Refused` instead. TCP does not tell of a local
    drop, and SCTP of neither: they are `Silent`.
    """

    errno: int


class Silent(Struct, frozen=True):
    """Nothing came back in ``seconds``."""

    seconds: float


Outcome = Reply | EchoReply | Refused | Denied | Silent

_decoder = msgspec.json.Decoder(Reply)
_encoder = msgspec.json.Encoder()


def encode_reply(reply: Reply) -> bytes:
    """One line, padded with spaces to at least ``size`` bytes so that answers travel as requests did."""
    return _encoder.encode(reply).ljust(reply.size - 1) + b"\n"


def decode_reply(line: bytes) -> Reply:
    """Read what `encode_reply` wrote.

    Raises:
        msgspec.DecodeError: the line is somebody else's.
    """
    return _decoder.decode(line)
