"""Requests to an API server: bytes in, bytes out, every failure an `ApiError`, every request counted."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from pointsman import __version__

from . import kubeconfig as files
from .credentials import Access, Credentials
from .errors import ApiError, Refused, Unreachable
from .stream import status

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from urllib3 import BaseHTTPResponse

CONNECT_SECONDS = 10.0
# How long the server may keep silent, before an answer and within it.
ANSWER_SECONDS = 30.0
BLOCK_BYTES = 1 << 16
MAX_STATUS_BYTES = 1 << 16
ERROR = "<error>"  # what client-go puts for the code of a request without an answer


class Request(Struct, frozen=True):
    """A request that was made, as kube-proxy's ``rest_client_*`` metrics count it (MET-15).

    Attributes:
        code: the HTTP status, or ``<error>``.
        host: the server's name and port.
        seconds: until the answer began.
    """

    code: str
    method: str
    host: str
    seconds: float


class Answer:
    """An answer whose body is read as it comes. A context manager: what isn't read by then, isn't."""

    def __init__(self, what: str, response: "BaseHTTPResponse") -> None:
        self._what = what
        self._response = response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()

    def blocks(self) -> Iterator[bytes]:
        """The body, in the parts in which the server sends it.

        Raises:
            Unreachable: it was cut, or nothing came for too long.
        """
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        response = self._response
        try:
            # read() would wait for whole blocks, and read1() is three times as slow with chunks.
            if response.headers.get("Transfer-Encoding", "").lower() == "chunked":
                yield from response.stream(BLOCK_BYTES)
            else:
                while block := response.read1(BLOCK_BYTES):
                    yield block
        except (HTTPError, OSError, ValueError) as error:
            silent = isinstance(error, ReadTimeoutError)
            what = "nothing came for too long" if silent else f"the answer was cut: {_reason(error)}"
            raise Unreachable(f"{self._what}: {what}", silent=silent) from error

    def body(self) -> bytes:
        """All of the body. Raises `Unreachable`."""
        return b"".join(self.blocks())

    def allow_silence(self, seconds: float) -> None:
        """Set how long the server may send nothing, from now on."""
        # urllib3's connections are http.client's, though their types don't say so.
        connection = cast("HTTPConnection | None", self._response.connection)
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(seconds)

    def interrupt(self) -> None:
        """Have a thread that waits in `blocks` wait no longer. From any thread, at any time."""
        with suppress(OSError, RuntimeError, ValueError):  # there may be nothing left to wait for
            self._response.shutdown()


class ApiClient:
    """The way to an API server, for any number of threads.

    Args:
        credentials: give the server's address and what it wants to see.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._observers: list[Callable[[Request], None]] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are kept for later; what is being read is not interrupted."""
        self._credentials.close()

    def observe(self, observer: Callable[[Request], None]) -> None:
        """Have every request reported, on the thread that made it; an observer must be quick."""
        with self._lock:
            self._observers = [*self._observers, observer]

    def get(
        self, path: str, query: Mapping[str, str] | None = None, *, silence: float = ANSWER_SECONDS
    ) -> Answer:
        """Ask for something; ``silence`` is how many seconds the server may send nothing.

        Raises:
            Refused: the server says no.
            Unreachable: it says nothing.
        """
        return self._request("GET", path, query or {}, None, silence)

    def post(self, path: str, body: object) -> None:
        """Send an object. Raises as `get`."""
        with self._request("POST", path, {}, json.dumps(body).encode(), ANSWER_SECONDS) as answer:
            answer.body()

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, silence: float
    ) -> Answer:
        target = f"{path}?{urlencode(query)}" if query else path
        access = self._credentials.access()
        answer = self._try(access, method, target, body, silence)
        if answer.status == 401 and self._credentials.distrust(access):
            answer.close()
            answer = self._try(self._credentials.access(), method, target, body, silence)
        if answer.status >= 300:
            raise _refusal(f"{method} {path}", answer)
        if (form := answer.headers.get("Content-Type", "json")) and "json" not in form:
            answer.close()
            raise Unreachable(
                f"{method} {path}: answered as {form[:80]}, where only JSON was asked for: not by an API"
                " server, but by something on the way, such as a proxy or a login page"
            )
        return Answer(f"{method} {path}", answer)

    def _try(
        self, access: Access, method: str, target: str, body: bytes | None, silence: float
    ) -> "BaseHTTPResponse":
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, SSLError

        headers = {"Accept": "application/json", "User-Agent": f"pointsman/{__version__}", **access.headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        began, code = time.monotonic(), ERROR
        try:
            answer = access.pool.request(
                method,
                access.server + target,
                headers=headers,
                body=body,
                timeout=Timeout(connect=min(CONNECT_SECONDS, silence), read=silence),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            code = str(answer.status)
        except SSLError as error:
            # The authority, or our own certificate, may have been replaced.
            self._credentials.distrust(access)
            raise Unreachable(f"{access.server}: TLS: {_reason(error)}") from error
        except (HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"{access.server}: {_reason(error)}") from error
        finally:
            host = urlsplit(access.server).netloc
            self._tell(Request(code, method, host, time.monotonic() - began))
        return answer

    def _tell(self, request: Request) -> None:
        for observer in self._observers:
            observer(request)


def connect(kubeconfig: str = "", master: str = "") -> ApiClient:
    """Find the API server as kube-proxy does (CFG-06, CFG-28); nothing is sent yet.

    Raises:
        ConfigError: no configuration is found, or it is wrong.
    """
    credentials = Credentials(files.loader(kubeconfig, master))
    with suppress(Unreachable):  # an exec plugin that fails now is asked again with every request
        credentials.access()
    return ApiClient(credentials)


def _refusal(what: str, answer: "BaseHTTPResponse") -> ApiError:
    try:
        with Answer(what, answer) as refused:
            body = b""
            for block in refused.blocks():
                body += block
                if len(body) > MAX_STATUS_BYTES:
                    break
    except Unreachable:
        body = b""
    said = status(body, answer.status)
    seconds = answer.headers.get("Retry-After", "")
    wait = float(seconds) if seconds.isascii() and seconds.isdigit() else said.retry_after
    return Refused(what, said._replace(retry_after=wait))


def _reason(error: BaseException) -> str:
    """What went wrong, in a line, without the addresses of Python's objects that urllib3 puts before it."""
    text = " ".join(str(error).split())
    _, found, reason = text.partition(">: ")
    return (reason if found else text) or type(error).__name__
