"""What the daemon costs, from the API server to packets: starting, and one change of an endpoint.

Everything happens in network namespaces that end with the program: the suite's API server and the daemon on
the node, a client, and one machine that has all pods' addresses. Packets are UDP, and count when they arrive
where they should. Times are on the wall.
"""

import argparse
import json
import math
import os
import platform
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.nftables import PODS, Size, open_lab
from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab import Lab
from pointsman.core.addresses import format_address

SIZES = ("1000x4", "5000x4", "10000x4")
BACKENDS = ("nftables", "iptables-legacy", "iptables-nft")
CHANGES = 100
LIMITED_SERVICES = 10_000
ALONE = 5.0  # seconds of changes without others, or as long as the first hundred take
BACKGROUND_RATE = 100  # slices a second
PATIENCE = 600.0
NODE = "bench-node"
_VIPS = 0x0A600001
_FIRST_POD = 0x0A800001
_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
Manifest = dict[str, Any]


class Limits(NamedTuple):
    """What is to be reached with 10,000 services, and so with fewer."""

    ready_s: float = math.inf
    change_p50_ms: float = math.inf
    rss_mb: float = 150.0
    rss_after_mb: float = 150.0


LIMITS = {
    "nftables": Limits(ready_s=3.0, change_p50_ms=20.0),
    "iptables-legacy": Limits(ready_s=4.0),
    "iptables-nft": Limits(change_p50_ms=50.0),
    "ipvs": Limits(change_p50_ms=10.0),
}


def service(number: int) -> Manifest:
    """One of many Services."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "bench", "name": f"service-{number}"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": vip(number),
            "clusterIPs": [vip(number)],
            "ipFamilies": ["IPv4"],
            "ports": [{"name": "dns", "protocol": "UDP", "port": 80, "targetPort": 8080}],
        },
    }


def endpoint_slice(number: int, addresses: Iterable[int]) -> Manifest:
    """The EndpointSlice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "bench",
            "name": f"service-{number}-x",
            "labels": {"kubernetes.io/service-name": f"service-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "dns", "protocol": "UDP", "port": 8080}],
        "endpoints": [
            {"addresses": [format_address(address.to_bytes(4))], "conditions": {"ready": True}}
            for address in addresses
        ],
    }


def vip(number: int) -> str:
    """A Service's address."""
    return format_address((_VIPS + number).to_bytes(4))


def pods(number: int, size: Size, *, turn: int = 0) -> range:
    """A Service's endpoints; another turn has others."""
    first = _FIRST_POD + number * 2 * size.endpoints + turn % 2 * size.endpoints
    return range(first, first + size.endpoints)


def manifests(size: Size) -> Iterator[Manifest]:
    """Everything on the API server. The first services have one endpoint each: they are those that change."""
    yield {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    }
    for number in range(size.services):
        yield service(number)
        yield endpoint_slice(number, pods(number, size)[: 1 if number < CHANGES else None])


