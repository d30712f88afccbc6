"""The page for people: what it says, and that nobody else speaks on it."""

import re
from xml.etree import ElementTree

import pytest

from pointsman.core.audit import AuditResult
from pointsman.core.backlog import Backlog
from pointsman.core.model import NamespacedName
from pointsman.core.plan import Trigger
from pointsman.core.source import Rejection
from pointsman.plugins.http.messages import Later, Request
from pointsman.plugins.status.board import SLOWEST
from pointsman.plugins.status.search import PAGE

from .boards import HOSTILE, V4, V6, Shown, lively, web


def shown_services(text: str) -> list[str]:
    return re.findall(r"shop/(web-\d+):http/tcp", text)


def test_services_frontends_and_endpoints_are_shown() -> None:
    text = Shown([web(1)]).text()
    for word in (
        "shop/web-1:http/tcp",
        "10.96.0.2:80/tcp",
        "*:30001/tcp",
        "10.244.1.1:8080",
        "10.244.1.2:8080",
    ):
        assert word in text
    assert "1 service ports, page 1 of 1" in text


def test_a_service_without_endpoints_says_so() -> None:
    text = Shown([web(1, endpoints=0)]).text()
    assert "rejects where it has none" in text


def test_long_lists_of_endpoints_are_cut() -> None:
    text = Shown([web(1, endpoints=103)]).text()
    assert "and 3 more" in text


def test_many_services_come_page_by_page() -> None:
    shown = Shown([web(number) for number in range(2 * PAGE + 50)])
    pages = [shown_services(shown.text(f"/?page={number}")) for number in (1, 2, 3)]
    assert [len(found) for found in pages] == [PAGE, PAGE, 50]
    assert len({name for found in pages for name in found}) == 250
    assert 'href="/?page=2"' in shown.text("/")
    assert shown_services(shown.text("/?page=99")) == pages[2]


@pytest.mark.parametrize("page", ["", "0", "-1", "x", "9" * 5000, "²"])
def test_pages_that_are_not_there_are_others(page: str) -> None:
    shown = Shown([web(number) for number in range(PAGE + 1)])
    assert len(shown_services(shown.text(f"/?page={page}"))) in (PAGE, 1)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("web-17:", ["web-17"]),
        ("10.96.0.18:80", ["web-17"]),
        ("30017", ["web-17"]),
        ("10.244.17.2", ["web-17"]),
        ("SHOP%20web-17:", ["web-17"]),
        ("web-17:%20web-18:", []),
        ("%3Cscript%3E", []),
    ],
)
def test_services_can_be_searched(words: str, found: list[str]) -> None:
    shown = Shown([web(number) for number in range(50)])
    assert shown_services(shown.text(f"/?q={words}")) == found


def test_a_search_goes_on_over_pages() -> None:
    shown = Shown([web(number) for number in range(PAGE + 50)])
    assert 'href="/?q=web&amp;page=2"' in shown.text("/?q=web")


def test_how_syncs_went() -> None:
    shown = Shown([web(1)])
    shown.now += 3700
    text = shown.text()
    assert "1 h ago, full" in text
    assert "42 writes" in text
    shown.sync([], error=RuntimeError("no <memory>"))
    text = shown.text()
    assert "failed" in text
    assert "no &lt;memory&gt;" in text
    assert "shop/web-1:http/tcp" in text, "what is held is shown, not what was meant"


def test_what_waits() -> None:
    shown = Shown()
    assert "nothing" in shown.text()
    shown.board.pointsman_backlog(Backlog(V4, 1.0, 3, 4))
    assert "3 Services and 4 EndpointSlices" in shown.text()


def test_drift() -> None:
    shown = Shown()
    assert "not looked yet" in shown.text()
    shown.board.pointsman_audited(AuditResult(V4, 7, ("10.96.0.1:80/tcp is missing",), 0.2))
    shown.board.pointsman_audited(AuditResult(V6, 0, (), 0.2))
    text = shown.text()
    assert "7 differences" in text
    assert "10.96.0.1:80/tcp is missing (and 6 more)" in text


def test_how_it_stands_with_the_api_server() -> None:
    shown = lively()
    text = shown.text()
    assert "heard of 2 s ago" in text
    assert re.search(r"failed 7 times in a row</span>, heard of 3 min ago: .*: connection refused", text)
    assert "failed once</span>, never heard of: 403, forbidden" in text
    assert "not followed: 404, not found" in text
    shown.followed = []
    assert "API server" not in shown.text(), "files have none"


def test_what_is_rejected_and_why() -> None:
    shown = Shown()
    assert "Rejected (0)" in shown.text()
    shown.rejections = [Rejection("Service", f"shop/bad-{n}", "$.spec", "it is bad") for n in range(102)]
    text = shown.text()
    assert "Rejected (102)" in text
    assert "Service shop/bad-99" in text
    assert "and 2 more" in text


def test_the_slowest_changes_are_remembered() -> None:
    shown = Shown()
    for number in range(30):
        shown.sync([], Trigger(NamespacedName("shop", f"slow-{number}"), shown.now - number))
    text = shown.text()
    assert re.findall(r"slow-(\d+)", text) == [str(number) for number in range(29, 29 - SLOWEST, -1)]


def test_nothing_hostile_becomes_markup() -> None:
    shown = lively()
    shown.rejections = [Rejection(HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
    shown.sync([], error=RuntimeError(HOSTILE))
    text = shown.text("/?q=" + HOSTILE.replace("&", "%26").replace(" ", "%20").replace("#", ""))
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") >= 6


def test_the_page_is_well_formed_and_names_its_parts() -> None:
    text = lively().text()
    assert text.startswith("<!doctype html>\n")
    body = re.sub(r"<(meta|input)([^>]*)>", r"<\1\2/>", text.partition("\n")[2]).replace("<br>", "<br/>")
    root = ElementTree.fromstring(body)
    assert root.get("lang") == "en"
    tables = root.findall(".//table")
    assert len(tables) == 3
    for found in tables:
        assert found.findtext("caption")
        assert all(cell.get("scope") == "col" for cell in found.findall("thead/tr/th"))
        assert all(row.find("th") is not None for row in found.findall("tbody/tr"))
    assert all(field.get("aria-label") for field in root.iter("input"))


def test_cells_name_themselves_where_a_telephone_shows_no_heads() -> None:
    text = lively().text()
    assert '<td data-heading="Why">' in text
    assert '<td data-heading="Endpoints">' in text
    assert text.count("<td>") == 0


def test_nothing_is_loaded_or_run() -> None:
    answer = lively().handler(Request("GET", "/"))
    assert isinstance(answer, Later)
    response = answer.work()
    headers = dict(response.headers)
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<[^>]*\ssrc=|<link|<script|@import|url\(", response.body.decode())
