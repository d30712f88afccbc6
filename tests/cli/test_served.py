"""The pages and metrics that docs/kube-proxy.md lists are served by the real program, and no others."""

import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pointsman.cli.served import HEALTH, METRICS, NFACCT, PAGES, STATUS
from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab.netns import Namespace

from .configuration.told import HEAD
from .manifests import endpoint_slice, service
from .processes import PATIENCE, running

OBSERVING = Path(__file__).parents[2] / "docs/observing.md"
# Of client libraries, and of all components of Kubernetes (MET-15).
COMMON = ("process_", "python_gc_", "rest_client_", "kubernetes_")

ADDRESSES = {HEALTH: "http://127.0.0.1:10256", STATUS: "http://127.0.0.1:10249"}


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        said: str = answer.read().decode()
    return said


@pytest.mark.netns
@pytest.mark.program("iptables-save")
@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_HTTP_01_what_is_listed_is_served(tmp_path: Path, mode: str) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},  # it is waited for
    }
    with Namespace("node") as namespace, ApiServer(run=namespace.run) as api_server:
        api_server.replace_all([node, service(), endpoint_slice("10.244.0.5")])
        kubeconfig = api_server.kubeconfig(tmp_path / "kubeconfig")
        config = tmp_path / "config.yaml"
        config.write_text(
            f"{HEAD}mode: {mode}\nclientConnection: {{kubeconfig: {kubeconfig}}}\n"
            "hostnameOverride: node-a\npointsman: {trafficCounters: true}\n"
        )
        with running("run", f"--config={config}", popen=namespace.popen) as process:
            process.wait_for("ready")
            for served in PAGES:
                assert namespace.run(page, ADDRESSES[served.where] + served.name)
            metrics = namespace.run(page, ADDRESSES[STATUS] + "/metrics")
            assert process.end() == 0
    typed = {line.split()[2] for line in metrics.splitlines() if line.startswith("# TYPE ")}
    certain = [served for served in METRICS if served.note != NFACCT]
    wanted = {served.name for served in certain if served.where == "all" or mode in served.where}
    assert wanted <= typed
    known = {served.name for served in METRICS}
    others = {name for name in typed - known if not name.startswith(COMMON)}
    assert all(name.startswith("pointsman_") for name in others), others
    text = OBSERVING.read_text()
    assert not [name for name in others if f"`{name}`" not in text and f"`{name}{{" not in text]
    assert_well_formed(metrics)


def assert_well_formed(metrics: str) -> None:
    """What a linter of Prometheus' looks for, but for names that are kube-proxy's."""
    families = list(text_string_to_metric_families(metrics))
    samples = [(s.name, *sorted(s.labels.items())) for family in families for s in family.samples]
    assert not [series for series, times in Counter(samples).items() if times > 1]
    assert not [family.name for family in families if not family.documentation.strip()]
    assert not [family.name for family in families if family.type == "unknown"]
    for family in families:
        if family.name.startswith("pointsman_"):
            assert family.type == "counter" or not family.name.endswith("_total")
        if family.type == "histogram":
            bounds = [s.labels["le"] for s in family.samples if s.name.endswith("_bucket")]
            assert bounds.count("+Inf") * len(dict.fromkeys(bounds)) == len(bounds)
