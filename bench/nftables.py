"""What the nftables backend costs: flat maps against kube-proxy's layout, both written with the same encoder.

Everything happens in network namespaces that end with the program. Times are CPU time of the calling thread:
netlink does all its work in the sender's context, and other work on the machine stays out of it. Not so for
first packets, timed on the wall, and for memory, which is what the kernel's allocators grew by.
"""

import argparse
import gc
import json
import platform
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from bench import kubeproxy
from pointsman.backends.nftables.changes import Writer
from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.planner import full
from pointsman.conformance.lab import Lab, LabSpec
from pointsman.core.addresses import IPFamily, format_address, parse_network
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import Delta, SyncPlan, advance

SIZES = ("10x4", "1000x4", "5000x4", "10000x4", "30000x4", "5000x40")
COMPARE_UP_TO = 5000
FLOWS = 3000
FLOWS_PER_SOCKET = 10
ROUNDS = 3
TURNS = 9
FIRST_PACKET_LIMIT = 1.3
CHANGE_LIMIT = 2e-3
INSTANCE = "pointsman-bench"
IPV4 = IPFamily.IPV4
PODS = "10.128.0.0/10"
NODE = NodeContext(IPV4, local=LocalNetwork(parse_network(PODS)))
_VIPS = 0x0A600001
_FIRST_POD = 0x0A800001


CHANGES = ("replace", "grow", "shrink", "add", "remove")


class Size(NamedTuple):
    """So many services with so many endpoints each."""

    services: int
    endpoints: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """From ``10000x4``."""
        services, _, endpoints = text.partition("x")
        return cls(int(services), int(endpoints))

    def __str__(self) -> str:
        return f"{self.services}x{self.endpoints}"


def service(number: int, endpoints: int) -> ServiceFrontends:
    """One of many services, each with endpoints of its own."""
    first = _FIRST_POD + number * (endpoints + 2)
    return ServiceFrontends(
        ServicePortName("default", f"service-{number}", "http", Protocol.UDP),
        (
            Frontend(
                Match((_VIPS + number).to_bytes(4), Protocol.UDP, 80),
                FrontendKind.CLUSTER_IP,
                Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL),
            ),
        ),
        tuple(Endpoint((first + n).to_bytes(4), 8080) for n in range(endpoints)),
    )


def with_other(old: ServiceFrontends) -> ServiceFrontends:
    """The service with one endpoint replaced by the next address behind them all, or back again."""
    first, *rest = old.cluster
    size = len(old.cluster)
    address = int.from_bytes(first.address)
    moved = address + size if int.from_bytes(rest[-1].address) == address + size - 1 else address
    others = tuple(rest) if moved != address else old.cluster[:-1]
    new = Endpoint((moved if moved != address else address - 1).to_bytes(4), 8080)
    return replace(old, cluster=tuple(sorted((*others, new))))


