"""The manifests of deploy/: they start a command line of ours, and grant what it needs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman.cli.configuration.reading import read_text
from pointsman.plugins.kubernetes.resources import resources
from tests.cli.configuration.told import told

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


def test_it_may_read_what_the_source_asks_for() -> None:
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in OBJECTS["ClusterRole"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for wanted in resources("node-a"):
        group = wanted.group.removeprefix("/api/v1").removeprefix("/apis/").rpartition("/")[0]
        assert {"list", "watch"} <= granted[group, wanted.plural]
    assert "create" in granted["events.k8s.io", "events"]


def test_the_page_on_rights_names_each_capability() -> None:
    page = (DEPLOY.parent / "docs/privileges.md").read_text()
    for capability in SERVING["securityContext"]["capabilities"]["add"]:
        assert f"`CAP_{capability}`" in page
