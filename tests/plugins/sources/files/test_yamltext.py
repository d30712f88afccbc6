"""YAML to plain values: what scalars mean, how documents part, and that nothing blows up."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pointsman.plugins.sources.files import yamltext
from pointsman.plugins.sources.files.yamltext import MalformedText, load, split


def only(text: str) -> object:
    [value] = load(text.encode())
    return value


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
         ("~", None), ("null", None), ("'null'", "null"), ('""', ""),
        ("true", True), ("yes", True), ("Off", False), ("'yes'", "yes"), ("y", "y"), ("trUe", "trUe"),
        ("80", 80), ("-1", -1), ("+7", 7), ("0", 0), ("1_000", 1000), ("0x1F", 31), ("010", 8), ("0o17", 15),
        ("0b11", 3), ("08", 8.0), ("'80'", "80"), ("1" * 5000, "1" * 5000), ("0x_", "0x_"),
        ("1.10", 1.1), ("1e3", 1000.0), (".5", 0.5), ("-.inf", -math.inf), (".", "."), ("-", [None]),
        ("1.2.3", "1.2.3"), ("10.0.0.1", "10.0.0.1"), ("fd00::1", "fd00::1"), ("12:30", "12:30"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("2026-11-23T03:53:53Z", "2026-11-23T03:53:53Z"), ("2026-11-23", "2026-11-23"),
        ("=", "="), ("<<", "<<"),
        ("!!str 80", "80"), ("!!int '80'", 80), ("!!timestamp 2026-11-23", "2026-11-23"), ("! 80", "80"),
        ("|\n  a\n  b", "a\nb"), ('"\\u00e4\\0"', "ä\0"),
    ],
)  # fmt: skip
def test_scalar_means_what_kubectl_makes_of_it(scalar: str, value: object) -> None:
    result = only(scalar)
    assert result == value
    assert type(result) is type(value)


def test_not_a_number_is_a_float() -> None:
    result = only(".nan")
    assert isinstance(result, float)
    assert math.isnan(result)


def test_keys_are_strings_as_written() -> None:
    assert only("{80: a, yes: b, ~: c, 1.10: d}") == {"80": "a", "yes": "b", "~": "c", "1.10": "d"}


def test_merge_keys_give_way_to_own_keys_and_earlier_merges() -> None:
    text = "a: &a {p: 1, q: 1}\nb: &b {q: 2, r: 2}\nc: {q: 0, <<: [*b, *a], s: 0}\nd: {'<<': *a}"
    value = only(text)
    assert isinstance(value, dict)
    assert value["c"] == {"q": 0, "s": 0, "r": 2, "p": 1}
    assert value["d"] == {"<<": {"p": 1, "q": 1}}


def test_mappings_know_their_lines() -> None:
    value = only("# comment\nitems:\n- a: 1\n-\n  b: {c: 2}\n")
    assert isinstance(value, yamltext.Mapping)
    assert value.line == 2
    assert [item.line for item in value["items"]] == [3, 5]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' is there twice"),
        ("a: 1\nb: *c", 2, "the alias *c"),
        ("a: &a\n- *a", 2, "the alias *a"),
        ("a:\n  b: !!binary xyz", 2, "'tag:yaml.org,2002:binary'"),
        ("a: !!python/object:os.system x", 1, "python/object"),
        ("a: !Ref\n  b: c", 1, "'!Ref'"),
        ("a:\n? [b]\n: c", 2, "a key must be a string"),
        ("a: &b x\n*b : c", 2, "a key must be a string"),
        ("a: {<<: 5}", 1, "only mappings can be merged"),
        ("a: {<<: {b: 1}, <<: [x]}", 1, "only mappings can be merged"),
        ("a: 1\n\tb: 2", 2, "tab character"),
        ("a: [1,\n2", 3, "did not find expected"),
        ("a: 1\nb: \0", 2, "control characters"),
        ("[" * 201, 1, "nests deeper than 200"),
        ("- " * 201, 1, "nests deeper than 200"),
        ('"\\ud800"', 1, "invalid Unicode"),
        ("a: b: c", 1, "mapping values are not allowed"),
    ],
)
def test_fault_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(MalformedText) as caught:
        list(load(text.encode()))
    assert problem in caught.value.problem
    assert caught.value.line == line


def test_bad_utf8_is_told_with_its_line() -> None:
    with pytest.raises(MalformedText) as caught:
        list(load(b"a: 1\nb: \xff\n"))
    assert (caught.value.line, caught.value.problem) == (2, "invalid leading UTF-8 octet")


def bomb(first: str, rest: str) -> str:
    """Every level stands for ten of the one before."""
    names = "abcdefghijkl"
    levels = [rest % ", ".join([f"*{name}"] * 10) for name in names]
    return "\n".join(f"{name}: &{name} {value}" for name, value in zip(names, [first, *levels], strict=False))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        bomb("[x]", "[%s]"),
        bomb("{x: y}", "{<<: [%s]}"),
        "a: &a [" + "x, " * 2000 + "]\nb:\n" + "- *a\n" * 2001,
    ],
    ids=["lists", "merges", "flat"],
)
def test_aliases_stand_for_a_bounded_number_of_values(text: str) -> None:
    with pytest.raises(MalformedText, match="more than 4000000 values"):
        list(load(text.encode()))


def test_spelled_out_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "MAX_NODES", 100)
    assert len(list(load(b"- a\n" * 99))) == 1
    with pytest.raises(MalformedText, match="more than 100 values"):
        list(load(b"- a\n" * 100))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "data",
    [
        b"\n" * 5_000_000, b" " * 5_000_000, b" \n" * 2_500_000 + b"---\n", b"# x\n" * 1_000_000 + b"a: 1",
        b"---\n" * 500_000, b"...\n" * 500_000, b"%x\n" * 500_000, b"[" * 1_000_000, b"{a: " * 500_000,
        b"- " * 1_000_000, b"? " * 1_000_000, b"!a" * 500_000, b"a: " * 500_000, b"&a " * 500_000,
        b'"' + b"\n" * 1_000_000, b"a: |\n" + b" x\n" * 500_000, b"\0" * 1_000_000, b"\xff" * 1_000_000,
        b"-" * 5_000_000, b"a\n" * 1_000_000,
    ],
    ids=lambda data: repr(data[:8]),
)  # fmt: skip
def test_time_stays_in_proportion_to_size(data: bytes) -> None:
    """What is quadratic in a scanner shows here as a time-out."""
    for document in split(data):
        try:
            list(load(document.text))
        except MalformedText:
            continue


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n# nothing\n", []),
        (b"a: 1", [(1, 1, b"a: 1")]),
        (b"a\n---\nb\n", [(1, 1, b"a\n"), (2, 2, b"---\nb\n")]),
        (b"---\na\n---\nb\n", [(1, 1, b"---\na\n"), (2, 3, b"---\nb\n")]),
        (b"# c\n---\na\n", [(1, 1, b"# c\n---\na\n")]),
        (b"a\r\n---\r\nb\r\n", [(1, 1, b"a\r\n"), (2, 2, b"---\r\nb\r\n")]),
        (b"a\n---\n---\n\n---\nb", [(1, 1, b"a\n"), (4, 5, b"---\nb")]),
        (b"a\n...\n# c\n%YAML 1.1\n---\nb\n...\n", [(1, 1, b"a\n"), (2, 2, b"\n# c\n%YAML 1.1\n---\nb\n")]),
        (b"--- a\n---b\n----\n", [(1, 1, b"--- a\n---b\n----\n")]),
        (b"a: |\n  ---\n  b\n---\nc", [(1, 1, b"a: |\n  ---\n  b\n"), (2, 4, b"---\nc")]),
        (b"a: [\n---\nb", [(1, 1, b"a: [\n"), (2, 2, b"---\nb")]),
        (b"---", []),
    ],
)
def test_documents_part_at_their_markers(data: bytes, expected: list[tuple[int, int, bytes]]) -> None:
    assert [tuple(document) for document in split(data)] == expected


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(st.lists(plain, min_size=1, max_size=4))
def test_what_pyyaml_writes_is_read_back(values: list[object]) -> None:
    # Quoted, since what a plain scalar means is not what PyYAML's own reader makes of it.
    text = yaml.safe_dump_all(values, default_style='"', allow_unicode=True).encode()
    assert [value for document in split(text) for value in load(document.text)] == values


@given(st.lists(plain.filter(lambda value: value is not None), max_size=4))
def test_parting_documents_changes_nothing(values: list[object]) -> None:
    text = yaml.safe_dump_all(values, explicit_start=True).encode()
    assert [value for document in split(text) for value in load(document.text)] == list(load(text))


yamlish = st.text("-.[]{}:,&*!|>\"'%#? \n\tab1<", max_size=60).map(str.encode)


@given(st.binary() | st.text().map(str.encode) | yamlish)
def test_any_text_is_read_or_refused(data: bytes) -> None:
    for document in split(data):
        fault_line = 1
        try:
            list(load(document.text))
        except MalformedText as error:
            fault_line = error.line
        assert 1 <= fault_line <= document.text.count(b"\n") + 2


@given(st.text("abc:-[]{}&*\n \"'1~<", max_size=40))
def test_the_parser_in_python_serves_as_well(text: str) -> None:
    """Where PyYAML was built without libyaml, its own parser stands in."""

    def outcome() -> object:
        try:
            return list(load(text.encode()))
        except MalformedText:
            return None

    with pytest.MonkeyPatch.context() as patch:
        native = outcome()
        patch.setattr(yamltext, "_LOADER", yaml.SafeLoader)
        assert outcome() == native


def test_whoever_wants_to_be_told_of_a_key_that_is_there_twice_gets_the_last() -> None:
    told: list[tuple[str, int]] = []
    [value] = load(b"a: 1\nb: {c: 1,\n c: 2}\na: 3\n", lambda key, line: told.append((key, line)))
    assert value == {"a": 3, "b": {"c": 2}}
    assert told == [("c", 3), ("a", 4)]
