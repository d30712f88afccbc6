"""What a file's bytes say: its objects, and what is wrong with it. Pure.

Read are Service, EndpointSlice, Node and ServiceCIDR of the API versions that a service proxy watches: one to
a document, or in a list as ``kubectl get -o yaml`` and ``-o json`` print it (kind List) or as the API server
answers (kind ServiceList and so on, whose items may lack kind and apiVersion).
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any
from typing import Protocol as Interface

import msgspec
from msgspec import Struct

from pointsman.core import apis
from pointsman.core.apis import ApiObject, EndpointSlice, Kind, Node, Service, ServiceCIDR
from pointsman.core.errors import ObjectRejected
from pointsman.core.model import NamespacedName

from . import yamltext
from .reading import Fault, Key, Located, Place, Reading, key_of, one_line, unreadable

API_VERSIONS: dict[Kind, str] = {
    Service: "v1",
    EndpointSlice: "discovery.k8s.io/v1",
    Node: "v1",
    ServiceCIDR: "networking.k8s.io/v1",
}
# Where kubectl puts an object that names none.
DEFAULT_NAMESPACE = "default"
# A file with more is not what its name says; who reads the log learns nothing from the rest.
MAX_FAULTS = 1000

_LISTS = {f"{name}List": name for name in apis.KINDS}
# msgspec words its errors "JSON is malformed: invalid character (byte 12)".
_POSITION = re.compile(r"\(byte (\d+)\)")


def read(data: bytes, path: str) -> Reading:
    """Read a file's content; ``path`` tells JSON (``.json``) from YAML, which includes JSON.

    Whatever is wrong is in the `Reading`.
    """
    if not data:
        # A shell's `>` empties the file long before the command writes it.
        return unreadable(path, "it is empty, as if about to be written")
    collector = _Collector()
    try:
        data = _utf8(data)
        if path.endswith(".json"):
            collector.document(_Json(data), Place(1))
        else:
            for document in yamltext.split(data):
                _read_yaml(collector, document)
    except UnicodeDecodeError as error:
        return unreadable(path, f"it begins like UTF-16 and is not: {error.reason}")
    except _TooManyFaults:
        reason = f"it has more than {MAX_FAULTS} faults; the rest is not read"
        collector.faults += unreadable(path, reason).faults
    return Reading(collector.objects, collector.faults, collector.ignored)


def _utf8(data: bytes) -> bytes:
    """The same text in UTF-8 without a byte order mark; PowerShell's ``>`` writes UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def _read_yaml(collector: "_Collector", document: yamltext.Document) -> None:
    body = document.text.removeprefix(b"---").lstrip()
    if body.startswith(b"{") and _is_json(body):
        collector.document(_Json(body), Place(document.number, 0, document.line))
        return
    try:
        for plain in yamltext.load(document.text):
            if plain is not None:
                collector.document(_Yaml(plain, document.line), Place(document.number))
    except yamltext.MalformedText as error:
        collector.malformed(Place(document.number, 0, document.line), error)


def _is_json(text: bytes) -> bool:
    try:
        _headers.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class _Header(Struct, rename="camel"):
    """What tells how to read a document or an item."""

    kind: Any = None
    api_version: Any = None


_headers = msgspec.json.Decoder(_Header)


class _Value(Interface):
    """A document or an item of a list, before it is known to be of any use.

    Each method raises `ObjectRejected` for what isn't as it should be.
    """

    @property
    def line(self) -> int:
        """The line it starts at in its file, 0 if not known."""

    def header(self) -> _Header:
        """Its kind and API version."""

    def items(self) -> "Iterable[_Value]":
        """What it lists."""

    def decode(self, kind: Kind) -> ApiObject:
        """The object it is."""


class _Json:
    """Text in JSON."""

    line = 0

    def __init__(self, raw: bytes | msgspec.Raw) -> None:
        self._raw = bytes(raw)

    def header(self) -> _Header:
        try:
            return _headers.decode(self._raw)
        except msgspec.ValidationError as error:
            raise ObjectRejected("Document", "?", "$", str(error)) from None
        except msgspec.DecodeError as error:
            position = _POSITION.search(str(error))
            end = int(position[1]) if position else len(self._raw)  # without: it is cut short
            raise yamltext.MalformedText(str(error), self._raw.count(b"\n", 0, end) + 1) from None
        except (UnicodeDecodeError, RecursionError) as error:
            raise yamltext.MalformedText(str(error), 1) from None

    def items(self) -> "Iterable[_Json]":
        return map(_Json, apis.split_list(self._raw))

    def decode(self, kind: Kind) -> ApiObject:
        return apis.decode(kind, self._raw, DEFAULT_NAMESPACE)


