"""One client's connection: bytes in, requests out, answers back, within limits of size and time."""

import socket
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

import h11
from msgspec import Struct

from .messages import Handler, Request, Response, text


class Limits(Struct, frozen=True):
    """What a client may take; sizes are in bytes, times in seconds.

    A request has to be complete ``request_seconds`` after its first byte, and an answer has to be taken
    ``answer_seconds`` after it was ready, however busily a client sends or reads meanwhile. A connection on
    which nothing is asked ends after ``idle_seconds``. ``slow_answers`` may be under way at once.
    """

    connections: int = 256
    header_bytes: int = 16 << 10
    body_bytes: int = 16 << 10
    request_seconds: float = 10.0
    answer_seconds: float = 30.0
    idle_seconds: float = 60.0
    slow_answers: int = 2


class Connection:
    """The server's end of a connection; everything runs on the server's thread.

    ``answer`` is asked to see to a complete request, and to call `reply` at some time. ``deadline`` is when
    the client's patience with us, or ours with it, ends; None while it is us who are to act.
    """

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        limits: Limits,
        answer: "Callable[[Connection, Request], None]",
        now: float,
    ) -> None:
        self.socket = sock
        self.handler = handler
        self.began = now
        self.deadline: float | None = now + limits.request_seconds
        self.waits = True  # for a request, or the rest of one
        self._limits = limits
        self._answer = answer
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._out = bytearray()
        self._reading = False

    @property
    def writing(self) -> bool:
        """Whether there is something to send."""
        return bool(self._out)

    def readable(self, now: float) -> bool:
        """Read what came; whether the connection goes on."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data and not self.waits:
            return False  # nobody is there for the answer
        if self.waits and not self._reading:
            self._reading = True
            self.deadline = now + self._limits.request_seconds
        try:
            self._protocol.receive_data(data)
        except h11.RemoteProtocolError:
            return False
        return self._advance(now)

    def writable(self, now: float) -> bool:
        """Send what there is; whether the connection goes on."""
        try:
            sent = self.socket.send(self._out)
        except BlockingIOError:
            return True
        except OSError:
            return False
        del self._out[:sent]
        if self._out or not self._answered():
            return True
        if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
            return False
        self._protocol.start_next_cycle()
        self.waits, self._reading, self._request = True, False, None
        self.deadline = now + self._limits.idle_seconds
        return self._advance(now)  # the next request may be here already

    def reply(self, response: Response, now: float) -> None:
        """Have the answer to the request sent."""
        headers = [
            ("Content-Type", response.content_type),
            *response.headers,
            ("Date", formatdate(usegmt=True)),
            ("Content-Length", str(len(response.body))),
        ]
        if self._protocol.their_state is h11.ERROR:
            headers.append(("Connection", "close"))
        self._send(
            h11.Response(status_code=response.status, reason=_reason(response.status), headers=headers)
        )
        if self._request is None or self._request.method != b"HEAD":
            self._send(h11.Data(data=response.body))
        self._send(h11.EndOfMessage())
        self.waits, self.deadline = False, now + self._limits.answer_seconds

    def _answered(self) -> bool:
        return self._protocol.our_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)

    def _send(self, event: "h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage") -> None:
        self._out += self._protocol.send(event) or b""

    def _advance(self, now: float) -> bool:
        """Deal with what has been read so far; whether the connection goes on."""
        while self.waits:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                if self._protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                    return False
                self.reply(text("400 bad request\n", error.error_status_hint or 400), now)
                return True
            if isinstance(event, h11.ConnectionClosed):
                return False
            if event in (h11.NEED_DATA, h11.PAUSED):
                return True
            if isinstance(event, h11.Request):
                self._request = event
                self._body.clear()
                if self._protocol.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._limits.body_bytes:
                    self.reply(text("413 request entity too large\n", 413), now)
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                # Set first: the answer may be ready before this returns.
                self.waits, self.deadline = False, None
                self._answer(self, _plain(self._request, bytes(self._body)))
        return True


def _reason(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()


def _plain(request: h11.Request, body: bytes) -> Request:
    return Request(
        request.method.decode("ascii"),
        request.target.decode("ascii"),
        {name.decode("ascii"): value.decode("latin-1") for name, value in request.headers},
        body,
    )
