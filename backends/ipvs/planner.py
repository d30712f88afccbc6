"""What a plan comes to: a plan for the table, and requests to IPVS before and after it. Pure."""

from typing import NamedTuple

from immutables import Map
from msgspec.structs import replace

from pointsman.core.model import Model, ServiceFrontends, ServicePortName
from pointsman.core.plan import Delta, ServiceChange, SyncPlan

from .places import Places
from .servers import Leaving, Server, Servers, Service, Steps, steps, with_leaving
from .split import Choose, servers, shadow


class Held(NamedTuple):
    """What the kernel holds once a plan is carried out: all service ports' shadows, and who is leaving."""

    shadows: Map[ServicePortName, ServiceFrontends] = Map()
    leaving: Leaving = Map()


class Step(NamedTuple):
    """One plan on its way into the kernel.

    ``table`` is None where the table needn't be touched: an endpoint that comes or goes concerns IPVS alone,
    unless its address is new to the table or was known to it for the last time.
    """

    table: SyncPlan | None
    requests: Steps
    held: Held


def full(plan: SyncPlan, held: Servers, places: Places, choose: Choose) -> Step:
    """What differs between the virtual servers that are held and the plan; the table looks for itself."""
    shadows = Map[ServicePortName, ServiceFrontends]().mutate()
    wanted: dict[Server, Service] = {}
    for name in sorted(plan.desired.services):
        service = plan.desired.services[name]
        shadows[name] = shadow(service, places)
        wanted |= servers(service, places, choose)
    finished = shadows.finish()
    requests = steps(held, wanted)
    if not plan.complete:  # what is beyond it has its turn later
        requests = requests._replace(clear=[one for one in requests.clear if one.server in wanted])
    table = replace(plan, desired=_shadow_model(plan.desired, finished), delta=Delta())
    return Step(table, requests, Held(finished, requests.leaving))


def partial(plan: SyncPlan, held: Held, places: Places, choose: Choose) -> Step:
    """What a delta changes; costs what changed."""
    shadows = held.shadows
    after = shadows.mutate()
    changes: list[ServiceChange] = []
    before_servers: dict[Server, Service] = {}
    after_servers: dict[Server, Service] = {}
    for name, old, new in plan.delta.services:
        if old is not None:
            before_servers |= servers(old, places, choose)
        shadowed = None
        if new is None:
            del after[name]
        else:
            shadowed = after[name] = shadow(new, places)
            after_servers |= servers(new, places, choose)
        if shadowed != shadows.get(name):
            changes.append(ServiceChange(name, shadows.get(name), shadowed))
    finished = after.finish()
    delta = replace(plan.delta, services=tuple(changes))
    table = None
    if changes or delta.cluster_ips or delta.endpoint_addresses or delta.node:
        table = replace(plan, desired=_shadow_model(plan.desired, finished), delta=delta)
    requests = steps(with_leaving(before_servers, held.leaving), after_servers)
    touched = before_servers.keys() | after_servers.keys()
    others = {server: targets for server, targets in held.leaving.items() if server not in touched}
    return Step(table, requests, Held(finished, others | dict(requests.leaving)))


def _shadow_model(desired: Model, shadows: Map[ServicePortName, ServiceFrontends]) -> Model:
    # The addresses of real endpoints: by them the table knows a pod that reaches itself.
    return replace(desired, services=shadows)
