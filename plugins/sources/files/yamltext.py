"""YAML text to plain values, a document at a time, in bounded time and memory. Pure.

The parser's events are put together here and not by PyYAML's constructors: these recurse, copy what a merge
key names as often as it is named, keep the last of two equal keys, and turn timestamps into objects and
``12:30`` into 750. What a scalar means follows what kubectl makes of it.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Custom resources nest up to a few dozen levels; the scanner's time grows with the depth.
MAX_DEPTH = 200
# A Service or a small EndpointSlice has about 100 keys and values; an alias counts as what it stands for.
MAX_NODES = 4_000_000

# By the specification both are markers wherever they start a line, in the midst of a scalar too.
_MARKER = re.compile(rb"^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)
# Comments and directives before a `---` belong to the document that it starts; this is anything else.
_CONTENT = re.compile(rb"^[ \t\r]*[^\s#%]", re.MULTILINE)
_EMPTY = re.compile(rb"---\s*")

_TAG = "tag:yaml.org,2002:"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset(["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"])
_FALSE = frozenset(["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"])
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)


class MalformedText(Exception):
    """A text that can't be read; ``line`` counts from 1 within it."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


class Document(NamedTuple):
    """The text of one document: the how-manieth of its stream, and its first line there, both from 1."""

    number: int
    line: int
    text: bytes


class Mapping(dict[str, Any]):
    """A YAML mapping and the line it starts at."""

    __slots__ = ("line",)

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def split(data: bytes) -> Iterator[Document]:
    """Cut a stream at its document markers, so that a broken document spoils no other; omit empty ones."""
    number, start, line = 0, 0, 1
    for marker in chain(_MARKER.finditer(data), [None]):
        end = marker.start() if marker else len(data)
        begins = marker is not None and marker.group() == b"---"
        has_content = _CONTENT.search(data, start, end)
        if begins and not has_content:
            continue
        if has_content:
            number += 1
            if not _EMPTY.fullmatch(data, start, end):
                yield Document(number, line, data[start:end])
        following = end if marker is None or begins else marker.end()
        line += data.count(b"\n", start, following)
        start = following


Repeated = Callable[[str, int], None]
"""Told of a key that is there again, and of its line."""


