"""What is logged stays a line, whatever it quotes."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cli import logs

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[(\w+) *\] (.*)")

# Surrogates too: file names that are no UTF-8 come as such.
anything = st.text(st.characters())


class Rude:
    """An object that says more than a line of itself."""

    def __repr__(self) -> str:
        return "one\n2026-01-01T00:00:00.0Z [info     ] another"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("pointsman")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def said(log_format: str, verbosity: int = 0) -> tuple[io.StringIO, logging.Logger]:
    stream = io.StringIO()
    logs.configure(stream, log_format, verbosity)
    return stream, logging.getLogger("pointsman.example")


@given(event=anything, value=anything)
def test_a_record_is_a_line_for_people(event: str, value: str) -> None:
    stream, log = said("text")
    log.warning(
        "%s", event, extra={"field": value, "several": [value], "bytes": value.encode("utf-8", "replace")}
    )
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert LINE.fullmatch(text[:-1])


@given(event=anything, value=anything)
def test_a_record_is_a_line_for_programs(event: str, value: str) -> None:
    stream, log = said("json")
    log.warning("%s", event, extra={"field": value, "number": 3})
    text = stream.getvalue()
    assert text.isascii()
    assert text.count("\n") == 1
    line = json.loads(text)
    assert (line["event"], line["field"], line["number"]) == (event, value, 3)
    assert (line["level"], line["logger"]) == ("warning", "pointsman.example")
    assert line["timestamp"].endswith("Z")


def test_a_value_cannot_pass_for_another_field() -> None:
    stream, log = said("text")
    log.info("synced", extra={"object": "x' level='error"})
    assert """object="x' level='error\"""" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_objects_say_of_themselves_is_escaped(log_format: str) -> None:
    stream, log = said(log_format)
    log.info("synced", extra={"object": Rude()})
    assert stream.getvalue().count("\n") == 1


def test_fields_come_in_the_order_given() -> None:
    stream, log = said("text")
    log.info("synced", extra={"second": 2, "first": 1})
    assert stream.getvalue().endswith("synced [pointsman.example] second=2 first=1\n")


def test_no_line_of_a_traceback_passes_for_a_record() -> None:
    stream, log = said("text")
    try:
        raise ValueError("bad\n2026-01-01T00:00:00.0Z [error    ] forged\x1b[2J")
    except ValueError:
        log.exception("plugin_failed")
    first, *others = stream.getvalue().splitlines()
    assert LINE.fullmatch(first)
    assert any("ValueError: bad" in line for line in others)
    assert all(line.startswith("    | ") and line.isprintable() for line in others)


def test_a_traceback_is_a_field_for_programs() -> None:
    stream, log = said("json")
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("plugin_failed")
    line = json.loads(stream.getvalue())
    assert line["exception"].endswith("ValueError: bad")


@pytest.mark.parametrize(("verbosity", "heard"), [(0, False), (3, False), (4, True), (10, True)])
def test_verbosity_is_about_our_own_details(verbosity: int, *, heard: bool) -> None:
    stream, log = said("text", verbosity)
    log.debug("detail")
    logging.getLogger("somebody.else").info("chatter")
    assert ("detail" in stream.getvalue()) is heard
    assert "chatter" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"),
    [(Terminal(), "", True), (Terminal(), "1", False), (io.StringIO(), "", False)],
)
def test_colours_are_for_terminals_whose_users_like_them(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, no_color: str, *, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    logs.configure(stream, "text", 0)
    logging.getLogger("pointsman.example").info("synced")
    assert ("\x1b[" in stream.getvalue()) is coloured
