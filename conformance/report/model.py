"""A report, in types: its JSON is theirs, and so is the published schema."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from pointsman.core.features import Support

FORMAT: Literal[1] = 1
BOTH = "both"
"""The family of a case that is about both of them at once."""


class Outcome(StrEnum):
    """What became of a case."""

    PASS = "pass"
    FAIL = "fail"
    UNSUPPORTED = "unsupported"  # not played: this kind of dataplane can't have the feature that it is about
    NOT_HERE = "not-here"  # not played: this machine lacks something
    NOT_ASKED = "not-asked"  # not played: nobody can ask that of a program that is somebody else's
    NOT_IMPLEMENTED = "not-implemented"  # played, and failed as the backend said it would


class Verdict(StrEnum):
    """What a backend's results come to."""

    CONFORMANT = "conformant"
    PARTIAL = "partial"  # nothing failed, but not everything was asked
    NOT_CONFORMANT = "not conformant"


class Result(Struct, frozen=True, kw_only=True):
    """A case, played for one backend in one family.

    Attributes:
        case: its name, the same for every backend and family.
        semantics: the rules of the service contract that it is about.
        core: whether it needs only what makes a service proxy.
        family: ``IPv4``, ``IPv6``, or ``both`` where the case is about both at once.
        seconds: how long it took, with what was set up and taken down for it.
        message: why it failed or wasn't played; empty if it passed.
    """

    case: str
    semantics: tuple[str, ...]
    core: bool
    backend: str
    family: str
    outcome: Outcome
    seconds: float
    message: str = ""


class Unavailable(Struct, frozen=True):
    """Why a backend can't serve a family on this machine, and what to do about it."""

    reason: str
    remedy: str


class BackendReport(Struct, frozen=True, kw_only=True):
    """A backend, and what its results come to.

    Attributes:
        because: what keeps the verdict from being a better one.
        chosen: how many cases were to be played.
        capabilities: by family and feature, what it says of itself on this machine.
        unavailable: families that it can't serve here.
        false_alarms: the probability that it failed by chance alone (an upper bound).
    """

    name: str
    verdict: Verdict
    because: str
    chosen: int
    capabilities: dict[str, dict[str, Support]]
    unavailable: dict[str, Unavailable]
    false_alarms: float


class SuiteInfo(Struct, frozen=True, kw_only=True):
    """What was asked.

    Attributes:
        version: the suite's own.
        profile: ``core`` or ``extended``.
        families: those that were asked for.
        cases: the names of all cases that were to be played.
        digest: SHA-256 of these names, sorted, a line each: that of a whole run is published.
        trimmed: whether cases were left out that profile and families would have had.
        scenarios: how many random ones each backend had to go through in each family.
        seed: what they were made from.
        mutants: how many broken proxies this version of the suite was tried on; it finds out
            every one of them.
    """

    version: str
    profile: str
    families: tuple[str, ...]
    cases: tuple[str, ...]
    digest: str
    trimmed: bool
    scenarios: int
    seed: int
    mutants: int


class Environment(Struct, frozen=True):
    """Where it was asked."""

    pointsman: str
    python: str
    kernel: str
    machine: str


class Report(Struct, frozen=True, kw_only=True):
    """A run of the conformance suite.

    Attributes:
        format: the version of this form.
        started: date and time in UTC, as in RFC 3339.
        seconds: how long the whole run took.
        results: a case for one backend in one family each, in order of their names.
    """

    format: Literal[1] = FORMAT
    started: str
    seconds: float
    suite: SuiteInfo
    environment: Environment
    backends: tuple[BackendReport, ...]
    results: tuple[Result, ...]
