"""The lean form, which large clusters have: when it is taken, and that packets fare as in the full form."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pointsman.backends.iptables import form
from pointsman.backends.iptables.changes import steps
from pointsman.backends.iptables.form import is_lean
from pointsman.backends.iptables.kernel import Variant
from pointsman.backends.iptables.planner import difference
from pointsman.backends.iptables.tables import nat
from pointsman.backends.iptables.traffic import counts
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import parse_address
from pointsman.core.backend import expected
from pointsman.core.model import Endpoint, Match, Model, Protocol, ServicePortName
from pointsman.core.packet import Packet
from pointsman.core.plan import advance
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.images import Made, image, state
from tests.backends.iptables.test_seed import CLUSTER_IP, CONTEXT, NAME, PODS, SVC, seed

TOOLS = pytest.mark.program("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft")
ROOT = Path(__file__).parents[3]
OTHER = ServicePortName("default", "other", "http", Protocol.TCP)


def endpoints(count: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(bytes((10, 244, *divmod(number, 256))), 8080) for number in range(count))


def with_other(count: int, *, affinity: int = 0) -> Model:
    """The seed's service, and another of so many endpoints."""
    [frontend] = seed().services[NAME].frontends
    there = Match(parse_address("10.96.92.21"), Protocol.TCP, 80)
    other = replace(
        seed().services[NAME],
        name=OTHER,
        frontends=(replace(frontend, match=there),),
        cluster=endpoints(count),
        affinity=affinity,
    )
    return advance(seed(), [(OTHER, other)], CONTEXT)[0]


def test_pools_lead_straight_to_their_endpoints() -> None:
    tables = image(seed(), lean=True).tables

    assert tables.chains[nat(SVC)] == (
        "! -s 10.244.0.0/16 -d 10.96.92.20/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ",
        "-p tcp -m statistic --mode random --probability 0.25000000000"
        " -j DNAT --to-destination 10.244.1.5:8080",
        "-p tcp -m statistic --mode random --probability 0.33333333349"
        " -j DNAT --to-destination 10.244.1.6:8080",
        "-p tcp -m statistic --mode random --probability 0.50000000000"
        " -j DNAT --to-destination 10.244.1.7:8080",
        "-p tcp -j DNAT --to-destination 10.244.1.8:8080",
    )
    assert not [name for name in tables.chains if name.name.startswith("KUBE-SEP-")]


def test_whoever_reached_itself_is_marked_before_those_without_mark_go_their_way() -> None:
    marked, unmarked, *_ = image(seed(), lean=True).tables.chains[nat("KUBE-POSTROUTING")]

    assert marked == (
        '-m comment --comment "an endpoint that reached itself" -m conntrack --ctstate DNAT -m bpf'
        ' --bytecode "6,32 0 0 12,7 0 0 0,32 0 0 16,29 0 1 0,6 0 0 1,6 0 0 0" -j KUBE-MARK-MASQ'
    )
    assert unmarked.endswith("-j RETURN")


def test_what_remembers_clients_keeps_chains_of_endpoints() -> None:
    chains = image(with_other(2, affinity=60), lean=True).tables.chains

    assert len([name for name in chains if name.name.startswith("KUBE-SEP-")]) == 2


@pytest.mark.parametrize(
    ("count", "held", "lean"),
    [
        (form.LEAN_ABOVE, False, False),
        (form.LEAN_ABOVE + 1, False, True),
        (form.LEAN_DOWN_TO + 1, True, True),
        (form.LEAN_DOWN_TO, True, False),
    ],
)
def test_what_the_kernel_holds_is_kept_near_the_limit(count: int, held: bool, lean: bool) -> None:
    model = with_other(count - len(PODS))

    assert is_lean(model, held=held) is lean


def test_connections_are_counted_by_the_rules_that_pick() -> None:
    saved = f"[3:180] -A {SVC} -p tcp -j DNAT --to-destination 10.244.1.8:8080\n"

    assert [count.connections for count in counts(saved, seed())] == [3]


