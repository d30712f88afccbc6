"""A configuration file: text to a typed object, and what in it was strange (CFG-01)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from pointsman.cli.durations import Duration, duration
from pointsman.cli.problems import Problems
from pointsman.core.errors import ConfigError
from pointsman.plugins.sources.files import yamltext

from .near import near
from .settings import is_section, section_types
from .table import BY_KEY, zero
from .v1alpha1 import API_VERSION, KIND, KubeProxyConfiguration, Section

MAX_BYTES = 1 << 20  # as much as a ConfigMap holds

# Of all durations kube-proxy reads this one as a number too. Elsewhere 5 is refused: nobody means 5 ns by it.
MAY_BE_NANOSECONDS = ("logging.flushFrequency",)

SectionT = TypeVar("SectionT", bound=Section)


class Reading(Struct, frozen=True):
    """What a file says: the configuration, the paths of the fields it sets, and what to warn of."""

    config: KubeProxyConfiguration
    given: frozenset[str]
    warnings: tuple[str, ...]


def read_file(path: str) -> Reading:
    """Read a configuration file, YAML or JSON.

    Raises:
        ConfigError: it can't be read, is too large, or is no YAML.
        Problems: it is of another kind or version, or has values of wrong types.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"--config: {path} can't be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"--config: {path} has more than {MAX_BYTES} bytes")
    try:
        return read_text(data)
    except yamltext.MalformedText as error:
        raise ConfigError(f"--config: {path}, line {error.line}: {error.problem}") from error


def read_text(data: bytes) -> Reading:
    """Read a configuration.

    Raises:
        pointsman.plugins.sources.files.yamltext.MalformedText: it is no YAML.
        Problems: it is of another kind or version, or has values of wrong types.
    """
    warnings: list[str] = []
    plain = _plain(data, warnings)
    if not isinstance(plain, Mapping):
        raise Problems(["--config: the file holds no mapping"])
    for field, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if plain.get(field) != expected:
            found = repr(plain.get(field))[:80]
            raise Problems([f"--config: {field} is {found}, and only {expected} is known"])
    reader = _Reader(warnings)
    config = reader.section(KubeProxyConfiguration, plain, "")
    if reader.problems:
        raise Problems(reader.problems)
    return Reading(config, frozenset(reader.given), tuple(warnings))


def _plain(data: bytes, warnings: list[str]) -> object:
    """The first document's content; that of several keys of one name which comes last."""

    def repeated(key: str, line: int) -> None:
        warnings.append(f"line {line}: the field {key[:80]!r} is there twice; the last one counts")

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in found]
        for name in sorted({name for name in names if names.count(name) > 1}):
            warnings.append(f"the field {name[:80]!r} is there twice; the last one counts")
        return dict(found)

    if data.lstrip().startswith(b"{"):
        try:
            return json.loads(data, object_pairs_hook=pairs)
        except (ValueError, RecursionError):
            warnings.clear()  # a mapping in braces may be YAML all the same
    documents = list(yamltext.split(data))
    if len(documents) > 1:
        warnings.append(f"line {documents[1].line}: only the first document of the file counts")
    return next(
        (plain for document in documents[:1] for plain in yamltext.load(document.text, repeated)), None
    )


class _Reader:
    """Turns plain values into typed ones, and notes all that is wrong with them."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings
        self.problems: list[str] = []
        self.given: list[str] = []

    def section(self, kind: type[SectionT], plain: Mapping[Any, object], path: str) -> SectionT:
        """A mapping as an object; null means nothing, as does zero where kube-proxy can't tell."""
        by_name = {field.encode_name: field for field in fields(kind)}
        types = section_types(kind)
        values: dict[str, object] = {}
        for name, value in plain.items():
            if name not in by_name:
                self._warnings.append(f"there is no field {path}{str(name)[:80]!r}{near(str(name), by_name)}")
            elif value is None:
                continue
            elif is_section(types[name]):
                if isinstance(value, Mapping):
                    values[by_name[name].name] = self.section(types[name], value, f"{path}{name}.")
                else:
                    self.problems.append(f"{path}{name}: a mapping is expected, not {_kind(value)}")
            else:
                self._leaf(by_name[name].name, types[name], value, f"{path}{name}", values)
        return kind(**values)

    def _leaf(self, attribute: str, kind: Any, plain: object, path: str, values: dict[str, object]) -> None:
        try:
            if kind is Duration and path not in MAY_BE_NANOSECONDS:
                _text(plain)
            value = msgspec.convert(plain, kind, dec_hook=_decode)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{path}: {str(error) or 'it nests too deep'}")
            return
        setting = BY_KEY.get(path)
        if setting is not None and setting.zero_is_default and zero(value):
            return
        values[attribute] = value
        self.given.append(path)


def _decode(kind: Any, plain: object) -> object:
    """What msgspec has no type for: durations, as text or as nanoseconds."""
    if kind is not Duration:
        raise NotImplementedError(kind)
    if isinstance(plain, int) and not isinstance(plain, bool):
        return Duration(plain)
    return duration(_text(plain))


def _text(plain: object) -> str:
    if not isinstance(plain, str):
        raise ValueError(f"a duration such as 30s is expected, not {_kind(plain)}")
    return plain


def _kind(plain: object) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(plain), "a mapping" if isinstance(plain, Mapping) else type(plain).__name__)
