"""The server among good, slow, greedy and broken clients."""

import http.client
import os
import resource
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from pointsman.plugins.http.connection import Limits
from pointsman.plugins.http.messages import Handler, Later, Request, Response, text
from pointsman.plugins.http.server import HttpServer, Listener

from .clients import TIMEOUT, ask, connected, until_closed

HELLO = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def echo(request: Request) -> Response:
    return text(f"{request.method} {request.path} {request.query} {len(request.body)}")


@contextmanager
def serving(
    handler: Handler = echo, limits: Limits | None = None, host: str = "127.0.0.1"
) -> Iterator[Listener]:
    server = HttpServer("test-http", limits)
    try:
        yield server.listen(host, 0, handler)
    finally:
        server.stop()


def test_a_question_is_answered() -> None:
    with serving() as listener:
        status, headers, body = ask(listener.port, "/a%20path?x=1&y=")
    assert (status, body) == (200, b"GET /a path {'x': '1', 'y': ''} 0")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Length"] == str(len(body))
    assert headers["Date"].endswith("GMT")


def test_head_is_answered_without_a_body() -> None:
    with serving() as listener:
        status, headers, body = ask(listener.port, method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_a_body_reaches_the_handler() -> None:
    with serving() as listener:
        assert ask(listener.port, method="PUT", body=b"four")[2] == b"PUT / {} 4"


def test_a_connection_is_kept_for_more_questions() -> None:
    with serving() as listener:
        connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=TIMEOUT)
        for path in ("/1", "/2", "/3"):
            connection.request("GET", path)
            assert path.encode() in connection.getresponse().read()
        connection.close()


def test_questions_may_come_all_at_once() -> None:
    last = b"GET /last HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with serving() as listener, connected(listener.port) as sock:
        sock.sendall(HELLO + HELLO + last)
        assert until_closed(sock).count(b"200 OK") == 3


def test_a_client_that_wants_leave_for_its_body_gets_it() -> None:
    with serving() as listener, connected(listener.port) as sock:
        sock.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 100")
        sock.sendall(b"four")
        assert b"PUT / {} 4" in sock.recv(1000)


@pytest.mark.parametrize(
    ("nonsense", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nLong: " + b"x" * 20000, b"431"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000, b"413"),
    ],
)
def test_what_is_no_question_or_too_long_is_refused(nonsense: bytes, status: bytes) -> None:
    with serving() as listener, connected(listener.port) as sock:
        sock.sendall(nonsense)
        assert until_closed(sock).startswith(b"HTTP/1.1 " + status)
        assert ask(listener.port)[0] == 200


def test_a_client_that_never_finishes_its_question_is_sent_away() -> None:
    """However busily it goes on asking."""
    limits = Limits(request_seconds=0.3)
    with serving(limits=limits) as listener, connected(listener.port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(0.02):
                try:
                    sock.sendall(b"X-More: 1\r\n")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert until_closed(sock) == b""
        finally:
            ended.set()
            dripping.join()


def test_a_client_that_does_not_take_its_answer_holds_up_nobody_and_is_sent_away() -> None:
    big = Response(200, b"x" * (16 << 20))
    limits = Limits(answer_seconds=0.5)
    with (
        serving(lambda r: big if r.path == "/big" else text("ok"), limits) as listener,
        connected(listener.port) as sock,
    ):
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ask(listener.port)[2] == b"ok"
        # It hears of its end though it reads nothing.
        poll = select.poll()
        poll.register(sock, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
        assert poll.poll(TIMEOUT * 1000)


def test_a_connection_that_asks_nothing_ends() -> None:
    with serving(limits=Limits(idle_seconds=0.1)) as listener, connected(listener.port) as sock:
        sock.sendall(HELLO)
        assert until_closed(sock).startswith(b"HTTP/1.1 200")


def test_more_connections_than_there_is_room_for_end_the_oldest_idle_one() -> None:
    with serving(limits=Limits(connections=3)) as listener, ExitStack() as idle:
        first, *_ = [idle.enter_context(connected(listener.port)) for _ in range(3)]
        assert ask(listener.port)[0] == 200
        assert until_closed(first) == b""


def test_where_no_file_can_be_opened_clients_are_turned_away() -> None:
    """Or the server would be told again and again that somebody waits."""
    with serving() as listener, socket.socket() as client:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        os.close(lowest := os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
        try:
            client.settimeout(TIMEOUT)
            client.connect(("127.0.0.1", listener.port))
            assert until_closed(client) == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert ask(listener.port)[0] == 200


def test_slow_answers_keep_nobody_waiting_and_are_few() -> None:
    release, working = threading.Event(), threading.Semaphore(0)

    def work() -> Response:
        working.release()
        release.wait(TIMEOUT)
        return text("slow")

    def handler(request: Request) -> Response | Later:
        return Later(work) if request.path == "/slow" else text("quick")

    with serving(handler, Limits(slow_answers=1)) as listener, connected(listener.port) as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert working.acquire(timeout=TIMEOUT)
        assert ask(listener.port)[2] == b"quick"
        assert ask(listener.port, "/slow")[0] == 503
        release.set()
        assert until_closed(sock).endswith(b"slow")
        assert ask(listener.port, "/slow")[2] == b"slow"


@pytest.mark.parametrize("later", [False, True])
def test_a_handler_that_fails_is_answered_for(later: bool, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Response:
        raise ValueError("secret")

    with serving(lambda _: Later(fail) if later else fail()) as listener:
        status, _, body = ask(listener.port)
    assert (status, body) == (500, b"500 internal server error\n")
    assert [record.message for record in caplog.records] == ["http_handler_failed"]


def test_a_closed_listener_refuses_and_others_go_on() -> None:
    server = HttpServer("test-http")
    one, other = (server.listen("127.0.0.1", 0, echo) for _ in range(2))
    port = one.port
    one.close()
    one.close()
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    assert ask(other.port)[0] == 200
    server.stop()
    server.stop()
    other.close()


def test_stopping_closes_everything() -> None:
    server = HttpServer("test-http")
    listener = server.listen("127.0.0.1", 0, echo)
    port = listener.port
    with connected(port) as sock:
        server.stop()
        assert until_closed(sock) == b""
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_the_wildcard_of_ipv6_takes_ipv4_too_unless_told() -> None:
    server = HttpServer("test-http")
    both = server.listen("::", 0, echo)
    alone = server.listen("::", 0, echo, v6only=True)
    assert ask(both.port, host="127.0.0.1")[0] == ask(both.port, host="::1")[0] == 200
    assert ask(alone.port, host="::1")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(alone.port, host="127.0.0.1")
    server.stop()


def test_an_address_in_use_is_an_error() -> None:
    server = HttpServer("test-http")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        server.listen("127.0.0.1", taken.getsockname()[1], echo)
    server.stop()
