"""Settings of connection tracking: which, when, what a refusal means; in files and in a namespace."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.conformance.lab.netns import Namespace
from pointsman.plugins.system.sysctls import (
    MOST_ENTRIES,
    ConntrackSettings,
    Place,
    SettingRefused,
    apply,
    is_liberal,
    wanted,
)

NETFILTER = "net/netfilter/nf_conntrack"
NOTHING = ConntrackSettings(max_per_core=0, tcp_established_timeout=0, tcp_close_wait_timeout=0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A kernel with all settings at 7."""
    place = Place(tmp_path / "proc", tmp_path / "sys", processors=4)
    everything = ConntrackSettings(tcp_be_liberal=True, udp_timeout=1, udp_stream_timeout=1)
    for name, _ in wanted(everything, 1):
        path = place.sysctls / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("7\n")
    hash_size = place.sys / "module/nf_conntrack/parameters/hashsize"
    hash_size.parent.mkdir(parents=True)
    hash_size.write_text("7\n")
    return place


def holds(place: Place) -> dict[str, str]:
    """The settings that were written, by the ends of their names."""
    files = [*place.sysctls.rglob("nf_*"), place.sys / "module/nf_conntrack/parameters/hashsize"]
    texts = {path.name.removeprefix("nf_conntrack_"): path.read_text() for path in files}
    return {name: text for name, text in texts.items() if text != "7\n"}


@pytest.mark.parametrize(
    ("per_core", "least", "processors", "entries"),
    [
        (32768, 131072, 1, 131072),
        (32768, 131072, 8, 262144),
        (32768, 131072, 64, MOST_ENTRIES),
        (32768, 2 * MOST_ENTRIES, 64, 2 * MOST_ENTRIES),
        (1000, 0, 4, 4000),
    ],
)
def test_CT_08_the_size_of_the_table(per_core: int, least: int, processors: int, entries: int) -> None:
    settings = ConntrackSettings(max_per_core=per_core, min=least)
    assert dict(wanted(settings, processors))["net/netfilter/nf_conntrack_max"] == entries


def test_CT_08_and_CT_09_defaults(place: Place) -> None:
    apply(ConntrackSettings(), place)
    assert holds(place) == {
        "max": "131072",
        "hashsize": "32768",
        "tcp_timeout_established": "86400",
        "tcp_timeout_close_wait": "3600",
    }


def test_CT_08_more_buckets_than_needed_stay(place: Place) -> None:
    path = place.sys / "module/nf_conntrack/parameters/hashsize"
    path.write_text("262144\n")
    apply(ConntrackSettings(), place)
    assert path.read_text() == "262144\n"


def test_CT_08_and_CT_09_zero_leaves_everything_as_it_is(place: Place) -> None:
    apply(NOTHING, place)
    assert holds(place) == {}


def test_CT_09_all_of_them(place: Place) -> None:
    apply(ConntrackSettings(0, 0, 1, 2, tcp_be_liberal=True, udp_timeout=3, udp_stream_timeout=4), place)
    assert holds(place) == {
        "tcp_timeout_established": "1",
        "tcp_timeout_close_wait": "2",
        "tcp_be_liberal": "1",
        "udp_timeout": "3",
        "udp_timeout_stream": "4",
    }


def test_CLN_05_what_is_right_needs_no_privilege(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After --init-only a run needs to write nothing any more."""
    apply(ConntrackSettings(), place)

    def refuse(path: Path, text: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    apply(ConntrackSettings(), place)


def test_CT_09_a_refusal_is_fatal_and_says_what_helps(place: Place) -> None:
    (place.sysctls / f"{NETFILTER}_tcp_timeout_established").unlink()
    with pytest.raises(SettingRefused, match=r"timeout_established can't be set to 86400 .*--init-only"):
        apply(ConntrackSettings(), place)


def test_CT_08_buckets_that_can_not_be_had_are_only_said(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    (place.sys / "module/nf_conntrack/parameters/hashsize").unlink()
    apply(ConntrackSettings(), place)
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == ["hashsize_kept"]
    assert holds_max(place) == "131072"


def holds_max(place: Place) -> str:
    return (place.sysctls / f"{NETFILTER}_max").read_text()


@pytest.mark.parametrize(("text", "liberal"), [("0\n", False), ("1\n", True)])
def test_SEC_02_liberal_is_what_the_kernel_says(place: Place, text: str, *, liberal: bool) -> None:
    (place.sysctls / f"{NETFILTER}_tcp_be_liberal").write_text(text)
    assert is_liberal(place) is liberal
    assert not is_liberal(Place(place.sys))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("settings") as made:
        yield made


@pytest.mark.netns
def test_CT_09_and_E2E_35_a_namespace_is_set_as_asked(namespace: Namespace) -> None:
    """Its own time-outs; those of this machine stay. The table's size is the machine's, and left alone."""
    path = Path(f"/proc/sys/{NETFILTER}_tcp_timeout_close_wait")
    here = path.read_text()
    assert not namespace.run(is_liberal)
    settings = ConntrackSettings(max_per_core=0, tcp_close_wait_timeout=3601, tcp_be_liberal=True)
    namespace.run(apply, settings)
    assert namespace.run(path.read_text).strip() == "3601"
    assert namespace.run(is_liberal)
    assert path.read_text() == here


@pytest.mark.netns
def test_CT_08_the_size_can_only_be_set_from_the_machines_own_namespace(namespace: Namespace) -> None:
    path = Path(f"/proc/sys/{NETFILTER}_max")
    before = path.read_text()
    namespace.run(apply, ConntrackSettings(max_per_core=1, min=int(before) + 4))
    assert path.read_text() == before
