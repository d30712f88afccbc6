"""The files source on real files: what it reports as they come, change, break, move and go."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from pointsman.core.errors import ConfigError
from pointsman.plugins.sources.files import source as source_module
from pointsman.plugins.sources.files import tree
from pointsman.plugins.sources.files.source import FilesSource

from .recording import SECONDS, RecordingSink


def services(**ips: object) -> str:
    """A YAML file with Services and their cluster IPs."""
    return yaml.safe_dump_all(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"clusterIP": ip},
        }
        for name, ip in ips.items()
    )


@contextmanager
def following(path: Path) -> Iterator[RecordingSink]:
    """A source at work on a path, once it has listed what is there."""
    sink = RecordingSink()
    source = FilesSource(str(path))
    source.start(sink)
    try:
        sink.wait_until_listed()
        yield sink
    finally:
        source.stop()
        source.stop()
        assert not [thread for thread in threading.enumerate() if thread.name == "files-source"]
    assert not sink.failures


def rename_over(path: Path, text: str) -> None:
    """Replace a file in one step, as careful writers do."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def write_in_place(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture(params=["directory", "file"])
def followed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """What is given to the source, and the one file in it."""
    file = tmp_path / "services.yaml"
    file.write_text(services(web="10.96.0.1", db="10.96.0.2"))
    return (tmp_path if request.param == "directory" else file), file


@pytest.mark.parametrize("write", [rename_over, write_in_place])
def test_a_files_changes_are_followed(
    followed: tuple[Path, Path], write: Callable[[Path, str], None]
) -> None:
    path, file = followed
    with following(path) as sink:
        assert sink.ips() == {"web": "10.96.0.1", "db": "10.96.0.2"}
        for number in range(3, 6):
            write(file, services(web=f"10.96.0.{number}", new="10.96.0.9"))
            sink.wait_for_ips(web=f"10.96.0.{number}", new="10.96.0.9")
        file.unlink()
        sink.wait_for_ips()
        write(file, services(web="10.96.0.1"))
        sink.wait_for_ips(web="10.96.0.1")
        assert not sink.wrong()
    assert set() in sink.history


def test_files_come_and_go(tmp_path: Path) -> None:
    with following(tmp_path) as sink:
        assert not sink.objects
        (tmp_path / "a.yml").write_text(services(a="10.96.0.1"))
        (tmp_path / "b.json").write_text(json.dumps(next(yaml.safe_load_all(services(b="10.96.0.2")))))
        sink.wait_for_ips(a="10.96.0.1", b="10.96.0.2")
        (tmp_path / "a.yml").rename(tmp_path / "c.yaml")
        (tmp_path / "b.json").rename(tmp_path / "b.json~")
        sink.wait_for_ips(a="10.96.0.1")
        assert sink.history[-1] == {"a"}
        assert {"b"} not in sink.history


def test_an_empty_directory_lists_every_kind(tmp_path: Path) -> None:
    with following(tmp_path) as sink:
        assert not sink.objects


def test_other_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "folder.yaml" / "deep.yaml").write_text(services(deep="1"))
    for name in (".hidden.yaml", ".a.yaml.swp", "a.yaml~", "#a.yaml#", "4913", "a.txt", "yaml"):
        (tmp_path / name).write_text(services(other="1"))
    with following(tmp_path) as sink:
        (tmp_path / ".later.yaml").write_text(services(other="2"))
        (tmp_path / "folder.yaml" / "deep.yaml").write_text(services(deep="2"))
        (tmp_path / "sentinel.yaml").write_text(services(sentinel="1"))
        sink.wait_for_ips(sentinel="1")
        assert not sink.wrong()
    assert sink.history == [set(), {"sentinel"}]


