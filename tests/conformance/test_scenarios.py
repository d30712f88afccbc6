"""Random scenarios: what they go through, and what becomes of one that fails."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pointsman.conformance.objects import service
from pointsman.conformance.scenarios import (
    Apply,
    Connect,
    Delete,
    Player,
    Restart,
    Scenario,
    ScenarioUnreadable,
    Step,
    Wipe,
    dump,
    load,
    play,
    search,
)
from pointsman.conformance.scenarios.search import Worlds
from pointsman.conformance.scene import scene
from pointsman.conformance.stages import Stage, Stages
from pointsman.conformance.statistics import Budget
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily
from pointsman.core.features import Feature
from pointsman.core.plugins import Plugins
from tests.conformance import mutants as broken
from tests.conformance.runs import play as run_suite

CASE = "pointsman.conformance.cases.test_random_scenarios"
REPLAY = "pointsman.conformance.scenarios.test_replay"
FEATURES = frozenset({Feature.SCTP, Feature.WEIGHTS})
MUTANT = "KeepsEndpointsThatLeft"


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    stages = Stages(Plugins([broken]), tuple(IPFamily), "test")
    yield stages
    stages.close()


def worlds_of(stages: Stages, backend: str, family: IPFamily) -> Worlds:
    stage = stages.of(backend)
    assert isinstance(stage, Stage)

    @contextmanager
    def new() -> Iterator[World]:
        yield stage.world(family, Budget(), "seed")
        stage.subject.cleanup()

    return new


@pytest.mark.parametrize("family", IPFamily, ids=str)
def test_the_oracle_goes_through_all_sorts_of_scenarios(
    stages: Stages, family: IPFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that met only refusals, or never deleted anything, would show little."""
    seen: Counter[str] = Counter()
    do = Player.do

    def counted(self: Player, step: Step) -> None:
        seen[type(step).__name__] += 1
        if isinstance(step, Connect):
            seen["forwarded" if any("seeing" in one for one in step.answers) else step.answers[0]] += 1
        do(self, step)

    monkeypatch.setattr(Player, "do", counted)
    [other] = (one for one in IPFamily if one is not family)
    worlds = worlds_of(stages, "memory", family)
    assert search(worlds, other=other, features=FEATURES, number=40, seed=0) is None
    for kind in (Apply, Delete, Restart, Wipe):
        assert seen[kind.__name__] >= 10, seen
    assert seen["forwarded"] >= 100, seen
    assert min(seen["rejected"], seen["unanswered"]) >= 20, seen


def test_a_scenario_that_fails_is_shrunk(stages: Stages) -> None:
    worlds = worlds_of(stages, MUTANT, IPFamily.IPV4)
    found = search(worlds, other=None, features=FEATURES, number=40, seed=0)
    assert found is not None
    assert 3 <= len(found.scenario.steps) <= 5
    assert isinstance(found.scenario.steps[0], Apply)
    assert isinstance(found.scenario.steps[-1], Connect)
    with worlds() as world, pytest.raises(AssertionError):
        play(found.scenario, world)
    with worlds_of(stages, "memory", IPFamily.IPV4)() as world:
        play(found.scenario, world)


def test_the_same_seed_makes_the_same_scenarios(stages: Stages) -> None:
    worlds = worlds_of(stages, MUTANT, IPFamily.IPV6)
    found = [search(worlds, other=None, features=FEATURES, number=40, seed=3) for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].scenario == found[1].scenario


def test_where_rules_can_not_be_removed_nobody_does(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "wipe", lambda _: pytest.fail("wiped"))
    worlds = worlds_of(stages, "memory", IPFamily.IPV4)
    assert search(worlds, other=None, features=FEATURES, ours=False, number=30, seed=0) is None


@pytest.mark.suite
def test_a_case_writes_what_it_found_and_replays_agree(mutants: Path, tmp_path: Path) -> None:
    """The broken dataplane fails again, and a good one passes."""
    both = ("--backend", MUTANT, "--backend", "memory", "--family", "6", "--conformance-scenarios", "40")
    run = run_suite(mutants, CASE, *both, "--conformance-report", str(tmp_path / "report.json"))
    assert {case.properties["backend"]: case.outcome for case in run.cases} == {
        MUTANT: "failure",
        "memory": "passed",
    }
    [file] = tmp_path.glob("*.yaml")
    assert file.name == f"scenario-{MUTANT}-IPv6.yaml"
    assert f"after the steps of {file}" in run.output
    text = file.read_text()
    assert text.startswith(
        f"# Play it again:\n#     pointsman conformance --backend {MUTANT} --replay {file.name}\n"
    )
    again = run_suite(mutants, REPLAY, *both[:4], "--conformance-replay", str(file))
    assert {case.properties["backend"]: case.outcome for case in again.cases} == {
        MUTANT: "failure",
        "memory": "passed",
    }
    assert {case.properties["family"] for case in again.cases} == {"IPv6"}
    [failed] = (case for case in again.cases if case.outcome == "failure")
    assert "where" in failed.message or "was due" in failed.message


def scenario() -> Scenario:
    at = scene(IPFamily.IPV4)
    return Scenario(
        "IPv4",
        (
            Apply((service("web", at.cluster_ip()),)),
            Connect("pod-c", at.cluster_ip(), 80, "TCP", ("rejected",)),
            Wipe(),
            Restart(masquerade_all=True),
            Delete(("Service default/web",)),
            Connect("pod-c", at.cluster_ip(), 80, "TCP", ("unanswered",)),
        ),
    )


def test_scenarios_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(dump(scenario(), comment=["why"]))
    assert file.read_text().startswith("# why\n")
    assert "- do: connect\n  client: pod-c\n" in file.read_text()
    assert load(file) == scenario()


def test_a_scenario_says_in_which_step_it_failed(stages: Stages) -> None:
    with worlds_of(stages, "memory", IPFamily.IPV4)() as world:
        play(scenario(), world)
    *steps, last = scenario().steps
    assert isinstance(last, Connect)
    wrong = Scenario("IPv4", (*steps, Connect(last.client, last.to, last.port, last.protocol, ("rejected",))))
    with (
        worlds_of(stages, "memory", IPFamily.IPV4)() as world,
        pytest.raises(AssertionError, match=r"\['unanswered'\], where \['rejected'\] were due") as caught,
    ):
        play(wrong, world)
    assert caught.value.__notes__ == ["in step 6 of 6"]


@pytest.mark.parametrize(
    "text", ["", "[]", "family: IPv5\nsteps: []", "family: IPv4\nsteps: [{do: dance}]", "a: [", "steps: []"]
)
def test_what_is_no_scenario_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioUnreadable, match=r"a\.yaml is no scenario"):
        load(file)


def test_a_replay_of_no_scenario_is_an_error_of_usage(mutants: Path) -> None:
    run = run_suite(mutants, REPLAY, "--backend", "memory", "--conformance-replay", "absent.yaml")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "--conformance-replay: absent.yaml: No such file" in run.output