class Receiver:
    """Listens at every pod's address, and says what came where."""

    def __init__(self, lab: Lab) -> None:
        [self._socket] = lab["server"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self._socket.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        self._socket.bind(("0.0.0.0", 8080))

    def received(self) -> Iterator[tuple[int, int]]:
        """The number that a packet held and the pod it came to, for all that are there."""
        while True:
            try:
                payload, ancillary, _, _ = self._socket.recvmsg(16, 64)
            except BlockingIOError:
                return
            pod = next(
                struct.unpack_from("!I", data, 8)[0]
                for level, kind, data in ancillary
                if (level, kind) == (socket.IPPROTO_IP, _PKTINFO)
            )
            yield int.from_bytes(payload), pod

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


class Prober:
    """Sends packets to Services, each round from a port of its own: as connections that nobody knows yet."""

    def __init__(self, lab: Lab, receiver: Receiver) -> None:
        self._lab = lab
        self._receiver = receiver

    def served(self, numbers: Sequence[int]) -> set[int]:
        """Those of some Services that lead to an endpoint."""
        [client] = self._lab["client"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        found: set[int] = set()
        with client:
            for at in range(0, len(numbers), 256):
                for number in numbers[at : at + 256]:
                    _send(client, number)
                found |= {number for number, _ in self._receiver.received()}
        return found & set(numbers)

    def leads_to(self, number: int, pod: int) -> bool:
        """Whether a Service leads to a pod."""
        [client] = self._lab["client"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        with client:
            _send(client, number)
            return (number, pod) in set(self._receiver.received())


def _send(client: socket.socket, number: int) -> None:
    try:
        client.sendto(number.to_bytes(4), (vip(number), 80))
    except OSError:  # what an earlier packet met: nobody is there yet
        return


class Daemon:
    """A daemon under way."""

    def __init__(self, lab: Lab, server: ApiServer, backend: str, folder: Path) -> None:
        self.log = folder / "daemon.log"
        kubeconfig = server.kubeconfig(folder / "kubeconfig")
        flags = {
            "kubeconfig": kubeconfig, "proxy-mode": backend, "hostname-override": NODE, "cluster-cidr": PODS,
            "ip-family": "ipv4", "iptables-min-sync-period": "0s", "ipvs-min-sync-period": "0s",
            # What is the whole machine's stays as it is.
            "oom-score-adj": 0, "conntrack-max-per-core": 0, "conntrack-tcp-timeout-established": "0s",
            "conntrack-tcp-timeout-close-wait": "0s",
        }  # fmt: skip
        said = [f"--{flag}={value}" for flag, value in flags.items()]
        argv = [sys.executable, "-m", "pointsman", "run", *said]
        with self.log.open("wb") as out:
            self.process: subprocess.Popen[Any] = lab.node.popen(argv, stdout=out, stderr=out)

    def assert_alive(self) -> None:
        """Raises RuntimeError with its last words if it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon has ended:\n{self.log.read_text()[-2000:]}")

    def rss(self) -> float:
        """Resident memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024

    def cpu(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


def measure(backend: str, size: Size, seconds: float) -> dict[str, Any]:
    """One backend at one size."""
    result: dict[str, Any] = {"backend": backend, "services": size.services, "endpoints": size.endpoints}
    with open_lab() as lab, ApiServer(run=lab.node.run) as server, tempfile.TemporaryDirectory() as folder:
        server.replace_all(manifests(size))
        receiver = Receiver(lab)
        prober = Prober(lab, receiver)
        began = time.perf_counter()
        daemon = Daemon(lab, server, backend, Path(folder))
        try:
            await_served(daemon, prober, size)
            result["ready_s"] = time.perf_counter() - began
            result["ready_cpu_s"] = daemon.cpu()
            result["rss_mb"] = daemon.rss()
            before = daemon.cpu()
            turns = [0] * min(CHANGES, size.services)
            took = changes(daemon, server, prober, size, turns, ALONE, least=CHANGES)
            result["cpu_ms_per_change"] = (daemon.cpu() - before) / len(took) * 1e3
            result |= figures("change", took)
            if seconds and size.services > CHANGES:
                with busy(server, size) as count:
                    before = daemon.cpu()
                    took = changes(daemon, server, prober, size, turns, seconds)
                result |= figures("busy_change", took)
                result["background_changes"] = count[0]
                result["busy_cpu"] = (daemon.cpu() - before) / seconds
            result["rss_after_mb"] = daemon.rss()
        finally:
            daemon.close()
            receiver.close()
    return result


def await_served(daemon: Daemon, prober: Prober, size: Size) -> None:
    """Wait until every virtual address leads to an endpoint."""
    pending = list(range(size.services))
    deadline = time.monotonic() + PATIENCE
    while pending:
        daemon.assert_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(pending)} services are not served after {PATIENCE:.0f} s")
        sample = pending[:: max(1, len(pending) // 20)]
        if prober.served(sample) == set(sample):
            found = prober.served(pending)
            pending = [number for number in pending if number not in found]
        else:
            time.sleep(0.005)


def changes(
    daemon: Daemon,
    server: ApiServer,
    prober: Prober,
    size: Size,
    turns: list[int],
    seconds: float,
    least: int = 1,
) -> list[float]:
    """Milliseconds from the write at the API server until packets go to the new endpoint, sorted.

    ``turns`` has how often each of the first services was changed so far.
    """
    took: list[float] = []
    ends = time.monotonic() + seconds
    while len(took) < least or time.monotonic() < ends:
        number = len(took) % len(turns)
        turns[number] += 1
        pod = pods(number, size, turn=turns[number])[0]
        began = time.perf_counter()
        server.put(endpoint_slice(number, [pod]))
        while not prober.leads_to(number, pod):
            daemon.assert_alive()
            if time.perf_counter() - began > PATIENCE:
                raise RuntimeError(f"service-{number} doesn't lead to its new endpoint")
            time.sleep(0.0005)
        took.append((time.perf_counter() - began) * 1e3)
    return sorted(took)


def figures(what: str, took: list[float]) -> dict[str, float]:
    """What is told of many changes."""
    return {
        f"{what}s": len(took),
        f"{what}_p50_ms": statistics.median(took),
        f"{what}_p99_ms": took[min(len(took) - 1, len(took) * 99 // 100)],
    }


def missed(result: dict[str, Any]) -> Iterator[str]:
    """The limits that are not kept, where there are any for the backend and size."""
    if result["services"] > LIMITED_SERVICES:
        return
    for figure, limit in LIMITS.get(result["backend"], Limits())._asdict().items():
        if result.get(figure, 0.0) > limit:
            size = f"{result['services']}x{result['endpoints']}"
            yield f"{result['backend']} {size}: {figure} is {result[figure]:.1f}, not {limit:g} or less"


@contextmanager
def busy(server: ApiServer, size: Size) -> Iterator[list[int]]:
    """Change slices of other Services meanwhile; how many, once it is over."""
    stop, count = threading.Event(), [0]

    def change() -> None:
        began = time.monotonic()
        while not stop.is_set():
            number = CHANGES + count[0] % (size.services - CHANGES)
            turn = 1 + count[0] // (size.services - CHANGES)
            server.put(endpoint_slice(number, pods(number, size, turn=turn)))
            count[0] += 1
            stop.wait(max(0.0, began + count[0] / BACKGROUND_RATE - time.monotonic()))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


FIGURES = {
    "ready_s": "ready s",
    "ready_cpu_s": "of it CPU",
    "change_p50_ms": "p50 ms",
    "change_p99_ms": "p99 ms",
    "busy_change_p50_ms": "busy p50",
    "busy_change_p99_ms": "busy p99",
    "rss_mb": "RSS MB",
    "rss_after_mb": "RSS after",
    "cpu_ms_per_change": "CPU ms",
}


def line(result: dict[str, Any]) -> str:
    """A line of the table."""
    size = f"{result['services']}x{result['endpoints']}"
    figures = "".join(f"{result.get(key, float('nan')):>11.2f}" for key in FIGURES)
    return f"{size:>10}  {result['backend']:<16}{figures}"


def main() -> int:
    """Measure and print; 1 if a limit isn't kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.daemon", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="services x endpoints")
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), help="by --proxy-mode's names")
    parser.add_argument(
        "--busy", type=float, default=60.0, metavar="SECONDS", help="how long other slices change meanwhile"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, - for stdout")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    results = []
    for text in args.sizes:
        for backend in args.backends:
            results.append(measure(backend, Size.parse(text), args.busy))
            print(line(results[-1]), file=sys.stderr)
    report = {
        "bench": "daemon",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "results": results,
    }
    text = json.dumps(report, indent=2)
    if args.json == Path("-"):
        print(text)
    else:
        head = f"{'services':>10}  {'backend':<16}" + "".join(f"{title:>11}" for title in FIGURES.values())
        print("\n".join([head, *map(line, results)]))
        if args.json:
            args.json.write_text(text + "\n", encoding="utf-8")
    lost = [line for result in results for line in missed(result)]
    print(*lost, sep="\n", end="\n" if lost else "", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
