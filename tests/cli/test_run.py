"""``pointsman run``: the daemon, driven as its users do."""

import json
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pointsman.backends.nftables.chains import FORWARD
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.messages import Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.conformance.lab.netns import LOOPBACK, Namespace

from .manifests import endpoint_slice, folder, save, service
from .paper import Paper
from .processes import Running, distribution, pointsman, running

API_SERVER = Path(__file__).parents[3] / "shared/data/apiserver-1.36"
RECORD = re.compile(r"\S+Z \[(debug|info|warning|error) *\] \w+ \[[\w.]+\]( \w+=.*)?")
HTTP = "10.96.0.10:80/tcp"
MEMORY = ["--proxy-mode=memory", "--hostname-override=node-a"]
PAPER = ["--proxy-mode=paper", "--hostname-override=node-a", "--log-format=json"]

CLUSTER = ["--cluster-cidr=10.244.0.0/16,fd00:10:244::/56"]


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    return Paper(tmp_path)


def records(process: Running) -> list[Mapping[str, Any]]:
    """What was said, all of it in JSON."""
    return [json.loads(line) for line in process.lines]


def of_event(process: Running, event: str) -> list[Mapping[str, Any]]:
    return [record for record in records(process) if record["event"] == event]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_told_to_stop_and_leaves_the_rules(
    tmp_path: Path, paper: Paper, signum: signal.Signals
) -> None:
    objects = folder(tmp_path / "objects")
    with running("run", f"--source=files:{objects}", *PAPER, path=paper.path) as process:
        process.wait_for("ready")
        assert paper.holds()["frontends"] == {HTTP: ["10.0.0.1:8080", "10.0.0.2:8080"]}
        assert process.end(signum) == 0
    [starting] = of_event(process, "starting")
    assert starting["backend"] == "paper"
    assert starting["families"] == ["IPv4", "IPv6"]
    assert starting["instance"] == "pointsman"
    assert starting["node"] == "node-a"
    assert starting["version"]
    [stopping] = of_event(process, "stopping")
    assert stopping["signal"] == signum.name
    assert paper.holds()["frontends"].keys() == {HTTP}


def test_it_follows_changes(tmp_path: Path, paper: Paper) -> None:
    objects = folder(tmp_path / "objects")
    arguments = ["run", f"--source=files:{objects}", "--iptables-min-sync-period=0", *PAPER]
    with running(*arguments, path=paper.path) as process:
        seen = process.wait_for("ready")
        save(objects / "slice.json", endpoint_slice("10.0.0.3"))
        seen = process.wait_for('"synced"', after=seen)
        assert paper.holds()["frontends"] == {HTTP: ["10.0.0.3:8080"]}
        (objects / "service.json").unlink()
        process.wait_for('"synced"', after=seen)
        assert paper.holds()["frontends"] == {}
        assert process.end() == 0


def test_it_stops_before_anything_was_listed(tmp_path: Path) -> None:
    source = """
        from pointsman.core.hookspecs import hookimpl
        from pointsman.core.source import SourceSpec

        class Mute:
            def start(self, sink):
                pass

            def stop(self):
                pass

        @hookimpl
        def pointsman_register_sources(registry):
            registry.add(SourceSpec("mute", "says nothing", lambda argument, config: Mute()))
    """
    site = distribution(tmp_path / "site", "mute", source)
    with running("run", "--source=mute:x", *MEMORY, path=site) as process:
        process.wait_for("starting")
        assert process.end() == 0
    assert "synced" not in process.text()


def test_a_source_that_fails_takes_the_process_along(tmp_path: Path) -> None:
    source = """
        import threading
        from pointsman.core.hookspecs import hookimpl
        from pointsman.core.source import SourceSpec

        class Failing:
            def start(self, sink):
                self.thread = threading.Thread(target=sink.failed, args=[RuntimeError("it dried up")])
                self.thread.start()

            def stop(self):
                self.thread.join()

        @hookimpl
        def pointsman_register_sources(registry):
            registry.add(SourceSpec("failing", "", lambda argument, config: Failing()))
    """
    site = distribution(tmp_path / "site", "failing", source)
    with running("run", "--source=failing:x", *MEMORY, path=site) as process:
        assert process.status() == 1
    assert process.lines[-1] == "RuntimeError: it dried up"


