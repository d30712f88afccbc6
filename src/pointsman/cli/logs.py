"""Logs: what modules say through `logging`, with their fields, as a line each for people or for programs."""

import logging
import os
import traceback
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from .text import one_line

VERBOSE = 4  # where kube-proxy's users expect what helps to find faults
_SCALARS = (str, int, float, bool, type(None))


def configure(stream: TextIO, log_format: str, verbosity: int) -> None:
    """Send the process's log records to a stream, as ``text`` or ``json``.

    Whatever a record quotes, it stays one line. Only tracebacks take more in text, each of their lines
    marked so that none can pass for a record. Libraries are heard from warnings on.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *(_for_programs() if log_format == "json" else _for_people(stream)),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("pointsman").setLevel(logging.DEBUG if verbosity >= VERBOSE else logging.INFO)


def _for_programs() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _for_people(stream: TextIO) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),
        pad_event_to=0,
        repr_native_str=True,
        sort_keys=False,
        exception_formatter=_write_traceback,
    )
    return [_escape, renderer]


def _escape(_logger: object, _method: str, event: EventDict) -> Mapping[str, object]:
    """Escape what the renderer passes on as it is: the event, and what values say of themselves.

    It quotes and escapes all other strings.
    """
    escaped: dict[str, object] = {}
    for key, value in event.items():
        if key == "event":
            escaped[key] = one_line(str(value))
        elif key != "exc_info" and not isinstance(value, _SCALARS) and not repr(value).isprintable():
            escaped[key] = repr(value)
        else:
            escaped[key] = value
    return escaped


def _write_traceback(stream: TextIO, error: ExcInfo) -> None:
    lines = "".join(traceback.format_exception(*error)).splitlines()
    stream.writelines(f"\n    | {one_line(line)}" for line in lines)