def test_the_rule_for_those_who_reached_themselves_is_there_for_as_long_as_pools_need_it() -> None:
    full, lean = image(seed()), image(seed(), lean=True)

    def order(before: Made, after: Made) -> list[int]:
        written = steps(difference(state(before), after.tables), chunk=8)
        lines = [line for step in written for line in step.lines()]
        return [lines.index(f":{name} - [0:0]") for name in ("KUBE-POSTROUTING", SVC)]

    assert order(full, lean) == sorted(order(full, lean))
    assert order(lean, full) == sorted(order(lean, full), reverse=True)


@pytest.fixture(params=Variant, ids=str)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.setattr(form, "LEAN_ABOVE", 10)
    monkeypatch.setattr(form, "LEAN_DOWN_TO", 8)
    with Namespace("lean") as namespace:
        opened = Kernel(namespace, request.param)
        yield opened
        opened.close()


def is_held_lean(kernel: Kernel) -> bool:
    return f"-A {SVC} -p tcp -j DNAT" in kernel.save()


@TOOLS
@pytest.mark.netns
def test_only_full_plans_take_another_form(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)
    kernel.sync(with_other(10))
    assert not is_held_lean(kernel)

    assert kernel.sync(with_other(10), full=True)
    assert is_held_lean(kernel)
    assert kernel.observe() == expected(kernel.model)

    kernel.sync(with_other(1))
    assert is_held_lean(kernel)
    assert kernel.observe() == expected(kernel.model)

    assert kernel.sync(with_other(1), full=True)
    assert not is_held_lean(kernel)
    assert kernel.observe() == expected(kernel.model)


@TOOLS
@pytest.mark.netns
def test_a_restart_near_the_limit_finds_nothing_to_write(kernel: Kernel) -> None:
    kernel.sync(with_other(10), full=True)
    kernel.sync(with_other(5))
    kernel.restart()

    assert kernel.sync(with_other(5), full=True) == 0
    assert is_held_lean(kernel)


@TOOLS
@pytest.mark.netns
def test_a_change_writes_the_chain_of_its_service_alone(kernel: Kernel) -> None:
    kernel.sync(with_other(10), full=True)
    before = kernel.save()

    assert kernel.sync(with_other(9)) == 1 + 1 + 9

    kept = [line for line in before.splitlines() if SVC in line]
    assert [line for line in kernel.save().splitlines() if SVC in line] == kept


@TOOLS
@pytest.mark.netns
def test_an_early_part_of_a_start_keeps_the_form(kernel: Kernel) -> None:
    kernel.sync(with_other(10), full=True)
    kernel.restart()

    assert kernel.sync(seed(), full=True, complete=False) == 0
    assert kernel.sync(with_other(10), full=True) == 0


@TOOLS
@pytest.mark.netns
def test_the_way_of_a_packet_tells_the_chances(kernel: Kernel) -> None:
    kernel.sync(with_other(10), full=True)
    packet = Packet(PODS[0].address, CLUSTER_IP, 80, Protocol.TCP, interface="eth0")

    told = kernel.namespace.run(kernel.dataplane.dataplane_trace, packet)

    picks = [step for step in told.steps if step.topic == "pick"]
    assert [step.probability for step in picks] == pytest.approx([0.25] * 4)
    assert {(e.address, e.port) for e in told.verdict.masqueraded} == {(PODS[0].address, 8080)}


@TOOLS
@pytest.mark.netns
@pytest.mark.timeout(300)
@pytest.mark.parametrize("variant", Variant)
def test_real_packets_fare_as_the_contract_says(variant: Variant) -> None:
    """Above all hairpins, which the form changes; the whole suite passes likewise."""
    plugin = "tests.backends.iptables.everything_lean"
    cases = ["--pyargs", "pointsman.conformance.cases.test_cluster_ip", "-k", "itself"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, *cases, "--backend", f"iptables-{variant}"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