def test_observers_are_told_of_the_end(tmp_path: Path) -> None:
    source = """
        from pointsman.core.hookspecs import hookimpl

        @hookimpl
        def pointsman_after_sync(plan):
            raise OSError("cannot\\nlisten")

        @hookimpl
        def pointsman_shutdown():
            import logging
            logging.getLogger("observer").warning("heard", extra={"of": "the end"})
    """
    site = distribution(tmp_path / "site", "observer", source)
    with running("run", f"--source=files:{folder(tmp_path / 'o')}", *MEMORY, path=site) as process:
        process.wait_for("ready")
        assert process.end() == 0
    assert "heard" in process.lines[-1]
    assert "plugin_failed" in process.text()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_bad_input_is_a_line_each_and_harms_nothing_else(
    tmp_path: Path, paper: Paper, log_format: str
) -> None:
    objects = folder(tmp_path / "objects")
    (objects / "garbage.yaml").write_bytes(b"{ not: [yaml\x00\xff")
    shapeless = service("shapeless", port_fields={"port": "eighty"})
    addressless = service("addressless", "10.96.0.300")
    hostile = service('evil"\n2026-01-01T00:00:00Z [error    ] forged [x]\x1b[2J', "10.96.0.66")
    save(objects / "objects.json", shapeless, addressless, hostile, service("good", "10.96.0.11"))
    arguments = [*PAPER[:2], "--log-format", log_format]
    named = [
        ["garbage.yaml"],
        ["shop/shapeless", "$.spec.ports[0].port", "objects.json"],
        ["shop/addressless", "$.spec.clusterIP", "10.96.0.300"],
        ["$.metadata.name", "objects.json", "forged"],
    ]
    with running("run", f"--source=files:{objects}", *arguments, path=paper.path) as process:
        process.wait_for("ready")
        for words in named:
            process.wait_for("rejected", *words)
        assert process.end() == 0
    assert paper.holds()["frontends"].keys() == {HTTP, "10.96.0.11:80/tcp"}
    assert len([line for line in process.lines if "rejected" in line]) == len(named)
    assert all(line.isprintable() for line in process.lines)
    if log_format == "text":
        assert all(RECORD.fullmatch(line) for line in process.lines)
    else:
        assert all(isinstance(record, dict) for record in records(process))


def test_it_says_so_where_local_pods_cannot_be_told(tmp_path: Path) -> None:
    objects = folder(tmp_path / "objects")
    arguments = ["run", f"--source=files:{objects}", *MEMORY, "--log-format=json", "--cluster-cidr=fd00::/16"]
    with running(*arguments) as process:
        process.wait_for("ready")
        assert process.end() == 0
    [warning] = of_event(process, "local_pods_unknown")
    assert warning["families"] == ["IPv4"]
    assert "--cluster-cidr" in warning["remedy"]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with running("run", f"--source=files:{tmp_path}/none", *MEMORY) as process:
        assert process.status() == 2
    assert process.lines[-1].startswith(f"pointsman: --source files:{tmp_path}/none: ")


def test_every_wrong_flag_is_named() -> None:
    done = pointsman("run", "--source=files", "--masquerade-bit=99", "--cluster-cidr=x\ny")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "pointsman: --cluster-cidr: 'x\\ny' is not an IP address",
        "pointsman: --iptables-masquerade-bit: 99 is not a whole number from 0 to 31",
        "pointsman: --source: 'files' is not NAME:ARGUMENT, such as files:/etc/pointsman/objects",
    ]


