"""Listeners that can't be had at once (HTTP-03)."""

import socket

from pointsman.plugins.http.binding import Address, Binding
from pointsman.plugins.http.messages import text
from pointsman.plugins.http.server import HttpServer

from .clients import TIMEOUT, ask


def test_HTTP_03_an_address_in_use_is_tried_again_and_told_once() -> None:
    server = HttpServer("test-http")
    told: list[OSError] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        binding = Binding(server, Address("127.0.0.1", port), lambda _: text("ok"), told.append, retry=0.02)
        binding.start()
        assert binding.port is None
        assert not binding.listening.wait(0.1)
    assert binding.listening.wait(TIMEOUT)
    assert (binding.port, ask(port)[2]) == (port, b"ok")
    assert len(told) == 1
    binding.stop()
    server.stop()


def test_HTTP_03_stopping_ends_the_tries() -> None:
    server = HttpServer("test-http")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        binding = Binding(server, address, lambda _: text("ok"), lambda _: None)
        binding.start()
        binding.stop()
    assert binding.port is None
    server.stop()


def test_addresses_read_as_usual() -> None:
    assert [str(Address("::1", 80)), str(Address("127.0.0.1", 80))] == ["[::1]:80", "127.0.0.1:80"]
