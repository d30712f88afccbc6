"""The page at ``/``: what this node does for Services, and how well that goes."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.audit import AuditResult
from pointsman.core.model import Endpoint, Frontend, Masquerade, ServiceFrontends
from pointsman.core.source import Rejection
from pointsman.plugins.http.messages import HTML, Handler, Later, Request, Response

from .board import Board, FamilyState
from .following import Followed, following
from .html import STYLE, Markup, facts, html, joined, lines, table, tag
from .search import Found, search
from .text import ago

TOLD = 100
"""Rejections, and endpoints of one service port, that the page names."""

# Nothing is loaded from anywhere, so nothing need be allowed but the style in the page itself.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


class About(Struct, frozen=True):
    """What the page says of the process."""

    version: str
    mode: str
    node: str
    links: tuple[str, ...]


def page(
    about: About,
    board: Board,
    rejections: Callable[[], Iterable[Rejection]],
    followed: Callable[[], Iterable[Followed]] = tuple,
    *,
    now: Callable[[], float] = time.time,
) -> Handler:
    """The handler. It is rendered on another thread: with 10000 services that takes a while.

    ``followed`` says how it stands with what objects come from; of files there is nothing to say.
    """

    def render(request: Request) -> Response:
        query = request.query
        words = query.get("q", "")[:200]
        number = int(query["page"]) if query.get("page", "").isdecimal() and len(query["page"]) < 10 else 1
        families = board.families
        audits = {family: board.audit(family) for family in families}
        rejected = tuple(rejections())
        content = [
            _header(about),
            _cards(families, audits, following(followed()), now()),
            _services(search(families, words, number), words),
            _slow(families),
        ]
        # What is wrong must not stand below a hundred services that are well.
        content.insert(2 if rejected else 3, _rejected(rejected))
        document = tag(
            "html",
            tag(
                "head",
                Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width">'),
                tag("title", f"Pointsman on {about.node}"),
                tag("style", Markup(STYLE)),
            ),
            tag("body", *content),
            lang="en",
        )
        return Response(200, f"<!doctype html>\n{document}\n".encode(), HTML, HEADERS)

    return lambda request: Later(lambda: render(request))


def _header(about: About) -> Markup:
    links = tag("nav", *(tag("a", link, href=link) for link in about.links), aria_label="Other pages")
    said = f"{about.mode} on node {about.node}, version {about.version}"
    return tag("header", tag("h1", "Pointsman"), tag("span", said, class_="faint"), links)


def _cards(
    families: Mapping[IPFamily, FamilyState],
    audits: Mapping[IPFamily, tuple[AuditResult, float] | None],
    source: Markup,
    now: float,
) -> Markup:
    cards = [
        tag("section", tag("h2", family), _family(state, audits[family], now), class_="card")
        for family, state in sorted(families.items())
    ]
    return tag("main", tag("div", *cards, source, class_="cards"), id="families")


def _family(state: FamilyState, audit: tuple[AuditResult, float] | None, now: float) -> Markup:
    model, backlog = state.held, state.backlog
    waits = f"{backlog.services} Services and {backlog.slices} EndpointSlices"
    return facts(
        ("Service ports", len(model.services)),
        ("ClusterIPs", len(model.cluster_ips)),
        ("Endpoints", f"{len(model.endpoint_addresses)} addresses"),
        ("Last sync", _sync(state, now)),
        ("Waiting", waits if backlog.since is not None else tag("span", "nothing", class_="good")),
        ("Drift", _drift(audit, now)),
    )


def _sync(state: FamilyState, now: float) -> Markup:
    sync = state.sync
    if sync is None:
        return tag("span", "none yet", class_="faint")
    kind = "full" if sync.full else "partial"
    when = f"{ago(now - sync.at)}, {kind}, {_seconds(sync.seconds)}"
    if sync.error:
        return joined(tag("span", "failed ", class_="bad"), f"{when}: {sync.error}")
    return joined(tag("span", "done ", class_="good"), f"{when}, {sync.writes} writes")


def _drift(audit: tuple[AuditResult, float] | None, now: float) -> Markup:
    if audit is None:
        return tag("span", "not looked yet", class_="faint")
    result, at = audit
    if not result.differences:
        return joined(tag("span", "none ", class_="good"), ago(now - at))
    return joined(
        tag("span", f"{result.differences} differences ", class_="bad"), f"{ago(now - at)}: {result}"
    )


def _services(found: Found, words: str) -> Markup:
    rows = [_service(family, service) for family, service in found.services]
    headings = ("Service port", "Frontends", "Endpoints", "Answers")
    form = tag(
        "form",
        Markup(
            f'<input type="search" name="q" aria-label="Search services" '
            f'placeholder="name, address or port" value="{html(words)}">'
        ),
        tag("button", "Search", type="submit"),
        role="search",
        method="get",
        action="/",
    )
    said = f"{found.matches} service ports" + (f" with {words!r}" if words else "")
    return tag(
        "section",
        tag("h2", "Services"),
        form,
        tag("p", f"{said}, page {found.page} of {found.pages}", class_="faint", id="found"),
        table("Service ports", headings, rows) if rows else tag("p", "There is none."),
        _pages(found, words),
        id="services",
    )


def _pages(found: Found, words: str) -> Markup:
    links = []
    for text, number in (("Previous", found.page - 1), ("Next", found.page + 1)):
        if 1 <= number <= found.pages:
            query = urlencode({"q": words, "page": number} if words else {"page": number})
            links.append(tag("a", text, href=f"/?{query}", rel=text[:4].lower()))
    return tag("nav", *links, aria_label="Pages of services") if links else Markup()


def _service(family: IPFamily, service: ServiceFrontends) -> tuple[object, ...]:
    name = joined(service.name, Markup("<br>"), tag("span", family, class_="faint"))
    return (
        name,
        lines(map(_frontend, service.frontends)),
        lines(_endpoints(service)),
        lines(_answers(service)),
    )


def _frontend(frontend: Frontend) -> Markup:
    limits = "" if frontend.sources is None else f", from {', '.join(map(str, frontend.sources))} alone"
    return joined(tag("code", frontend.match), f" {frontend.kind.value}{limits}")


def _endpoints(service: ServiceFrontends) -> Iterator[object]:
    for pool, endpoints in (("", service.cluster), ("local: ", service.local)):
        for endpoint in endpoints[:TOLD]:
            yield joined(pool, tag("code", endpoint), _weight(endpoint))
        if len(endpoints) > TOLD:
            yield f"and {len(endpoints) - TOLD} more"
    if not service.cluster and not service.local:
        yield tag("span", "none", class_="bad")


def _weight(endpoint: Endpoint) -> str:
    return "" if endpoint.weight == 1 else f", weight {endpoint.weight}"


def _answers(service: ServiceFrontends) -> Iterator[str]:
    if any(not service.pool(answer) for frontend in service.frontends for answer in frontend.answers):
        yield f"{service.when_empty.value}s where it has none"
    if any(frontend.far is not None for frontend in service.frontends):
        yield "outsiders reach local endpoints alone"
    if any(a.masquerade is Masquerade.ALWAYS for f in service.frontends for a in f.answers):
        yield "masquerades"
    if service.affinity:
        yield f"keeps clients for {service.affinity} s"
    if service.health_check_node_port:
        yield f"health checks on port {service.health_check_node_port}"


def _rejected(rejections: tuple[Rejection, ...]) -> Markup:
    if not rejections:
        content = tag("p", "Nothing is: all that was read is used.", class_="good")
    else:
        rows = [(f"{r.kind} {r.name}", tag("code", r.field), r.reason) for r in rejections[:TOLD]]
        content = table("Rejected", ("Object", "Field", "Why"), rows)
        if len(rejections) > TOLD:
            content = joined(content, tag("p", f"and {len(rejections) - TOLD} more", class_="faint"))
    return tag("section", tag("h2", f"Rejected ({len(rejections)})"), content, id="rejected")


def _slow(families: Mapping[IPFamily, FamilyState]) -> Markup:
    slowest = sorted(
        ((family, slow) for family, state in families.items() for slow in state.slowest),
        key=lambda item: -item[1].seconds,
    )
    if not slowest:
        return Markup()
    rows = [
        (
            slow.trigger.service,
            family,
            slow.trigger.cause.value,
            _seconds(slow.seconds),
            _time(slow.trigger.time),
        )
        for family, slow in slowest
    ]
    headings = ("Service", "Family", "Change", "Took", "At")
    return tag(
        "section", tag("h2", "Slowest changes"), table("Slowest changes", headings, rows), id="slowest"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
