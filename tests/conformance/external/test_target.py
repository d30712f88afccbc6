"""Programs as targets, in runs of the suite: that serve, that serve wrongly, and that don't come to it."""

import sys
from pathlib import Path

import pytest

from tests.conformance.runs import play

CASE = "pointsman.conformance.cases.test_cluster_ip::test_a_pod_that_is_the_only_endpoint_reaches_itself"
RESTART = "pointsman.conformance.cases.test_lifetime::test_a_new_proxy_corrects_what_changed_meanwhile"
WIPE = "pointsman.conformance.cases.test_lifetime::test_rules_that_somebody_removed_come_back"
ANOTHER = "pointsman.conformance.cases.test_cluster_ip::test_a_service_address_that_nobody_has_is_silent"
SCENARIOS = "pointsman.conformance.cases.test_random_scenarios"
KILLER = """
import os, signal
from pathlib import Path

def pytest_runtest_call(item):
    pid = Path(__file__).with_name("pid")
    if not pid.with_name("killed").exists():
        os.kill(int(pid.read_text()), signal.SIGKILL)
        pid.rename(pid.with_name("killed"))
"""
CONFIG = Path(__file__).parent / "nftables.yaml"
SERVES = f"{sys.executable} -m pointsman run --config {{config:{CONFIG}}}"
NOT_HERE = 6

pytestmark = pytest.mark.netns


def test_a_program_that_serves_passes(tmp_path: Path) -> None:
    run = play(tmp_path, CASE, RESTART, WIPE, "--target-command", SERVES, "--family", "4")
    assert [case.outcome for case in run.cases] == ["passed", "passed", "skipped"], run.output
    assert run.cases[-1].message.startswith("not asked: nobody knows which rules are the proxy's")
    assert run.status == 0, "it can't be asked of a program, and nothing is wrong here"
    assert "partial: 1 core case can't be asked of a program (2 passed, 1 not asked)" in run.output
    assert {case.properties["backend"] for case in run.cases} == {Path(sys.executable).name}


def test_a_run_of_what_a_program_can_not_be_asked_is_no_success(tmp_path: Path) -> None:
    run = play(tmp_path, WIPE, "--target-command", SERVES, "--family", "4")
    assert run.status == NOT_HERE, run.output
    assert "partial: nothing was tested (1 not asked)" in run.output


def test_a_program_that_serves_wrongly_fails(tmp_path: Path) -> None:
    """Told that no pod is in the cluster, it takes pods for strangers."""
    config = tmp_path / "nftables.yaml"
    config.write_text(CONFIG.read_text().replace("{cluster_cidrs}", "192.0.2.0/24"))
    wrong = SERVES.replace(str(CONFIG), str(config))
    run = play(tmp_path, CASE, "--target-command", wrong, "--family", "4")
    assert [case.outcome for case in run.cases] == ["failure"], run.output


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("/nonesuch {kubeconfig}", "can't be started: "),
        ("sh -c 'echo broken {kubeconfig}; exit 3'", "sh exited with 3; the last it said:\n  broken /"),
    ],
)
def test_a_program_that_does_not_come_to_serve_never_passes(
    tmp_path: Path, command: str, complaint: str
) -> None:
    run = play(tmp_path, CASE, "--target-command", command, "--family", "4")
    assert run.status == NOT_HERE, run.output
    assert [case.outcome for case in run.cases] == ["skipped"]
    assert complaint in run.output
    assert "see to it that the command works in a network namespace" in run.output


def test_a_command_that_can_not_work_is_an_error_of_usage(tmp_path: Path) -> None:
    run = play(tmp_path, CASE, "--target-command", "kube-proxy")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "--target-command kube-proxy: name a program and give it {kubeconfig}" in run.output
    assert "Traceback" not in run.output


def test_a_program_that_ends_fails_one_case_and_is_started_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    program = f"sh -c 'echo $$ >{tmp_path}/pid; exec {SERVES}'"
    run = play(tmp_path, CASE, ANOTHER, "--target-command", program, "--family", "4", "-p", "killer")
    assert [case.outcome for case in run.cases] == ["failure", "passed"], run.output
    assert "was killed by signal 9; the last it said:" in run.cases[0].message


def test_random_scenarios_ask_nothing_that_a_program_can_not_have(tmp_path: Path) -> None:
    arguments = ("--target-command", SERVES, "--family", "4", "--conformance-scenarios", "4")
    run = play(tmp_path, SCENARIOS, *arguments)
    assert [case.outcome for case in run.cases] == ["passed"], run.output