def load(text: bytes, repeated: Repeated | None = None) -> Iterator[object]:
    """The documents in a text, as dicts (`Mapping`), lists and scalars; a text from `split` has one.

    Of a key that is there twice the last one counts, if there is somebody to be told of it.

    Raises:
        MalformedText: it isn't YAML, has a key twice and nobody to be told of it, nests too deep or has too
            many values.
    """
    try:
        loader = _LOADER(text)
    except yaml.YAMLError as error:
        raise _fault(error, text) from None
    try:
        builder = _Builder(repeated)
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.NodeEvent):
                builder.add(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                builder.end()
            elif isinstance(event, yaml.DocumentEndEvent):
                yield builder.root
                builder = _Builder(repeated)
    except yaml.YAMLError as error:
        raise _fault(error, text) from None
    finally:
        loader.dispose()


class _Frame:
    """A collection under construction."""

    __slots__ = ("anchor", "container", "key", "merges", "merging", "start")

    def __init__(self, container: "Mapping | list[Any]", anchor: str | None, start: int) -> None:
        self.container = container
        self.anchor = anchor
        self.start = start
        self.key: str | None = None
        self.merging = False
        self.merges: list[Mapping] = []


class _Builder:
    """Puts one document together from events."""

    def __init__(self, repeated: Repeated | None) -> None:
        self.root: object = None
        self._repeated = repeated
        self._stack: list[_Frame] = []
        self._anchors: dict[str | None, tuple[object, int]] = {}
        self._nodes = 0
        self._line = 0

    def add(self, event: yaml.NodeEvent) -> None:
        """Take in a scalar, an alias, or the start of a collection."""
        if event.start_mark is not None:
            self._line = event.start_mark.line + 1
        self._count(1)
        if isinstance(event, yaml.ScalarEvent):
            frame = self._stack[-1] if self._stack else None
            if frame is not None and frame.key is None and isinstance(frame.container, Mapping):
                self._set_key(frame, frame.container, event)
                return
            value = _scalar(event, self._line)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            self._put(value)
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._alias(event.anchor))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)

    def end(self) -> None:
        """Take in the end of a collection."""
        frame = self._stack.pop()
        if isinstance(frame.container, Mapping):
            # What the mapping says itself goes before what it merges, an earlier merge before a later one.
            for merged in frame.merges:
                for key, value in merged.items():
                    frame.container.setdefault(key, value)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.container, self._nodes - frame.start)
        self._put(frame.container)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_mapping else "seq")):
            raise _bad_tag(event.tag, self._line)
        if len(self._stack) == MAX_DEPTH:
            raise MalformedText(f"it nests deeper than {MAX_DEPTH} levels", self._line)
        self._stack.append(_Frame(Mapping(self._line) if is_mapping else [], event.anchor, self._nodes - 1))

    def _set_key(self, frame: _Frame, mapping: Mapping, event: yaml.ScalarEvent) -> None:
        key: str = event.value
        frame.merging = key == "<<" and event.implicit[0]
        if key in mapping:
            if self._repeated is None:
                raise MalformedText(f"the key {key[:80]!r} is there twice", self._line)
            self._repeated(key, self._line)
        if event.anchor is not None:
            self._anchors[event.anchor] = (key, 1)
        frame.key = key

    def _put(self, value: object) -> None:
        if not self._stack:
            self.root = value
            return
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
        elif frame.key is None:
            raise MalformedText("a key must be a string", self._line)
        else:
            if frame.merging:
                frame.merges += self._merges(value)
            else:
                frame.container[frame.key] = value
            frame.key = None

    def _merges(self, value: object) -> list[Mapping]:
        given = value if isinstance(value, list) else [value]
        merges = [merged for merged in given if isinstance(merged, Mapping)]
        if len(merges) < len(given):
            raise MalformedText("only mappings can be merged with <<", self._line)
        return merges

    def _alias(self, anchor: str | None) -> object:
        if anchor not in self._anchors:
            raise MalformedText(f"the alias *{anchor} stands for nothing that ends before it", self._line)
        value, size = self._anchors[anchor]
        self._count(size)
        return value

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise MalformedText(
                f"it has more than {MAX_NODES} values, counting an alias as what it stands for", self._line
            )


def _bad_tag(tag: str, line: int) -> MalformedText:
    return MalformedText(f"the tag {tag[:80]!r} is not used in Kubernetes", line)


def _scalar(event: yaml.ScalarEvent, line: int) -> object:
    text: str = event.value
    tag: str | None = event.tag
    if tag is None:
        return _resolve(text) if event.implicit[0] else text
    if tag in ("!", _TAG + "str", _TAG + "timestamp"):
        return text
    if tag not in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
        raise _bad_tag(tag, line)
    return _resolve(text)


def _resolve(text: str) -> object:
    """What a plain scalar means."""
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in "+-.0123456789":
        return text
    try:
        if _INT.fullmatch(text):
            return _int(text)
        if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
    except ValueError:  # longer than Python takes a number to be, or underscores and nothing else
        return text
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _int(text: str) -> int:
    digits = text.replace("_", "")
    if digits.lstrip("+-")[:1] == "0" and digits.lstrip("+-")[1:2].isdigit():
        return int(digits, 8)
    return int(digits, 0)


def _fault(error: yaml.YAMLError, text: bytes) -> MalformedText:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        problem = " ".join(part for part in (error.problem, error.context) if part)
        return MalformedText(problem, error.problem_mark.line + 1)
    if isinstance(error, yaml.reader.ReaderError):
        return MalformedText(str(error.reason), text.count(b"\n", 0, error.position) + 1)
    return MalformedText(str(error), 1)
