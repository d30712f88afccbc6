"""Flags, as kube-proxy's users write them: made from the table, and read by it."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pointsman.cli.durations import Duration

from .settings import Setting, from_text, value_at
from .v1alpha1 import KubeProxyConfiguration

_DEFAULTS = KubeProxyConfiguration()


def dashed(arguments: Sequence[str]) -> list[str]:
    """Arguments with dashes for underscores in the names of flags (CFG-04)."""
    return [_dashed(argument) for argument in arguments]


def _dashed(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def add(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Declare the flags of settings. The parser takes their values as they come; `read` looks into them."""
    for setting in settings:
        if not setting.flags:
            continue
        shape: dict[str, Any] = {"action": "append"} if setting.many else {}
        if setting.alone is not None:
            shape |= {"nargs": "?", "const": setting.alone}
        text = "deprecated: " * bool(setting.deprecated) + setting.help
        default = as_text(_default(setting))
        if default and "default:" not in text and setting.kind is not bool:
            text += f" (default: {default})"
        metavar = setting.flags[-1].lstrip("-").replace("-", "_").upper()
        parser.add_argument(
            *setting.flags, dest=setting.key, metavar=metavar, help=text.replace("%", "%%"), **shape
        )


def read(args: argparse.Namespace, settings: Sequence[Setting], problems: list[str]) -> dict[str, Any]:
    """The values of the flags that were given, by the keys of their settings; problems are noted."""
    values = {}
    for setting in settings:
        said = getattr(args, setting.key) if setting.flags else None
        if said is None:
            continue
        try:
            values[setting.key] = _value(setting, said)
        except ValueError as error:
            problems.append(f"{setting.flags[0]}: {error}")
    return values


def _value(setting: Setting, said: str | list[str]) -> Any:
    if isinstance(said, str):
        return from_text(setting.type, said)
    return from_text(setting.type, ",".join(part for part in said if part))


def flag_values(given: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, str]:
    """Every flag with its value, given or by default, as /flagz shows them (HTTP-02)."""
    return {
        _long_name(setting): as_text(given.get(setting.key, _default(setting)))
        for setting in settings
        if setting.flags
    }


def _long_name(setting: Setting) -> str:
    return next(flag for flag in setting.flags if flag.startswith("--"))[2:]


def as_text(value: object) -> str:
    """A value as a flag would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={as_text(part)}" for name, part in value.items())
    if isinstance(value, tuple):
        return ",".join(as_text(part) for part in value)
    if isinstance(value, msgspec.Struct):
        return "=".join(as_text(part) for part in msgspec.structs.astuple(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, Duration) else f"{value}"


def _default(setting: Setting) -> Any:
    return value_at(_DEFAULTS, setting.field) if setting.field else setting.default
