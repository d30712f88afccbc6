"""What an entry of the table is, and how its values are read from text."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from pointsman.cli.durations import Duration, duration

from .rules import anything
from .v1alpha1 import KubeProxyConfiguration, Section, VModuleItem

SectionT = TypeVar("SectionT", bound=Section)


class Verdict(StrEnum):
    """What becomes of something of kube-proxy's here."""

    SAME = "same"
    BETTER = "same, with improvement"
    NONE = "accepted, no effect"
    OURS = "ours"


class Setting(Struct, frozen=True):
    """One thing that can be set.

    ``field`` is its path in the file, empty for what only a flag can say, which then has a ``kind`` and a
    ``default``. A flag sets the fields ``also`` too. ``zero_is_default`` is for fields where kube-proxy can't
    tell 0 or "" from nothing (CFG-15). ``alone`` is what the flag means without a value.
    """

    field: str
    flags: tuple[str, ...]
    help: str
    rule: Callable[[Any], object] = anything
    verdict: Verdict = Verdict.SAME
    note: str = ""
    also: tuple[str, ...] = ()
    kind: Any = None
    default: object = None
    zero_is_default: bool = False
    alone: str | None = None
    deprecated: str = ""

    @property
    def key(self) -> str:
        """What it goes by among all: its field, or its flag."""
        return self.field or self.flags[0]

    @property
    def type(self) -> Any:
        """The type of its values."""
        return self.kind if not self.field else field_types()[self.field]

    @property
    def many(self) -> bool:
        """Whether a flag that comes again adds to what it said."""
        return get_origin(self.type) in (tuple, dict)


@cache
def field_types() -> Mapping[str, Any]:
    """The type of each field that holds a value, by its path, in the order of the API."""
    return MappingProxyType(dict(_leaves(KubeProxyConfiguration, "")))


def _leaves(section: type[Section], path: str) -> Iterator[tuple[str, Any]]:
    for name, kind in section_types(section).items():
        if is_section(kind):
            yield from _leaves(kind, f"{path}{name}.")
        else:
            yield f"{path}{name}", kind


@cache
def section_types(section: type[Section]) -> Mapping[str, Any]:
    """The types of a section's fields, by their names in the API."""
    types = get_type_hints(section, include_extras=True)
    return MappingProxyType({field.encode_name: types[field.name] for field in fields(section)})


def is_section(kind: Any) -> TypeGuard[type[Section]]:
    """Whether a field of that type is a mapping with fields of its own."""
    return isinstance(kind, type) and issubclass(kind, Section)


def value_at(section: Section, path: str) -> Any:
    """The value of a field."""
    first, _, rest = path.partition(".")
    value = getattr(section, _attribute(type(section), first))
    return value_at(value, rest) if rest else value


def with_value(section: SectionT, path: str, value: object) -> SectionT:
    """The object with another value for a field."""
    first, _, rest = path.partition(".")
    name = _attribute(type(section), first)
    return replace(section, **{name: with_value(getattr(section, name), rest, value) if rest else value})


@cache
def _attribute(section: type[Section], api_name: str) -> str:
    return next(field.name for field in fields(section) if field.encode_name == api_name)


def from_text(kind: Any, text: str) -> Any:
    """A value of a type, as pflag reads it.

    Raises:
        ValueError: it is none.
    """
    if kind is bool:
        return _boolean(text)
    if kind is Duration:
        return duration(text)
    if kind == tuple[str, ...]:
        return tuple(text.split(",")) if text else ()
    if kind == tuple[VModuleItem, ...]:
        return tuple(_vmodule_item(part) for part in text.split(",")) if text else ()
    if kind == dict[str, bool]:
        return dict(_gate(part) for part in text.split(",")) if text else {}
    if kind is float or kind is int or get_args(kind)[:1] == (int,):
        return _number(kind, text)
    return text


def _boolean(text: str) -> bool:
    # What Go's strconv.ParseBool takes.
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"{text[:80]!r} is not true or false")


def _number(kind: Any, text: str) -> Any:
    what = "a number" if kind is float else "a whole number"
    if not (text.isascii() and len(text) <= 40) or "_" in text:
        raise ValueError(f"{text[:80]!r} is not {what}")
    try:
        number = float(text) if kind is float else int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {what}") from None
    try:
        return msgspec.convert(number, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{text!r} is not {what} that fits") from error


def _gate(text: str) -> tuple[str, bool]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise ValueError(f"{text[:80]!r} is not NAME=true or NAME=false")
    return name.strip(), _boolean(value.strip())


def _vmodule_item(text: str) -> VModuleItem:
    pattern, equals, level = text.partition("=")
    if not (pattern and equals and level.isascii() and level.isdigit() and len(level) < 10):
        raise ValueError(f"{text[:80]!r} is not PATTERN=LEVEL")
    return VModuleItem(pattern, int(level))
