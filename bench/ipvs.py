"""What the ipvs backend costs, against ``ipvsadm`` bringing the same virtual servers.

Needs a kernel with IPVS, root, and ipvsadm. Where the host's kernel has none, a guest's will do:
``python -m pointsman.conformance.vm -- python -m bench.ipvs``. Everything happens in network namespaces that
end with the program. Times are on the wall, alternatives in turn.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.nftables import INSTANCE, IPV4, NODE, Size, service, with_other
from pointsman.backends.ipvs.dataplane import IpvsDataplane
from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import format_endpoint
from pointsman.core.backend import DataplaneSettings
from pointsman.core.model import Model, ServiceFrontends
from pointsman.core.plan import Delta, SyncPlan, advance

SIZES = ("1000x4", "10000x4")
SCHEDULER = "wrr"
CHANGES = 20
CHANGE_LIMIT = 10.0
"""Milliseconds that one endpoint replaced may take."""


def commands(services: Sequence[ServiceFrontends]) -> Iterator[str]:
    """The virtual servers as ``ipvsadm --restore`` takes them."""
    for one in services:
        match = one.frontends[0].match
        at = format_endpoint(match.address or b"", match.port)
        yield f"-A -u {at} -s {SCHEDULER}\n"
        for endpoint in one.cluster:
            yield f"-a -u {at} -r {endpoint} -m -w 1\n"


def replaced(old: ServiceFrontends, new: ServiceFrontends) -> Iterator[str]:
    """One endpoint for another, in ipvsadm's words."""
    match = old.frontends[0].match
    at = format_endpoint(match.address or b"", match.port)
    yield from (f"-a -u {at} -r {come} -m -w 1\n" for come in new.cluster if come not in old.cluster)
    yield from (f"-d -u {at} -r {gone}\n" for gone in old.cluster if gone not in new.cluster)


def ipvsadm(lines: str) -> float:
    """Seconds that the program takes for some commands."""
    began = time.perf_counter()
    subprocess.run(["ipvsadm", "--restore"], input=lines.encode(), check=True)
    return time.perf_counter() - began


class Ours:
    """The dataplane as the engine drives it: table, guard and routes included."""

    def __init__(self) -> None:
        settings = DataplaneSettings(IPV4, INSTANCE, IpvsOptions(scheduler=SCHEDULER))
        self._dataplane = IpvsDataplane(settings)
        self._model = Model(NODE)

    def program(self, services: Sequence[ServiceFrontends]) -> float:
        """Seconds for all of them."""
        desired, _ = advance(self._model, [(one.name, one) for one in services], NODE)
        took = self._sync(SyncPlan(IPV4, desired, Delta(), full=True))
        self._model = desired
        return took

    def change(self, new: ServiceFrontends) -> float:
        """Seconds for one that is another now."""
        desired, delta = advance(self._model, [(new.name, new)], NODE)
        took = self._sync(SyncPlan(IPV4, desired, delta, full=False))
        self._model = desired
        return took

    def look(self) -> float:
        """Seconds for a full sync that finds nothing to do."""
        return self._sync(SyncPlan(IPV4, self._model, Delta(), full=True))

    def close(self) -> None:
        """Leave nothing."""
        self._dataplane.dataplane_cleanup()
        self._dataplane.dataplane_close()

    def _sync(self, plan: SyncPlan) -> float:
        began = time.perf_counter()
        self._dataplane.dataplane_sync(plan)
        return time.perf_counter() - began


def measure(size: Size) -> dict[str, Any]:
    """Ours and ipvsadm's, each in a namespace of its own."""
    services = [service(number, size.endpoints) for number in range(size.services)]
    with Namespace("ours") as here, Namespace("theirs") as there:
        ours = here.run(Ours)
        try:
            result: dict[str, Any] = {
                "services": size.services,
                "endpoints": size.endpoints,
                "program_s": here.run(ours.program, services),
                "ipvsadm_program_s": there.run(ipvsadm, "".join(commands(services))),
            }
            own, other = [], []
            for old in services[:CHANGES]:
                new = with_other(old)
                own.append(here.run(ours.change, new))
                other.append(there.run(ipvsadm, "".join(replaced(old, new))))
            result["change_ms"] = statistics.median(own) * 1e3
            result["ipvsadm_change_ms"] = statistics.median(other) * 1e3
            result["look_s"] = here.run(ours.look)
        finally:
            here.run(ours.close)
    return result


def table(results: Sequence[dict[str, Any]]) -> str:
    """The result for people."""
    figures = ("program_s", "ipvsadm_program_s", "change_ms", "ipvsadm_change_ms", "look_s")
    lines = [f"{'services':>10}" + "".join(f"{title.replace('_', ' '):>20}" for title in figures)]
    for one in results:
        size = f"{one['services']}x{one['endpoints']}"
        lines.append(f"{size:>10}" + "".join(f"{one[key]:>20.3f}" for key in figures))
    return "\n".join(lines)


def missed(results: Sequence[dict[str, Any]]) -> list[str]:
    """Limits that were not kept: a change has its time, and all from nothing takes no longer than ipvsadm."""
    told = []
    for one in results:
        size = f"{one['services']}x{one['endpoints']}"
        if one["change_ms"] > CHANGE_LIMIT:
            told.append(f"{size}: a change took {one['change_ms']:.2f} ms (limit {CHANGE_LIMIT:.0f})")
        if one["program_s"] > one["ipvsadm_program_s"]:
            took, theirs = one["program_s"], one["ipvsadm_program_s"]
            told.append(f"{size}: all from nothing took {took:.2f} s (limit {theirs:.2f}, as ipvsadm)")
    return told


def main() -> int:
    """Measure and print; 1 if a limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.ipvs", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="services x endpoints")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, - for stdout")
    args = parser.parse_args()
    results = [measure(Size.parse(text)) for text in args.sizes]
    report = {
        "bench": "ipvs",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "scheduler": SCHEDULER,
        "results": results,
        "missed": missed(results),
    }
    text = json.dumps(report, indent=2)
    if args.json == Path("-"):
        print(text)
    else:
        print("\n".join((table(results), *report["missed"])))
        if args.json:
            args.json.write_text(text + "\n", encoding="utf-8")
    return int(bool(report["missed"]))


if __name__ == "__main__":
    sys.exit(main())
