"""Who gets an address that several service ports claim (SVC-XIP-02)."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.claims import Claims, Conflict
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)

from .objects import port_name

OLD, YOUNG = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
A, B, C = port_name("a"), port_name("b"), port_name("c")
CLUSTER, LOCAL = Answer(Pool.CLUSTER, Masquerade.ALWAYS), Answer(Pool.LOCAL, Masquerade.NEVER)
ENDPOINT = Endpoint(bytes(4), 8080)


def match(number: int) -> Match:
    return Match(bytes((10, 96, 0, number)), Protocol.TCP, 80)


def frontend(
    number: int, kind: FrontendKind = FrontendKind.EXTERNAL_IP, answer: Answer = CLUSTER
) -> Frontend:
    return Frontend(match(number), kind, answer)


def state(name: ServicePortName, *frontends: Frontend) -> ServiceFrontends:
    return ServiceFrontends(name, frontends, (ENDPOINT,), (ENDPOINT,))


def test_alone_everything_is_won() -> None:
    claims = Claims()
    mine = state(A, frontend(1), frontend(2))
    assert claims.put(A, mine, OLD) == {A}
    assert claims.resolved(A) is mine
    assert claims.conflicts([A]) == {}


def test_the_same_again_concerns_nobody() -> None:
    claims = Claims()
    claims.put(A, state(A, frontend(1)), OLD)
    assert claims.put(A, state(A, frontend(1)), OLD) == set()
    assert claims.put(B, None, "") == set()


def test_an_older_one_that_comes_later_concerns_both() -> None:
    claims = Claims()
    claims.put(A, state(A, frontend(1), frontend(2)), YOUNG)
    assert claims.put(B, state(B, frontend(1)), OLD) == {A, B}
    resolved = claims.resolved(A)
    assert resolved is not None
    assert [f.match for f in resolved.frontends] == [match(2)]
    assert claims.conflicts([A, B]) == {A: [Conflict(A, match(1), B)]}


def test_a_younger_one_that_comes_later_concerns_itself_alone() -> None:
    claims = Claims()
    claims.put(A, state(A, frontend(1)), OLD)
    assert claims.put(B, state(B, frontend(1)), YOUNG) == {B}
    assert claims.resolved(B) is None
    assert claims.put(B, None, "") == {B}


def test_a_winner_that_goes_concerns_all_who_waited() -> None:
    claims = Claims()
    for name, created in ((A, OLD), (B, YOUNG), (C, YOUNG)):
        claims.put(name, state(name, frontend(1)), created)
    assert claims.put(A, None, "") == {A, B, C}
    assert claims.resolved(A) is None
    assert claims.resolved(B) == state(B, frontend(1))
    assert claims.conflicts([A, B, C]) == {C: [Conflict(C, match(1), B)]}


def test_kind_comes_before_age_before_name() -> None:
    claims = Claims()
    claims.put(A, state(A, frontend(1, FrontendKind.NODE_PORT)), OLD)
    claims.put(B, state(B, frontend(1, FrontendKind.EXTERNAL_IP)), YOUNG)
    claims.put(C, state(C, frontend(1, FrontendKind.EXTERNAL_IP)), YOUNG)
    assert [claims.resolved(name) is None for name in (A, B, C)] == [True, False, True]


def test_a_port_may_claim_an_address_twice() -> None:
    """As ClusterIP and as external IP: it has it once."""
    claims = Claims()
    claims.put(A, state(A, frontend(1, FrontendKind.CLUSTER_IP), frontend(1)), OLD)
    resolved = claims.resolved(A)
    assert resolved is not None
    assert [f.kind for f in resolved.frontends] == [FrontendKind.CLUSTER_IP]
    claims.put(A, state(A, frontend(1)), OLD)
    assert claims.resolved(A) == state(A, frontend(1))


def test_pools_that_no_frontend_is_left_for_are_empty() -> None:
    claims = Claims()
    claims.put(A, state(A, frontend(1), frontend(2, answer=LOCAL)), YOUNG)
    claims.put(B, state(B, frontend(2)), OLD)
    resolved = claims.resolved(A)
    assert resolved is not None
    assert (resolved.cluster, resolved.local) == ((ENDPOINT,), ())


names = st.sampled_from([A, B, C])
states = st.lists(
    st.builds(frontend, st.integers(1, 3), st.sampled_from(list(FrontendKind))),
    unique_by=lambda f: (f.match, f.kind),
    max_size=3,
)
edits = st.lists(st.tuples(names, st.none() | states, st.sampled_from([OLD, YOUNG])), max_size=12)


@given(edits)
def test_what_is_resolved_depends_on_the_present_alone_and_changes_are_told(
    given_: list[tuple[ServicePortName, list[Frontend] | None, str]],
) -> None:
    claims = Claims()
    present: dict[ServicePortName, tuple[ServiceFrontends, str]] = {}
    for name, frontends, created in given_:
        before = {n: (claims.resolved(n), claims.conflicts([n])) for n in (A, B, C)}
        new = None if frontends is None else state(name, *frontends)
        affected = claims.put(name, new, created)
        present.pop(name, None)
        if new is not None:
            present[name] = (new, created)
        fresh = Claims()
        for other in sorted(present):
            fresh.put(other, *present[other])
        for n in (A, B, C):
            now = claims.resolved(n), claims.conflicts([n])
            assert now == (fresh.resolved(n), fresh.conflicts([n]))
            assert n in affected or now == before[n]
    won = [f.match for n in present for f in (claims.resolved(n) or state(n)).frontends]
    claimed = {f.match for owner, _ in present.values() for f in owner.frontends}
    assert len(won) == len(set(won))
    assert set(won) == claimed
