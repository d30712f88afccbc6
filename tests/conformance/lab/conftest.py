import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pointsman.conformance.lab import Client, Lab, LabSpec, Namespace
from pointsman.core.model import Protocol

SPEC = LabSpec(
    clients=(
        Client("client", ("192.168.77.150", "203.0.113.5", "2001:db8:7::5", "fd00:192:168:77::2:1")),
        Client("client-2"),
    ),
    node_addresses=("192.168.77.11", "10.200.0.1", "fd00:200::1"),
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One lab for the tests of a file, which add servers and rules but take them away again."""
    with Lab(SPEC) as built:
        yield built


@pytest.fixture(params=Protocol, ids=lambda protocol: protocol.name)
def protocol(request: pytest.FixtureRequest, lab: Lab) -> Protocol:
    """Every transport protocol; SCTP where the kernel has it."""
    chosen = Protocol(request.param)
    if chosen is Protocol.SCTP and not lab.capabilities.sctp.present:
        pytest.skip(lab.capabilities.sctp.reason)
    return chosen


@pytest.fixture
def load_rules(tmp_path: Path) -> Iterator[Callable[[Namespace, str], None]]:
    """Load a ruleset into a namespace by the nft program; it is flushed after the test."""
    program = shutil.which("nft", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    loaded: list[Namespace] = []

    def load(namespace: Namespace, rules: str) -> None:
        assert program is not None
        file = tmp_path / "rules.nft"
        file.write_text(rules)
        run(namespace, program, "-f", str(file))
        loaded.append(namespace)

    def run(namespace: Namespace, *argv: str) -> None:
        child = namespace.popen(argv, stderr=subprocess.PIPE, text=True)
        _, complaint = child.communicate(timeout=10)
        assert child.returncode == 0, complaint

    yield load
    for namespace in loaded:
        run(namespace, str(program), "flush", "ruleset")