class Flat:
    """Pointsman's own layout, by the dataplane as the engine drives it."""

    name = "flat maps"
    changes = 200
    rounds = 3  # noise only ever adds: the best counts

    def __init__(self) -> None:
        self._layout = layout(IPV4, INSTANCE)
        self._netlink = NetfilterSocket()
        self._dataplane = NftablesDataplane(DataplaneSettings(IPV4, INSTANCE))
        self._model = Model(NODE)

    def program(self, services: Sequence[ServiceFrontends]) -> dict[str, float]:
        """From nothing to all of them."""
        if not self._model.services:
            self._model, _ = advance(self._model, [(s.name, s) for s in services], NODE)
        plan = SyncPlan(IPV4, self._model, Delta(), full=True)
        planned, packed, kernel = self._program(plan)
        adopted = time.thread_time()
        if self._dataplane.dataplane_sync(plan).writes:
            raise RuntimeError("what was programmed isn't what a restart would program")
        adoption = time.thread_time() - adopted
        return {
            "program_s": planned + packed + kernel,
            "plan_s": planned,
            "pack_s": packed,
            "kernel_s": kernel,
            "restart_s": adoption,
        }

    def _program(self, plan: SyncPlan) -> tuple[float, float, float]:
        """Seconds for the plan, for packing it, and in the kernel."""
        began = time.thread_time()
        step, _ = full(self._layout, plan, None)
        planned = time.thread_time()
        operations = Writer(self._layout).create(step.changes)
        packed = time.thread_time()
        self._netlink.commit(operations)
        return planned - began, packed - planned, time.thread_time() - packed

    def change(self, old: ServiceFrontends | None, new: ServiceFrontends | None) -> float:
        """One service becomes another; how long the sync takes."""
        name = (old or new or service(0, 1)).name
        desired, delta = advance(self._model, [(name, new)], NODE)
        plan = SyncPlan(IPV4, desired, delta, full=False)
        began = time.thread_time()
        report = self._dataplane.dataplane_sync(plan)
        took = time.thread_time() - began
        if not report.writes:
            raise RuntimeError("the change changed nothing")
        self._model = desired
        return took

    def read_back(self) -> float:
        """All of it into the model's terms."""
        began = time.thread_time()
        found = self._dataplane.dataplane_observe()
        took = time.thread_time() - began
        if found != expected(self._model):
            raise RuntimeError("what is read back isn't what was programmed")
        return took

    def close(self) -> None:
        """Leave nothing."""
        self._dataplane.dataplane_cleanup()
        self._dataplane.dataplane_close()
        self._netlink.close()


class KubeProxyLike:
    """A chain per service and endpoint."""

    name = "kube-proxy-like"
    changes = 20  # each takes 0.1 s with 5,000 services, and 3 s with 30,000
    rounds = 1  # up to a minute

    def __init__(self) -> None:
        self._netlink = NetfilterSocket()
        self._edition = 0

    def program(self, services: Sequence[ServiceFrontends]) -> dict[str, float]:
        """From nothing to all of them; packing included, which is little beside the kernel."""
        began = time.thread_time()
        kernel = 0.0
        for operations in kubeproxy.transactions(services):
            packed = time.thread_time()
            self._netlink.commit(operations)
            kernel += time.thread_time() - packed
        return {"program_s": time.thread_time() - began, "kernel_s": kernel}

    def change(self, old: ServiceFrontends | None, new: ServiceFrontends | None) -> float:
        """One service becomes another; how long packing and the kernel take."""
        self._edition += 1
        began = time.thread_time()
        if old is None or new is None:
            operations = kubeproxy.remove(old) if old else kubeproxy.add(new) if new else []
        else:
            operations = kubeproxy.change(old, new, self._edition)
        self._netlink.commit(operations)
        return time.thread_time() - began

    def read_back(self) -> float:
        """Chains, rules and the elements of all maps, unparsed beyond netlink."""
        began = time.thread_time()
        self._netlink.dump_chains(kubeproxy.TABLE)
        self._netlink.dump_rules(kubeproxy.TABLE)
        for found in self._netlink.dump_sets(kubeproxy.TABLE):
            self._netlink.dump_elements(kubeproxy.TABLE, found.name)
        return time.thread_time() - began

    def close(self) -> None:
        """Leave nothing."""
        self._netlink.commit([messages.delete_table(kubeproxy.TABLE)])
        self._netlink.close()


Subject = Flat | KubeProxyLike


def measure(lab: Lab, make: Callable[[], Subject], size: Size) -> dict[str, Any]:
    """One layout at one size."""
    services = [service(number, size.endpoints) for number in range(size.services)]
    gc.collect()
    subject = lab.node.run(make)
    try:
        before = kernel_memory()
        result: dict[str, Any] = {
            "layout": subject.name,
            "services": size.services,
            "endpoints": size.endpoints,
        }
        result |= lab.node.run(subject.program, services)
        result["kernel_mb"] = kernel_memory() - before
        result["first_packet_us"] = first_packet(lab, services)
        result |= lab.node.run(changes, subject, services, size)
        result["read_back_s"] = lab.node.run(subject.read_back)
        # Only now once more: tables that were removed are freed in the background, while others measure.
        again = [lab.node.run(subject.program, services) for _ in range(subject.rounds - 1)]
        result |= min([result, *again], key=lambda one: one["program_s"]) if again else {}
    finally:
        lab.node.run(subject.close)
    return result