def test_a_plugin_may_refuse_the_configuration(tmp_path: Path) -> None:
    source = """
        from pointsman.core.errors import ConfigError
        from pointsman.core.hookspecs import hookimpl

        @hookimpl
        def pointsman_configure(config):
            raise ConfigError(f"{config.proxy_mode} is not for {config.node_name}")
    """
    site = distribution(tmp_path / "site", "strict", source)
    done = pointsman("run", f"--source=files:{tmp_path}", *MEMORY, path=site)
    assert (done.returncode, done.stderr) == (2, "pointsman: memory is not for node-a\n")


def test_a_backend_that_cannot_run_says_why_and_what_to_do(tmp_path: Path) -> None:
    site = Paper(tmp_path, unavailable=("IPv4", "IPv6")).path
    done = pointsman("run", f"--source=files:{tmp_path}", *PAPER, path=site)
    assert (done.returncode, done.stderr) == (1, "pointsman: paper: there is no paper; buy some\n")


def test_a_family_that_cannot_be_served_is_left_out(tmp_path: Path) -> None:
    paper = Paper(tmp_path, unavailable=("IPv6",))
    objects = folder(tmp_path / "objects")
    with running("run", f"--source=files:{objects}", *PAPER, path=paper.path) as process:
        process.wait_for("ready")
        assert process.end() == 0
    [left_out] = of_event(process, "family_left_out")
    assert (left_out["family"], left_out["remedy"]) == ("IPv6", "buy some")
    assert of_event(process, "starting")[0]["families"] == ["IPv4"]
    assert paper.holds()["frontends"]


def test_a_sync_that_fails_is_said_and_tried_again(tmp_path: Path) -> None:
    paper = Paper(tmp_path, broken=("sync",))
    objects = folder(tmp_path / "objects")
    periods = ["--iptables-sync-period=10ms", "--iptables-min-sync-period=1ms", "--ip-family=ipv4"]
    with running("run", f"--source=files:{objects}", *PAPER, *periods, path=paper.path) as process:
        seen = process.wait_for("sync_failed", "the pencil broke")
        process.wait_for("sync_failed", after=seen)
        assert process.end() == 0
    assert of_event(process, "ready") == []


