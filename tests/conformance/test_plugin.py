"""What a run says and how it ends, told by runs in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.runs import ROOT, play

pytestmark = pytest.mark.suite

CASE = "pointsman.conformance.cases.test_cluster_ip::test_a_pod_that_is_the_only_endpoint_reaches_itself"
BY_PROTOCOL = "pointsman.conformance.cases.test_cluster_ip::test_every_client_reaches_every_endpoint"
WEIGHTS = "pointsman.conformance.cases.test_balancing::test_weight_0_takes_an_endpoint_out"
NOT_HERE = 6


def test_a_backend_that_passes_ends_well(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "memory")
    assert run.status == 0, run.output
    assert [case.properties["family"] for case in run.cases] == ["IPv4", "IPv6"]
    assert "memory: partial: cases were left out (2 passed)" in run.output


def test_reports_tell_what_a_case_is_about(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "memory", "--family", "6")
    [case] = run.cases
    assert case.properties["semantics"] == "MSQ-03"
    assert (case.properties["backend"], case.properties["family"]) == ("memory", "IPv6")
    assert float(case.properties["false alarms"]) == pytest.approx(2e-9)


def test_backends_are_held_to_the_same_cases_side_by_side(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "memory", "--backend", "ForgetsHairpins", "--family", "4")
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    assert {case.properties["backend"]: case.outcome for case in run.cases} == {
        "memory": "passed",
        "ForgetsHairpins": "failure",
    }
    assert "memory: partial: cases were left out (1 passed)" in run.output
    assert "ForgetsHairpins: not conformant: 1 case failed (1 failed)" in run.output


def test_a_backend_that_is_not_installed_is_an_error_of_usage(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "nonesuch")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "--backend nonesuch: there is no such backend; installed: " in run.output
    assert "memory" in run.output
    assert "Traceback" not in run.output


def test_cases_without_a_backend_say_what_is_missing(mutants: Path) -> None:
    run = play(mutants, CASE)
    assert run.status != 0
    assert "say with --backend NAME" in run.output
    assert "Traceback" not in run.output


def test_a_backend_that_can_not_run_here_never_passes(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "absent", "-rs")
    assert run.status == NOT_HERE, run.output
    assert [case.outcome for case in run.cases] == ["skipped", "skipped"]
    assert "absent: partial: 2 core cases could not be played (2 not here)" in run.output
    assert "2 not played: not here: the kernel lacks magic; load its module magic" in run.output


def test_a_family_that_can_not_be_had_leaves_the_other_one(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "absent-ipv6")
    assert run.status == NOT_HERE, run.output
    assert {case.properties["family"]: case.outcome for case in run.cases} == {
        "IPv4": "passed",
        "IPv6": "skipped",
    }


def test_cases_about_both_families_are_not_played_with_one(mutants: Path) -> None:
    run = play(mutants, "pointsman.conformance.cases.test_dual_stack", "--backend", "absent-ipv6")
    assert run.status == NOT_HERE, run.output
    assert {case.outcome for case in run.cases} == {"skipped"}
    assert "not here: IPv6: the kernel lacks magic; load its module magic" in run.output


def test_a_failure_weighs_more_than_what_could_not_be_played(mutants: Path) -> None:
    run = play(mutants, CASE, "--backend", "absent", "--backend", "ForgetsHairpins")
    assert run.status == pytest.ExitCode.TESTS_FAILED


def test_what_a_backend_does_not_claim_beyond_the_core_is_no_fault(mutants: Path) -> None:
    run = play(mutants, BY_PROTOCOL, "--backend", "without-sctp", "--family", "4")
    assert run.status == 0, run.output
    assert sorted(case.outcome for case in run.cases) == ["passed", "passed", "skipped"]
    assert "1 not played: unsupported: sctp: too new for it" in run.output


def test_what_is_not_implemented_yet_must_not_work(mutants: Path) -> None:
    """A dataplane that can do more than it says is out of date in what it says."""
    run = play(mutants, WEIGHTS, "--backend", "later-weights", "--family", "4")
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    assert "XPASS(strict)" in run.output


def test_cases_about_both_families_need_both(mutants: Path) -> None:
    dual = "pointsman.conformance.cases.test_dual_stack"
    run = play(mutants, dual, "--backend", "memory")
    assert run.status == 0, run.output
    assert {case.properties["family"] for case in run.cases} == {"both"}
    assert play(mutants, dual, "--backend", "memory", "--family", "6").cases == []


def test_runs_on_several_processes_come_to_the_same(mutants: Path) -> None:
    run = play(mutants, BY_PROTOCOL, "-n", "2", "--backend", "absent", "--backend", "memory", "--family", "4")
    assert run.status == NOT_HERE, run.output
    assert "memory: partial: cases were left out (3 passed)" in run.output
    assert "absent: partial" in run.output


def test_a_case_that_names_no_rule_is_an_error_of_usage(mutants: Path) -> None:
    case = mutants / "test_of_nothing.py"
    case.write_text("def test_it(world):\n    pass\n")
    run = play(mutants, str(case), "--backend", "memory")
    case.unlink()
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "name the rules it is about" in run.output


@pytest.mark.parametrize(("chance", "backends"), [("0.001", ["memory"]), ("6e-5", ["memory", "healthy"])])
def test_cases_that_leave_too_much_to_chance_fail_the_run(
    mutants: Path, chance: str, backends: list[str]
) -> None:
    """Also if it is too much only for all backends together."""
    case = mutants / "test_of_chance.py"
    case.write_text(
        "import pytest\n@pytest.mark.semantics('SEL-10')\n"
        f"def test_it(world):\n    world.budget.spend({chance})\n"
    )
    options = [option for backend in backends for option in ("--backend", backend)]
    run = play(mutants, str(case), *options, "--family", "4")
    case.unlink()
    assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
    assert "left more than 0.0001 to chance" in run.output


def test_pytest_alone_does_not_load_the_suite(tmp_path: Path) -> None:
    """Whoever has Pointsman installed and tests something else pays for a few options, and nothing more."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n\ndef test_it():\n    assert 'pointsman.conformance.plugin' in sys.modules\n"
        "    assert not [name for name in sys.modules if name.startswith('pointsman.core')]\n"
        "    assert 'msgspec' not in sys.modules and 'pyroute2' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert ROOT not in tmp_path.parents