def test_a_file_keeps_its_name_whatever_its_suffix(tmp_path: Path) -> None:
    file = tmp_path / ".objects"
    file.write_text(services(web="10.96.0.1"))
    (tmp_path / "other.yaml").write_text(services(other="1"))
    with following(file) as sink:
        assert sink.ips() == {"web": "10.96.0.1"}
        (tmp_path / "other.yaml").write_text(services(other="2"))
        rename_over(file, services(web="10.96.0.2"))
        sink.wait_for_ips(web="10.96.0.2")


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def reading(path: str) -> bytes:
        reads.append(Path(path).name)
        return tree.read(path)

    monkeypatch.setattr(source_module, "read_bytes", reading)
    (tmp_path / "a.yaml").write_text(services(a="1"))
    (tmp_path / "b.yaml").write_text(services(b="1"))
    with following(tmp_path) as sink:
        rename_over(tmp_path / "a.yaml", services(a="2"))
        sink.wait_for_ips(a="2", b="1")
        rename_over(tmp_path / "b.yaml", services(b="2"))
        sink.wait_for_ips(a="2", b="2")
        (tmp_path / "c.yaml").write_text(services(c="2"))
        sink.wait_for_ips(a="2", b="2", c="2")
    # A file that is caught in the midst of its change may be read twice in a row.
    assert [name for name, _ in groupby(reads)] == ["a.yaml", "b.yaml", "a.yaml", "b.yaml", "c.yaml"]


