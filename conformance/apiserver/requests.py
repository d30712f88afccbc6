"""Requests as the server understands them: which verb on which resource."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from .resources import RESOURCES, Resource

_SEGMENT = r"[^/]+"
_PATH = re.compile(
    rf"/(?:api|apis/(?P<group>{_SEGMENT}))/(?P<version>{_SEGMENT})"
    rf"(?:/namespaces/(?P<namespace>{_SEGMENT}))?"
    rf"/(?P<plural>{_SEGMENT})(?:/(?P<name>{_SEGMENT})(?:/(?P<subresource>status))?)?/?"
)
_BY_PATH = {(one.group, one.version, one.plural): one for one in RESOURCES}
_VERBS = {
    ("GET", True): "get",
    ("GET", False): "list",
    ("POST", False): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", True): "delete",
}


class Request(Struct):
    """One request; ``status`` is what it was answered with, 0 if nothing was or is yet.

    ``verb`` is Kubernetes': get, list, watch, create, update, patch, delete; empty without a ``resource``.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    resource: Resource | None = None
    verb: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    status: int = 0

    @property
    def plural(self) -> str:
        """The resource's plural; empty if there is none."""
        return self.resource.plural if self.resource else ""


def understood(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """A request and what it is about; header names are in lower case."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    request = Request(method, parts.path, query, headers, body)
    match = _PATH.fullmatch(parts.path)
    resource = match and _BY_PATH.get((match["group"] or "", match["version"], match["plural"]))
    if match is None or resource is None:
        return request
    namespace, name = (unquote(match[part] or "") for part in ("namespace", "name"))
    misplaced = not namespace and bool(name) if resource.namespaced else bool(namespace)
    if misplaced:
        return request
    request.resource, request.namespace, request.name = resource, namespace, name
    request.subresource = match["subresource"] or ""
    request.verb = _VERBS.get((method, bool(name)), "")
    if request.verb == "list" and query.get("watch", "") in ("1", "true"):
        request.verb = "watch"
    return request
