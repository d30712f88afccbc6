"""``pointsman cleanup``: what this instance wrote goes, nothing else does."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.conformance.lab.netns import Namespace
from tests.conftest import SBIN

from .manifests import folder
from .paper import Paper
from .processes import PATIENCE, POINTSMAN, pointsman, running


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("node") as made:
        yield made


def cleanup(namespace: Namespace, *arguments: str, path: Path | None = None) -> tuple[int, str, str]:
    """Run the command in a namespace; its exit status and what it said."""
    done = namespace.run(pointsman, "cleanup", *arguments, path=path)
    return done.returncode, done.stdout, done.stderr


def about(said: str, *backends: str) -> list[str]:
    """What was said about some backends; which others are installed is none of the tests' business."""
    return [line for line in said.splitlines() if line.split()[0] in backends]


def nft(namespace: Namespace, *arguments: str) -> list[str]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN])
    command = ["nft", *arguments]
    done = namespace.run(
        subprocess.run, command, env={"PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def tables(namespace: Namespace) -> list[str]:
    return nft(namespace, "list", "tables")


@pytest.mark.netns
def test_cleaning_up_what_is_clean(namespace: Namespace) -> None:
    for _ in range(2):
        status, said, complaints = cleanup(namespace)
        assert (status, complaints) == (0, "")
        assert about(said, "nftables") == [
            "nftables IPv4: nothing to remove",
            "nftables IPv6: nothing to remove",
        ]


@pytest.mark.netns
@pytest.mark.program("nft")
def test_the_rules_of_a_stopped_proxy_go_and_others_stay(namespace: Namespace, tmp_path: Path) -> None:
    source = f"--source=files:{folder(tmp_path / 'objects')}"
    nft(namespace, "add", "table", "ip", "somebody-elses")
    others = tables(namespace)
    for instance in ("one", "two"):
        arguments = ["run", source, "--proxy-mode=nftables", "--instance", instance]
        with running(*arguments, popen=namespace.popen) as process:
            process.wait_for("ready")
            assert process.end() == 0
    both = tables(namespace)
    assert len(both) == len(others) + 4
    status, said, _ = cleanup(namespace, "--instance=one")
    assert status == 0
    assert about(said, "nftables") == ["nftables IPv4: removed", "nftables IPv6: removed"]
    assert set(tables(namespace)) == {table for table in both if "one" not in table}
    assert "nothing" in cleanup(namespace, "--instance=one")[1]
    assert cleanup(namespace, "--instance=two")[0] == 0
    assert tables(namespace) == others


@pytest.mark.netns
def test_a_backend_that_cannot_run_is_skipped_with_a_word(namespace: Namespace, tmp_path: Path) -> None:
    status, said, complaints = cleanup(namespace, path=Paper(tmp_path, unavailable=("IPv6",)).path)
    assert (status, complaints) == (0, "")
    assert about(said, "paper") == [
        "paper IPv4: nothing to remove",
        "paper IPv6: skipped, it can't run here: there is no paper; buy some",
    ]


@pytest.mark.netns
def test_one_that_fails_keeps_no_other_from_it(namespace: Namespace, tmp_path: Path) -> None:
    status, said, complaints = cleanup(namespace, path=Paper(tmp_path, broken=("cleanup",)).path)
    assert status == 1
    assert about(said, "nftables") == ["nftables IPv4: nothing to remove", "nftables IPv6: nothing to remove"]
    assert complaints.splitlines() == [
        "pointsman: paper IPv4: paper: the shredder is stuck",
        "pointsman: paper IPv6: paper: the shredder is stuck",
    ]


@pytest.mark.netns
@pytest.mark.program("setpriv")
def test_without_privileges_nothing_is_said_to_be_clean(namespace: Namespace) -> None:
    done = namespace.run(
        subprocess.run,
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *POINTSMAN, "cleanup"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    said = [line.split(",")[0] for line in done.stdout.splitlines()]
    assert {"nftables IPv4: skipped", "nftables IPv6: skipped"} <= set(said)
    assert all(line.endswith(": skipped") for line in said)
    assert done.stderr == "pointsman: no backend can run here, so nothing was looked for\n"


def test_an_instance_name_that_is_none() -> None:
    done = pointsman("cleanup", "--instance=A B")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pointsman: --instance: 'A B' is not a name")