def changes(subject: Subject, services: list[ServiceFrontends], size: Size) -> dict[str, float]:
    """Single changes of services taken at random; medians, in milliseconds."""
    chosen = random.Random(1)
    named: dict[str, list[float]] = {what: [] for what in CHANGES}
    for number in range(subject.changes):
        at = chosen.randrange(size.services)
        new = with_other(services[at])
        named["replace"].append(subject.change(services[at], new))
        services[at] = new
        larger = replace(new, cluster=(*new.cluster, Endpoint(b"\x0a\xbf\xff\x01", 8080)))
        named["grow"].append(subject.change(new, larger))
        named["shrink"].append(subject.change(larger, new))
        newcomer = service(size.services + number, size.endpoints)
        named["add"].append(subject.change(None, newcomer))
        named["remove"].append(subject.change(newcomer, None))
    return {f"{what}_ms": statistics.median(times) * 1e3 for what, times in named.items()}


def first_packet(lab: Lab, services: Sequence[ServiceFrontends]) -> float:
    """Microseconds until the first packet of a new flow has been delivered.

    Over veth, ``sendto`` returns when the packet lies in the receiver's socket. The median of a round, and of
    the rounds the best, since noise only ever adds.
    """
    shuffled = random.Random(2)
    return min(statistics.median(first_packets(lab, services, shuffled)) for _ in range(ROUNDS)) / 1e3


def first_packet_ratio(least: Size, most: Size) -> float:
    """How much longer first packets take among most services than among the fewest.

    Two labs at once, asked in turn, so that what else happens on the machine happens to both; the median of
    the ratios of all turns.
    """
    shuffled = random.Random(3)
    with open_lab() as one, open_lab() as other:
        subjects = []
        for lab, size in ((one, least), (other, most)):
            services = [service(number, size.endpoints) for number in range(size.services)]
            subject = lab.node.run(Flat)
            lab.node.run(subject.program, services)
            subjects.append((lab, services, subject))
        turns = [
            [statistics.median(first_packets(lab, services, shuffled)) for lab, services, _ in subjects]
            for _ in range(TURNS)
        ]
        for lab, _, subject in subjects:
            lab.node.run(subject.close)
    return statistics.median(many / few for few, many in turns)


def first_packets(lab: Lab, services: Sequence[ServiceFrontends], shuffled: random.Random) -> list[int]:
    """Nanoseconds per flow, to services in random order."""
    took: list[int] = []
    [server] = lab["server"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, Protocol.UDP)
    with server:
        server.bind(("0.0.0.0", 8080))
        while len(took) < FLOWS:
            [client] = lab["client"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, Protocol.UDP)
            with client:
                for asked in shuffled.sample(services, FLOWS_PER_SOCKET):
                    match = asked.frontends[0].match
                    where = (format_address(match.address or b""), match.port)
                    began = time.perf_counter_ns()
                    client.sendto(b"x", where)
                    took.append(time.perf_counter_ns() - began)
            drain(server)
    return took


def drain(server: socket.socket) -> None:
    """Empty the receiver's queue; a flow that didn't get there would have been measured in vain."""
    received = 0
    try:
        while server.recv(16):
            received += 1
    except BlockingIOError:
        if not received:
            raise RuntimeError("no packet was delivered") from None


def kernel_memory() -> float:
    """What the kernel's allocators hold, in MB."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines())
    return sum(int(fields[name].split()[0]) for name in ("SUnreclaim", "VmallocUsed", "Percpu")) / 1024


def open_lab() -> Lab:
    """A client, the node, and a pod that has every address of the pods' network."""
    lab = Lab(LabSpec(pods=("client", "server"), remote_pods=(), clients=()))
    address = lab.address("server", IPV4)
    lab.node.configure(lambda netlink: netlink.route("add", dst=PODS, gateway=address))
    lab["server"].configure(
        lambda netlink: netlink.route("add", dst=PODS, oif=1, type="local", table=255, scope=254)
    )
    return lab


