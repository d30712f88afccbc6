"""Started in kube-proxy's place: its command line, its file, its commands."""

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from pointsman.cli.document import document
from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab.netns import Namespace

from .configuration.told import HEAD, KUBEADM
from .manifests import endpoint_slice, folder, service
from .paper import Paper
from .processes import PATIENCE, inside, pointsman, running

OBJECTS = "pointsman: {{source: 'files:{}'}}\n"

# All that is taken and changes nothing, with values that no default is.
WITHOUT_EFFECT = {
    "--kube-api-content-type": "application/json", "--kube-api-qps": "50", "--kube-api-burst": "100",
    "--config-sync-period": "5m", "--show-hidden-metrics-for-version": "1.35",
    "--ipvs-exclude-cidrs": "10.0.0.0/8", "--ipvs-strict-arp": "true", "--vmodule": "proxier=5",
    "--log-flush-frequency": "1s", "--log-text-split-stream": "true", "--log-text-info-buffer-size": "1Ki",
    "--log-json-split-stream": "true", "--log-json-info-buffer-size": "1Ki", "--add-dir-header": "true",
    "--alsologtostderr": "true", "--log-backtrace-at": "proxier.go:1", "--log-dir": "/nowhere",
    "--log-file": "/nowhere/log", "--log-file-max-size": "5", "--logtostderr": "false",
    "--one-output": "true", "--skip-headers": "true", "--skip-log-headers": "true", "--stderrthreshold": "1",
}  # fmt: skip
FIELDS_WITHOUT_EFFECT = """
clientConnection: {acceptContentTypes: application/json, burst: 100, contentType: application/json, qps: 50}
configSyncPeriod: 5m
ipvs: {excludeCIDRs: [10.0.0.0/8], strictARP: true}
logging:
  format: json
  flushFrequency: 1s
  options:
    json: {infoBufferSize: 1Ki, splitStream: true}
    text: {infoBufferSize: 1Ki, splitStream: true}
  vmodule: [{filePattern: proxier, verbosity: 5}]
portRange: 1-2
showHiddenMetricsForVersion: "1.35"
windowsRunAsService: true
winkernel:
  enableDSR: true
  forwardHealthCheckVip: true
  networkName: network
  rootHnsEndpointName: root
  sourceVip: 10.0.0.1
"""


@pytest.fixture
def kube_proxy(tmp_path: Path) -> Path:
    """The program, by the name and as the container image has it."""
    installed = Path(sysconfig.get_path("scripts")) / "pointsman-kube-proxy"
    assert installed.exists(), "the console script is installed with the package"
    link = tmp_path / "kube-proxy"
    link.symlink_to(installed)
    return link


def test_CFG_01_kubeadms_command_line_works_as_it_is(tmp_path: Path, kube_proxy: Path) -> None:
    # What kubeadm writes, but that objects come from a folder, and go where no kernel is needed.
    config = tmp_path / "config.conf"
    own = OBJECTS.format(folder(tmp_path / "objects"))
    config.write_text(KUBEADM.read_text().replace('mode: ""', "mode: memory") + own)
    command = [str(kube_proxy), f"--config={config}", "--hostname-override=$(NODE_NAME)"]
    command[-1] = command[-1].replace("$(NODE_NAME)", "node-a")  # as the kubelet does
    with running(program=command) as process:
        process.wait_for("ready")
        assert process.end() == 0
    assert "node='node-a'" in process.lines[process.wait_for("starting") - 1]
    # All that is strange about it: it names the pods' network for one family.
    warnings = [line for line in process.lines if "[warning" in line]
    [warning] = [line for line in warnings if "listen_failed" not in line]  # others may have the ports
    assert "local_pods_unknown" in warning
    assert "families=['IPv6']" in warning


def test_the_version_is_printed(kube_proxy: Path) -> None:
    said = subprocess.check_output([kube_proxy, "--version"], text=True, timeout=PATIENCE)
    assert said.startswith("pointsman ")
    assert said.endswith(", for Kubernetes 1.36\n")


@pytest.mark.parametrize("arguments", [["something"], ["--masquerade-all", "something"], ["--no-such-flag"]])
def test_CFG_04_what_is_no_flag_is_an_error(arguments: list[str]) -> None:
    assert pointsman("run", *arguments).returncode != 0


def test_CFG_04_the_configuration_is_written_before_anything_is_touched(tmp_path: Path) -> None:
    target = tmp_path / "effective.yaml"
    arguments = ["--write_config_to", str(target), "--conntrack-min=7", "--proxy-mode=nftables"]
    done = pointsman("run", *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    said = yaml.safe_load(target.read_text())
    assert said["conntrack"]["min"] == 7
    assert said["mode"] == "nftables"
    again = tmp_path / "again.yaml"
    assert pointsman("run", f"--config={target}", f"--write-config-to={again}").returncode == 0
    assert again.read_text() == target.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"effective.yaml", "again.yaml"}
    assert pointsman("run", f"--write-config-to={tmp_path}/no/where").returncode == 1


def test_CFG_05_a_wrong_file_ends_it_with_1_and_all_that_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(HEAD + "oomScoreAdj: 5000\nmode: userspace\n")
    done = pointsman("run", f"--config={config}")
    assert done.returncode == 1
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["oomScoreAdj", "mode"]


