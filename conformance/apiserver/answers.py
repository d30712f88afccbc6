"""What requests come to: bodies that are complete, and the Status objects that tell of failure."""

from typing import Any

from msgspec import Struct

from .encoding import Manifest, encode
from .resources import Resource

JSON = "application/json"


class Answer(Struct, frozen=True):
    """A complete answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Failure(Exception):
    """A request that is answered with a Status; its arguments are those of `failure`."""

    def __init__(self, code: int, message: str, reason: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status = status(code, message, reason, **more)

    @property
    def answer(self) -> Answer:
        """What goes to the client."""
        seconds = self.status.get("details", {}).get("retryAfterSeconds")
        headers = (("Retry-After", str(seconds)),) if seconds else ()
        return Answer(self.status["code"], encode(self.status) + b"\n", headers=headers)


def status(
    code: int,
    message: str,
    reason: str = "",
    *,
    details: Manifest | None = None,
    metadata: Manifest | None = None,
) -> Manifest:
    """A Status object that says what went wrong."""
    known: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": metadata or {}, "status": "Failure"}
    if message:
        known["message"] = message
    if reason:
        known["reason"] = reason
    if details:
        known["details"] = details
    return {**known, "code": code}


def about(resource: Resource, name: str, **more: Any) -> Manifest:
    """The details of a failure that concerns one object."""
    details = {"name": name, "group": resource.group, "kind": resource.plural, **more}
    return {field: value for field, value in details.items() if value != ""}


def not_found(resource: Resource, name: str) -> Failure:
    """There is no such object."""
    return Failure(404, f'{resource.name} "{name}" not found', "NotFound", details=about(resource, name))


def no_such_path() -> Failure:
    """There is nothing at this path."""
    message = "the server could not find the requested resource"
    return Failure(404, message, "NotFound", details={})


def bad_request(message: str) -> Failure:
    """The request makes no sense."""
    return Failure(400, message, "BadRequest")


def unauthorized() -> Failure:
    """Nobody knows this client."""
    return Failure(401, "Unauthorized", "Unauthorized")


def method_not_allowed(resource: Resource | None) -> Failure:
    """The method is none for this path."""
    message = "the server does not allow this method on the requested resource"
    details = {"group": resource.group, "kind": resource.plural} if resource else {}
    details = {field: value for field, value in details.items() if value}
    return Failure(405, message, "MethodNotAllowed", details=details)


def too_large(asked: int, current: int) -> Failure:
    """A revision that is still to come was waited for in vain."""
    return Failure(
        504,
        f"Timeout: Too large resource version: {asked}, current: {current}",
        "Timeout",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def too_old(asked: int, oldest: int) -> Failure:
    """A watch from a revision that history no longer has."""
    return Failure(410, f"too old resource version: {asked} ({oldest})", "Expired")


def list_too_old() -> Failure:
    """A list at a revision that history no longer has."""
    return Failure(410, "The resourceVersion for the provided list is too old.", "Expired")


def continue_too_old(token: str) -> Failure:
    """The next page of a list that history no longer has; ``token`` leads on from there, inconsistently."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter, or use the continue token in this response to retrieve the "
        "remainder of the results. Continuing with the provided token results in an inconsistent list - "
        "objects that were created, modified, or deleted between the time the first chunk was returned and "
        "now may show up in the list."
    )
    return Failure(410, message, "Expired", metadata={"continue": token})


def invalid_list_options(why: str) -> Failure:
    """``resourceVersionMatch`` doesn't fit the other parameters."""
    field = "resourceVersionMatch"
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": field}
    return Failure(
        422,
        f'ListOptions.meta.k8s.io "" is invalid: {field}: Forbidden: {why}',
        "Invalid",
        details={"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]},
    )


def already_exists(resource: Resource, name: str) -> Failure:
    """An object is to be created that there is."""
    message = f'{resource.name} "{name}" already exists'
    return Failure(409, message, "AlreadyExists", details=about(resource, name))


def conflict(resource: Resource, name: str) -> Failure:
    """An object has changed since the client looked at it."""
    message = (
        f'Operation cannot be fulfilled on {resource.name} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return Failure(409, message, "Conflict", details=about(resource, name))


def unsupported_media_type(supported: str) -> Failure:
    """A body is of a kind that nobody reads here."""
    message = "the body of the request was in an unknown format - accepted media types include: " + supported
    return Failure(415, message, "UnsupportedMediaType")


def not_acceptable(served: str) -> Failure:
    """The client wants no media type that there is."""
    return Failure(406, f"only the following media types are accepted: {served}", "NotAcceptable")
