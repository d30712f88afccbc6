"""Where cases are played: for each backend its proxy and a network, set up once for a whole run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import NamedTuple, ParamSpec, TypeVar

from pointsman.conformance.external import NotReady, Target, TargetCluster, TargetCommand, TargetWorld
from pointsman.conformance.lab import LabUnavailable
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.errors import BackendUnavailable, PluginError
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.model import Protocol
from pointsman.core.plugins import Plugins, probe

from .cluster import Cluster, basics
from .kernel import KernelNetwork
from .parts import COMPANIONS, Part
from .simulation import SimulatedNetwork
from .statistics import Budget
from .subject import ORACLE, Journal, Subject
from .world import World

P = ParamSpec("P")
R = TypeVar("R")


class NotHere(NamedTuple):
    """Why a backend can't be held to the suite on this machine, and what to do about it."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        """Both."""
        return f"{self.reason}; {self.remedy}"


class Stage(NamedTuple):
    """A backend ready for cases.

    ``network`` is None for one that touches no packet: each case then has a simulation of its own.
    ``missing`` holds the families that the backend can't serve on this machine. Where a ``target`` is under
    test, ``subject`` is the oracle that it is held to.
    """

    subject: Subject
    network: KernelNetwork | None
    missing: dict[IPFamily, NotHere]
    target: Target | None = None

    def world(self, family: IPFamily, budget: Budget, seed: str) -> World:
        """A new world for a case; ``seed`` decides what a simulation leaves to chance.

        Raises:
            SyncFailed: there is no beginning.
        """
        if self.target is not None and self.network is not None:
            return TargetWorld(family, TargetCluster(self.subject, self.target), self.network, budget)
        cluster = Cluster(self.subject)
        network = self.network or SimulatedNetwork(cluster.trace, seed, cluster)
        return World(family, cluster, network, budget)

    def support(self, feature: Feature | Part, family: IPFamily) -> Support:
        """How far backend, machine, and what works beside the backend, together have a feature."""
        if isinstance(feature, Part):
            return self._part(feature)
        support = self.subject.capabilities[family].support(feature)
        if feature is Feature.SCTP and self.network is not None and support.level is Level.SUPPORTED:
            reason = self.network.missing(Protocol.SCTP)
            return Support(Level.NOT_HERE, f"{reason}; load its module sctp") if reason else support
        return support

    def _part(self, part: Part) -> Support:
        if self.network is None:
            if part is Part.RAW_PACKETS:
                return Support(Level.UNSUPPORTED, "there are no packets in a simulation")
            return SUPPORTED
        companion = COMPANIONS.get(part)
        if self.target is not None or companion is None or companion in self.subject.plugins.companions:
            return SUPPORTED
        reason = f"no plugin here brings the companion {companion!r}"
        return Support(Level.NOT_HERE, f"{reason}; hold the whole proxy to the suite, by --target-command")


class Stages:
    """The stages of a run, each set up when first asked for, and all on one lab.

    Args:
        plugins: all plugins, the oracle's and the tested ones'; the journal is registered among them.
        families: those to serve.
        instance: the name that kernel objects carry.
        targets: programs to be held to the suite like backends, by name.
    """

    def __init__(
        self,
        plugins: Plugins,
        families: Sequence[IPFamily],
        instance: str,
        targets: Mapping[str, TargetCommand] = {},
    ) -> None:
        self._targets = targets
        self._plugins = plugins
        self._families = families
        self._instance = instance
        self._journal = Journal()
        plugins.register(self._journal, "conformance journal")
        self._ends = ExitStack()
        self._known: dict[str, Stage | NotHere] = {}
        self._broken: dict[str, str] = {}

    def of(self, backend: str) -> Stage | NotHere:
        """The stage of a backend, or why it can't be had.

        Raises:
            PluginError: the backend is broken. It is asked once: one that hangs would keep every case.
        """
        if backend in self._broken:
            raise PluginError(self._broken[backend])
        if backend not in self._known:
            command = self._targets.get(backend)
            try:
                self._known[backend] = (
                    self._set_up(self._plugins.backends[backend])
                    if command is None
                    else self._set_up_target(command)
                )
            except PluginError as error:
                self._broken[backend] = str(error)
                raise
        return self._known[backend]

    def known(self) -> Mapping[str, Stage | NotHere]:
        """All that were asked for so far."""
        return self._known

    def close(self) -> None:
        """Take everything down."""
        self._ends.close()

    def _set_up(self, spec: BackendSpec) -> Stage | NotHere:
        network = None if spec.simulated else self._network
        if isinstance(network, NotHere):
            return network
        run = _here if network is None else network.run
        capabilities: dict[IPFamily, Capabilities] = {}
        missing: dict[IPFamily, NotHere] = {}
        for family in self._families:
            outcome = run(probe, spec, DataplaneSettings(family, self._instance)).outcome
            if isinstance(outcome, BackendUnavailable):
                missing[family] = NotHere(outcome.reason, outcome.remedy)
            else:
                capabilities[family] = outcome
        if not capabilities:
            return missing[self._families[0]]
        subject = Subject(spec, capabilities, self._plugins, self._journal, run, self._instance)
        self._ends.callback(subject.forget)
        return Stage(subject, network, missing)

    def _set_up_target(self, command: TargetCommand) -> Stage | NotHere:
        network = self._network
        if isinstance(network, NotHere):
            return network
        oracle = self._plugins.backends[ORACLE]
        capabilities = dict.fromkeys(self._families, Capabilities(_OF_THE_API))
        subject = Subject(oracle, capabilities, self._plugins, self._journal, _here, self._instance)
        target = Target(command, network, self._families)
        self._ends.callback(target.close)
        try:
            target.start(basics())
        except NotReady as error:
            return NotHere(str(error), "see to it that the command works in a network namespace")
        return Stage(subject, network, {}, target)

    @cached_property
    def _network(self) -> KernelNetwork | NotHere:
        try:
            network = KernelNetwork()
        except LabUnavailable as error:
            return NotHere(error.reason, error.remedy)
        self._ends.callback(network.close)
        return network


_OF_THE_API = {
    **dict.fromkeys(Feature, SUPPORTED),
    Feature.WEIGHTS: Support(Level.UNSUPPORTED, "the Kubernetes API has no weights"),
}
"""What a program that watches the API is presumed to be able to do: all that the API offers."""


def _here(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    return function(*args, **kwargs)