def test_CFG_05_wrong_types_are_named_before_broken_rules(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(HEAD + "oomScoreAdj: 5000\nbindAddress: 7\niptables: {syncPeriod: soon}\n")
    done = pointsman("run", f"--config={config}")
    assert done.returncode == 1
    named = [line.split(":")[1].strip() for line in done.stderr.splitlines()]
    assert named == ["bindAddress", "iptables.syncPeriod"]


def test_each_flag_that_the_table_says_has_no_effect_is_taken_and_named_once(tmp_path: Path) -> None:
    rows = [line.split(" | ") for line in document().splitlines() if "accepted, no effect" in line]
    flags = {row[0].strip("| `") for row in rows if row[0].startswith("| `--")}
    assert flags == WITHOUT_EFFECT.keys()
    given = [f"{flag}={value}" for flag, value in WITHOUT_EFFECT.items()]
    done = pointsman("run", f"--write-config-to={tmp_path / 'out.yaml'}", "--log-format=json", *given)
    assert done.returncode == 0
    [said] = [json.loads(line) for line in done.stderr.splitlines()]
    assert said["event"] == "accepted_without_effect"
    assert sorted(said["settings"]) == sorted(flags)


def test_each_field_that_the_table_says_has_no_effect_is_taken_and_named_once(tmp_path: Path) -> None:
    rows = [line.split(" | ") for line in document().splitlines() if "accepted, no effect" in line]
    fields = {row[0].strip("| `") for row in rows if row[0].startswith("| `") and "--" not in row[0]}
    config = tmp_path / "config.yaml"
    config.write_text(HEAD + FIELDS_WITHOUT_EFFECT)
    done = pointsman("run", f"--config={config}", f"--write-config-to={tmp_path / 'out.yaml'}")
    assert done.returncode == 0
    [said] = [json.loads(line) for line in done.stderr.splitlines()]
    assert said["event"] == "accepted_without_effect"
    assert sorted(said["settings"]) == sorted(fields)


@pytest.mark.parametrize("how", ["write", "rename"])
def test_CFG_03_a_change_of_the_file_ends_it(tmp_path: Path, how: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(HEAD + "mode: memory\n" + OBJECTS.format(folder(tmp_path / "objects")))
    with running("run", f"--config={config}", "--hostname-override=node-a") as process:
        process.wait_for("ready")
        os.utime(config)  # which changes nothing that counts
        shutil.copy(config, tmp_path / "copy")
        if how == "write":
            with config.open("a") as file:
                file.write("# more\n")
        else:
            config.rename(tmp_path / "other.yaml")
        assert process.status() == 1
    assert process.lines[-1] == f"pointsman: {config} has changed; start again to go by it"


def test_CFG_03_a_mounted_config_map_may_change(tmp_path: Path) -> None:
    objects = folder(tmp_path / "objects")
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        text = HEAD + "mode: memory\n" + OBJECTS.format(objects)
        (tmp_path / version / "config.conf").write_text(text)
    (tmp_path / "data").symlink_to("one")
    with running("run", f"--config={tmp_path}/data/config.conf", "--hostname-override=node-a") as process:
        process.wait_for("ready")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        (tmp_path / "one/config.conf").unlink()
        (objects / "service.json").unlink()
        process.wait_for("synced", after=len(process.lines))
        assert process.end() == 0


def test_CFG_02_what_a_file_makes_ineffective_is_said_once(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(HEAD + "kubeApiQps: 3\nlogging: {format: json}\nportRange: 1-2\n")
    target = tmp_path / "effective.yaml"
    done = pointsman("run", f"--config={config}", f"--write-config-to={target}", "--masquerade-all")
    assert done.returncode == 0
    events = [line.partition('"event": "')[2].partition('"')[0] for line in done.stderr.splitlines()]
    assert events == ["configuration", "flags_ignored", "accepted_without_effect"]
    assert '"--masquerade-all"' in done.stderr
    assert '"portRange"' in done.stderr


@pytest.mark.netns
def test_CLN_05_init_only_serves_nothing(tmp_path: Path) -> None:
    paper = Paper(tmp_path)
    done = pointsman("run", "--init-only", "--proxy-mode=paper", "--hostname-override=n", path=paper.path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.netns
def test_CLN_01_cleanup_needs_no_api_server(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(HEAD + "clientConnection: {kubeconfig: /not/there}\n")
    with Namespace("node") as namespace:
        done = namespace.run(pointsman, "run", f"--config={config}", "--cleanup")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.netns
@pytest.mark.program("nft")
def test_kubeadms_daemon_set_changes_its_image_and_nothing_else(tmp_path: Path, kube_proxy: Path) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]},
    }
    config = tmp_path / "config.conf"
    text = KUBEADM.read_text().replace("/var/lib/kube-proxy/kubeconfig.conf", f"{tmp_path}/kubeconfig.conf")
    config.write_text(text)
    command = [str(kube_proxy), f"--config={config}", "--hostname-override=Node-A"]
    with Namespace("node") as namespace, ApiServer(run=namespace.run) as api_server:
        api_server.kubeconfig(tmp_path / "kubeconfig.conf")
        api_server.replace_all([node, service(), endpoint_slice("10.244.0.5")])
        nft(namespace, "add", "table", "ip", "kube-proxy")
        with running(program=command, popen=namespace.popen) as process:
            # It serves first, and only then goes what kube-proxy left.
            process.wait_for("predecessor_removed", "kube-proxy", after=process.wait_for("ready"))
            assert "10.96.0.10" in nft(namespace, "list", "ruleset")
            assert "table ip kube-proxy" not in nft(namespace, "list", "tables")
            assert process.end() == 0


def nft(namespace: Namespace, *arguments: str) -> str:
    return inside(namespace, "nft", *arguments)
