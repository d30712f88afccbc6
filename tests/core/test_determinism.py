"""The same objects give the same plans: in any order, in any process."""

import os
import random
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.core.addresses import IPFamily
from pointsman.core.apis import ApiObject, EndpointSlice, Node, Service, ServiceCIDR
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS

from . import strategies
from .fakes import Bench
from .objects import NODE, endpoint, endpoint_slice, node, service, service_cidr, service_port

ROOT = Path(__file__).parents[2]
CONFIG = ProxyConfig(NODE, families=tuple(IPFamily), min_sync_period=0)
BENCH = Bench(CONFIG)  # loading plugins costs more than all that is done with them here


@settings(deadline=None)
@given(
    services=st.tuples(*map(strategies.services, strategies.SERVICES)),
    slices=st.tuples(*map(strategies.slices, strategies.SLICES)),
    cidrs=st.tuples(*map(strategies.cidrs, strategies.CIDRS)),
    item=strategies.nodes(),
    order=st.randoms(use_true_random=False),
    data=st.data(),
)
def test_the_order_of_objects_does_not_matter(
    services: tuple[Service, ...],
    slices: tuple[EndpointSlice, ...],
    cidrs: tuple[ServiceCIDR, ...],
    item: Node,
    order: random.Random,
    data: st.DataObject,
) -> None:
    chunk = data.draw(st.sampled_from([None, 1, 2]))
    objects: list[ApiObject] = [*services, *slices, *cidrs, item]
    outcomes = []
    for _ in range(2):
        bench = BENCH
        bench.restart()
        for script in bench.scripts.values():
            script.chunk = chunk
        bench.engine.probe()
        for one in objects:
            bench.engine.updated(one)
        for kind in KINDS:
            bench.engine.replaced(kind, [one for one in objects if isinstance(one, kind)])
        bench.engine.run_due()
        plans = [plan for script in bench.scripts.values() for plan in script.plans]
        outcomes.append((plans, set(bench.engine.rejections)))
        order.shuffle(objects)
    assert outcomes[0] == outcomes[1]


def plans_in_words() -> str:
    """All that two engines' plans say in the order they say it, for objects that collide and contradict."""
    lines = []
    for edition in (0, 1):
        bench = Bench(CONFIG)
        for script in bench.scripts.values():
            script.chunk = 3
        bench.engine.probe()
        for kind in KINDS:
            bench.engine.replaced(kind, [])
        bench.engine.run_due()
        for number in range(8):
            _edit(bench, number, edition)
        bench.engine.run_due()
        for script in bench.scripts.values():
            for plan in script.plans:
                lines.append(
                    f"{plan.full} {plan.complete} {plan.delta} {plan.triggers} {sorted(plan.stale_udp)}"
                )
                lines += [f"{owner.name} {frontend}" for owner, frontend in plan.desired.frontends()]
        lines += map(str, bench.engine.rejections)
    return "\n".join(lines)


def _edit(bench: Bench, number: int, edition: int) -> None:
    ports = [service_port(80 + n, f"p{n}", protocol) for n, protocol in enumerate(("TCP", "UDP", "SCTP"))]
    bench.engine.updated(
        service(
            f"svc-{number}",
            f"10.96.0.{number // 2}",
            ports,
            ingress=[{"ip": "198.51.100.1"}, {"ip": f"198.51.100.{number}"}],
            type="LoadBalancer",
            externalIPs=["198.51.100.1", "2001:db8::1", "nonsense"],
            loadBalancerSourceRanges=["203.0.113.0/24", "192.0.2.0/28", "10.0.0.0/8"],
        )
    )
    for half in (0, 1):
        pods = [endpoint(f"10.0.{edition}.{n}", NODE) for n in range(half, 6)]
        slice_ports = [{"name": port["name"], "port": 8080, "protocol": port["protocol"]} for port in ports]
        bench.engine.updated(
            endpoint_slice(pods, service=f"svc-{number}", name=f"s-{number}-{half}", ports=slice_ports)
        )
    bench.engine.updated(service_cidr(f"cidr-{number}", f"10.{90 + number}.0.0/16", "10.96.0.0/16"))
    bench.engine.updated(node(zone=f"zone-{number}"))


def test_the_seed_of_hashes_does_not_matter() -> None:
    """Sets and dicts of text come in another order in each process, unless told."""
    program = "from tests.core.test_determinism import plans_in_words; print(plans_in_words())"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(said) == 1
    assert said.pop().count("\n") > 100
