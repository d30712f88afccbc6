"""Which path is answered by whom."""

import pytest

from pointsman.plugins.http.messages import Request, Response, text
from pointsman.plugins.http.routing import Router

ROUTER = Router(
    {"/healthz": lambda _: text("ok"), "/debug/*": lambda r: text(r.path), "/level": lambda _: text("set")},
    {"/level": "PUT"},
)


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/healthz", 200, b"ok"),
        ("HEAD", "/healthz?x=1", 200, b"ok"),
        ("GET", "http://[::1]:10249/healthz?x=//", 200, b"ok"),
        ("GET", "http://[/healthz", 200, b"ok"),
        ("GET", "http://node", 404, b"404 page not found\n"),
        ("GET", "//healthz", 404, b"404 page not found\n"),
        ("OPTIONS", "*", 404, b"404 page not found\n"),
        ("GET", "/debug/heap", 200, b"/debug/heap"),
        ("GET", "/debug/a/b", 404, b"404 page not found\n"),
        ("GET", "/healthz/", 404, b"404 page not found\n"),
        ("GET", "/", 404, b"404 page not found\n"),
        ("POST", "/healthz", 405, b"405 method not allowed\n"),
        ("GET", "/level", 405, b"405 method not allowed\n"),
        ("PUT", "/level", 200, b"set"),
        ("PUT", "/elsewhere", 404, b"404 page not found\n"),
    ],
)
def test_routes(method: str, target: str, status: int, body: bytes) -> None:
    answer = ROUTER(Request(method, target))
    assert isinstance(answer, Response)
    assert (answer.status, answer.body) == (status, body)


def test_a_refused_method_names_those_that_are_not() -> None:
    answer = ROUTER(Request("POST", "/healthz"))
    assert isinstance(answer, Response)
    assert answer.headers == (("Allow", "GET, HEAD"),)


@pytest.mark.parametrize("target", ["/?q=a%20b&page=2", "http://[/?q=a+b&page=2", "//[?q=a+b&q=a%20b&page=2"])
def test_a_query_is_what_follows_the_question_mark(target: str) -> None:
    assert Request("GET", target).query == {"q": "a b", "page": "2"}
