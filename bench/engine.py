"""What the engine costs: from JSON bytes to the first plan, and from one changed slice to the next plan.

Each size is measured in a process of its own, fed with pages of 500 objects from files, so that memory is the
engine's and not the generator's. The dataplane only takes the plan: kernels are measured elsewhere.
"""

import argparse
import gc
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import objects
from pointsman.core.addresses import IPFamily
from pointsman.core.apis import ApiObject, EndpointSlice, Kind, Node, Service, ServiceCIDR, decode, split_list
from pointsman.core.backend import BackendSpec, DataplaneSettings, Observed
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import Engine
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.plugins import Dataplane, Plugins

SIZES = (1000, 10000, 30000)
ROUNDS = 3
UPDATES = 2000
WARM_UP = 200
RATIO_LIMIT = 1.5
PROGRAM = (sys.executable, "-m", "bench.engine")


class Taker:
    """A dataplane that takes every plan and keeps when, by the processor's time, it came."""

    def __init__(self, settings: DataplaneSettings) -> None:
        self._plans: list[SyncPlan] = []
        self.came = 0

    def taken(self) -> SyncPlan:
        """The one plan that came since this was last asked."""
        (plan,) = self._plans
        self._plans.clear()
        return plan

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return Capabilities({})

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        self.came = time.process_time_ns()
        self._plans.append(plan)
        return SyncReport()

    @hookimpl
    def dataplane_observe(self) -> Observed:
        return Observed({})

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        return Trace(Verdict(Action.PASS), ())

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        return False


def make_engine() -> tuple[Engine, Taker]:
    """A dual-stack engine whose IPv4 dataplane is the taker, without any waiting between syncs."""
    takers: dict[IPFamily, Taker] = {}

    def make(settings: DataplaneSettings) -> Taker:
        return takers.setdefault(settings.family, Taker(settings))

    spec = BackendSpec("taker", "takes plans", make)
    dataplanes = {family: Dataplane(spec, DataplaneSettings(family)) for family in IPFamily}
    config = ProxyConfig(objects.NODE, min_sync_period=0)
    engine = Engine(config, dataplanes, Plugins(discover=False))
    return engine, takers[IPFamily.IPV4]


def build(engine: Engine, folder: Path) -> None:
    """From the pages in a folder to the first plan."""
    engine.replaced(Node, [decode(Node, objects.node())])
    engine.replaced(ServiceCIDR, [])
    engine.replaced(Service, listed(Service, folder))
    engine.replaced(EndpointSlice, listed(EndpointSlice, folder))
    engine.run_due()


def listed(kind: Kind, folder: Path) -> Iterator[ApiObject]:
    """The objects of a kind, page by page."""
    for file in sorted(folder.glob(f"{kind.__name__}-*.json")):
        for item in split_list(file.read_bytes()):
            yield decode(kind, item)


def update_once(engine: Engine, taker: Taker, raw: bytes) -> int:
    """Nanoseconds of processor time from a changed slice's bytes to the plan that the dataplane gets."""
    began = time.process_time_ns()
    engine.updated(decode(EndpointSlice, raw))
    engine.run_due()
    took = taker.came - began
    plan = taker.taken()
    if plan.full or len(plan.delta.services) != 1:
        raise RuntimeError("the update did not become a plan of one change")
    return took


