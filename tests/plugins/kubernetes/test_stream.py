"""What a server says, cut anywhere, whole or garbled."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.model import NamespacedName
from pointsman.plugins.kubernetes import stream
from pointsman.plugins.kubernetes.stream import Garbled, Lines

RAW = msgspec.Raw(b'{"metadata":{"name":"web","namespace":"shop","resourceVersion":"12"}}')


@given(st.lists(st.binary(max_size=8).map(lambda text: text.replace(b"\n", b" "))), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    rest = data.draw(st.binary(max_size=8).map(lambda text: text.replace(b"\n", b" ")))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text + rest)), max_size=6)))
    found = Lines()
    told: list[bytes] = []
    for begin, end in zip([0, *cuts], [*cuts, None], strict=True):
        told += found.feed((text + rest)[begin:end])
    assert told == [line for line in lines if line]


def test_a_line_has_a_limit() -> None:
    lines = Lines(limit=4)
    assert list(lines.feed(b"12\n1234")) == [b"12"]
    with pytest.raises(Garbled, match="more than 4 bytes"):
        lines.feed(b"5")


def test_an_event_is_its_type_and_its_object() -> None:
    event = stream.event(b'{"type":"ADDED","object":%s}' % bytes(RAW))
    assert event.type == "ADDED"
    assert stream.version(event.object) == "12"
    assert stream.name(event.object) == NamespacedName("shop", "web")


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"type":1,"object":{}}', b'{"type":"ADDED"}', b"\xff"])
def test_what_is_no_event_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        stream.event(line)


@pytest.mark.parametrize("text", [b"{}", b'{"metadata":{}}', b'{"metadata":{"name":1}}', b"[]"])
def test_an_object_without_a_name_is_garbled(text: bytes) -> None:
    with pytest.raises(Garbled):
        stream.name(msgspec.Raw(text))


def test_a_bookmark_says_how_far_and_whether_a_list_is_complete() -> None:
    assert stream.bookmark(RAW) == ("12", False)
    last = b'{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}'
    assert stream.bookmark(msgspec.Raw(last)) == ("7", True)
    with pytest.raises(Garbled):
        stream.bookmark(msgspec.Raw(b'{"metadata":{}}'))


def test_a_page_has_a_version_and_what_comes_next() -> None:
    page = stream.page(
        b'{"kind":"ServiceList","metadata":{"resourceVersion":"9","continue":"x"},"items":[{}]}'
    )
    assert (page.version, page.next, [bytes(item) for item in page.items]) == ("9", "x", [b"{}"])
    assert not stream.page(b'{"metadata":{"resourceVersion":"9"},"items":null}').items
    with pytest.raises(Garbled, match="no list"):
        stream.page(b"<html>")


@pytest.mark.parametrize(
    ("body", "code", "expired"),
    [
        (b'{"code":410,"reason":"Expired","message":"too old"}', 0, True),
        (b'{"code":410,"reason":"Gone"}', 410, True),
        (b"not JSON", 410, True),
        (b"not JSON", 500, False),
        (b'{"code":504,"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}', 504, True),
        (b'{"code":504,"reason":"Timeout"}', 504, False),
    ],
)
def test_a_status_says_whether_to_begin_anew(body: bytes, code: int, expired: bool) -> None:
    status = stream.status(body, code)
    assert status.expired is expired
    assert status.code == code or not code
