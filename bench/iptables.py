"""What the iptables backends cost: KUBE-SERVICES as a list, as kube-proxy has it, against the tree.

Everything happens in network namespaces that end with the program. The tools are processes of their own, so
times are of the wall, and other work on the machine shows in them; first packets are medians, of several
rounds the best. They are told twice: to ten services spread over all there are, which is what finding a rule
costs, and to services taken at random, where rules that the processor has not seen lately have to come from
memory, which is so with any layout and is not what a tree can mend. Growth is told against ten services
in a lab of their own, asked in turn with the others: the median of all turns.
"""

import argparse
import gc
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from bench.nftables import (
    IPV4,
    NODE,
    TURNS,
    Size,
    first_packet,
    first_packets,
    kernel_memory,
    open_lab,
    service,
    with_other,
)
from pointsman.backends.iptables import dispatch
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Lab
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.model import Model, ServiceFrontends
from pointsman.core.plan import Delta, SyncPlan, advance

SIZES = ("10x4", "1000x4", "5000x4", "10000x4")
LAYOUTS = {"list": 1 << 30, "tree": dispatch.LINEAR}
ASKED = 10
CHANGES = 5
CHECKED_UP_TO = 10  # services: reading thousands back only to check them would take longer than all the rest
# So many services the list is measured with; programming more with the nft variant says nothing new.
LIST_UP_TO = {Variant.LEGACY: 10_000, Variant.NFT: 5000}
FIRST_PACKET_LIMIT = 1.2
# A lab, and the services in it that are asked.
Asked = tuple[Lab, Sequence[ServiceFrontends]]

FIGURES = {
    "program_s": "program s",
    "change_s": "change s",
    "read_back_s": "audit s",
    "kernel_mb": "kernel MB",
    "first_packet_us": "1st µs",
    "growth": "growth",
    "first_packet_any_us": "any µs",
}