class _Yaml:
    """What YAML became; ``first_line`` is that of its document in the file."""

    def __init__(self, plain: object, first_line: int) -> None:
        self._plain = plain
        self._first_line = first_line
        self.line = first_line + plain.line - 1 if isinstance(plain, yamltext.Mapping) else 0

    def header(self) -> _Header:
        mapping = self._mapping()
        return _Header(mapping.get("kind"), mapping.get("apiVersion"))

    def items(self) -> "Iterable[_Yaml]":
        items = self._mapping().get("items")
        if items is not None and not isinstance(items, list):
            raise ObjectRejected("List", "?", "$.items", "it is not a list")
        return (_Yaml(item, self._first_line) for item in items or ())

    def decode(self, kind: Kind) -> ApiObject:
        return apis.convert(kind, self._plain, DEFAULT_NAMESPACE)

    def _mapping(self) -> yamltext.Mapping:
        if isinstance(self._plain, yamltext.Mapping):
            return self._plain
        raise ObjectRejected("Document", "?", "$", "it is not an object")


class _TooManyFaults(Exception):
    """Reading on is of no use."""


class _Collector:
    """Gathers what a file's documents say."""

    def __init__(self) -> None:
        self.objects: dict[Key, Located] = {}
        self.faults: list[Fault] = []
        self.ignored: Counter[str] = Counter()

    def document(self, value: _Value, place: Place) -> None:
        """Take in a document: an object, or a list of them."""
        place = place._replace(line=value.line or place.line)
        try:
            header = value.header()
            if not _is_list(header):
                self._object(value, header, place)
                return
            items = value.items()
        except ObjectRejected as error:
            self.reject(place, error)
            return
        except yamltext.MalformedText as error:
            self.malformed(place, error)
            return
        listed = _Header(_LISTS[header.kind], header.api_version) if header.kind in _LISTS else None
        for number, item in enumerate(items, 1):
            at = Place(place.document, number, item.line)
            try:
                self._object(item, listed or item.header(), at)
            except ObjectRejected as error:
                self.reject(at, error)

    def malformed(self, place: Place, error: yamltext.MalformedText) -> None:
        """Take in that a document can't be read."""
        at = place._replace(line=(place.line or 1) + error.line - 1)
        self.reject(at, ObjectRejected("Document", "?", "$", one_line(error.problem)))

    def reject(self, place: Place, error: ObjectRejected) -> None:
        """Take in that something is wrong."""
        if len(self.faults) == MAX_FAULTS:
            raise _TooManyFaults
        self.faults.append(Fault(place, error, _key_in(error)))

    def _object(self, value: _Value, header: _Header, place: Place) -> None:
        name = header.kind
        if not isinstance(name, str) or not name:
            raise ObjectRejected("Document", "?", "$.kind", "it is missing or no string")
        if _is_list(header):
            raise ObjectRejected(name, "?", "$", "a list in a list is not read")
        kind, version = apis.KINDS.get(name), header.api_version
        if kind is None or (isinstance(version, str) and _group(version) != _group(API_VERSIONS[kind])):
            self.ignored[one_line(name, 60)] += 1
            return
        decoded = value.decode(kind)
        key = key_of(decoded)
        if version != API_VERSIONS[kind]:
            given = one_line(repr(version), 60) if version else "none"
            reason = f"{given} is given, {API_VERSIONS[kind]} is read"
            raise ObjectRejected(name, str(key), "$.apiVersion", reason)
        if key in self.objects:
            raise ObjectRejected(name, str(key), "$", f"{self.objects[key].place} has it already")
        self.objects[key] = Located(decoded, place)


def _is_list(header: _Header) -> bool:
    return isinstance(header.kind, str) and (header.kind == "List" or header.kind in _LISTS)


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _key_in(error: ObjectRejected) -> Key | None:
    """The object that a rejection names, if it names one."""
    kind = apis.KINDS.get(error.kind)
    namespace, _, name = error.name.rpartition("/")
    return Key(kind, NamespacedName(namespace, name)) if kind is not None and name != "?" else None
