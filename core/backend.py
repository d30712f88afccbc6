"""What a dataplane is made of: its specification, the registry, and what it reads back."""

from collections.abc import Callable, Iterator, Mapping
from math import gcd
from typing import Any, NamedTuple

from msgspec import Struct

from .addresses import IPFamily, Network, collapse
from .errors import BackendUnavailable, PluginError
from .features import Capabilities
from .model import Endpoint, Masquerade, Match, Model, Refusal


class DataplaneSettings(Struct, frozen=True):
    """What a dataplane needs to know before the first plan.

    ``instance`` names this proxy among others on the same node: every kernel object carries it, and no object
    that doesn't is ever read or touched. ``options`` is of the type that the backend's `BackendSpec.options`
    names; None stands for its defaults. A dataplane that isn't told of others' writes looks for them every
    ``sync_period`` seconds (SYNC-08). ``traffic`` asks for counts of connections by service port, of a
    dataplane that has them at a price.
    """

    family: IPFamily
    instance: str = "pointsman"
    options: Any = None
    sync_period: float = 30.0
    traffic: bool = False


class BackendSpec(Struct, frozen=True):
    """A dataplane that can be chosen with ``--proxy-mode``.

    ``make`` returns an object with ``dataplane_*`` hook implementations. It is called once per family, in the
    network namespace that the dataplane is to serve, and must not touch the kernel's state. A ``simulated``
    dataplane touches no packet either: what it would do is only known from ``dataplane_trace``.

    ``options`` is a Struct of the settings that are the backend's own, all with defaults. Its values come
    from the field ``pointsman.backends.NAME`` of the configuration file, where NAME is the backend's, and for
    kube-proxy's proxy modes from the section of that name first; durations there become seconds.

    ``kin`` names other backends whose kernel objects are the same: to clean up after one is to remove what
    the other needs.

    ``conntrack`` says that the kernel's connection tracking holds this dataplane's connections: the daemon
    then sets it up as configured, for the whole machine, and takes UDP flows out of it (CT-01…CT-09).

    ``patience`` is how many seconds a hook may take, and ``make``: one that takes longer is said to hang, and
    what it was called for has failed.
    """

    name: str
    summary: str
    make: Callable[[DataplaneSettings], object]
    simulated: bool = False
    options: type[Struct] | None = None
    kin: frozenset[str] = frozenset()
    conntrack: bool = False
    patience: float = 120.0


class BackendRegistry:
    """The backends that are installed, by name."""

    def __init__(self) -> None:
        self._specs: dict[str, BackendSpec] = {}

    def add(self, spec: BackendSpec) -> None:
        """Register a backend.

        Raises:
            PluginError: the name is taken.
        """
        if spec.name in self._specs:
            raise PluginError(
                f"backend {spec.name!r} is registered twice; uninstall one of its distributions"
            )
        self._specs[spec.name] = spec

    def __getitem__(self, name: str) -> BackendSpec:
        """The backend of that name; KeyError if there is none."""
        return self._specs[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a backend of that name."""
        return name in self._specs

    def __iter__(self) -> Iterator[BackendSpec]:
        """All backends, by name."""
        return iter(sorted(self._specs.values(), key=lambda spec: spec.name))


class Candidate(NamedTuple):
    """A backend as the probe found it: its capabilities, or why it can't run."""

    spec: BackendSpec
    outcome: Capabilities | BackendUnavailable


class ObservedAnswer(Struct, frozen=True):
    """An answer as the kernel would give it: where to, with what shares, and what happens to the source."""

    endpoints: frozenset[Endpoint]
    masquerade: Masquerade
    when_empty: Refusal | None = None


class ObservedFrontend(Struct, frozen=True):
    """A frontend as the kernel holds it: the content of `Frontend`, without names.

    ``when_empty`` is None in answers that have endpoints, weights are in lowest terms, ``sources`` are the
    fewest networks, and there is no ``affinity`` where there is no endpoint to go back to: what is observed
    equals what was meant whenever packets can't tell them apart.
    """

    near: ObservedAnswer
    far: ObservedAnswer | None = None
    sources: frozenset[Network] | None = None
    affinity: int = 0


class Observed(Struct, frozen=True):
    """A dataplane's state read back from the kernel.

    ``strange`` lists what was found in our own tables and can't be said in the model's terms: damage, or
    somebody else's edit.
    """

    frontends: Mapping[Match, ObservedFrontend]
    cluster_ips: frozenset[bytes] = frozenset()
    service_cidrs: frozenset[Network] = frozenset()
    strange: tuple[str, ...] = ()


def expected(model: Model) -> Observed:
    """What a dataplane that holds ``model`` must observe."""
    frontends = {}
    for service, frontend in model.frontends():
        near, *far = (
            ObservedAnswer(
                lowest_terms(service.pool(answer)),
                answer.masquerade if service.pool(answer) else Masquerade.NEVER,
                None if service.pool(answer) else service.when_empty,
            )
            for answer in frontend.answers
        )
        frontends[frontend.match] = ObservedFrontend(
            near,
            far[0] if far and far[0] != near else None,
            None if frontend.sources is None else collapse(frontend.sources),
            service.affinity if any(map(service.pool, frontend.answers)) else 0,
        )
    return Observed(frontends, frozenset(model.cluster_ips), frozenset(model.node.service_cidrs))


def lowest_terms(pool: tuple[Endpoint, ...]) -> frozenset[Endpoint]:
    """A pool with its weights divided by what they have in common, in no order."""
    divisor = gcd(*(endpoint.weight for endpoint in pool))
    if divisor <= 1:
        return frozenset(pool)
    return frozenset(Endpoint(e.address, e.port, e.weight // divisor) for e in pool)
