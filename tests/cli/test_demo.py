"""The demo, as a user runs it."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.cli.processes import POINTSMAN

pytestmark = pytest.mark.netns

COMMAND = (*POINTSMAN, "demo")


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def data(arguments: Sequence[str] = ()) -> dict[str, object]:
    done = demo("--json", "--connections", "100", *arguments)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


def test_every_connection_reaches_one_of_four_pods_who_see_the_client() -> None:
    report = data()
    assert (report["virtual_ip"], report["port"]) == ("10.96.92.20", 80)
    assert report["answered"] == report["connections"] == 100
    pods = report["pods"]
    assert isinstance(pods, list)
    assert [pod["pod"] for pod in pods] == ["pod-1", "pod-2", "pod-3", "pod-4"]
    assert sum(pod["connections"] for pod in pods) == 100
    answer = report["answer"]
    assert isinstance(answer, dict)
    assert answer["client"] == report["client"]


def test_the_way_is_told_from_virtual_ip_to_pod_with_each_backends_chance() -> None:
    way = data()["way"]
    assert isinstance(way, list)
    topics = [step["topic"] for step in way]
    assert topics[0] == "match"
    assert topics.count("pick") == topics.count("dnat") == 4
    assert [step["probability"] for step in way if step["topic"] == "pick"] == [0.25] * 4
    assert "map @services" in way[0]["where"]


def test_people_get_a_picture() -> None:
    done = demo("--connections", "50")
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("pod-1", "pod-4", "chi-squared", "DNAT", "10.96.92.20"))


def test_two_demos_at_once_do_not_meet() -> None:
    running = [
        subprocess.Popen([*COMMAND, "--json", "--connections", "300"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [json.loads(output)["answered"] for output in outputs] == [300, 300]


HEEDING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_an_interrupted_demo_ends_at_once_without_a_traceback() -> None:
    command = [*COMMAND, "--connections", "1000000"]
    # Whoever started the tests in the background may have had SIGINT ignored, which is inherited.
    heeding = [sys.executable, "-c", HEEDING, *command]
    with subprocess.Popen(heeding, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                process.communicate(timeout=3)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_backend_that_touches_no_packet_says_so() -> None:
    done = demo("--backend", "memory")
    assert done.returncode == 1
    assert "no packet meets it; choose " in done.stderr
    assert "nftables" in done.stderr.partition("choose ")[2]


def test_an_unknown_backend_is_told_with_those_there_are() -> None:
    done = demo("--backend", "magic")
    assert done.returncode == 2
    installed = done.stderr.partition("installed are ")[2].strip().split(", ")
    assert {"memory", "nftables"} <= set(installed)
