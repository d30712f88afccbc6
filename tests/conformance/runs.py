"""Runs of the suite in processes of their own, with the mutants installed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
CASES = "pointsman.conformance.cases"
TIMEOUT = 150


class Case(NamedTuple):
    """What became of a case."""

    name: str
    outcome: str
    message: str
    properties: dict[str, str]


class Run(NamedTuple):
    """What became of a run."""

    status: int
    output: str
    cases: list[Case]


def install_mutants(folder: Path) -> None:
    """Make a folder hold what pip would for a distribution that brings the mutants."""
    metadata = folder / "mutants-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mutants\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pointsman]\nmutants = tests.conformance.mutants\n")


def play(folder: Path, *arguments: str, variables: Mapping[str, str] = {}) -> Run:
    """Run pytest on cases, with the mutants installed in a folder, and with further environment variables."""
    # Many short runs would spend most of their time on compiling, each anew.
    elsewhere = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}
    compiled_once = elsewhere if sys.dont_write_bytecode else {}
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    paths = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--pyargs", "-c", os.devnull, "--rootdir", str(folder)),
            *("-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}", *arguments),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **compiled_once, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    cases = list(_cases(ElementTree.parse(report).getroot())) if report.exists() else []
    return Run(done.returncode, done.stdout + done.stderr, cases)


def play_mutants(
    folder: Path, caught_by: Mapping[str, str], family: str, *options: str, healthy: str = "memory"
) -> list[Case]:
    """What becomes of each mutant in its own case, and of a healthy backend in all of them.

    ``caught_by`` names the cases by mutants; those are backends.
    """
    cases = sorted({f"{CASES}.{case}" for case in caught_by.values()})
    pairs = [f"({mutant}- and {case.rpartition(':')[2]})" for mutant, case in caught_by.items()]
    backends = [option for mutant in caught_by for option in ("--backend", mutant)]
    chosen = " or ".join([f"{healthy}-", *pairs])
    backends += ["--backend", healthy]  # last: its guard in the chain of the kubelet stays there
    run = play(folder, *cases, "--family", family, *backends, "-k", chosen, *options)
    assert run.status == 1, run.output
    return run.cases


def _cases(root: ElementTree.Element) -> Iterator[Case]:
    for element in root.iter("testcase"):
        properties = {one.attrib["name"]: one.attrib["value"] for one in element.iter("property")}
        bad = next((one for one in element if one.tag in ("failure", "error", "skipped")), None)
        outcome = "passed" if bad is None else bad.tag
        yield Case(
            element.attrib["name"], outcome, "" if bad is None else bad.attrib.get("message", ""), properties
        )
