"""Odd streams: whatever they hold and wherever they are cut, in the end we know what the server knows.

The server is a few lines here: it says byte for byte what is arranged, and no socket stands in between.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.core.apis import Service
from pointsman.plugins.kubernetes import stream
from pointsman.plugins.kubernetes.client import ApiClient
from pointsman.plugins.kubernetes.errors import Refused, Unreachable
from pointsman.plugins.kubernetes.reflector import Reflector
from pointsman.plugins.kubernetes.resources import resources
from pointsman.plugins.kubernetes.stream import Garbled

from .following import FAST, Mirror, service

HTML = b"<!DOCTYPE html>\n<html><body>\nPlease sign in \xe2\x80\x93 h\xc3\xb6flich\n</body></html>\n"
TIMING = replace(FAST, first_wait=0.0, longest_wait=0.0)
Lines = list[bytes]
Oddity = Callable[[Lines, int], Lines]


def line(kind: str, found: object) -> bytes:
    """A line of a watch; names and values may need more bytes than characters."""
    return json.dumps({"type": kind, "object": found}, ensure_ascii=False).encode() + b"\n"


def bookmark(version: object, **annotations: str) -> bytes:
    metadata = {"annotations": annotations} if version is None else {"resourceVersion": version}
    return line("BOOKMARK", {"kind": "Service", "metadata": {**metadata, "annotations": annotations}})


def status(code: int, reason: str = "") -> bytes:
    return line("ERROR", {"kind": "Status", "code": code, "reason": reason})


def inserted(*odd: bytes) -> Oddity:
    return lambda lines, at: [*lines[:at], *odd, *lines[at:]]


def twice(lines: Lines, at: int) -> Lines:
    return [*lines[:at], *lines[at : at + 1] * 2, *lines[at + 1 :]]


def renamed(lines: Lines, at: int) -> Lines:
    """An object that nobody knew is modified, and one that is known is added."""

    def other(told: bytes) -> bytes:
        if told.startswith(b'{"type": "ADDED"'):
            return told.replace(b"ADDED", b"MODIFIED", 1)
        return told.replace(b"MODIFIED", b"ADDED", 1)

    return [*lines[:at], *map(other, lines[at:])]


ODDITIES: dict[str, Oddity] = {
    "nothing": lambda lines, _: lines,
    "empty lines": inserted(b"\n", b"\n\n"),
    "a bookmark without a version": inserted(bookmark(None)),
    "a bookmark from the past": inserted(bookmark("1")),
    "a bookmark that isn't numbered": inserted(bookmark(7)),
    "an event of a type nobody knows": inserted(line("FROBBED", service())),
    "a type that is no text": inserted(b'{"type":7,"object":{}}\n'),
    "an object without a name": inserted(line("ADDED", {"metadata": {"resourceVersion": "99999999"}})),
    "an error of the server": inserted(status(500, "InternalError")),
    "an error that asks for patience": inserted(status(429, "TooManyRequests")),
    "an expired version": inserted(status(410, "Expired")),
    "an error that is no Status": inserted(line("ERROR", ["what"])),
    "HTML alone": lambda _, __: [HTML],
    "HTML in the middle": inserted(HTML),
    "bytes that are no text": inserted(b"\xff\xfe\n"),
    "an event that comes twice": twice,
    "events of the wrong type": renamed,
    "an event from the past": inserted(line("MODIFIED", service(resourceVersion="1"))),
}  # fmt: skip


class Told:
    """An answer, in the parts it comes in, and maybe cut."""

    def __init__(self, parts: list[bytes], *, cut: bool) -> None:
        self._parts = parts
        self._cut = cut

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def blocks(self) -> Iterator[bytes]:
        yield from self._parts
        if self._cut:
            raise Unreachable("cut")

    def body(self) -> bytes:
        return b"".join(self.blocks())

    def allow_silence(self, seconds: float) -> None:
        """There is none."""

    def interrupt(self) -> None:
        """Nobody waits."""


class Server:
    """Has Services, and remembers all that ever happened to them.

    ``arrange`` makes what is sent of the lines that are due; without one, all is well.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self._log: list[tuple[int, bytes]] = []
        self.streams = True

    def put(self, name: str, ip: str) -> None:
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        metadata = {"annotations": {"note": "höflich–🦀"}, "resourceVersion": str(self.version)}
        self.objects[name] = service(name, ip, **metadata)
        self._log.append((self.version, line(kind, self.objects[name])))

    def delete(self, name: str) -> None:
        """Remove an object, be it one that no client ever saw."""
        self.version += 1
        gone = self.objects.pop(name, service(name))
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self._log.append((self.version, line("DELETED", gone)))

    def lines(self, query: Mapping[str, str]) -> Lines:
        """What is due to who asks."""
        if "watch" not in query:
            items = list(self.objects.values())
            return [json.dumps({"metadata": {"resourceVersion": str(self.version)}, "items": items}).encode()]
        if "sendInitialEvents" in query:
            if not self.streams:
                raise Refused("watch", stream.Status(422))
            end = bookmark(str(self.version), **{stream.INITIAL_EVENTS_END: "true"})
            return [*(line("ADDED", found) for found in self.objects.values()), end]
        since = int(query["resourceVersion"])
        if since > self.version:
            raise Refused("watch", stream.Status(504, causes=("ResourceVersionTooLarge",)))
        return [told for version, told in self._log if version > since]