def test_a_quick_series_of_edits_ends_in_the_last_state(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    with following(tmp_path) as sink:
        for number in range(300):
            [rename_over, write_in_place][number % 2](file, services(web=f"10.96.0.{number}"))
        sink.wait_for_ips(web="10.96.0.299")
        (tmp_path / "b.yaml").write_text(services(sentinel="1"))
        sink.wait_for_ips(web="10.96.0.299", sentinel="1")
        assert not sink.wrong()


def test_no_change_is_lost_while_starting(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    rename_over(file, services(web="first"))
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            written += 1
            rename_over(file, services(web=f"v{written}"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with following(tmp_path) as sink:
            stop.set()
            writer.join()
            sink.wait_for_ips(web=f"v{written}")
    finally:
        stop.set()
        writer.join()


def test_an_edit_that_leaves_no_trace_on_the_file_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On older kernels two writes within a clock tick differ in nothing that a look at the file tells."""
    monkeypatch.setattr(tree.Stamp, "of", lambda status: tree.Stamp(0, 0, 0, 0, 0))
    (tmp_path / "a.yaml").write_text(services(web="1"))
    with following(tmp_path) as sink:
        (tmp_path / "a.yaml").write_text(services(web="2"))
        sink.wait_for_ips(web="2")


def test_a_slow_writer_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may hold the writer up for longer than the few milliseconds it takes itself.
    monkeypatch.setattr(source_module, "QUIET_MS", 1000)
    monkeypatch.setattr(source_module, "PATIENCE_SECONDS", SECONDS)
    file = tmp_path / "a.yaml"
    names = {f"s{number}": "10.96.0.1" for number in range(60)}
    file.write_text(services(**names))
    pace = threading.Event()
    with following(tmp_path) as sink:
        with file.open("w") as slow:
            for document in services(**dict.fromkeys(names, "10.96.0.2")).split("---\n"):
                slow.write(f"---\n{document}")
                slow.flush()
                pace.wait(0.005)
        sink.wait_for_ips(**dict.fromkeys(names, "10.96.0.2"))
        assert not sink.wrong()
    assert all(seen == set(names) for seen in sink.history)


def test_a_writer_without_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "PATIENCE_SECONDS", 0.2)
    stop = threading.Event()

    def write() -> None:
        with (tmp_path / "endless.yaml").open("w") as endless:
            while not stop.wait(0.005):
                endless.write("# and on\n")
                endless.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with following(tmp_path) as sink:
            (tmp_path / "b.yaml").write_text(services(web="10.96.0.1"))
            sink.wait_for_ips(web="10.96.0.1")
    finally:
        stop.set()
        writer.join()


def test_a_file_emptied_before_it_is_written_loses_nothing(followed: tuple[Path, Path]) -> None:
    """`kubectl get … > services.yaml` empties the file, then asks the API server."""
    path, file = followed
    with following(path) as sink:
        file.write_text("")
        rejection = sink.wait_for_reason("it is empty")
        assert rejection.origin == "services.yaml"
        assert sink.ips() == {"web": "10.96.0.1", "db": "10.96.0.2"}
        file.write_text(services(web="10.96.0.1", db="10.96.0.3"))
        sink.wait_for_ips(web="10.96.0.1", db="10.96.0.3")
        sink.wait_until_well()
    assert all(seen == {"web", "db"} for seen in sink.history)


def test_what_breaks_stays_and_is_followed_again_once_repaired(followed: tuple[Path, Path]) -> None:
    path, file = followed
    with following(path) as sink:
        file.write_text(services(web="10.96.0.5") + "---\na: [\n---\n" + services(more="10.96.0.6"))
        rejection = sink.wait_for_reason("did not find expected node content")
        assert rejection.origin.startswith("services.yaml, document 2, line 1")
        assert "what else the file held stays, 1 in number" in rejection.reason
        sink.wait_for_ips(web="10.96.0.5", db="10.96.0.2", more="10.96.0.6")
        file.write_text(services(web="10.96.0.5", more=17))
        rejection = sink.wait_for_reason("got `int`; its last good version stays")
        assert (rejection.name, rejection.field) == ("shop/more", "$.spec.clusterIP")
        sink.wait_for_ips(web="10.96.0.5", more="10.96.0.6")
        file.write_text(services(more="10.96.0.7"))
        sink.wait_for_ips(more="10.96.0.7")
        sink.wait_until_well()


def test_rejections_go_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    with following(tmp_path) as sink:
        sink.wait_for_reason("did not find")
        assert [*sink.rejections] == [str(tmp_path / "bad.yaml")]
        (tmp_path / "bad.yaml").unlink()
        sink.wait_until_well()


def test_the_first_of_two_files_counts(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(services(web="2"))
    with following(tmp_path) as sink:
        assert sink.ips() == {"web": "2"}
        (tmp_path / "a.yaml").write_text(services(web="1"))
        sink.wait_for_ips(web="1")
        rejection = sink.wait_for_reason("a.yaml has it already")
        assert rejection.origin == "b.yaml, document 1, line 1"
        (tmp_path / "a.yaml").unlink()
        sink.wait_for_ips(web="2")
        sink.wait_until_well()


class ConfigMapVolume:
    """What kubelet makes of a ConfigMap: links through ``..data``, swapped in one step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version = 0

    def publish(self, **files: str) -> None:
        self._version += 1
        folder = self.path / f"..2026_{self._version}"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        (self.path / "..data_tmp").symlink_to(folder.name)
        data = self.path / "..data"
        before = data.resolve() if data.exists() else None
        (self.path / "..data_tmp").replace(data)
        for name in files:
            link = self.path / f"{name}.yaml"
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}.yaml")
        for link in self.path.glob("*.yaml"):
            if link.stem not in files:
                link.unlink()
        if before is not None:
            for file in before.iterdir():
                file.unlink()
            before.rmdir()


@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_config_map_volume_is_followed(tmp_path: Path, what: str) -> None:
    volume = ConfigMapVolume(tmp_path)
    volume.publish(a=services(web="1"))
    with following(tmp_path if what == "directory" else tmp_path / "a.yaml") as sink:
        assert sink.ips() == {"web": "1"}
        for version in ("2", "3", "4"):
            volume.publish(a=services(web=version))
            sink.wait_for_ips(web=version)
        if what == "directory":
            volume.publish(b=services(web="4", db="5"))
            sink.wait_for_ips(web="4", db="5")
        assert not sink.wrong()
    assert all("web" in seen for seen in sink.history)


def test_an_object_moves_between_files_without_being_gone(tmp_path: Path) -> None:
    volume = ConfigMapVolume(tmp_path)
    volume.publish(a=services(web="1", db="2"), b=services(new="3"))
    with following(tmp_path) as sink:
        volume.publish(a=services(web="1"), b=services(db="2", new="4"))
        sink.wait_for_ips(web="1", db="2", new="4")
        volume.publish(a=services(web="1", db="2"), b=services(new="5"))
        sink.wait_for_ips(web="1", db="2", new="5")
    assert sink.history == [{"web", "db", "new"}] * 3


@pytest.mark.parametrize("what", ["directory", "file"])
def test_links_are_followed_wherever_they_lead(tmp_path: Path, what: str) -> None:
    given, far = tmp_path / "given", tmp_path / "far" / "away"
    given.mkdir()
    far.mkdir(parents=True)
    (far / "real.yaml").write_text(services(web="1"))
    (tmp_path / "current").symlink_to("far")
    (given / "a.yaml").symlink_to("../current/away/./real.yaml")
    with following(given if what == "directory" else given / "a.yaml") as sink:
        assert sink.ips() == {"web": "1"}
        (far / "real.yaml").write_text(services(web="2"))
        sink.wait_for_ips(web="2")
        rename_over(far / "real.yaml", services(web="3"))
        sink.wait_for_ips(web="3")
        (tmp_path / "next" / "away").mkdir(parents=True)
        (tmp_path / "next" / "away" / "real.yaml").write_text(services(web="4"))
        (tmp_path / "swap").symlink_to(tmp_path / "next")
        (tmp_path / "swap").replace(tmp_path / "current")
        sink.wait_for_ips(web="4")
        (tmp_path / "next" / "away" / "real.yaml").write_text(services(web="5"))
        sink.wait_for_ips(web="5")
        (tmp_path / "next" / "away" / "real.yaml").unlink()
        sink.wait_for_reason("No such file or directory; what else the file held stays, 1 in number")
        (tmp_path / "next" / "away" / "real.yaml").write_text(services(web="6"))
        sink.wait_for_ips(web="6")
        sink.wait_until_well()


def test_a_directory_behind_a_link_is_followed_when_the_link_is_swapped(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(services(web=version))
    (tmp_path / "current").symlink_to("1")
    with following(tmp_path / "current") as sink:
        assert sink.ips() == {"web": "1"}
        (tmp_path / "swap").symlink_to("2")
        (tmp_path / "swap").replace(tmp_path / "current")
        sink.wait_for_ips(web="2")
        (tmp_path / "2" / "a.yaml").write_text(services(web="3"))
        sink.wait_for_ips(web="3")


@pytest.mark.parametrize("vanishing", ["outer/inner", "outer"])
def test_when_its_directory_vanishes_all_stays_until_it_is_back(tmp_path: Path, vanishing: str) -> None:
    folder, other = tmp_path / "outer" / "inner", tmp_path / "other" / "inner"
    for place, ip in ((folder, "1"), (other, "2")):
        place.mkdir(parents=True)
        (place / f"{ip}.yaml").write_text(services(web=ip))
    gone, next_one = tmp_path / vanishing, tmp_path / vanishing.replace("outer", "other")
    with following(folder) as sink:
        gone.rename(tmp_path / "aside")
        rejection = sink.wait_for_reason("No such file or directory")
        assert "what was read from it stays" in rejection.reason
        assert rejection.origin == str(folder)
        assert sink.ips() == {"web": "1"}
        next_one.rename(gone)
        sink.wait_for_ips(web="2")
        sink.wait_until_well()
        gone.rename(next_one)
        sink.wait_for_reason("No such file or directory")
        (tmp_path / "aside").rename(gone)
        sink.wait_for_ips(web="1")
        sink.wait_until_well()
        (folder / "1.yaml").write_text(services(web="3"))
        sink.wait_for_ips(web="3")
    assert all("web" in seen for seen in sink.history)


def test_a_directory_that_is_replaced_at_once_is_followed_on(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with following(folder) as sink:
        for number in range(5):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            folder.mkdir()
            (folder / "a.yaml").write_text(services(web=f"{number}"))
            sink.wait_for_ips(web=f"{number}")
        (folder / "a.yaml").write_text(services(web="last"))
        sink.wait_for_ips(web="last")


def test_what_cannot_be_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(services(web="1"))
    with following(tmp_path) as sink:
        monkeypatch.setattr(tree, "MAX_YAML_BYTES", 0)
        file.write_text(services(web="2"))
        sink.wait_for_reason("it is larger than 0 MiB; split it; what else the file held stays")
        file.unlink()
        os.mkfifo(file)
        sink.wait_for_reason("it is not a regular file")
        assert sink.ips() == {"web": "1"}
        monkeypatch.undo()
        rename_over(file, services(web="3"))
        sink.wait_for_ips(web="3")
        sink.wait_until_well()


def test_names_that_are_not_utf8_or_not_one_line_do_no_harm(tmp_path: Path) -> None:
    with following(tmp_path) as sink:
        Path(os.fsdecode(bytes(tmp_path) + b"/\xff.yaml")).write_text(services(a="1"))
        sink.wait_for_ips(a="1")
        Path(os.fsdecode(bytes(tmp_path) + b"/\xff.yaml")).write_text("a: [")
        sink.wait_for_reason("did not find")
        (tmp_path / "b\n.yaml").write_text("a: [")
        sink.wait_for(lambda: len(sink.wrong()) == 2)
        for origin, rejections in sink.rejections.items():
            assert origin.isprintable()
            assert all(rejection.origin.isprintable() for rejection in rejections)
        (tmp_path / "c.yaml").write_text(services(c="1"))
        sink.wait_for_ips(a="1", c="1")


def test_hostile_names_never_reach_the_sink(tmp_path: Path) -> None:
    hostile = ["a\nb", 'a"b', "a b", "A", "a;b", "a\x1b[0m", "\u2028"]
    (tmp_path / "a.yaml").write_text(services(**dict.fromkeys(hostile, "1"), good="1"))
    with following(tmp_path) as sink:
        assert sink.ips() == {"good": "1"}
        sink.wait_for(lambda: len(sink.wrong()) == len(hostile))
        for r in sink.wrong():
            assert all(text.isprintable() for text in (r.kind, r.name, r.field, r.reason, r.origin))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.symlink_to(path.name), "Symbolic link loop|Too many levels of symbolic links"),
        (os.mkfifo, "neither a directory nor a regular file"),
    ],
    ids=["missing", "dangling", "loop", "FIFO"],
)
def test_a_wrong_path_is_refused_at_once(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "what\never"
    make(path)
    with pytest.raises(ConfigError, match=reason) as caught:
        FilesSource(str(path)).start(RecordingSink())
    assert "what\\never" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_path_that_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    path.mkdir()
    with pytest.raises(ConfigError, match="a name in UTF-8"):
        FilesSource(str(path)).start(RecordingSink())


def test_no_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="files:PATH"):
        FilesSource("")


def test_stopping_what_was_not_started_is_fine(tmp_path: Path) -> None:
    FilesSource(str(tmp_path)).stop()


def test_a_sink_may_stop_the_source_from_within(tmp_path: Path) -> None:
    class Stopping(RecordingSink):
        def failed(self, error: BaseException) -> None:
            source.stop()
            super().failed(error)

        def replaced(self, kind: object, objects: object, kept: object = ()) -> None:
            raise RuntimeError("the sink is closed")

    sink = Stopping()
    source = FilesSource(str(tmp_path))
    source.start(sink)
    sink.wait_for(lambda: bool(sink.failures))
    assert str(sink.failures[0]) == "the sink is closed"
    source.stop()


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    source = FilesSource("a")
    monkeypatch.chdir("/")
    sink = RecordingSink()
    source.start(sink)
    try:
        sink.wait_until_listed()
        (tmp_path / "a" / "a.yaml").write_text(services(web="1"))
        sink.wait_for_ips(web="1")
    finally:
        source.stop()
    monkeypatch.undo()


def in_user_namespace(program: str, *arguments: str) -> str:
    """Run a program in a user namespace, whose limits are its own; gives its output."""
    script = f"from pathlib import Path\n{textwrap.dedent(program)}"
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script, *arguments]
    if subprocess.run([*command[:3], "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS * 3, env=environment
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_the_kernels_limits_are_named(tmp_path: Path, limit: str) -> None:
    program = """\
        import sys
        from pointsman.core.errors import ConfigError
        from pointsman.plugins.sources.files.source import FilesSource
        from tests.plugins.sources.files.recording import RecordingSink
        Path("/proc/sys/user", sys.argv[2]).write_text("0")
        try:
            FilesSource(sys.argv[1]).start(RecordingSink())
        except ConfigError as error:
            print(error)
        """
    output = in_user_namespace(program, str(tmp_path), limit)
    assert f"raise the sysctl fs.inotify.{limit.replace('inotify', 'user')}" in output


def test_running_into_a_limit_later_ends_the_source_with_a_word(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    program = """\
        import sys
        from pointsman.plugins.sources.files.source import FilesSource
        from tests.plugins.sources.files.recording import RecordingSink
        folder = Path(sys.argv[1])
        sink = RecordingSink()
        source = FilesSource(sys.argv[1])
        source.start(sink)
        sink.wait_until_listed()
        Path("/proc/sys/user/max_inotify_watches").write_text("0")
        folder.rename(folder.with_name("aside"))
        folder.mkdir()
        sink.wait_for(lambda: bool(sink.failures))
        print(repr(sink.failures))
        source.stop()
        """
    output = in_user_namespace(program, str(folder))
    assert "raise the sysctl fs.inotify.max_user_watches" in output
