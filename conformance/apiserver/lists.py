"""Lists and their pages: from which revision, how many, and where the next page starts."""

import base64
import binascii

import msgspec

from . import answers
from .answers import Failure
from .encoding import encode
from .requests import Request
from .resources import Resource
from .selectors import BadSelector, Selector, both, everything, field_selector, label_selector
from .store import Expired, Store, Stored

_FRESH_WITHIN = 3.0
_INCONSISTENT = -1


class Page(msgspec.Struct, frozen=True):
    """What a list request comes to; ``more`` starts the next page, empty if this is the last."""

    revision: int
    objects: list[Stored]
    more: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, object]:
        """The list's metadata."""
        metadata: dict[str, object] = {"resourceVersion": str(self.revision)}
        if self.more:
            metadata["continue"] = self.more
        if self.remaining:
            metadata["remainingItemCount"] = self.remaining
        return metadata


class _Token(msgspec.Struct, frozen=True):
    """What a continue token holds: a revision, and the key from which the page starts."""

    v: str
    rv: int
    start: str


def body(resource: Resource, page: Page) -> bytes:
    """A list, encoded; the items are joined, not encoded anew."""
    prefix = f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":'.encode()
    items = b",".join([stored.body for stored in page.objects])
    return b"".join((prefix, encode(page.metadata()), b',"items":[', items, b"]}\n"))


def page(store: Store, request: Request) -> Page:
    """The objects that a request asks for.

    Raises:
        Failure: a parameter makes no sense, or the revision is gone or does not come.
    """
    assert request.resource is not None
    chosen = selector(request)
    limit = _number(request, "limit")
    token = request.query.get("continue", "")
    if token:
        return _next_page(store, request, chosen, limit, token)
    asked = revision_asked(request)
    wait_for(store, asked)
    if asked and request.query.get("resourceVersionMatch") == "Exact":
        try:
            revision, objects = asked, store.list_at(request.resource, asked)
        except Expired:
            raise answers.list_too_old() from None
    else:
        revision, objects = store.objects(request.resource)
    if request.query.get("resourceVersion") == "0":
        limit = 0  # answered from the cache, which knows no pages
    within = [one for one in objects if _within(one, request)]
    return _cut(revision, within, chosen, limit, request.namespace)


def selector(request: Request) -> Selector:
    """Which objects a request is about, beside its namespace. Raises `Failure`."""
    selectable = request.resource.selectable if request.resource else ()
    try:
        return both(
            label_selector(request.query.get("labelSelector", "")),
            field_selector(request.query.get("fieldSelector", ""), selectable),
        )
    except BadSelector as error:
        raise answers.bad_request(str(error)) from error


def revision_asked(request: Request) -> int:
    """The ``resourceVersion`` asked for; 0 if none or any. Raises `Failure`."""
    text = request.query.get("resourceVersion", "")
    if text and not (text.isascii() and text.isdecimal()):
        message = (
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
        raise Failure(500, message)
    return int(text or 0)


def wait_for(store: Store, revision: int) -> None:
    """Wait a moment for a revision that is still to come. Raises `Failure`."""
    if not store.reaches(revision, _FRESH_WITHIN):
        raise answers.too_large(revision, store.revision)


def _next_page(store: Store, request: Request, chosen: Selector, limit: int, token: str) -> Page:
    assert request.resource is not None
    if request.query.get("resourceVersion", "") not in ("", "0"):
        raise answers.bad_request("specifying resource version is not allowed when using continue")
    decoded = _decoded(token)
    start = decoded.start.removeprefix("/")
    if request.namespace:
        start = f"{request.namespace}/{start}"
    try:
        if decoded.rv == _INCONSISTENT:
            revision, objects = store.objects(request.resource)
        else:
            revision, objects = decoded.rv, store.list_at(request.resource, decoded.rv)
    except Expired:
        again = _Token(decoded.v, _INCONSISTENT, decoded.start)
        raise answers.continue_too_old(_encoded(again)) from None
    rest = [one for one in objects if _within(one, request) and one.key >= start]
    return _cut(revision, rest, chosen, limit, request.namespace)


def _cut(revision: int, objects: list[Stored], chosen: Selector, limit: int, namespace: str) -> Page:
    matching = objects if chosen is everything else [one for one in objects if chosen(one)]
    if not limit or len(matching) <= limit:
        return Page(revision, matching)
    here = matching[:limit]
    last = here[-1].key.removeprefix(f"{namespace}/") if namespace else here[-1].key
    more = _encoded(_Token("meta.k8s.io/v1", revision, f"/{last}\0"))
    remaining = len(matching) - limit if chosen is everything else None
    return Page(revision, here, more, remaining)


def _within(stored: Stored, request: Request) -> bool:
    return not request.namespace or stored.namespace == request.namespace


def _number(request: Request, parameter: str) -> int:
    text = request.query.get(parameter, "") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise answers.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _encoded(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _decoded(token: str) -> _Token:
    """Raises `Failure`, in the words of Go's decoders."""
    wrong = "invalid continue token: continue key is not valid: "
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise answers.bad_request(f"{wrong}illegal base64 data at input byte 0") from None
    try:
        return msgspec.json.decode(raw, type=_Token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        first = raw[:1].decode("latin-1")
        shown = first if first.isascii() and first.isprintable() else f"\\x{raw[0]:02x}" if raw else ""
        raise answers.bad_request(
            f"{wrong}invalid character '{shown}' looking for beginning of value"
        ) from None