def measure(folder: Path, size: int, endpoints: int) -> dict[str, Any]:
    """One size, in this process."""
    engine, taker = make_engine()
    base = resident("VmRSS")
    began, cpu = time.perf_counter(), time.process_time()
    build(engine, folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if len(taker.taken().desired.services) != size:
        raise RuntimeError("the plan does not hold every service")
    built = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "rss_mb": resident("VmRSS"),
        "peak_mb": resident("VmHWM"),
    }

    chosen = random.Random(1).choices(range(size), k=UPDATES + WARM_UP)
    raws = [objects.endpoint_slice(index, endpoints, edition=1 + n) for n, index in enumerate(chosen)]
    gc.collect()
    nanoseconds = sorted([update_once(engine, taker, raw) for raw in raws][WARM_UP:])
    return {
        "services": size,
        "endpoints": size * endpoints,
        "interpreter_mb": base,
        "build": built,
        "update_us": {
            "median": statistics.median(nanoseconds) / 1e3,
            "p99": nanoseconds[len(nanoseconds) * 99 // 100] / 1e3,
            "max": nanoseconds[-1] / 1e3,
        },
    }


def resident(field: str) -> float:
    """A memory figure of this process in MB, as the kernel counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def write_pages(folder: Path, size: int, endpoints: int) -> None:
    """Lay down what an API server would answer to the first lists."""
    listings = {
        "Service": (objects.service(index) for index in range(size)),
        "EndpointSlice": (objects.endpoint_slice(index, endpoints) for index in range(size)),
    }
    for kind, raws in listings.items():
        for number, page in enumerate(objects.pages(raws)):
            (folder / f"{kind}-{number:05}.json").write_bytes(page)


def measure_apart(sizes: list[int], endpoints: int) -> list[dict[str, Any]]:
    """Each size in fresh processes; the best of some rounds, since other work on the machine only adds.

    A round measures every size, so that a slow spell of the machine meets all of them.
    """
    with tempfile.TemporaryDirectory() as root:
        folders = {size: Path(root) / str(size) for size in sizes}
        for size, folder in folders.items():
            folder.mkdir()
            write_pages(folder, size, endpoints)
        runs: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
        for _ in range(ROUNDS):
            for size, folder in folders.items():
                command = [*PROGRAM, "--measure", str(folder), str(size), str(endpoints)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                runs[size].append(json.loads(done.stdout))
    return [best(runs[size]) for size in sizes]


def best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The build and the updates that took least."""
    return {
        **runs[0],
        "build": min((run["build"] for run in runs), key=lambda build: build["seconds"]),
        "update_us": min((run["update_us"] for run in runs), key=lambda update: update["median"]),
    }


def table(results: list[dict[str, Any]], ratio: float) -> str:
    """The result for people."""
    lines = ["services endpoints  build s   cpu s  RSS MB  peak MB  update µs   p99 µs"]
    for result in results:
        build, update = result["build"], result["update_us"]
        lines.append(
            f"{result['services']:>8} {result['endpoints']:>9}"
            f" {build['seconds']:>8.2f} {build['cpu_seconds']:>7.2f}"
            f" {build['rss_mb']:>7.0f} {build['peak_mb']:>8.0f}"
            f" {update['median']:>10.0f} {update['p99']:>8.0f}"
        )
    verdict = "ok" if ratio <= RATIO_LIMIT else "TOO MUCH"
    lines.append(
        f"one update, at the largest size : at the smallest = {ratio:.2f} (limit {RATIO_LIMIT}): {verdict}"
    )
    return "\n".join(lines)


def main() -> int:
    """Measure and print; 1 if an update costs more where there is more."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=list(SIZES), help="sizes to measure")
    parser.add_argument("--endpoints", type=int, default=4, help="endpoints per service")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, - for stdout")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        folder, size, endpoints = args.measure
        print(json.dumps(measure(Path(folder), int(size), int(endpoints))))
        return 0
    results = measure_apart(sorted(args.services), args.endpoints)
    ratio = results[-1]["update_us"]["median"] / results[0]["update_us"]["median"]
    report = {
        "bench": "engine",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "sizes": results,
        "update_ratio": ratio,
        "update_ratio_limit": RATIO_LIMIT,
    }
    text = json.dumps(report, indent=2)
    if args.json == Path("-"):
        print(text)
    else:
        print(table(results, ratio))
        if args.json:
            args.json.write_text(text + "\n", encoding="utf-8")
    return 0 if ratio <= RATIO_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