class Script:
    """An API client for whom each answer is as drawn, then a last one in which all is well."""

    def __init__(
        self, server: Server, answers: list[Callable[[Lines], Told]], end: Callable[[], None]
    ) -> None:
        self._server = server
        self._answers = iter(answers)
        self._end = end
        self._well = 0

    def get(self, path: str, query: Mapping[str, str], **_: float) -> Told:
        lines = self._server.lines(query)
        arrange = next(self._answers, None)
        if arrange is not None:
            return arrange(lines)
        # Whatever came before: one list, and the watch that goes on from it, must be all that it takes.
        self._well += 1
        if self._well > 4:
            self._end()
        return Told(lines, cut=False)


def followed(server: Server, answers: list[Callable[[Lines], Told]]) -> Mirror:
    """What a reflector has told at the end of a script."""
    mirror, stopping = Mirror(), threading.Event()
    client = cast(ApiClient, Script(server, answers, stopping.set))
    Reflector(resources("node-a")[0], client, mirror, stopping, TIMING).run()
    if mirror.failures:
        raise AssertionError("it ended") from mirror.failures[0]
    return mirror


def assert_same(mirror: Mirror, server: Server) -> None:
    known = {name.name: cast(Service, found).spec.cluster_ip for (_, name), found in mirror.objects.items()}
    assert known == {name: found["spec"]["clusterIP"] for name, found in server.objects.items()}


NAMES = ("web", "db", "mail", "never-seen")
EDITS = st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(1, 250)))


def edit(server: Server, name: str, number: int | None) -> None:
    if number is None:
        server.delete(name)
    else:
        server.put(name, f"10.96.0.{number}")


@st.composite
def answers(draw: st.DrawFn, server: Server) -> Callable[[Lines], Told]:
    """Some edits, an oddity anywhere in what is told of them, in parts of any size, whole or cut anywhere."""
    edits = draw(st.lists(EDITS, max_size=4))
    odd = ODDITIES[draw(st.sampled_from(sorted(ODDITIES)))]
    at, size = draw(st.integers(0, 5)), draw(st.integers(1, 200))
    end, cut = draw(st.one_of(st.none(), st.integers(0, 2000))), draw(st.booleans())

    def arrange(lines: Lines) -> Told:
        text = b"".join(odd(lines, min(at, len(lines))))[:end]
        for name, number in edits:
            edit(server, name, number)
        return Told([text[begin : begin + size] for begin in range(0, len(text), size)], cut=cut)

    return arrange


@given(st.data(), st.booleans())
def test_whatever_is_sent_the_end_is_the_servers(data: st.DataObject, streams: bool) -> None:
    server = Server()
    server.streams = streams
    server.put("web", "10.96.0.1")
    script = data.draw(st.lists(answers(server), min_size=1, max_size=8))
    mirror = followed(server, script)
    assert_same(mirror, server)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_a_list_that_is_streamed_holds_the_latest_states(kind: str, at: int) -> None:
    """What was held up on its way says nothing of an object that is known in a later state."""
    server = Server()
    server.put("web", "10.96.0.1")
    past = line(kind, service("web", "10.96.0.2", resourceVersion="1"))
    mirror = followed(server, [lambda lines: Told([*lines[:at], past, *lines[at:]], cut=False)])
    assert_same(mirror, server)


def test_a_streamed_list_that_changes_what_it_did_not_tell_of_is_begun_anew() -> None:
    server = Server()
    past = line("MODIFIED", service("web", "10.96.0.2", resourceVersion="1"))
    mirror = followed(server, [lambda lines: Told([past, *lines], cut=False)])
    assert_same(mirror, server)


@pytest.mark.parametrize("odd", ODDITIES)
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_each_oddity_alone(odd: str, size: int) -> None:
    server = Server()
    for number, name in enumerate(NAMES[:3], start=1):
        server.put(name, f"10.96.0.{number}")

    def arrange(lines: Lines) -> Told:
        server.delete("db")
        server.put("web", "10.96.0.9")
        text = b"".join(ODDITIES[odd](lines, 1))
        return Told([text[begin : begin + size] for begin in range(0, len(text), size)], cut=False)

    def well(lines: Lines) -> Told:
        return Told(lines, cut=False)

    mirror = followed(server, [well, arrange, arrange])
    assert_same(mirror, server)
    assert {rejection.name for rejection in mirror.wrong()} <= {
        "?"
    }  # if the last list has it, it is wrong still


def test_a_bookmark_from_the_past_is_followed_by_a_list() -> None:
    """Who believed it would go through all that has been once more, and have rules for what is gone."""
    server = Server()
    server.put("web", "10.96.0.1")
    mirror = followed(server, [lambda lines: Told([*lines, bookmark("1")], cut=False)])
    assert len(mirror.lists) == 2
    assert_same(mirror, server)


def test_an_object_without_end_is_not_kept() -> None:
    """Neither whole nor in part: it is nobody's, and what came before it stays."""
    server = Server()
    server.put("web", "10.96.0.1")
    block = b"x" * (1 << 20)
    taken = 0

    class Endless(Told):
        def blocks(self) -> Iterator[bytes]:
            nonlocal taken
            yield b'{"type":"ADDED","object":"'
            while True:
                taken += 1
                yield block

    mirror = followed(server, [lambda lines: Told(lines, cut=False), lambda _: Endless([], cut=False)])
    assert taken <= stream.MAX_LINE_BYTES // len(block) + 1
    assert_same(mirror, server)


def test_large_objects_cost_no_more_in_small_parts() -> None:
    """However it is cut, also within a character."""
    text = line("ADDED", service(annotations={"note": "é" * 250_000}))
    lines = stream.Lines()
    found = [told for begin in range(0, len(text), 10) for told in lines.feed(text[begin : begin + 10])]
    assert found == [text.rstrip(b"\n")]
    with pytest.raises(Garbled):
        stream.event(found[0][:-1])
