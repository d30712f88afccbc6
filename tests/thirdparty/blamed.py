"""What becomes of third parties' broken backends, installed as wheels; run by ``tox -e thirdparty``."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

CASE = "test_a_pod_that_is_the_only_endpoint_reaches_itself"
SOON = 30.0
POINTSMAN = (sys.executable, "-m", "pointsman")

RAISES = "raising: dataplane_sync raised KeyError('no such luck')"
HANGS = "hanging: dataplane_sync has not returned for "
MUTE = "mute: dataplane_probe has not returned for "
MISSPELT = "backend misspelt"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*POINTSMAN, *arguments], capture_output=True, text=True, timeout=SOON, check=False)


@pytest.mark.parametrize(
    ("backend", "said"), [("raising", RAISES), ("hanging", HANGS), ("misspelt", MISSPELT)]
)
def test_the_suite_fails_and_says_who_and_why(backend: str, said: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    selection = ("--backend", backend, "--family", "4", "-k", CASE)
    done = run("conformance", *selection, "--report", str(report))
    assert done.returncode == 1, done.stdout
    [result] = json.loads(report.read_bytes())["results"]
    assert result["outcome"] == "fail"
    assert said in result["message"]


def test_the_suite_is_not_kept_by_one_that_never_says_what_it_can_do() -> None:
    done = run("conformance", "--backend", "mute", "--family", "4", "-k", CASE)
    assert done.returncode == 6, done.stdout
    assert f"its probe is broken: {MUTE}" in done.stdout
    assert "report this to whoever made the backend" in done.stdout


@pytest.mark.parametrize(("backend", "said"), [("mute", MUTE), ("misspelt", MISSPELT)])
def test_the_daemon_does_not_start_with_one_that_can_not_be_asked(
    backend: str, said: str, tmp_path: Path
) -> None:
    done = run(*daemon(backend, tmp_path))
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("backend", "said"), [("raising", RAISES), ("hanging", HANGS)])
def test_the_daemon_says_who_failed_and_can_still_be_stopped(backend: str, said: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*POINTSMAN, *daemon(backend, tmp_path)], stderr=output)
        try:
            assert comes_about(lambda: said in log.read_text("utf-8")), log.read_text("utf-8")
            process.terminate()
            assert process.wait(SOON) == 0, log.read_text("utf-8")
        finally:
            process.kill()
            process.wait()
    assert "sync_failed" in log.read_text("utf-8")


def daemon(backend: str, folder: Path) -> tuple[str, ...]:
    objects = folder / "objects"
    objects.mkdir()
    nowhere = ("--healthz-bind-address", "", "--metrics-bind-address", "")
    return (
        *("run", "--source", f"files:{objects}", "--proxy-mode", backend),
        *("--hostname-override", "node-a", *nowhere),
    )


def comes_about(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true