def pairs(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """By how much kube-proxy's layout is dearer, wherever both were measured."""
    flat = {(r["services"], r["endpoints"]): r for r in results if r["layout"] == Flat.name}
    for other in results:
        if other["layout"] != Flat.name:
            own = flat[other["services"], other["endpoints"]]
            ratios = {key: other[key] / own[key] for key in FIGURES if own[key] > 0}
            yield {"services": other["services"], "endpoints": other["endpoints"], **ratios}


FIGURES = {
    "program_s": "program s",
    "replace_ms": "replace ms",
    "grow_ms": "grow ms",
    "shrink_ms": "shrink ms",
    "add_ms": "add ms",
    "remove_ms": "remove ms",
    "read_back_s": "read s",
    "kernel_mb": "kernel MB",
    "first_packet_us": "1st µs",
}


def line(result: dict[str, Any]) -> str:
    """A line of the table."""
    size = f"{result['services']}x{result['endpoints']}"
    return f"{size:>10}  {result['layout']:<16}" + "".join(f"{result[key]:>11.3f}" for key in FIGURES)


def table(report: dict[str, Any]) -> str:
    """The result for people."""
    head = f"{'services':>10}  {'layout':<16}" + "".join(f"{title:>11}" for title in FIGURES.values())
    lines = [head, *map(line, report["results"])]
    for ratio in report["ratios"]:
        size = f"{ratio['services']}x{ratio['endpoints']}"
        figures = "".join(f"{ratio.get(key, float('nan')):>11.1f}" for key in FIGURES)
        lines.append(f"{size:>10}  {'times as much':<16}{figures}")
    for result in report["results"]:
        if "plan_s" in result:
            lines.append(
                f"{result['services']}x{result['endpoints']}: plan {result['plan_s']:.3f} s,"
                f" pack {result['pack_s']:.3f} s, kernel {result['kernel_s']:.3f} s;"
                f" a restart that finds all right {result['restart_s']:.3f} s"
            )
    lines.append(
        f"first packet, most services to fewest: {report['first_packet_ratio']:.2f}"
        f" (limit {FIRST_PACKET_LIMIT}); dearest change: {report['change_ms']:.2f} ms"
        f" (limit {CHANGE_LIMIT * 1e3:.0f})"
    )
    return "\n".join(lines)


def main() -> int:
    """Measure and print; 1 if size shows where it shouldn't."""
    parser = argparse.ArgumentParser(prog="python -m bench.nftables", description=__doc__)
    parser.add_argument(
        "--sizes", nargs="+", default=list(SIZES), help="services x endpoints, such as 1000x4"
    )
    parser.add_argument(
        "--compare-up-to",
        type=int,
        default=COMPARE_UP_TO,
        metavar="SERVICES",
        help="measure kube-proxy's layout up to here, which takes minutes from 10000 on",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, - for stdout")
    args = parser.parse_args()
    sizes = [Size.parse(text) for text in args.sizes]
    results = []
    with open_lab() as lab:
        for size in sizes:
            for make in (Flat, KubeProxyLike):
                if make is Flat or size.services <= args.compare_up_to:
                    results.append(measure(lab, make, size))
                    print(line(results[-1]), file=sys.stderr)
    flat = sorted((r for r in results if r["layout"] == Flat.name), key=lambda r: r["services"])
    report = {
        "bench": "nftables",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "results": results,
        "ratios": list(pairs(results)),
        "first_packet_ratio": first_packet_ratio(min(sizes), max(sizes)),
        "change_ms": max(r[f"{what}_ms"] for r in flat for what in CHANGES),
    }
    text = json.dumps(report, indent=2)
    if args.json == Path("-"):
        print(text)
    else:
        print(table(report))
        if args.json:
            args.json.write_text(text + "\n", encoding="utf-8")
    flat_enough = report["first_packet_ratio"] <= FIRST_PACKET_LIMIT
    return 0 if flat_enough and report["change_ms"] <= CHANGE_LIMIT * 1e3 else 1


if __name__ == "__main__":
    sys.exit(main())
