"""Which files a path leads to, and in which directories a change may change that."""

import os
from pathlib import Path

import pytest

from pointsman.plugins.sources.files import tree
from pointsman.plugins.sources.files.tree import Tree, read, scan


def watched(found: Tree, root: Path) -> set[str]:
    """The directories that tell, relative to a root."""
    return {os.path.relpath(directory.path, root) for directory in found.directories}


def test_a_directory_is_told_by_itself_and_its_parent(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for name in ("2.yaml", "1.json", "3.yml", ".4.yaml", "5.txt"):
        (folder / name).touch()
    (folder / "6.yaml").mkdir()
    found = scan(folder, single=False)
    assert [*found.entries] == [str(folder / name) for name in ("1.json", "2.yaml", "3.yml")]
    assert found.entries[str(folder / "2.yaml")].real == str(folder / "2.yaml")
    assert watched(found, tmp_path) == {"a", "a/b"}
    assert not found.fault


def test_links_are_told_by_where_they_stand_and_where_they_lead(tmp_path: Path) -> None:
    for folder in ("given", "x/links", "y/z", "real/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "real" / "deep" / "file").touch()
    (tmp_path / "x" / "links" / "one").symlink_to("../../y/z/two")
    (tmp_path / "y" / "z" / "two").symlink_to(tmp_path / "real")
    (tmp_path / "given" / "a.yaml").symlink_to("../x/links/one/deep/./../deep/file")
    found = scan(tmp_path / "given", single=False)
    [entry] = found.entries.values()
    assert entry.real == str(tmp_path / "real" / "deep" / "file")
    assert watched(found, tmp_path) == {".", "given", "x/links", "y/z", "real/deep"}
    single = scan(tmp_path / "given" / "a.yaml", single=True)
    assert single.entries == found.entries
    assert single.directories == found.directories


def test_a_link_to_nowhere_is_a_file_told_by_the_last_directory_there_is(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "given" / "a.yaml").symlink_to("../x/y/z.yaml")
    found = scan(tmp_path / "given", single=False)
    assert found.entries == {
        str(tmp_path / "given" / "a.yaml"): tree.Entry(str(tmp_path / "x/y/z.yaml"), None)
    }
    assert watched(found, tmp_path) == {".", "given", "x"}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    found = scan(tmp_path, single=False)
    assert [entry.stamp for entry in found.entries.values()] == [None, None]
    assert str(tmp_path) in {directory.path for directory in found.directories}


def test_what_is_missing_is_told_by_the_last_directory_there_is(tmp_path: Path) -> None:
    for path, single in ((tmp_path / "a/b/c", False), (tmp_path / "a/b/c.yaml", True)):
        found = scan(path, single=single)
        assert (found.entries, found.fault) == ({}, "No such file or directory")
        assert watched(found, tmp_path) == {".", ".."}
    (tmp_path / "a").touch()
    assert scan(tmp_path / "a/b", single=False).fault == "Not a directory"
    assert scan(tmp_path / "a", single=False).fault == "Not a directory"


def test_a_single_file_may_be_missing(tmp_path: Path) -> None:
    found = scan(tmp_path / "a.yaml", single=True)
    assert (found.entries, found.fault) == ({}, "")
    assert watched(found, tmp_path) == {".", ".."}


@pytest.mark.parametrize("change", ["write", "append", "touch", "chmod", "replace"])
def test_every_change_of_a_file_shows_in_its_stamp(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1")
    os.utime(file, ns=(0, 0))
    before = scan(tmp_path, single=False).entries[str(file)]
    assert scan(tmp_path, single=False).entries[str(file)] == before
    if change == "write":
        file.write_text("a: 2")
        os.utime(file, ns=(0, 0))
    elif change == "append":
        file.write_text("a: 10")
    elif change == "touch":
        file.touch()
    elif change == "chmod":
        file.chmod(0o600)
    else:
        (tmp_path / "b").write_text("a: 1")
        os.utime(tmp_path / "b", ns=(0, 0))
        (tmp_path / "b").replace(file)
    assert scan(tmp_path, single=False).entries[str(file)] != before


def test_a_directory_in_the_place_of_another_is_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    before = scan(tmp_path / "a", single=False)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    assert scan(tmp_path / "a", single=False).directories != before.directories


@pytest.mark.parametrize(("name", "limit"), [("a.yaml", "MAX_YAML_BYTES"), ("a.json", "MAX_JSON_BYTES")])
def test_what_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: str
) -> None:
    file = tmp_path / name
    monkeypatch.setattr(tree, limit, 2 << 20)
    file.write_bytes(b"x" * (2 << 20))
    assert len(read(str(file))) == 2 << 20
    with file.open("ab") as more:
        more.write(b"x")
    with pytest.raises(OSError, match="it is larger than 2 MiB; split it"):
        read(str(file))


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(OSError, match="it is not a regular file"):
        read(str(tmp_path / "a.yaml"))
    with pytest.raises(OSError, match="No such file"):
        read(str(tmp_path / "b.yaml"))
