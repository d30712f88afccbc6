"""The play itself: a lab, a node programmed by a real dataplane, and real connections."""

import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.resources import files

from pointsman.conformance.lab import NODE, Lab, LabSpec, Outcome, Reply, burst
from pointsman.conformance.statistics import evenness
from pointsman.core.addresses import IPFamily, format_address, parse_address, parse_network
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.errors import BackendUnavailable, ConfigError
from pointsman.core.model import FrontendKind, Model, Protocol, ServiceFrontends
from pointsman.core.packet import Packet, Trace
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.plugins.sources.files import documents

from .report import DemoReport, PodShare, WayStep

SCENE = "seed.yaml"
FAMILY = IPFamily.IPV4
CLUSTER_CIDR = "10.244.0.0/16"
CLIENT = "client"

Announce = Callable[[str], None]
Advance = Callable[[int], None]


def play(
    plugins: Plugins, backend: str, connections: int, announce: Announce, advance: Advance
) -> DemoReport:
    """Build, program, connect; take everything down again, whatever happens.

    ``announce`` is told what is being done, ``advance`` how many connections have been made.

    Raises:
        ConfigError: no backend of that name is installed.
        BackendUnavailable: the backend can't run here, or touches no packet.
        LabUnavailable: there can't be network namespaces here.
        DataplaneError: the backend failed.
    """
    spec = _backend(plugins, backend)
    with ExitStack() as ends:
        announce("building a client, a node and four pods")
        pods = ("pod-1", "pod-2", "pod-3", "pod-4")
        lab = ends.enter_context(Lab(LabSpec(pods=(CLIENT, *pods), remote_pods=(), clients=())))
        announce(f"programming the node with {backend}")
        dataplane = lab.node.run(Dataplane, spec, DataplaneSettings(FAMILY))
        ends.callback(lab.node.run, dataplane.close)
        model = lab.node.run(_program, plugins, dataplane)
        service = next(iter(model.services.values()))
        for pod in pods:
            lab.serve(pod, Protocol.TCP, FAMILY, service.cluster[0].port)
        announce(f"connecting {connections} times")
        address, port = _virtual_ip(service)
        began = time.perf_counter()
        outcomes = burst(
            lab[CLIENT],
            address,
            port,
            count=connections,
            progress=lambda done, _: advance(done),
        )
        seconds = time.perf_counter() - began
        announce("reading the packet's way back from the kernel")
        packet = Packet(
            source=parse_address(lab.address(CLIENT, FAMILY)),
            destination=parse_address(address),
            port=port,
            protocol=Protocol.TCP,
            interface=f"veth{CLIENT}",
        )
        trace = lab.node.run(dataplane.trace, packet)
        endpoints = {pod: lab.address(pod, FAMILY) for pod in pods}
    return _report(backend, service, endpoints, packet, outcomes, seconds, trace)


def _backend(plugins: Plugins, name: str) -> BackendSpec:
    """The backend to show."""
    if name not in plugins.backends:
        installed = ", ".join(spec.name for spec in plugins.backends)
        raise ConfigError(f"--backend {name}: there is no such backend; installed are {installed}")
    spec = plugins.backends[name]
    if spec.simulated:
        real = ", ".join(other.name for other in plugins.backends if not other.simulated)
        raise BackendUnavailable(
            name, "it only simulates a dataplane, and no packet meets it", f"choose {real}"
        )
    return spec


def _program(plugins: Plugins, dataplane: Dataplane) -> Model:
    """Have the engine carry the scene's objects into the kernel; what is there then."""
    config = ProxyConfig(node_name=NODE, families=(FAMILY,), cluster_cidrs=(parse_network(CLUSTER_CIDR),))
    engine = Engine(config, {FAMILY: dataplane}, plugins)
    engine.probe()
    scene = files(__package__).joinpath(SCENE).read_bytes()
    objects = documents.read(scene, SCENE).objects.values()
    for kind in KINDS:
        engine.replaced(kind, [located.object for located in objects if isinstance(located.object, kind)])
    engine.run_due()
    return engine.families[FAMILY].proxy.applied


def _virtual_ip(service: ServiceFrontends) -> tuple[str, int]:
    [match] = [f.match for f in service.frontends if f.kind is FrontendKind.CLUSTER_IP]
    return format_address(match.address or b""), match.port


def _report(
    backend: str,
    service: ServiceFrontends,
    endpoints: dict[str, str],
    packet: Packet,
    outcomes: Sequence[Outcome],
    seconds: float,
    trace: Trace,
) -> DemoReport:
    replies = [outcome for outcome in outcomes if isinstance(outcome, Reply)]
    counts = Counter(reply.pod for reply in replies)
    others = Counter(type(outcome).__name__.lower() for outcome in outcomes if not isinstance(outcome, Reply))
    even = len(replies) / len(endpoints)
    return DemoReport(
        backend=backend,
        kernel=platform.release(),
        service=str(service.name),
        virtual_ip=format_address(packet.destination),
        port=packet.port,
        client=format_address(packet.source),
        connections=len(outcomes),
        answered=len(replies),
        other_outcomes=dict(others),
        seconds=round(seconds, 3),
        pods=tuple(
            PodShare(pod, f"{ip}:{service.cluster[0].port}", counts[pod], counts[pod] / max(1, len(replies)))
            for pod, ip in endpoints.items()
        ),
        chi_squared=round(sum((counts[pod] - even) ** 2 / max(1, even) for pod in endpoints), 3),
        degrees_of_freedom=len(endpoints) - 1,
        p_value=round(evenness(counts, dict.fromkeys(endpoints, 1 / len(endpoints))), 4) if replies else 0.0,
        way=tuple(WayStep(step.topic, step.text, step.where, step.probability) for step in trace.steps),
        answer=replies[0] if replies else None,
    )
