"""Which handler answers which path."""

from collections.abc import Mapping

from .messages import Handler, Later, Request, Response, text

READING = frozenset({"GET", "HEAD"})


class Router:
    """Answers by exact path, and by GET and HEAD alone; the rest is 404 and 405.

    ``routes`` that end in ``/*`` answer for all paths below. ``writing`` names routes that take other
    methods, with the method.
    """

    def __init__(self, routes: Mapping[str, Handler], writing: Mapping[str, str] | None = None) -> None:
        self._routes = dict(routes)
        self._writing = dict(writing or {})

    def __call__(self, request: Request) -> Response | Later:
        """Answer a request."""
        path = request.path
        handler = self._routes.get(path) or self._below(path)
        if handler is None:
            return text("404 page not found\n", 404)
        methods = {self._writing[path]} if path in self._writing else READING
        if request.method not in methods:
            refusal = text("405 method not allowed\n", 405)
            allow = ("Allow", ", ".join(sorted(methods)))
            return Response(refusal.status, refusal.body, refusal.content_type, (allow,))
        return handler(request)

    def _below(self, path: str) -> Handler | None:
        parent, slash, _ = path.rpartition("/")
        return self._routes.get(f"{parent}/*") if slash else None
