"""The audit: what differs is found, told once it is sure, and paid for within the budget."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily
from pointsman.core.audit import BUDGET, PERIOD, TOLD, Auditor, AuditResult, AuditThread, differences
from pointsman.core.backend import BackendSpec, DataplaneSettings, Observed, expected
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Model, NodeContext
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.plugins import Dataplane
from tests import strategies

FAMILY = IPFamily.IPV4
MODEL = Model(NodeContext(FAMILY))


class Readable:
    """A dataplane that shows what it is told to, read after read."""

    def __init__(self, shows: Callable[[Model | None], Observed]) -> None:
        self._shows = shows

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return Capabilities({})

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        raise AssertionError(f"an audit must not write: {plan}")

    @hookimpl
    def dataplane_observe(self, meant: Model | None) -> Observed:
        return self._shows(meant)

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        return Trace(Verdict(Action.PASS), ())

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        return False


class Audit:
    """An auditor of one family, with a clock that each read moves on."""

    def __init__(self, *shown: Observed, seconds: float = 0.0, applied: Callable[[], Model] = lambda: MODEL):
        self._shown = list(shown)
        self._seconds = seconds
        self.now = 0.0
        self.told: list[str] = []
        self.audits: list[AuditResult] = []
        spec = BackendSpec("readable", "", lambda _: Readable(self._read))
        self.auditor = Auditor(
            lambda _: applied(),
            {FAMILY: Dataplane(spec, DataplaneSettings(FAMILY))},
            lambda _, how: self.told.append(how),
            self.audits.append,
            clock=lambda: self.now,
        )

    def _read(self, _: Model | None) -> Observed:
        self.now += self._seconds
        return self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]

    def run(self) -> float:
        return self.auditor.audit(FAMILY)


@given(strategies.models(FAMILY))
def test_a_right_state_differs_in_nothing(model: Model) -> None:
    assert list(differences(expected(model), expected(model))) == []


@given(strategies.models(FAMILY), st.data())
def test_every_single_difference_is_named(model: Model, data: st.DataObject) -> None:
    meant = expected(model)
    if not meant.frontends:
        return
    match = data.draw(st.sampled_from(sorted(meant.frontends, key=str)))
    without = replace(meant, frontends={m: f for m, f in meant.frontends.items() if m != match})
    assert list(differences(meant, without)) == [f"{match} is missing"]
    assert list(differences(without, meant)) == [f"{match} should not be there"]
    other = replace(meant.frontends[match], affinity=meant.frontends[match].affinity + 1)
    changed = replace(meant, frontends={**meant.frontends, match: other})
    assert list(differences(meant, changed)) == [f"{match} answers in another way"]


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Observed({}, cluster_ips=frozenset({bytes(4)})), "0.0.0.0 should not be among the ClusterIPs"),
        (Observed({}, strange=("chain x has no business here",)), "chain x has no business here"),
    ],
)
def test_other_differences_are_named_too(found: Observed, word: str) -> None:
    assert list(differences(Observed({}), found)) == [word]


def test_drift_is_told_once_it_was_found_twice() -> None:
    drift = Observed({}, strange=("damage",))
    steady, passing = Audit(drift), Audit(drift, Observed({}))
    steady.run()
    passing.run()
    assert (steady.told, passing.told) == (["damage"], [])


def test_the_dataplane_is_told_what_it_should_hold() -> None:
    """Of some rules the model's terms don't tell: whoever writes them compares them itself."""

    def show(meant: Model | None) -> Observed:
        return Observed({}, strange=() if meant is MODEL else (f"told of {meant}",))

    spec = BackendSpec("told", "", lambda _: Readable(show))
    drifts: list[str] = []
    dataplanes = {FAMILY: Dataplane(spec, DataplaneSettings(FAMILY))}
    Auditor(lambda _: MODEL, dataplanes, lambda _, how: drifts.append(how), lambda _: None).audit(FAMILY)
    assert drifts == []
    assert dataplanes[FAMILY].observe().strange == ("told of None",)


def test_only_some_of_many_differences_are_told() -> None:
    audit = Audit(Observed({}, strange=tuple(f"damage {number}" for number in range(TOLD + 3))))
    audit.run()
    assert audit.told[0].endswith("(and 3 more)")
    (result,) = audit.audits
    assert (result.differences, len(result.examples)) == (TOLD + 3, TOLD)


def test_every_audit_is_told_with_what_it_took() -> None:
    well, passing = Audit(Observed({}), seconds=2), Audit(Observed({}, strange=("damage",)), Observed({}))
    well.run()
    passing.run()
    assert well.audits == [AuditResult(FAMILY, 0, (), 2.0)]
    assert passing.audits == [AuditResult(FAMILY, 0, (), 0.0)]


def test_a_model_that_changes_meanwhile_is_no_drift() -> None:
    models = iter((MODEL, Model(NodeContext(FAMILY))))
    audit = Audit(Observed({}, strange=("old",)), applied=lambda: next(models, MODEL))
    audit.run()
    assert audit.told == []


def test_a_model_that_changes_meanwhile_is_not_even_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """With changes all the time no audit comes to an end: it must not cost what one that does costs."""
    monkeypatch.setattr("pointsman.core.audit.expected", None)
    models = iter((MODEL, Model(NodeContext(FAMILY))))
    audit = Audit(Observed({}, strange=("old",)), applied=lambda: next(models))
    audit.run()
    assert [result.differences for result in audit.audits] == [0]


@pytest.mark.parametrize("seconds", [0.0, 0.5, 10.0])
def test_audits_keep_within_their_budget(seconds: float) -> None:
    assert Audit(Observed({}), seconds=seconds).run() == max(PERIOD, seconds / BUDGET)


def test_the_thread_audits_when_due_and_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.core.audit.PERIOD", 0.0)
    audited = threading.Event()

    def show(_: Model | None) -> Observed:
        audited.set()
        return Observed({})

    spec = BackendSpec("readable", "", lambda _: Readable(show))
    dataplanes = {FAMILY: Dataplane(spec, DataplaneSettings(FAMILY))}
    thread = AuditThread(Auditor(lambda _: MODEL, dataplanes, lambda *_: None, lambda _: None), (FAMILY,))
    thread.start()
    assert audited.wait(10)
    thread.stop()
    assert "audit" not in {alive.name for alive in threading.enumerate()}
