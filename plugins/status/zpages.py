"""``/flagz`` and ``/statusz``: for people in plain text, for programs if they ask exactly (HTTP-02)."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import Message
from enum import StrEnum
from typing import NamedTuple

import yaml
from msgspec import Struct

from pointsman.plugins.http.messages import Handler, Request, Response, json, text

GROUP = "config.k8s.io"
CURRENT, DEPRECATED = "v1beta1", "v1alpha1"
COMPONENT = "kube-proxy"
PREAMBLE = "For people to look at: its form may change, so programs should ask for JSON or YAML.\n"


class Kind(StrEnum):
    """What a page is of."""

    FLAGZ = "Flagz"
    STATUSZ = "Statusz"


class Form(NamedTuple):
    """What a client accepts: a media type, and of which version of the API; no version for plain text."""

    media: str
    version: str = ""


class Process(Struct, frozen=True):
    """What ``/statusz`` tells; ``started`` is in seconds since the epoch."""

    started: float
    version: str
    emulated: str
    python: str
    paths: tuple[str, ...]


def flagz(flags: Mapping[str, str]) -> Handler:
    """Every flag, with its value."""
    lines = "".join(f"{name}={value}\n" for name, value in sorted(flags.items()))
    return lambda request: _negotiated(request, Kind.FLAGZ, lambda: lines, lambda: {"flags": dict(flags)})


def statusz(process: Process, *, now: Callable[[], float] = time.time) -> Handler:
    """What runs here, since when, and where else to look."""
    started = datetime.fromtimestamp(process.started, UTC)

    def up() -> int:
        return max(0, int(now() - process.started))

    def lines() -> str:
        minutes, seconds = divmod(up(), 60)
        hours, minutes = divmod(minutes, 60)
        return (
            f"Started: {started:%a %b %d %H:%M:%S} UTC {started:%Y}\n"
            f"Up: {hours} hr {minutes:02} min {seconds:02} sec\n"
            f"Python version: {process.python}\n"
            f"Binary version: {process.version}\n"
            f"Emulation version: {process.emulated}\n"
            f"Paths: {' '.join(process.paths)}\n"
        )

    def fields() -> dict[str, object]:
        return {
            "startTime": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "uptimeSeconds": up(),
            # There is no other field for what runs the program.
            "goVersion": f"none (Python {process.python})",
            "binaryVersion": process.version,
            "emulationVersion": process.emulated,
            "paths": list(process.paths),
        }

    return lambda request: _negotiated(request, Kind.STATUSZ, lines, fields)


def accepted(accept: str, kind: Kind) -> Form | None:
    """The first form in an Accept header that there is; None if there is none."""
    if not accept.strip():
        return Form("text/plain")
    for clause in accept.split(","):
        message = Message()
        message["Content-Type"] = clause.strip()
        media, parameters = clause.partition(";")[0].strip().lower(), dict(message.get_params([])[1:])
        if parameters.pop("q", "1").strip() in ("0", "0.0", "0.00", "0.000"):
            continue
        if media in ("*/*", "text/*", "text/plain") and not parameters.keys() & {"g", "v", "as"}:
            return Form("text/plain")
        version = parameters.get("v", "")
        exact = {"g": GROUP, "v": version, "as": kind.value}
        structured = media in ("application/json", "application/yaml")
        if structured and version in (CURRENT, DEPRECATED) and parameters == exact:
            return Form(media, version)
    return None


def _negotiated(
    request: Request, kind: Kind, lines: Callable[[], str], fields: Callable[[], dict[str, object]]
) -> Response:
    form = accepted(request.headers.get("accept", ""), kind)
    if form is None:
        exact = f"application/json;g={GROUP};v={CURRENT};as={kind}"
        return text(f"406 not acceptable: ask for text/plain, or for {exact}\n", 406)
    if not form.version:
        return text(f"\n{COMPONENT} {kind.lower()}\n{PREAMBLE}\n{lines()}")
    content = {
        "kind": kind.value,
        "apiVersion": f"{GROUP}/{form.version}",
        "metadata": {"name": COMPONENT},
        **fields(),
    }
    old = f'299 - "{GROUP}/{DEPRECATED} {kind} is deprecated: ask for {GROUP}/{CURRENT}"'
    headers = (("Warning", old),) if form.version == DEPRECATED else ()
    if form.media == "application/json":
        return Response(200, json(content).body, form.media, headers)
    return Response(200, yaml.safe_dump(content, sort_keys=False).encode(), form.media, headers)
