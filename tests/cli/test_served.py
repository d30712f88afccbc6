"""The pages and metrics that docs/kube-proxy.md lists are served by the real program."""

import urllib.request
from pathlib import Path

import pytest

from pointsman.cli.served import HEALTH, METRICS, NFACCT, PAGES, STATUS
from pointsman.conformance.lab.netns import Namespace

from .manifests import folder, save
from .processes import PATIENCE, running

ADDRESSES = {HEALTH: "http://127.0.0.1:10256", STATUS: "http://127.0.0.1:10249"}


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        said: str = answer.read().decode()
    return said


@pytest.mark.netns
@pytest.mark.program("iptables-save")
@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_HTTP_01_what_is_listed_is_served(tmp_path: Path, mode: str) -> None:
    objects = folder(tmp_path / "objects")
    save(objects / "node.json", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}})
    with Namespace("node") as node:
        arguments = [
            "run",
            f"--source=files:{objects}",
            f"--proxy-mode={mode}",
            "--hostname-override=node-a",
        ]
        with running(*arguments, popen=node.popen) as process:
            process.wait_for("ready")
            for served in PAGES:
                assert node.run(page, ADDRESSES[served.where] + served.name)
            metrics = node.run(page, ADDRESSES[STATUS] + "/metrics")
            typed = {line.split()[2] for line in metrics.splitlines() if line.startswith("# TYPE ")}
            assert process.end() == 0
    certain = [served for served in METRICS if served.note != NFACCT]
    wanted = {served.name for served in certain if served.where == "all" or mode in served.where}
    assert wanted <= typed
