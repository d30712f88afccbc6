"""The search for a history after which something is wrong, and for the shortest of its kind."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import ClassVar, Literal, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pointsman.conformance import objects
from pointsman.conformance.objects import Manifest
from pointsman.conformance.scene import scene
from pointsman.conformance.version import SUITE_VERSION
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily
from pointsman.core.features import Feature
from pointsman.core.model import NamespacedName

from . import draws
from .draws import Kit
from .expectation import comes_back, due
from .model import Apply, Connect, Delete, Restart, Scenario, Step, Wipe
from .player import Player, said

CHANGES = 8
"""How many changes there are in a scenario at most, beside the first."""

LOOKS = 3
"""How many places are connected to at most after each."""

Worlds = Callable[[], AbstractContextManager[World]]


class Finding(NamedTuple):
    """The shortest scenario found, and what goes wrong in it."""

    scenario: Scenario
    error: AssertionError


class Surroundings(NamedTuple):
    """Where histories take place; see `search`."""

    worlds: Worlds
    other: IPFamily | None
    features: frozenset[Feature]
    ours: bool


def search(
    worlds: Worlds,
    *,
    other: IPFamily | None,
    features: frozenset[Feature],
    ours: bool = True,
    number: int,
    seed: int,
) -> Finding | None:
    """Go through random scenarios until something goes wrong, then shrink it; None if all went well.

    Args:
        worlds: makes a new world, with no services in it, for each scenario.
        other: the family that is served beside the one that the worlds are about.
        features: what can be had beyond the core.
        ours: whether the proxy's rules can be removed behind its back, and its settings be changed.
        number: how many scenarios to go through.
        seed: what they are made from.
    """

    class Machine(History):
        around = Surroundings(worlds, other, features, ours)

    hypothesis.seed(seed)(Machine)
    effort = settings(
        max_examples=number,
        stateful_step_count=CHANGES,
        deadline=None,
        database=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,  # the scenario says better what happened
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Machine, settings=effort)
    except AssertionError as error:
        return Finding(Machine.last_history(), error)
    return None


class History(RuleBasedStateMachine):
    """A cluster to which anything may happen, and in which anybody may connect to anything."""

    around: ClassVar[Surroundings]
    _last: ClassVar["History"]

    def __init__(self) -> None:
        super().__init__()
        type(self)._last = self
        self._steps: list[Step] = []
        self._present: dict[tuple[str, NamespacedName], Manifest] = {}
        self._ends = ExitStack()
        self._world = self._ends.enter_context(self.around.worlds())
        other = None if self.around.other is None else scene(self.around.other)
        self._kit = Kit(self._world.scene, other, self.around.features)
        self._player = Player(self._world)

    @classmethod
    def last_history(cls) -> Scenario:
        """What the last one went through: after shrinking, the shortest."""
        family: Literal["IPv4", "IPv6"] = "IPv4" if cls._last._world.family is IPFamily.IPV4 else "IPv6"
        return Scenario(family, tuple(cls._last._steps), SUITE_VERSION)

    def teardown(self) -> None:
        """End the world."""
        self._ends.close()

    @initialize(data=st.data(), name=st.sampled_from(draws.NAMES))
    def begin(self, data: st.DataObject, name: str) -> None:
        """There is a Service with endpoints to begin with."""
        self._put(data.draw(draws.services(self._kit, name)), data.draw(draws.slices(self._kit, name)))

    @rule(data=st.data(), name=st.sampled_from(draws.NAMES))
    def put_service(self, data: st.DataObject, name: str) -> None:
        """A Service comes, or becomes another."""
        self._put(data.draw(draws.services(self._kit, name)))
        self._look(data, name)

    @rule(data=st.data())
    def put_slice(self, data: st.DataObject) -> None:
        """Endpoints come, go and change."""
        name = data.draw(st.sampled_from(self._services() or draws.NAMES))
        self._put(data.draw(draws.slices(self._kit, name)))
        self._look(data, name)

    @rule(data=st.data(), node=draws.nodes())
    def put_node(self, data: st.DataObject, node: Manifest) -> None:
        """The node changes; it can't go."""
        self._do(Apply((node,)))
        self._look(data)

    @precondition(lambda self: self._present)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """A Service or a slice goes."""
        kind, name = data.draw(st.sampled_from(sorted(self._present)))
        del self._present[kind, name]
        self._do(Delete((f"{kind} {name}",)))
        self._look(data)

    @rule(data=st.data())
    def upset(self, data: st.DataObject) -> None:
        """All rules go, or the proxy does, and come again."""
        upsets: list[Step] = [Restart()]
        if self.around.ours:
            upsets += [Restart(masquerade_all=True), Wipe()]
        self._do(data.draw(st.sampled_from(upsets)))
        self._look(data)

    def _look(self, data: st.DataObject, name: str | None = None) -> None:
        """Connect here and there, by preference to the Service that has just changed."""
        present = self._services()
        chosen = [name] if name in present else present
        services = [self._present["Service", NamespacedName(objects.NAMESPACE, one)] for one in chosen]
        number = data.draw(st.integers(0, LOOKS)) if services else LOOKS - 1
        for _ in range(LOOKS - number):
            self._connect(data, services)

    def _services(self) -> list[str]:
        return [name.name for kind, name in sorted(self._present) if kind == "Service"]

    def _connect(self, data: st.DataObject, services: Sequence[Manifest]) -> None:
        client, address, port, protocol = data.draw(draws.ways(self._kit, services))
        packet = self._world.scene.packet(client, address, port, protocol)
        trace = self._world.judge(packet)
        if not comes_back(self._world.scene, client, trace):
            return
        answers = due(self._world.scene, client, packet, trace)
        sticky = trace.affinity is not None and len(answers) > 1
        words = tuple(sorted(map(said, answers)))
        self._do(Connect(client, address, port, protocol.name, words, sticky))

    def _put(self, *manifests: Manifest) -> None:
        self._present.update((objects.identity(one), one) for one in manifests)
        self._do(Apply(manifests))

    def _do(self, step: Step) -> None:
        self._steps.append(step)
        self._player.do(step)