def test_what_the_backend_lacks_is_reported_for_each_object(tmp_path: Path) -> None:
    paper = Paper(tmp_path, missing=("node-port", "session-affinity"))
    objects = folder(tmp_path / "objects", type="NodePort", port_fields={"nodePort": 30080})
    arguments = ["run", f"--source=files:{objects}", "--iptables-min-sync-period=0", *PAPER]
    with running(*arguments, path=paper.path) as process:
        seen = process.wait_for("ready")
        save(objects / "service.json", service(sessionAffinity="ClientIP"))
        process.wait_for('"synced"', after=seen)
        assert process.end() == 0
    assert [(record["object"], record["reason"]) for record in of_event(process, "rejected")] == [
        ("shop/web", "not supported yet: node-port: comes with paper 2"),
        ("shop/web", "not supported yet: session-affinity: comes with paper 2"),
    ]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Objects as a real API server gave them."""
    if not API_SERVER.is_dir():
        pytest.skip("the recordings of a real API server are not here")
    objects = tmp_path / "objects"
    objects.mkdir()
    for name in ("services", "endpointslices", "nodes", "servicecidrs"):
        (objects / f"{name}.json").write_bytes((API_SERVER / f"list-{name}.json").read_bytes())
    return objects


def served(recorded: Path) -> Mapping[str, Mapping[str, Any]]:
    """The specs of the recorded Services that a proxy serves, by name, read from the objects themselves."""
    return {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": item["spec"]
        for item in json.loads((recorded / "services.json").read_bytes())["items"]
        if item["spec"]["type"] != "ExternalName"
        and item["spec"]["clusterIP"] != "None"
        and "service.kubernetes.io/service-proxy-name" not in item["metadata"].get("labels", {})
    }


ASKS_FOR: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "node-port": lambda spec: any(port.get("nodePort") for port in spec["ports"]),
    "sctp": lambda spec: any(port["protocol"] == "SCTP" for port in spec["ports"]),
    "ipv6": lambda spec: any(":" in address for address in spec["clusterIPs"]),
}


def test_it_serves_what_a_real_api_server_says(paper: Paper, recorded: Path) -> None:
    arguments = ["run", f"--source=files:{recorded}", *PAPER, *CLUSTER]
    with running(*arguments, path=paper.path) as process:
        process.wait_for("ready")
        assert process.end() == 0
    assert {record["level"] for record in records(process)} == {"info"}
    held = paper.holds()["frontends"].keys() | paper.holds("IPv6")["frontends"].keys()
    for spec in served(recorded).values():
        address = f"[{spec['clusterIP']}]" if ":" in spec["clusterIP"] else spec["clusterIP"]
        for port in spec["ports"]:
            assert f"{address}:{port['port']}/{port['protocol'].lower()}" in held


def test_what_is_not_supported_yet_is_said_of_each_real_object(tmp_path: Path, recorded: Path) -> None:
    paper = Paper(tmp_path, missing=tuple(ASKS_FOR))
    with running("run", f"--source=files:{recorded}", *PAPER, path=paper.path) as process:
        process.wait_for("ready")
        assert process.end() == 0
    asking = {
        (name, f"not supported yet: {feature}: comes with paper 2")
        for name, spec in served(recorded).items()
        for feature, asks in ASKS_FOR.items()
        if asks(spec)
    }
    assert {reason.split(": ")[1] for _, reason in asking} == ASKS_FOR.keys()
    said = [(record["object"], record["reason"]) for record in of_event(process, "rejected")]
    assert sorted(said) == sorted(asking)


@pytest.mark.netns
def test_the_kernel_takes_what_a_real_api_server_says(recorded: Path) -> None:
    arguments = [
        "run", f"--source=files:{recorded}", "--proxy-mode=nftables", "--hostname-override=node-a", *CLUSTER,
    ]  # fmt: skip
    with Namespace("node") as node:
        with running(*arguments, "--log-format=json", popen=node.popen) as process:
            process.wait_for("ready")
            assert process.end() == 0
        assert {record["level"] for record in records(process)} == {"info"}
        assert sum(record["writes"] for record in of_event(process, "synced")) > len(served(recorded))


@pytest.mark.netns
def test_node_ports_answer_on_new_addresses_promptly(tmp_path: Path, paper: Paper) -> None:
    objects = folder(tmp_path / "objects", type="NodePort", port_fields={"nodePort": 30080})
    arguments = [
        "run", f"--source=files:{objects}", *PAPER, "--ip-family=ipv4", "--iptables-min-sync-period=0",
        "--nodeport-addresses=192.0.2.0/24",
    ]  # fmt: skip
    with (
        Namespace("node") as node,
        running(*arguments, path=paper.path, popen=node.popen) as process,
    ):
        seen = process.wait_for("ready")
        assert paper.holds()["node_ports"] == []
        node.configure(lambda rtnl: rtnl.addr("add", index=LOOPBACK, address="192.0.2.7", prefixlen=24))
        seen = process.wait_for('"synced"', after=seen)
        assert paper.holds()["node_ports"] == ["192.0.2.7"]
        node.configure(lambda rtnl: rtnl.addr("del", index=LOOPBACK, address="192.0.2.7", prefixlen=24))
        process.wait_for('"synced"', after=seen)
        assert paper.holds()["node_ports"] == []
        assert process.end() == 0


@pytest.mark.netns
def test_addresses_from_before_count_in_the_first_sync(tmp_path: Path, paper: Paper) -> None:
    """Else every restart would take node ports away for a moment."""
    objects = folder(tmp_path / "objects", type="NodePort", port_fields={"nodePort": 30080})
    arguments = ["run", f"--source=files:{objects}", *PAPER, "--nodeport-addresses=192.0.2.0/24"]
    with Namespace("node") as node:
        node.configure(lambda rtnl: rtnl.addr("add", index=LOOPBACK, address="192.0.2.7", prefixlen=24))
        with running(*arguments, path=paper.path, popen=node.popen) as process:
            process.wait_for("ready")
            assert paper.holds()["node_ports"] == ["192.0.2.7"]
            assert process.end() == 0
    assert len([record for record in of_event(process, "synced") if record["family"] == "IPv4"]) == 1


@pytest.mark.netns
def test_a_restart_with_the_right_rules_writes_nothing(tmp_path: Path) -> None:
    objects = folder(tmp_path / "objects")
    arguments = [
        "run", f"--source=files:{objects}", "--proxy-mode=nftables", "--hostname-override=node-a",
        "--log-format=json",
    ]  # fmt: skip
    writes = []
    with Namespace("node") as node:
        for _ in range(2):
            with running(*arguments, popen=node.popen) as process:
                process.wait_for("ready")
                assert process.end() == 0
            writes.append(sum(record["writes"] for record in of_event(process, "synced")))
    assert writes[0] > 0
    assert writes[1] == 0


@pytest.mark.netns
def test_CT_09_and_CLN_05_a_start_sets_up_connection_tracking_where_it_runs(tmp_path: Path) -> None:
    objects = folder(tmp_path / "objects")
    settings = Path("/proc/sys/net/netfilter")
    arguments = ["--proxy-mode=nftables", "--hostname-override=node-a", "--log-format=json", *CLUSTER]
    with Namespace("node") as node:
        with running("run", f"--source=files:{objects}", *arguments, popen=node.popen) as process:
            process.wait_for("ready")
            assert process.end() == 0
        changed = {record["setting"].rpartition("/")[2] for record in of_event(process, "setting_changed")}
        assert changed == {"nf_conntrack_tcp_timeout_established", "nf_conntrack_tcp_timeout_close_wait"}
        assert node.run((settings / "nf_conntrack_tcp_timeout_close_wait").read_text).strip() == "3600"
        # CLN-05: what is right isn't touched again, and --init-only does no more than that.
        done = ["run", "--init-only", *arguments]
        with running(*done, popen=node.popen) as process:
            assert process.status() == 0
        assert of_event(process, "setting_changed") == []


@pytest.mark.netns
def test_SEC_02_liberal_tracking_has_nothing_dropped_as_invalid(tmp_path: Path) -> None:
    """Whoever made it liberal: what counts is what the kernel says at the start."""
    objects = folder(tmp_path / "objects")
    arguments = ["run", f"--source=files:{objects}", "--proxy-mode=nftables", *CLUSTER, "--ip-family=ipv4"]
    rules = {}
    for liberal in (0, 1):
        with Namespace("node") as node:
            node.sysctl({"netfilter/nf_conntrack_tcp_be_liberal": liberal})
            with running(*arguments, "--hostname-override=node-a", popen=node.popen) as process:
                process.wait_for("ready")
                assert process.end() == 0
            rules[liberal] = node.run(observed_rules)
    assert rules[0] == rules[1] + 1


def observed_rules() -> int:
    """How many rules of the forward chain there are."""
    with NetfilterSocket() as netfilter:
        table = Table(Family.IP, "pointsman")
        return len(netfilter.dump_rules(table, FORWARD))


def test_HTTP_04_a_start_is_an_event_of_the_node(tmp_path: Path) -> None:
    source = """
    import logging
    from pointsman.core.hookspecs import hookimpl

    @hookimpl
    def pointsman_event(event):
        words = (event.kind, event.name.name, event.type, event.reason)
        logging.getLogger("events").warning(" ".join(words))
    """
    plugins = distribution(tmp_path / "plugins", "listener", source)
    objects = folder(tmp_path / "objects")
    with running("run", f"--source=files:{objects}", *MEMORY, path=plugins) as process:
        process.wait_for("Node node-a Normal Starting")
        assert process.end() == 0
