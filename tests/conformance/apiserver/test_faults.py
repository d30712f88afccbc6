"""What a client may be made to live with, seen by a client that lives with nothing."""

import http.client
import json
import ssl
from contextlib import suppress

import pytest

from pointsman.conformance.apiserver import FOREVER, ApiServer
from tests.conformance.apiserver.asking import SERVICES, SLICES, Client, service


def watch(server: ApiServer) -> str:
    """A watch from now on."""
    return f"{SERVICES}?watch=1&timeoutSeconds=10&resourceVersion={server.put(service('seed'))}"


def test_errors_as_often_as_arranged(server: ApiServer, client: Client) -> None:
    server.faults.fail(500, times=2)
    assert [client.ask(SERVICES).status for _ in range(3)] == [500, 500, 200]
    assert [request.status for request in server.requests] == [500, 500, 200]


def test_errors_for_one_verb_and_resource(server: ApiServer, client: Client) -> None:
    server.faults.fail(503, times=FOREVER, verb="list", plural="services")
    assert client.ask(SLICES).status == 200
    assert client.ask(SERVICES).status == 503
    server.faults.clear()
    assert client.ask(SERVICES).status == 200


def test_too_many_requests_say_when_to_come_again(server: ApiServer, client: Client) -> None:
    server.faults.fail(429, retry_after=7)
    answer = client.ask(SERVICES)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert answer.decoded["details"] == {"retryAfterSeconds": 7}


def test_a_revision_expires_for_lists_and_watches(server: ApiServer, client: Client) -> None:
    server.faults.expire(times=2)
    assert client.ask(SERVICES).status == 410
    [(kind, it)] = client.events(watch(server))
    assert (kind, it["code"]) == ("ERROR", 410)
    assert client.ask(SERVICES).status == 200


def test_a_connection_is_closed_without_an_answer(server: ApiServer, client: Client) -> None:
    server.faults.hang_up()
    with pytest.raises((OSError, http.client.HTTPException)):
        client.ask(SERVICES)
    assert client.ask(SERVICES).status == 200


def test_a_page_of_somebody_elses(server: ApiServer, client: Client) -> None:
    server.faults.intercept(times=2, plural="services")
    for path in (SERVICES, watch(server)):
        answer = client.ask(path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
        assert answer.body.startswith(b"<!DOCTYPE html>")
    assert client.ask(SERVICES).headers["Content-Type"] == "application/json"


def test_a_stream_breaks_off_within_an_object(server: ApiServer, client: Client) -> None:
    told = client.lines(watch(server))
    server.faults.cut()
    server.put(service("a"))
    with pytest.raises((OSError, http.client.HTTPException, json.JSONDecodeError)):
        json.loads(next(told))


def test_a_line_is_no_json(server: ApiServer, client: Client) -> None:
    told = client.lines(watch(server))
    server.faults.garble()
    server.put(service("a"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(next(told))


def test_events_come_twice(server: ApiServer, client: Client) -> None:
    told = client.events(watch(server))
    server.faults.duplicate()
    server.put(service("a"))
    server.put(service("b"))
    assert [next(told)[1]["metadata"]["name"] for _ in range(3)] == ["a", "a", "b"]


def test_events_change_places(server: ApiServer, client: Client) -> None:
    told = client.events(watch(server))
    server.faults.reorder()
    server.put(service("a"))
    server.put(service("b"))
    assert [next(told)[1]["metadata"]["name"] for _ in range(2)] == ["b", "a"]


def test_nothing_is_said_until_the_thaw(server: ApiServer, client: Client) -> None:
    told = client.events(watch(server))
    server.put(service("a"))
    assert next(told)[1]["metadata"]["name"] == "a"
    server.faults.freeze()
    server.put(service("b"))
    server.faults.thaw()
    assert next(told)[1]["metadata"]["name"] == "b"


def test_a_frozen_server_ends_all_the_same() -> None:
    with ApiServer() as server, Client(server) as client:
        told = client.events(watch(server))
        server.put(service("a"))
        next(told)
        server.faults.freeze()
        server.put(service("b"))


def test_it_goes_away_and_comes_back(server: ApiServer, client: Client) -> None:
    told = client.events(watch(server))
    server.put(service("a"))
    next(told)
    url = server.url
    server.go_away()
    with suppress(OSError, http.client.HTTPException):
        assert list(told) == []
    with pytest.raises(ConnectionRefusedError):
        client.ask(SERVICES)
    server.come_back()
    assert server.url == url
    assert client.ask(SERVICES).status == 200


def test_a_certificate_that_nobody_vouches_for(server: ApiServer, client: Client) -> None:
    server.break_tls()
    with pytest.raises(ssl.SSLCertVerificationError):
        client.ask(SERVICES)
    server.mend_tls()
    assert client.ask(SERVICES).status == 200


def test_a_token_that_has_expired(server: ApiServer, client: Client) -> None:
    old = server.token
    server.change_token()
    assert client.ask(SERVICES, Authorization=f"Bearer {old}").status == 401
    assert client.ask(SERVICES).status == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/livez", 200), ("/version", 200), ("/api", 401)]
)
def test_strangers_may_ask_after_health_only(client: Client, path: str, status: int) -> None:
    assert client.ask(path, Authorization="").status == status
    assert client.ask(path, Authorization="Bearer wrong").status == 401
