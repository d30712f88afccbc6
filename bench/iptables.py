"""What the iptables backends cost: KUBE-SERVICES as a list, as kube-proxy has it, against the tree.

Everything happens in network namespaces that end with the program. The tools are processes of their own, so
times are of the wall, and other work on the machine shows in them; first packets are medians, of several
rounds the best.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from typing import Any
from unittest import mock

from bench.nftables import IPV4, NODE, Size, first_packet, kernel_memory, open_lab, service, with_other
from pointsman.backends.iptables import dispatch
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Lab
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.model import Model, ServiceFrontends
from pointsman.core.plan import Delta, SyncPlan, advance

SIZES = ("10x4", "1000x4", "5000x4", "10000x4")
LAYOUTS = {"list": 1 << 30, "tree": dispatch.LINEAR}
CHANGES = 5
FIRST_PACKET_LIMIT = 1.2


def measure(lab: Lab, variant: Variant, layout: str, size: Size) -> dict[str, Any]:
    """One layout of one variant at one size."""
    services = [service(number, size.endpoints) for number in range(size.services)]
    gc.collect()
    dataplane = IptablesDataplane(DataplaneSettings(IPV4), variant)
    result: dict[str, Any] = {"variant": str(variant), "layout": layout, "services": size.services}
    with mock.patch.object(dispatch, "LINEAR", LAYOUTS[layout]):
        try:
            before = kernel_memory()
            model, _ = advance(Model(NODE), [(s.name, s) for s in services], NODE)
            result["program_s"] = timed(lab, dataplane, SyncPlan(IPV4, model, Delta(), full=True))
            result["kernel_mb"] = kernel_memory() - before
            result["first_packet_us"] = first_packet(lab, services)
            result["change_s"] = changes(lab, dataplane, model, services)
            result["read_back_s"] = read_back(lab, dataplane)
        finally:
            lab.node.run(dataplane.dataplane_cleanup)
            lab.node.run(dataplane.dataplane_close)
    return result


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
) -> float:
    """The least time for one endpoint of one service to be replaced."""
    best = float("inf")
    for old in services[:CHANGES]:
        desired, delta = advance(model, [(old.name, with_other(old))], NODE)
        best = min(best, timed(lab, dataplane, SyncPlan(IPV4, desired, delta, full=False)))
        model = desired
    if lab.node.run(dataplane.dataplane_observe) != expected(model):
        raise RuntimeError("what is read back isn't what was programmed")
    return best


def read_back(lab: Lab, dataplane: IptablesDataplane) -> float:
    """Seconds to read everything back into the model's terms."""
    began = time.perf_counter()
    lab.node.run(dataplane.dataplane_observe)
    return time.perf_counter() - began


def main() -> int:
    """Measure, print, and fail where first packets of the tree don't stay flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", type=Size.parse, metavar="SERVICESxENDPOINTS")
    parser.add_argument("--variant", action="append", type=Variant, choices=list(Variant))
    parser.add_argument("--layout", action="append", choices=list(LAYOUTS))
    parser.add_argument("--json", action="store_true", help="print data instead of a table")
    options = parser.parse_args()
    sizes = options.size or [Size.parse(size) for size in SIZES]
    results: list[dict[str, Any]] = []
    with open_lab() as lab:
        for variant in options.variant or list(Variant):
            for layout in options.layout or list(LAYOUTS):
                for size in sizes:
                    results.append(measure(lab, variant, layout, size))
                    if not options.json:
                        print(
                            *(_shown(key, value) for key, value in results[-1].items()), sep="  ", flush=True
                        )
    ratios = {str(variant): _growth(results, variant) for variant in Variant}
    if options.json:
        json.dump({"results": results, "first_packet_growth": ratios}, sys.stdout, indent=2)
    else:
        print("first packets of the tree, largest against smallest:", ratios)
    return int(any(ratio > FIRST_PACKET_LIMIT for ratio in ratios.values()))


def _shown(key: str, value: object) -> str:
    return f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}"


def _growth(results: Sequence[dict[str, Any]], variant: Variant) -> float:
    """By how much first packets of the tree are slower with the most services than with the fewest."""
    times = [
        (result["services"], result["first_packet_us"])
        for result in results
        if result["layout"] == "tree" and result["variant"] == str(variant)
    ]
    return max(times)[1] / min(times)[1] if times else 0.0


if __name__ == "__main__":
    sys.exit(main())
