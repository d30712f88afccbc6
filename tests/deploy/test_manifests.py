"""The manifests of deploy/: they start a command line of ours, and grant what it needs."""

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman.cli.configuration.reading import read_text
from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab.netns import Namespace
from pointsman.plugins.kubernetes.resources import resources
from tests.cli.configuration.told import told
from tests.cli.processes import PATIENCE, running

DEPLOY = Path(__file__).parents[2] / "deploy"
OBJECTS: dict[str, Any] = {
    item["kind"]: item for item in yaml.safe_load_all((DEPLOY / "daemonset.yaml").read_text())
}
POD = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]
[INIT], [SERVING] = POD["initContainers"], POD["containers"]


def test_its_configuration_is_read_without_a_word() -> None:
    reading = read_text(OBJECTS["ConfigMap"]["data"]["config.conf"].encode())
    assert reading.warnings == ()
    assert reading.config.mode == "nftables"


@pytest.mark.parametrize(("container", "init_only"), [(INIT, True), (SERVING, False)])
def test_its_command_line_is_ours(tmp_path: Path, container: Any, init_only: bool) -> None:
    config = tmp_path / "config.conf"
    config.write_text(OBJECTS["ConfigMap"]["data"]["config.conf"])
    replaced = {"/var/lib/kube-proxy/config.conf": str(config), "$(NODE_NAME)": "node-a"}
    arguments = container["args"]
    for before, after in replaced.items():
        arguments = [argument.replace(before, after) for argument in arguments]
    chosen = told(*arguments)
    assert chosen.config.hostname_override == "node-a"
    assert chosen.commands["--init-only"] is init_only
    assert container["command"] == ["/usr/local/bin/kube-proxy"]
    assert "/links/usr/local/bin/kube-proxy" in (DEPLOY / "Dockerfile").read_text()


def test_what_serves_has_no_more_rights_than_it_needs() -> None:
    context = SERVING["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_RESOURCE"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert INIT["securityContext"]["readOnlyRootFilesystem"] is True
    for container in (INIT, SERVING):
        assert all(mount["readOnly"] for mount in container["volumeMounts"])


GRANTED = {
    (group, resource, verb)
    for rule in OBJECTS["ClusterRole"]["rules"]
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
}


def test_it_may_read_what_the_source_asks_for() -> None:
    for wanted in resources("node-a"):
        group = wanted.group.removeprefix("/api/v1").removeprefix("/apis/").rpartition("/")[0]
        assert {(group, wanted.plural, "list"), (group, wanted.plural, "watch")} <= GRANTED


@pytest.mark.netns
def test_it_asks_for_all_that_it_may_and_for_nothing_else(tmp_path: Path) -> None:
    arguments = ["--proxy-mode=memory", "--hostname-override=node-a"]
    with Namespace("node") as node, ApiServer(run=node.run) as api_server:
        address = {"type": "InternalIP", "address": "192.0.2.1"}
        metadata, status = {"name": "node-a"}, {"addresses": [address]}
        api_server.put({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
        # A server without streaming lists: one that has them is asked to watch, and nothing else.
        for wanted in resources("node-a"):
            api_server.faults.fail(422, verb="watch", plural=wanted.plural)
        kubeconfig = api_server.kubeconfig(tmp_path / "kubeconfig.conf")
        with running("run", f"--kubeconfig={kubeconfig}", *arguments, popen=node.popen) as process:
            process.wait_for("ready")
            for _ in range(int(PATIENCE / 0.02)):
                if asked(api_server) >= GRANTED:
                    break
                threading.Event().wait(0.02)
            assert process.end() == 0
        assert asked(api_server) == GRANTED


def asked(api_server: ApiServer) -> set[tuple[str, str, str]]:
    """What has been asked for so far: group, resource and verb; where it is no resource, the path."""
    return {
        (r.resource.group, r.plural, r.verb) if r.resource else ("", r.path, r.method)
        for r in list(api_server.requests)
    }


def test_the_page_on_rights_names_each_capability() -> None:
    page = (DEPLOY.parent / "docs/privileges.md").read_text()
    for capability in SERVING["securityContext"]["capabilities"]["add"]:
        assert f"`CAP_{capability}`" in page
