"""What a running daemon answers over HTTP, each in a network namespace of its own."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointsman.conformance.lab.netns import Namespace
from tests.plugins.http.clients import TIMEOUT, ask

from .clocked import Clocks
from .manifests import endpoint_slice, folder, save, service
from .paper import Paper
from .processes import running

pytestmark = pytest.mark.netns

HEALTH, STATUS = 10256, 10249
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}


@pytest.fixture
def node() -> Iterator[Namespace]:
    with Namespace("node") as namespace:
        yield namespace


def command(objects: Path, *arguments: str) -> list[str]:
    mode = ["--proxy-mode=memory", "--hostname-override=node-a", "--log-format=json"]
    return ["run", f"--source=files:{objects}", *mode, *arguments]


def value(node: Namespace, series: str) -> float:
    """The value of a series, as scraped."""
    for line in node.run(ask, STATUS, "/metrics")[2].decode().splitlines():
        name, _, number = line.rpartition(" ")
        if name == series:
            return float(number)
    raise KeyError(series)


def until(node: Namespace, path: str, status: int, port: int = HEALTH) -> bytes:
    """The answer, once it has that status."""
    pause = threading.Event()
    for _ in range(int(TIMEOUT / 0.02)):
        found, _, body = node.run(ask, port, path)
        if found == status:
            return body
        pause.wait(0.02)
    raise AssertionError(f"{path} does not answer {status}")


def test_HZ_01_and_HC_02_health_follows_the_objects(tmp_path: Path, node: Namespace) -> None:
    objects = folder(tmp_path / "objects")
    balanced: dict[str, Any] = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    save(objects / "lb.json", service("lb", "10.96.0.77", healthCheckNodePort=32100, **balanced))
    with running(*command(objects), popen=node.popen) as process:
        process.wait_for("ready")
        assert node.run(ask, HEALTH, "/livez")[0] == 200
        assert json.loads(node.run(ask, HEALTH, "/healthz")[2])["nodeEligible"] is False
        save(objects / "node.json", NODE)
        until(node, "/healthz", 200)
        assert node.run(ask, 32100)[0] == 503
        slice_ = endpoint_slice("10.0.0.7", service="lb")
        slice_["endpoints"][0]["nodeName"] = "node-a"
        save(objects / "slice.json", slice_)
        assert json.loads(until(node, "/", 200, 32100))["localEndpoints"] == 1
        assert value(node, 'kubeproxy_proxy_healthz_total{code="503"}') >= 1
        assert process.end() == 0


def test_HZ_02_health_says_that_changes_do_not_reach_the_kernel(tmp_path: Path, node: Namespace) -> None:
    """Not at once, and only while it is so; a minute passes by the clock that health goes by."""
    paper, clocks = Paper(tmp_path), Clocks(tmp_path / "clocks")
    objects = folder(tmp_path / "objects")
    save(objects / "node.json", NODE)
    arguments = [argument.replace("memory", "paper") for argument in command(objects)]
    with running(*arguments, popen=node.popen, program=clocks.program, path=paper.path) as process:
        process.wait_for('"ready"')
        until(node, "/healthz", 200)
        paper.wet(wet=True)
        save(objects / "slice.json", endpoint_slice("10.0.0.8"))
        process.wait_for('"sync_failed"', "the pencil broke")
        assert node.run(ask, HEALTH, "/livez")[0] == 200
        assert value(node, "kubeproxy_sync_proxy_rules_endpoint_changes_pending") == 1
        clocks.step(86400.0)  # which is none of health's business
        assert node.run(ask, HEALTH, "/livez")[0] == 200
        clocks.advance(61.0)
        for path in ("/livez", "/healthz"):
            status, _, body = node.run(ask, HEALTH, path)
            said = json.loads(body)
            assert (status, said["healthy"]) == (503, False)
            assert said["status"]["IPv4"]["healthy"] is False
            assert said["lastUpdated"] < said["currentTime"]
        assert value(node, 'pointsman_syncs_total{ip_family="IPv4",kind="partial",result="failed"}') >= 1
        slis = node.run(ask, STATUS, "/metrics/slis")[2].decode()
        assert 'kubernetes_healthcheck{name="sync-IPv4",type="livez"} 0' in slis
        paper.wet(wet=False)
        save(objects / "slice.json", endpoint_slice("10.0.0.9"))
        until(node, "/livez", 200)
        assert paper.holds()["frontends"] == {"10.96.0.10:80/tcp": ["10.0.0.9:8080"]}
        assert process.end() == 0


def test_HTTP_01_the_metrics_server(tmp_path: Path, node: Namespace) -> None:
    objects = folder(tmp_path / "objects")
    with running(*command(objects), popen=node.popen) as process:
        process.wait_for("ready")
        assert node.run(ask, STATUS, "/healthz")[2] == b"ok"
        assert node.run(ask, STATUS, "/proxyMode")[2] == b"memory"
        config = json.loads(node.run(ask, STATUS, "/configz")[2])["kubeproxy.config.k8s.io"]
        assert (config["kind"], config["hostnameOverride"]) == ("KubeProxyConfiguration", "node-a")
        assert b"\nhostname-override=node-a\n" in node.run(ask, STATUS, "/flagz")[2]
        assert b"statusz" in node.run(ask, STATUS, "/statusz")[2]
        assert b"kubernetes_healthcheck" in node.run(ask, STATUS, "/metrics/slis")[2]
        assert b"shop/web:http/tcp" in node.run(ask, STATUS, "/")[2]
        assert node.run(ask, STATUS, "/debug/pprof/")[0] == 404
        assert value(node, 'pointsman_service_ports{ip_family="IPv4"}') == 1
        assert value(node, 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}') >= 1
        assert process.end() == 0


CONFIGURATION = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: {mode}
hostnameOverride: node-a
logging: {{format: json}}
pointsman: {{source: "files:{objects}", trafficCounters: true}}
"""
CONNECTIONS = (
    'pointsman_service_connections_total{ip_family="IPv4",namespace="shop",port="http",protocol="TCP",'
    'service="web"}'
)


