"""What is loaded, and when: each module takes its time at every start, so it has to be of use there."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab.netns import Namespace

from .processes import Running, running

LOADED = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)")
TIMED = [sys.executable, "-X", "importtime", "-m", "pointsman"]
SLOW = {"h11", "kubernetes", "prometheus_client", "pyroute2", "requests", "rich", "structlog", "urllib3"}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node-a"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
}
ALONE = [
    # What is the whole machine's stays as it is.
    "--hostname-override=node-a", "--cluster-cidr=10.244.0.0/16", "--ip-family=ipv4", "--oom-score-adj=0",
    "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
]  # fmt: skip


def loaded(lines: Iterable[str]) -> set[str]:
    """All modules and packages that were loaded, as Python itself tells."""
    return {found[1] for line in lines if (found := LOADED.match(line))}


def under(modules: Iterable[str], *packages: str) -> set[str]:
    """Those that are a package, or in one."""
    return {module for module in modules if module.startswith(tuple(f"{p}." for p in packages))}


@pytest.mark.parametrize("command", ["--version", "--help", "run --version", "run --help"])
def test_who_only_asks_loads_no_library_of_the_daemon(command: str) -> None:
    with running(*command.split(), program=TIMED) as process:
        assert process.status() == 0
    modules = loaded(process.lines)
    assert "pointsman.core.plugins" in modules
    assert not SLOW & modules
    assert not under(modules, "pointsman.plugins.http", "pointsman.plugins.metrics", "pointsman.conformance")
    assert {module for module in modules if module.endswith((".dataplane", ".reconciler"))} == set()


def before_ready(process: Running) -> set[str]:
    """What was loaded before rules served."""
    seen = process.wait_for("ready")
    assert process.end() == 0
    return loaded(process.lines[:seen])


@pytest.mark.netns
def test_nftables_serves_before_any_other_backend_or_netlink_library_is_loaded(tmp_path: Path) -> None:
    with Namespace("node") as node, ApiServer(run=node.run) as server:
        server.replace_all([NODE])
        kubeconfig = f"--kubeconfig={server.kubeconfig(tmp_path / 'kubeconfig')}"
        arguments = ["run", kubeconfig, "--proxy-mode=nftables", *ALONE]
        with running(*arguments, program=TIMED, popen=node.popen) as process:
            modules = before_ready(process)
    assert "pointsman.backends.nftables.dataplane" in modules
    assert "kubernetes.config.kube_config" in modules
    assert "pyroute2" not in modules
    assert under(modules, "pointsman.conformance") == set()
    others = {f"pointsman.backends.{name}.dataplane" for name in ("iptables", "ipvs", "memory")}
    assert not others & modules


def test_objects_from_files_take_no_client_of_an_api_server(tmp_path: Path) -> None:
    arguments = ["run", f"--source=files:{tmp_path}", "--proxy-mode=memory"]
    with running(*arguments, *ALONE, program=TIMED) as process:
        modules = before_ready(process)
    assert "pointsman.backends.memory.dataplane" in modules
    assert not modules & {"kubernetes", "urllib3", "pyroute2", "requests"}
    assert not under(modules, "pointsman.backends.nftables", "pointsman.backends.iptables")
