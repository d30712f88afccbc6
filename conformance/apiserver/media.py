"""In which form a client wants to see objects: as they are, or as rows of a table."""

from enum import Enum, auto

from . import answers, tables
from .encoding import alone
from .requests import Request
from .resources import Resource
from .watching import Render


class Form(Enum):
    """A form of objects."""

    PLAIN = auto()
    TABLE = auto()


def chosen(request: Request) -> Form:
    """The first form of those a client accepts that is served.

    Protobuf is not, and neither are tables of versions before v1.

    Raises:
        Failure: it accepts none.
    """
    accepted = request.headers.get("accept", "") or "*/*"
    for clause in accepted.split(","):
        kind, *parameters = (part.strip() for part in clause.split(";"))
        if kind not in ("application/json", "application/*", "*/*"):
            continue
        named = dict(part.split("=", 1) for part in parameters if "=" in part)
        wanted = (named.get("as"), named.get("g"), named.get("v"))
        if wanted == ("Table", "meta.k8s.io", "v1") and request.resource is not None:
            return Form.TABLE
        if wanted[0] is None:
            return Form.PLAIN
    raise answers.not_acceptable("application/json")


def render(resource: Resource, form: Form) -> Render:
    """How to show single objects, those of one watch or of a get."""
    if form is Form.TABLE:
        return tables.Rows(resource)
    return lambda body: alone(resource, body)
