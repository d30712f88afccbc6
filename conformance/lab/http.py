"""Asking a web server from inside a namespace."""

import errno
import http.client
import socket
from collections.abc import Mapping

from msgspec import Struct

from pointsman.core.addresses import family_of, parse_address
from pointsman.core.model import Protocol

from .netns import Namespace
from .outcomes import Refused, Silent


class Page(Struct, frozen=True):
    """What a web server said; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(
    namespace: Namespace, address: str, port: int, path: str, *, method: str, wait: float
) -> Page | Refused | Silent:
    """Ask for a page; each step may take ``wait`` seconds."""
    [opened] = namespace.sockets(1, family_of(parse_address(address)), socket.SOCK_STREAM, Protocol.TCP)
    with opened:
        opened.settimeout(wait)
        asking = http.client.HTTPConnection(address, port)
        try:
            opened.connect((address, port))
            asking.sock = opened
            asking.request(method, path)
            answer = asking.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Page(answer.status, headers, answer.read())
        except TimeoutError:
            return Silent(wait)
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            return Refused(error.errno or errno.ECONNRESET)
