"""A lab whose pods serve, and service ports that lead to them, for tests of several dataplanes' traffic."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from pointsman.conformance.lab import Lab, LabUnavailable
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)

PODS = ("pod-a", "pod-b", "remote-a")
PORT, TARGET_PORT = 80, 8080
ANSWER = Answer(Pool.CLUSTER, Masquerade.ALWAYS)


@contextmanager
def serving_lab(*protocols: Protocol) -> Iterator[Lab]:
    """A lab in which each of `PODS` serves in both families; skips where there can be none."""
    try:
        opened = Lab()
    except LabUnavailable as error:
        pytest.skip(str(error))
    with opened:
        for pod in PODS:
            for protocol in protocols:
                for family in IPFamily:
                    opened.serve(pod, protocol, family, TARGET_PORT)
        yield opened


def cluster_ip(
    lab: Lab,
    family: IPFamily,
    name: ServicePortName,
    address: bytes,
    pods: Mapping[str, int],
    *,
    affinity: int = 0,
) -> ServiceFrontends:
    """A service port with a ClusterIP, answered by some pods of the lab, each with its weight."""
    endpoints = (
        Endpoint(parse_address(lab.address(pod, family)), TARGET_PORT, weight) for pod, weight in pods.items()
    )
    frontend = Frontend(Match(address, name.protocol, PORT), FrontendKind.CLUSTER_IP, ANSWER)
    return ServiceFrontends(name, (frontend,), tuple(sorted(endpoints)), affinity=affinity)
