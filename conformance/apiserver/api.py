"""The API: a request in, an answer or a watch out; nothing here knows of sockets."""

from . import answers, discovery, lists, media, tables
from .answers import Answer
from .defaults import ServiceDefaults
from .requests import Request
from .store import Store
from .watching import Watch
from .writing import Writer

_HEALTH = ("/healthz", "/livez", "/readyz")
_OPEN = (*_HEALTH, "/version")


class Api:
    """Answers requests from a store.

    Attributes:
        token: what a client has to show.

    Args:
        store: the objects.
        token: the token at first.
        defaults: completes the Services that clients write.
        bookmark_every: seconds between a watch's bookmarks.

    Raises:
        Failure: from `answer`.
    """

    def __init__(self, store: Store, token: str, defaults: ServiceDefaults, bookmark_every: float) -> None:
        self._store = store
        self.token = token
        self._writer = Writer(store, defaults)
        self._bookmark_every = bookmark_every
        self._documents = discovery.documents()

    def answer(self, request: Request) -> Answer | Watch:
        """What a request comes to."""
        self._authenticate(request)
        path = request.path.rstrip("/")
        if path in _HEALTH:
            return Answer(200, b"ok", "text/plain; charset=utf-8")
        if path in self._documents and request.method == "GET":
            return self._document(request, path)
        if request.resource is None:
            raise answers.no_such_path()
        match request.verb:
            case "get":
                return self._get(request)
            case "list":
                return self._list(request)
            case "watch":
                form = media.chosen(request)
                return Watch(self._store, request, media.render(request.resource, form), self._bookmark_every)
            case "":
                raise answers.method_not_allowed(request.resource)
            case _:
                return self._writer.answer(request)

    def _document(self, request: Request, path: str) -> Answer:
        document = self._documents[path]
        if document.content_type == answers.JSON:
            media.chosen(request)
        return document

    def _authenticate(self, request: Request) -> None:
        """Anybody who shows no token may ask after health and version only."""
        shown = request.headers.get("authorization", "")
        scheme, _, token = shown.partition(" ")
        right = scheme.lower() == "bearer" and token == self.token
        if not right and (shown or request.path not in _OPEN):
            raise answers.unauthorized()

    def _get(self, request: Request) -> Answer:
        assert request.resource is not None
        form = media.chosen(request)
        stored = self._store.get(request.resource, request.namespace, request.name)
        if stored is None:
            raise answers.not_found(request.resource, request.name)
        return Answer(200, media.render(request.resource, form)(stored.body) + b"\n")

    def _list(self, request: Request) -> Answer:
        assert request.resource is not None
        form = media.chosen(request)
        page = lists.page(self._store, request)
        if form is media.Form.TABLE:
            return Answer(200, tables.table(request.resource, page))
        return Answer(200, lists.body(request.resource, page))