def measure(labs: tuple[Lab, Lab], variant: Variant, layout: str, size: Size) -> dict[str, Any]:
    """One layout of one variant at one size; of the labs, the second holds ten services."""
    lab, small = labs
    services = [service(number, size.endpoints) for number in range(size.services)]
    spread = services[:: max(1, size.services // ASKED)][:ASKED]
    gc.collect()
    dataplane = IptablesDataplane(DataplaneSettings(IPV4), variant)
    result: dict[str, Any] = {"variant": str(variant), "layout": layout, "services": size.services}
    with mock.patch.object(dispatch, "LINEAR", LAYOUTS[layout]):
        try:
            lab.node.run(dataplane.dataplane_probe)
            before = kernel_memory()
            model, _ = advance(Model(NODE), [(s.name, s) for s in services], NODE)
            result["program_s"] = timed(lab, dataplane, SyncPlan(IPV4, model, Delta(), full=True))
            result["kernel_mb"] = kernel_memory() - before
            result |= in_turn((small, [service(n, size.endpoints) for n in range(ASKED)]), (lab, spread))
            result["first_packet_any_us"] = first_packet(lab, services)
            result["change_s"], model = changes(lab, dataplane, model, services)
            result["read_back_s"] = read_back(lab, dataplane, model)
        finally:
            lab.node.run(dataplane.dataplane_cleanup)
            lab.node.run(dataplane.dataplane_close)
    return result


def in_turn(few: Asked, many: Asked) -> dict[str, float]:
    """First packets among few and among many services, asked in turn: other work then happens to both."""
    shuffled = random.Random(3)
    turns = [
        [statistics.median(first_packets(*asked, shuffled)) for asked in (few, many)] for _ in range(TURNS)
    ]
    return {
        "ten_us": min(first for first, _ in turns) / 1e3,
        "first_packet_us": min(second for _, second in turns) / 1e3,
        "growth": statistics.median(second / first for first, second in turns),
    }


def timed(lab: Lab, dataplane: IptablesDataplane, plan: SyncPlan) -> float:
    """Seconds that a sync takes."""
    began = time.perf_counter()
    report = lab.node.run(dataplane.dataplane_sync, plan)
    took = time.perf_counter() - began
    if not report.writes:
        raise RuntimeError("the change changed nothing")
    return took


def changes(
    lab: Lab, dataplane: IptablesDataplane, model: Model, services: Sequence[ServiceFrontends]
) -> tuple[float, Model]:
    """The least time for one endpoint of one service to be replaced, and what the tables then hold."""
    best = float("inf")
    for old in services[:CHANGES]:
        desired, delta = advance(model, [(old.name, with_other(old))], NODE)
        best = min(best, timed(lab, dataplane, SyncPlan(IPV4, desired, delta, full=False)))
        model = desired
    small = len(services) <= CHECKED_UP_TO
    if small and lab.node.run(dataplane.dataplane_observe, None) != expected(model):
        raise RuntimeError("what is read back isn't what was programmed")
    return best, model


def read_back(lab: Lab, dataplane: IptablesDataplane, model: Model) -> float:
    """Seconds that an audit takes to see that all is as it should be."""
    began = time.perf_counter()
    lab.node.run(dataplane.dataplane_observe, model)
    return time.perf_counter() - began


def measured(variant: Variant, layouts: Sequence[str], sizes: Sequence[Size]) -> list[dict[str, Any]]:
    """All layouts of one variant at all sizes."""
    results: list[dict[str, Any]] = []
    with open_lab() as lab, open_lab() as small:
        ten = IptablesDataplane(DataplaneSettings(IPV4), variant)
        few = [service(number, sizes[0].endpoints) for number in range(ASKED)]
        model, _ = advance(Model(NODE), [(s.name, s) for s in few], NODE)
        small.node.run(ten.dataplane_sync, SyncPlan(IPV4, model, Delta(), full=True))
        for layout in layouts:
            for size in sizes:
                if layout == "list" and size.services > LIST_UP_TO[variant]:
                    continue
                results.append(measure((lab, small), variant, layout, size))
                print(line(results[-1]), file=sys.stderr, flush=True)
        small.node.run(ten.dataplane_close)
    return results


def line(result: dict[str, Any]) -> str:
    """A line of the table."""
    head = f"{result['variant']:<7} {result['layout']:<5} {result['services']:>6}"
    return head + "".join(f"{result[key]:>11.3f}" for key in FIGURES)


def table(report: dict[str, Any]) -> str:
    """The result for people."""
    head = f"{'variant':<7} {'':<5} {'':>6}" + "".join(f"{title:>11}" for title in FIGURES.values())
    growths = (f"{variant} {growth:.2f}" for variant, growth in report["first_packet_growth"].items())
    last = f"first packet of the tree, by how much more than with ten services: {', '.join(growths)}"
    return "\n".join((head, *map(line, report["results"]), f"{last} (limit {FIRST_PACKET_LIMIT})"))


def main() -> int:
    """Measure, print, and fail where first packets of the tree don't stay flat."""
    parser = argparse.ArgumentParser(prog="python -m bench.iptables", description=__doc__)
    parser.add_argument(
        "--sizes", nargs="+", default=list(SIZES), help="services x endpoints, such as 1000x4"
    )
    parser.add_argument("--variant", action="append", type=Variant, choices=list(Variant))
    parser.add_argument("--layout", action="append", choices=list(LAYOUTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, - for stdout")
    options = parser.parse_args()
    sizes = [Size.parse(size) for size in options.sizes]
    variants = options.variant or list(Variant)
    results = [
        result for variant in variants for result in measured(variant, options.layout or list(LAYOUTS), sizes)
    ]
    growth = {
        str(variant): max(
            (r["growth"] for r in results if r["layout"] == "tree" and r["variant"] == str(variant)),
            default=0.0,
        )
        for variant in variants
    }
    report = {
        "bench": "iptables",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "results": results,
        "first_packet_growth": growth,
    }
    text = json.dumps(report, indent=2)
    if options.json == Path("-"):
        print(text)
    else:
        print(table(report))
        if options.json:
            options.json.write_text(text + "\n", encoding="utf-8")
    return int(max(growth.values()) > FIRST_PACKET_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
