"""What reports say: verdicts, files, comparisons and the matrix."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from pointsman.cli import main
from pointsman.conformance import report as reports
from pointsman.conformance.report import (
    BackendReport,
    Environment,
    Outcome,
    Report,
    ReportUnreadable,
    Result,
    SuiteInfo,
    Verdict,
)
from pointsman.conformance.report.compare import compare
from pointsman.conformance.report.matrix import rendered
from pointsman.conformance.report.verdict import judge, lacks_here
from pointsman.conformance.version import MUTANTS, SUITE_VERSION, digest
from pointsman.core.errors import ConfigError
from pointsman.core.features import SUPPORTED, Feature
from tests.conformance.score import everyone

ROOT = Path(__file__).parents[2]
SUITE = SuiteInfo(
    version="1.0",
    profile="extended",
    families=("IPv4", "IPv6"),
    cases=("test_a::test_b",),
    digest=digest(["test_a::test_b"]),
    trimmed=False,
    scenarios=10,
    seed=0,
    mutants=MUTANTS,
)


def result(outcome: Outcome = Outcome.PASS, **fields: Any) -> Result:
    plain: dict[str, Any] = {
        "case": "test_a::test_b",
        "semantics": ("SEL-10",),
        "core": True,
        "backend": "one",
        "family": "IPv4",
        "outcome": outcome,
        "seconds": 0.5,
        "message": "" if outcome is Outcome.PASS else "because",
    }
    return Result(**(plain | fields))


def report(*results: Result, backend: str = "one") -> Report:
    judgement = judge(SUITE, len(results), results, 0.0)
    return Report(
        started="2026-01-01T00:00:00+00:00",
        seconds=1.5,
        suite=SUITE,
        environment=Environment("0.1.0", "3.11.7", "6.18.0", "x86_64"),
        backends=(
            BackendReport(
                name=backend,
                verdict=judgement.verdict,
                because=judgement.because,
                chosen=len(results),
                capabilities={"IPv4": {str(Feature.SCTP): SUPPORTED}},
                unavailable={},
                false_alarms=1e-6,
            ),
        ),
        results=tuple(replace(one, backend=backend) for one in results),
    )


# Verdicts


@pytest.mark.parametrize(
    ("results", "verdict", "because"),
    [
        ([result()], Verdict.CONFORMANT, ""),
        ([result(), result(Outcome.UNSUPPORTED, core=False)], Verdict.CONFORMANT, ""),
        ([result(), result(Outcome.NOT_HERE, core=False)], Verdict.CONFORMANT, ""),
        ([result(), result(Outcome.NOT_IMPLEMENTED, core=False)], Verdict.CONFORMANT, ""),
        ([result(), result(Outcome.NOT_HERE)], Verdict.PARTIAL, "1 core case could not be played"),
        (
            [result(), result(Outcome.NOT_ASKED)],
            Verdict.PARTIAL,
            "1 core case can't be asked of a program",
        ),
        (
            [result(), result(Outcome.NOT_ASKED), result(Outcome.NOT_HERE)],
            Verdict.PARTIAL,
            "1 core case could not be played",
        ),
        ([result(Outcome.NOT_ASKED)], Verdict.PARTIAL, "nothing was tested"),
        ([result(), result(Outcome.NOT_ASKED, core=False)], Verdict.CONFORMANT, ""),
        ([result(Outcome.NOT_HERE)] * 2, Verdict.PARTIAL, "2 core cases could not be played"),
        ([result(Outcome.NOT_HERE, core=False)], Verdict.PARTIAL, "nothing was tested"),
        ([], Verdict.PARTIAL, "nothing was tested"),
        ([result(), result(Outcome.FAIL)], Verdict.NOT_CONFORMANT, "1 case failed"),
        (
            [result(Outcome.NOT_HERE), result(Outcome.FAIL, core=False)],
            Verdict.NOT_CONFORMANT,
            "1 case failed",
        ),
    ],
)
def test_what_results_come_to(results: list[Result], verdict: Verdict, because: str) -> None:
    assert judge(SUITE, len(results), results, 0.0) == (verdict, because)


def test_what_was_not_asked_is_no_conformance() -> None:
    passed = [result()]
    assert judge(SUITE, 2, passed, 0.0) == (Verdict.PARTIAL, "the run ended before 1 case")
    assert judge(replace(SUITE, trimmed=True), 1, passed, 0.0) == (Verdict.PARTIAL, "cases were left out")
    one = replace(SUITE, families=("IPv4",))
    assert judge(one, 1, passed, 0.0) == (Verdict.PARTIAL, "only IPv4 was asked for")


def test_too_much_chance_is_no_conformance() -> None:
    assert judge(SUITE, 1, [result()], 1e-3).verdict is Verdict.NOT_CONFORMANT


def test_what_this_machine_lacks_is_told_from_what_a_dataplane_lacks() -> None:
    assert lacks_here([result(), result(Outcome.NOT_HERE)])
    assert lacks_here([result(Outcome.NOT_HERE, core=False)])
    assert not lacks_here([result(), result(Outcome.NOT_HERE, core=False)])
    assert not lacks_here([result(), result(Outcome.NOT_ASKED)])
    assert lacks_here([result(), result(Outcome.NOT_ASKED), result(Outcome.NOT_HERE)])
    assert lacks_here([result(Outcome.NOT_ASKED), result(Outcome.NOT_HERE, core=False)])
    assert not lacks_here([result(Outcome.UNSUPPORTED, core=False)])
    assert not lacks_here([])


# Files


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = report(result(), result(Outcome.FAIL, case="test_a::test_c"))
    reports.write(written, tmp_path / "a.json")
    assert reports.read(tmp_path / "a.json") == written


def test_what_is_no_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportUnreadable, match=r"absent\.json: No such file"):
        reports.read(tmp_path / "absent.json")
    other = tmp_path / "other.json"
    for text in ("", "{}", "[]", '{"format": 2}'):
        other.write_text(text)
        with pytest.raises(ReportUnreadable, match=r"other\.json is no report"):
            reports.read(other)
    plain = msgspec.to_builtins(report(result()))
    other.write_bytes(msgspec.json.encode(plain | {"format": 2}))
    with pytest.raises(ReportUnreadable, match="format"):
        reports.read(other)


def test_the_published_schema_is_that_of_the_types() -> None:
    published = json.loads((ROOT / "docs/conformance-report.schema.json").read_text())
    assert published == reports.schema(), "pointsman conformance schema > docs/conformance-report.schema.json"


def test_the_schema_says_what_every_field_of_a_report_is() -> None:
    plain = json.loads(msgspec.json.encode(report(result(), result(Outcome.FAIL))))
    schema = reports.schema()

    def check(value: object, due: dict[str, Any]) -> None:
        due = schema["$defs"][due["$ref"].rpartition("/")[2]] if "$ref" in due else due
        if isinstance(value, dict):
            assert due["type"] == "object"
            for name, inner in value.items():
                check(inner, due["properties"][name] if "properties" in due else due["additionalProperties"])
        elif isinstance(value, list):
            for inner in value:
                check(inner, due["items"])
        elif "enum" in due:
            assert value in due["enum"]
        else:
            kinds = {str: "string", bool: "boolean", int: "integer", float: "number"}
            assert due["type"] == kinds[type(value)]

    check(plain, schema)


def test_the_schema_is_one_and_a_report_is_valid_by_it() -> None:
    """As a validator sees it that knows nothing of us."""
    jsonschema.Draft202012Validator.check_schema(reports.schema())
    validator = jsonschema.Draft202012Validator(reports.schema())
    valid = json.loads(msgspec.json.encode(report(result(), result(Outcome.FAIL), result(Outcome.NOT_HERE))))
    validator.validate(valid)
    for wrong in (
        valid | {"seconds": "many"},
        {name: value for name, value in valid.items() if name != "suite"},
        valid | {"results": [valid["results"][0] | {"outcome": "good"}]},
        valid | {"backends": [{**valid["backends"][0], "verdict": None}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)


def test_markdown_tells_what_failed_and_what_was_not_asked(tmp_path: Path) -> None:
    failed = result(Outcome.FAIL, message="a | b\nc")
    lacking = result(Outcome.NOT_HERE, message="sctp: the kernel has none; load its module sctp")
    reports.write(report(result(), failed, lacking), tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text()
    assert "| one | **not conformant**: 1 case failed | 1 passed, 1 failed, 1 not here |" in text
    assert "| `test_a::test_b` | IPv4 | SEL-10 | a \\| b c |" in text
    assert "| 1 | not-here | sctp: the kernel has none; load its module sctp |" in text


# Comparisons


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        (Outcome.PASS, Outcome.FAIL, True),
        (Outcome.PASS, Outcome.NOT_HERE, True),
        (Outcome.PASS, Outcome.UNSUPPORTED, True),
        (Outcome.PASS, Outcome.NOT_ASKED, True),
        (Outcome.NOT_ASKED, Outcome.NOT_HERE, True),
        (Outcome.UNSUPPORTED, Outcome.FAIL, True),
        (Outcome.NOT_HERE, Outcome.FAIL, True),
        (Outcome.FAIL, Outcome.PASS, False),
        (Outcome.NOT_HERE, Outcome.PASS, False),
        (Outcome.FAIL, Outcome.NOT_HERE, False),
    ],
)
def test_what_changed_for_better_or_worse(old: Outcome, new: Outcome, worse: bool) -> None:
    comparison = compare(report(result(old)), report(result(new)))
    assert len(comparison.changes) == 1
    assert comparison.worse is worse
    assert f"{old} → {new}" in "\n".join(comparison.lines())


def test_a_case_that_is_gone_is_worse_and_a_new_one_only_if_it_fails() -> None:
    other = result(case="test_a::test_new")
    assert compare(report(result(), other), report(result())).worse
    assert not compare(report(result()), report(result(), other)).worse
    failing = replace(other, outcome=Outcome.FAIL)
    assert compare(report(result()), report(result(), failing)).worse


def test_nothing_changed_is_said() -> None:
    same = compare(report(result()), report(replace(result(), seconds=9.0)))
    assert (same.changes, same.worse) == ((), False)


def test_two_backends_are_compared_by_what_they_answer() -> None:
    comparison = compare(report(result()), report(result(Outcome.FAIL), backend="two"))
    assert [str(change) for change in comparison.changes] == [
        "worse: one → two IPv4 test_a::test_b: pass → fail (because)"
    ]


def test_reports_about_different_backends_can_not_be_compared() -> None:
    one, two = report(result()), report(result(), backend="two")
    both = replace(one, backends=(*one.backends, *two.backends))
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare(both, report(result(), backend="three"))


def test_diff_ends_with_1_where_anything_got_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    reports.write(report(result()), good)
    reports.write(report(result(Outcome.FAIL)), bad)
    assert main(["conformance", "diff", str(good), str(bad)]) == 1
    assert "1 cases came out otherwise, 1 of them worse" in capsys.readouterr().out
    assert main(["conformance", "diff", str(bad), str(good)]) == 0
    assert main(["conformance", "diff", str(good), str(good)]) == 0
    assert main(["conformance", "diff", str(good)]) == 2
    assert main(["conformance", "diff", str(good), str(tmp_path / "absent.json")]) == 1


# The matrix


def test_the_matrix_has_a_row_for_a_rule_and_a_column_for_a_backend_in_a_family() -> None:
    one = report(
        result(),
        result(Outcome.UNSUPPORTED, case="test_a::test_c", semantics=("SEL-10", "PRO-01"), message="too new"),
        result(Outcome.FAIL, family="IPv6"),
        result(case="test_a::test_d", family="both", semantics=("PRO-01",)),
    )
    two = report(result(Outcome.NOT_HERE, message="no magic"), backend="two")
    lines = rendered([one, two]).splitlines()
    assert "| rule | one IPv4 | one IPv6 | two IPv4 |" in lines
    assert "| PRO-01 | pass [1] | pass | – |" in lines
    assert "| SEL-10 | pass [1] | **fail** 1/1 | not here [2] |" in lines
    assert "- [1] unsupported: too new" in lines
    assert "- [2] not here: no magic" in lines


def test_the_matrix_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports.write(report(result()), tmp_path / "a.json")
    assert main(["conformance", "matrix", str(tmp_path / "a.json")]) == 0
    assert "| SEL-10 | pass |" in capsys.readouterr().out
    assert main(["conformance", "matrix"]) == 2
    page = tmp_path / "page.md"
    assert main(["conformance", "matrix", str(tmp_path / "a.json"), "--report", str(page)]) == 0
    assert "| SEL-10 | pass |" in page.read_text()


def test_the_published_matrix_is_of_this_version_and_its_cases(capsys: pytest.CaptureFixture[str]) -> None:
    """tox -e matrix makes it anew."""
    published = (ROOT / "docs/conformance-matrix.md").read_text()
    assert main(["conformance", "cases"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    current = said.rpartition(" ")[2]
    assert said.startswith(f"suite {SUITE_VERSION}: ")
    assert f"Suite {SUITE_VERSION}, " in published
    assert f"digest `{current[:16]}`" in published, "the cases changed since it was made"
    assert "trimmed" not in published
    assert "**fail**" not in published


def test_the_score_is_that_of_all_mutants() -> None:
    """Each of them is caught by a case of its own: test_mutants.py and those called like it."""
    assert len(everyone()) == MUTANTS
    assert f"{MUTANTS} of {MUTANTS} broken proxies" in (ROOT / "docs/conformance-matrix.md").read_text()


# Cases


def test_cases_are_listed_with_their_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "cases", "--profile", "core"]) == 0
    *cases, last = capsys.readouterr().out.splitlines()
    assert "test_cluster_ip::test_every_client_reaches_every_endpoint[tcp]" in cases
    assert "test_cluster_ip::test_every_client_reaches_every_endpoint[sctp]" not in cases
    assert last == f"suite {SUITE_VERSION}: {len(cases)} cases, digest {digest(cases)}"


def test_a_word_that_means_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "nonesuch"]) == 2
    assert main(["conformance"]) == 2
    assert "one of diff, matrix, cases, schema" in capsys.readouterr().err


def test_a_digest_does_not_depend_on_order() -> None:
    assert digest(["a", "b"]) == digest(["b", "a"]) != digest(["a"])
