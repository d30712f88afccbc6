"""Scenarios, carried out in a world."""

from pointsman.conformance.answers import Answer, Arrival
from pointsman.conformance.objects import Manifest
from pointsman.conformance.world import World
from pointsman.core.model import NamespacedName, Protocol

from .model import Apply, Connect, Delete, Restart, Scenario, Step, Wipe


class Player:
    """Carries out steps.

    Raises:
        AssertionError: from `do`: connections were answered otherwise than they should be, a plan was not
            carried out, or the dataplane holds something else than it was told.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def do(self, step: Step) -> None:
        """Carry out one step."""
        match step:
            case Connect():
                self._connect(step)
                return
            case Apply():
                self._world.apply(*step.objects)
            case Delete():
                self._world.delete(*(_named(kind, name) for kind, name in step.identities()))
            case Restart():
                self._world.restart(masquerade_all=step.masquerade_all)
            case Wipe():
                self._world.wipe()
        self._world.verify()

    def _connect(self, step: Connect) -> None:
        answers = self._world.answers(step.client, step.to, step.port, Protocol[step.protocol])
        seen, due = sorted(map(said, answers)), sorted(step.answers)
        way = f"{step.client} → {step.to} port {step.port}/{step.protocol.lower()}"
        if step.sticky:
            assert len(seen) == 1 and seen[0] in due, f"{way}: {seen}, where one of {due} was due"  # noqa: PT018
        else:
            assert seen == due, f"{way}: {seen}, where {due} were due"


def play(scenario: Scenario, world: World) -> None:
    """Carry out a whole scenario. Raises `AssertionError`, which names the step."""
    player = Player(world)
    for number, step in enumerate(scenario.steps, 1):
        try:
            player.do(step)
        except AssertionError as error:
            error.add_note(f"in step {number} of {len(scenario.steps)}")
            raise


def said(answer: Answer) -> str:
    """An answer in a scenario's words."""
    return repr(answer) if isinstance(answer, Arrival) else str(answer)


def _named(kind: str, name: NamespacedName) -> Manifest:
    """As much of an object as it takes to remove it."""
    return {"kind": kind, "metadata": {"namespace": name.namespace, "name": name.name}}
