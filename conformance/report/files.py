"""Reports as files."""

from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from pointsman.core.errors import PointsmanError

from .markdown import rendered
from .model import Report

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


class ReportUnreadable(PointsmanError):
    """A file is no report; the message names it and what is wrong with it."""


def write(report: Report, path: Path) -> None:
    """Write a report in the form that the file's name asks for: Markdown for ``.md``, else JSON.

    Raises:
        OSError: the file can't be written.
    """
    if path.suffix == ".md":
        path.write_text(rendered(report), encoding="utf-8")
    else:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read(path: Path) -> Report:
    """Read a report that `write` wrote as JSON.

    Raises:
        ReportUnreadable: there is no such file, or it is no report.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise ReportUnreadable(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ReportUnreadable(f"{path} is no report of the suite, or of another format: {error}") from error


def schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    return {
        "$schema": SCHEMA_ID,
        "title": "Report of Pointsman's conformance suite",
        **_described(msgspec.json.schema(Report)),
    }


def _described(part: Any) -> Any:
    """The same, whatever Python it is: 3.13 takes the indents off docstrings, which are the descriptions."""
    if isinstance(part, list):
        return [_described(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: cleandoc(value) if key == "description" and isinstance(value, str) else _described(value)
        for key, value in part.items()
    }
