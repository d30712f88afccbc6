"""``pointsman conformance``: the same suite for people who don't think of pytest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from junitparser import JUnitXml, Properties

from pointsman.cli import main
from pointsman.conformance import report as reports
from pointsman.conformance.vm import Kernel, VmUnavailable, find

NAME = "test_a_pod_that_is_the_only_endpoint_reaches_itself"


def command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pointsman", "conformance", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    """The newest kernel for guests, unless there is none."""
    try:
        return find()
    except VmUnavailable as error:
        pytest.skip(error.reason)


def test_it_plays_cases_and_ends_as_they_do(tmp_path: Path) -> None:
    """Whatever settings for pytest lie about where it is called, and it leaves nothing there."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\npython_files = nothing.py\n")
    before = sorted(tmp_path.rglob("*"))
    done = command(tmp_path, "--backend", "memory", "--family", "6", "-k", NAME, "--", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}[memory-IPv6] PASSED" in done.stdout
    assert "memory: partial: cases were left out (1 passed)" in done.stdout
    assert "warning" not in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_selection_of_nothing_is_no_success(tmp_path: Path) -> None:
    done = command(tmp_path, "--backend", "memory", "-k", "nonesuch")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_unknown_backend_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--backend", "nonesuch"]) == 2
    said = capsys.readouterr().err
    assert "--backend nonesuch: there is no such backend; installed: " in said
    assert "memory" in said


@pytest.mark.parametrize("missing", ["mpmath", "pytest"])
def test_without_the_extra_it_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["conformance", "--backend", "memory"]) == 1
    assert f"needs {missing}; pip install 'pointsman[conformance]'" in capsys.readouterr().err


@pytest.mark.vm
def test_in_a_guest_it_writes_reports_to_this_machine(kernel: Kernel, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    selection = ("--backend", "memory", "--family", "4", "-k", NAME, "--report", str(report))
    done = command(tmp_path, "--vm", str(kernel.path), *selection, "--", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}[memory-IPv4] PASSED" in done.stdout
    written = reports.read(report)
    assert written.environment.kernel == kernel.release != os.uname().release
    assert [result.outcome for result in written.results] == [reports.Outcome.PASS]


def test_a_kernel_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = command(tmp_path, "--vm", str(tmp_path / "absent"), "--backend", "memory")
    assert done.returncode == 1
    assert done.stderr.startswith("pointsman: ")
    assert str(tmp_path / "absent") in done.stderr


def test_junit_comes_by_the_name_of_the_file(tmp_path: Path) -> None:
    done = command(tmp_path, "--backend", "memory", "-k", NAME, "--report", "a.xml", "--report", "a.json")
    assert done.returncode == 0, done.stdout + done.stderr
    suites = JUnitXml.fromfile(str(tmp_path / "a.xml"))
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (2, 0, 0, 0)
    told = [
        {one.name: one.value for properties in case.iterchildren(Properties) for one in properties}
        for suite in suites
        for case in suite
    ]
    written = json.loads((tmp_path / "a.json").read_bytes())
    jsonschema.validate(written, reports.schema())
    assert [(one["backend"], one["family"], one["semantics"]) for one in told] == [
        (one["backend"], one["family"], " ".join(one["semantics"])) for one in written["results"]
    ]


def test_a_report_into_nowhere_is_refused_at_once(tmp_path: Path) -> None:
    done = command(tmp_path, "--backend", "memory", "--report", "nowhere/a.json")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "nowhere/a.json: there is no such folder" in done.stdout + done.stderr
