"""Flags: entries of a table, read all at once so that every problem is named (CFG-05)."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pointsman.core.errors import ConfigError


class Flag(NamedTuple):
    """One flag.

    Messages call it by the first of its ``names``. ``key`` says what its value is for. ``parse`` reads its
    text, or ``default``, and raises ValueError saying what would be right. ``alone`` is what the flag means
    without a value, None if it needs one; a flag that is ``many`` may come again and adds to what it said.
    """

    names: tuple[str, ...]
    key: str
    parse: Callable[[str], object]
    metavar: str
    help: str
    default: str = ""
    alone: str | None = None
    many: bool = False


class Problems(ConfigError):
    """Everything that is wrong with a configuration, in a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def add(parser: argparse.ArgumentParser, flags: Sequence[Flag]) -> None:
    """Declare flags. The parser takes their values as they come; `read` looks into them."""
    for flag in flags:
        shape: dict[str, Any] = {"action": "append"} if flag.many else {}
        if flag.alone is not None:
            shape |= {"nargs": "?", "const": flag.alone}
        default = f" (default: {flag.default})" if flag.default else ""
        text = f"{flag.help}{default}".replace("%", "%%")
        parser.add_argument(*flag.names, dest=flag.key, metavar=flag.metavar, help=text, **shape)


def read(args: argparse.Namespace, flags: Sequence[Flag], problems: list[str]) -> dict[str, Any]:
    """The values of all flags by their keys; what can't be read is missing, and named in ``problems``."""
    values = {}
    for flag in flags:
        text = _text(args, flag)
        try:
            values[flag.key] = flag.parse(flag.default if text is None else text)
        except ValueError as error:
            problems.append(f"{flag.names[0]}: {error}")
    return values


def given(args: argparse.Namespace, flags: Sequence[Flag]) -> frozenset[str]:
    """The keys of the flags that say anything."""
    return frozenset(flag.key for flag in flags if _text(args, flag))


def _text(args: argparse.Namespace, flag: Flag) -> str | None:
    text: str | list[str] | None = getattr(args, flag.key)
    return ",".join(text) if isinstance(text, list) else text