def test_connections_are_counted_by_who_asks_for_it(tmp_path: Path, node: Namespace) -> None:
    """Packets for it are in tests/backends/test_traffic.py."""
    objects, config = folder(tmp_path / "objects"), tmp_path / "config.yaml"
    config.write_text(CONFIGURATION.format(mode="nftables", objects=objects))
    with running("run", f"--config={config}", popen=node.popen) as process:
        process.wait_for("ready")
        assert value(node, CONNECTIONS) == 0
        assert process.end() == 0
    with running(*command(objects, "--proxy-mode=nftables"), popen=node.popen) as process:
        process.wait_for("ready")
        with pytest.raises(KeyError):
            value(node, CONNECTIONS)
        assert process.end() == 0


def test_who_asks_for_counts_where_there_are_none_is_told(tmp_path: Path, node: Namespace) -> None:
    objects, config = folder(tmp_path / "objects"), tmp_path / "config.yaml"
    config.write_text(CONFIGURATION.format(mode="memory", objects=objects))
    with running("run", f"--config={config}", popen=node.popen) as process:
        process.wait_for("setting_without_effect")
        process.wait_for("ready")
        assert b"service_connections" not in node.run(ask, STATUS, "/metrics")[2]
        assert process.end() == 0


def test_HTTP_01_profiling_and_gates(tmp_path: Path, node: Namespace) -> None:
    objects = folder(tmp_path / "objects")
    arguments = ["--profiling", "--feature-gates=ComponentFlagz=false"]
    with running(*command(objects, *arguments), popen=node.popen) as process:
        process.wait_for("ready")
        assert node.run(ask, STATUS, "/debug/pprof/goroutine")[0] == 200
        assert node.run(ask, STATUS, "/debug/flags/v", "PUT", body=b"4")[0] == 200
        assert node.run(ask, STATUS, "/flagz")[0] == 404
        assert process.end() == 0


@pytest.mark.parametrize("hard", [False, True])
def test_HTTP_03_an_address_in_use(tmp_path: Path, node: Namespace, hard: bool) -> None:
    objects = folder(tmp_path / "objects")
    with node.run(socket.create_server, ("127.0.0.1", STATUS)):
        arguments = command(objects, f"--bind-address-hard-fail={str(hard).lower()}")
        with running(*arguments, popen=node.popen) as process:
            process.wait_for("listen_failed")
            if hard:
                assert process.status() == 1
                assert "bindAddressHardFail" in process.text()
            else:
                process.wait_for("ready")
                assert process.end() == 0


def test_HTTP_03_an_address_that_is_not_this_nodes(tmp_path: Path, node: Namespace) -> None:
    objects = folder(tmp_path / "objects")
    arguments = ["--metrics-bind-address=192.0.2.99:10249", "--bind-address-hard-fail"]
    with running(*command(objects, *arguments), popen=node.popen) as process:
        assert process.status() == 1
    assert "can't listen on 192.0.2.99:10249: Cannot assign requested address; give one" in process.lines[-1]


@pytest.mark.parametrize("where", ["[::1]", "[::]", "::1"])
def test_HTTP_01_over_ipv6(tmp_path: Path, node: Namespace, where: str) -> None:
    objects = folder(tmp_path / "objects")
    addresses = [f"--{which}-bind-address={where}" for which in ("metrics", "healthz")]
    if "[" in where:
        addresses = [f"{addresses[0]}:{STATUS}", f"{addresses[1]}:{HEALTH}"]
    with running(*command(objects, *addresses), popen=node.popen) as process:
        process.wait_for("ready")
        assert node.run(ask, STATUS, "/proxyMode", host="::1")[2] == b"memory"
        assert node.run(ask, HEALTH, "/livez", host="::1")[0] == 200
        if where == "[::]":  # both families, as in Go
            assert node.run(ask, HEALTH, "/livez")[0] == 200
        assert process.end() == 0


def test_port_0_means_that_nobody_is_answered(tmp_path: Path, node: Namespace) -> None:
    objects = folder(tmp_path / "objects")
    arguments = command(objects, "--healthz-bind-address=127.0.0.1:0")
    with running(*arguments, popen=node.popen) as process:
        process.wait_for("ready")
        with pytest.raises(ConnectionRefusedError):
            node.run(ask, HEALTH, "/healthz")
        assert process.end() == 0
