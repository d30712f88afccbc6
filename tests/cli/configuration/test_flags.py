"""Flags: what they set, what they refuse, and that every problem is named at once."""

import socket

import pytest

from pointsman.cli.configuration.flags import flag_values
from pointsman.cli.configuration.rules import node_name
from pointsman.cli.configuration.settings import field_types, value_at
from pointsman.cli.configuration.table import SETTINGS
from pointsman.cli.configuration.v1alpha1 import KubeProxyConfiguration, VModuleItem
from pointsman.cli.durations import duration

from .told import refused, told

MINUTE_AND_A_HALF = duration("1m30s")


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--proxy-mode=memory"], {"mode": "memory"}),
        (["--proxy_mode", "auto"], {"mode": "auto"}),
        (["--hostname-override=Node-A"], {"hostnameOverride": "Node-A"}),
        (["--kubeconfig=/k"], {"clientConnection.kubeconfig": "/k"}),
        (["--kube-api-content-type=application/json"], {"clientConnection.contentType": "application/json"}),
        (["--kube-api-qps=7.5"], {"clientConnection.qps": 7.5}),
        (["--kube-api-burst=0"], {"clientConnection.burst": 0}),
        (["--config-sync-period=1m30s"], {"configSyncPeriod": MINUTE_AND_A_HALF}),
        (["--oom-score-adj=-1000"], {"oomScoreAdj": -1000}),
        (["--cluster-cidr=10.0.0.0/8"], {"clusterCIDR": "10.0.0.0/8"}),
        (["--detect-local-mode=NodeCIDR"], {"detectLocalMode": "NodeCIDR"}),
        (["--pod-bridge-interface=cni0"], {"detectLocal.bridgeInterface": "cni0"}),
        (["--pod-interface-name-prefix=veth"], {"detectLocal.interfaceNamePrefix": "veth"}),
        (["--healthz-bind-address=[::1]:1"], {"healthzBindAddress": "[::1]:1"}),
        (["--metrics-bind-address=192.0.2.7"], {"metricsBindAddress": "192.0.2.7:10249"}),
        (["--bind-address-hard-fail"], {"bindAddressHardFail": True}),
        (["--profiling"], {"enableProfiling": True}),
        (["--show-hidden-metrics-for-version=1.35"], {"showHiddenMetricsForVersion": "1.35"}),
        (["--bind-address=192.0.2.7"], {"bindAddress": "192.0.2.7"}),
        (["--iptables-localhost-nodeports=false"], {"iptables.localhostNodePorts": False}),
        (["--iptables-localhost-nodeports=F"], {"iptables.localhostNodePorts": False}),
        (["--masquerade-all"], {"iptables.masqueradeAll": True, "nftables.masqueradeAll": True}),
        (["--masquerade-all=true"], {"iptables.masqueradeAll": True, "nftables.masqueradeAll": True}),
        (["--masquerade-all=false"], {}),
        (["--iptables-masquerade-bit=0"], {"iptables.masqueradeBit": 0, "nftables.masqueradeBit": 0}),
        (["--iptables-masquerade-bit", "31"], {"iptables.masqueradeBit": 31, "nftables.masqueradeBit": 31}),
        (
            ["--iptables-sync-period=1m30s"],
            {"iptables.syncPeriod": MINUTE_AND_A_HALF, "nftables.syncPeriod": MINUTE_AND_A_HALF},
        ),
        (["--iptables-min-sync-period=0"], {"iptables.minSyncPeriod": 0, "nftables.minSyncPeriod": 0}),
        (["--ipvs-sync-period=1m30s"], {"ipvs.syncPeriod": MINUTE_AND_A_HALF}),
        (["--ipvs-min-sync-period=1m30s", "--ipvs-sync-period=1m30s"],
         {"ipvs.minSyncPeriod": MINUTE_AND_A_HALF, "ipvs.syncPeriod": MINUTE_AND_A_HALF}),
        (["--ipvs-scheduler=lc"], {"ipvs.scheduler": "lc"}),
        (["--ipvs-exclude-cidrs=10.0.0.0/8,fd00::/8"], {"ipvs.excludeCIDRs": ("10.0.0.0/8", "fd00::/8")}),
        (["--ipvs-strict-arp"], {"ipvs.strictARP": True}),
        (["--ipvs-tcp-timeout=1m30s"], {"ipvs.tcpTimeout": MINUTE_AND_A_HALF}),
        (["--ipvs-tcpfin-timeout=1m30s"], {"ipvs.tcpFinTimeout": MINUTE_AND_A_HALF}),
        (["--ipvs-udp-timeout=1m30s"], {"ipvs.udpTimeout": MINUTE_AND_A_HALF}),
        (["--nodeport-addresses=primary"], {"nodePortAddresses": ("primary",)}),
        (
            ["--nodeport-addresses=192.0.2.0/24", "--nodeport-addresses=fd00::/64,10.0.0.0/8"],
            {"nodePortAddresses": ("192.0.2.0/24", "fd00::/64", "10.0.0.0/8")},
        ),
        (["--conntrack-max-per-core=0"], {"conntrack.maxPerCore": 0}),
        (["--conntrack-min=7"], {"conntrack.min": 7}),
        (["--conntrack-tcp-timeout-established=0"], {"conntrack.tcpEstablishedTimeout": 0}),
        (["--conntrack-tcp-timeout-close-wait=0s"], {"conntrack.tcpCloseWaitTimeout": 0}),
        (["--conntrack-tcp-be-liberal"], {"conntrack.tcpBeLiberal": True}),
        (["--conntrack-udp-timeout=1m30s"], {"conntrack.udpTimeout": MINUTE_AND_A_HALF}),
        (["--conntrack-udp-timeout-stream=1m30s"], {"conntrack.udpStreamTimeout": MINUTE_AND_A_HALF}),
        (["--feature-gates=NodeSwap=true,AllAlpha=f", "--feature-gates=AllBeta=1"],
         {"featureGates": {"NodeSwap": True, "AllAlpha": False, "AllBeta": True}}),
        (["--logging-format=json"], {"logging.format": "json"}),
        (["--log_flush_frequency=1m30s"], {"logging.flushFrequency": MINUTE_AND_A_HALF}),
        (["-v"], {"logging.verbosity": 4}),
        (["-v2"], {"logging.verbosity": 2}),
        (["-v=2"], {"logging.verbosity": 2}),
        (["-v", "2"], {"logging.verbosity": 2}),
        (["--v=6"], {"logging.verbosity": 6}),
        (["--vmodule=a*=2,b=3"], {"logging.vmodule": (VModuleItem("a*", 2), VModuleItem("b", 3))}),
        (["--log-json-split-stream"], {"logging.options.json.splitStream": True}),
        (["--log-json-info-buffer-size=1Mi"], {"logging.options.json.infoBufferSize": "1Mi"}),
        (["--log-text-split-stream"], {"logging.options.text.splitStream": True}),
        (["--log-text-info-buffer-size=1Mi"], {"logging.options.text.infoBufferSize": "1Mi"}),
        (["--instance=demo-2"], {"pointsman.instance": "demo-2"}),
        (["--source=files:/a:b"], {"pointsman.source": "files:/a:b"}),
        (["--ip-family=ipv6"], {"pointsman.ipFamily": "ipv6"}),
    ],
)  # fmt: skip
def test_a_flag_sets_its_fields_alone(arguments: list[str], fields: dict[str, object]) -> None:
    without = told().config
    config = told(*arguments).config
    for path in field_types():
        assert value_at(config, path) == fields.get(path, value_at(without, path)), path


def test_every_flag_for_a_field_is_tried_above() -> None:
    [mark] = test_a_flag_sets_its_fields_alone.pytestmark  # type: ignore[attr-defined]
    tried = {path for _, fields in mark.args[1] for path in fields}
    wanted = {setting.field for setting in SETTINGS if setting.flags and setting.field}
    assert wanted <= tried


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs", "memory", "auto", ""])
def test_CFG_10_modes_are_backends_auto_or_nothing(mode: str) -> None:
    assert told(f"--proxy-mode={mode}").config.mode == mode


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("--source=files", "--source: 'files' is not NAME:ARGUMENT, such as files:/etc/pointsman/objects"),
        ("--source=etcd:x", "--source: no kind of source 'etcd' is installed; there are files, kubernetes"),
        (
            "--proxy-mode=kernelspace",
            "--proxy-mode: no backend 'kernelspace' is installed;"
            " there are iptables, ipvs, memory, nftables, and auto chooses",
        ),
        (
            "--hostname-override=a\nb",
            "--hostname-override: 'a\\nb' is no Node's name; give that of this node's Node object",
        ),
        ("--ip-family=4", "--ip-family: '4' is not one of dual, ipv4, ipv6"),
        (
            "--instance=A",
            "--instance: 'A' is not a name of at most 63 lower-case letters, digits and dashes",
        ),
        ("--cluster-cidr=10.0.0.0", "--cluster-cidr: '10.0.0.0' is not a network in CIDR notation"),
        (
            "--cluster-cidr=10.0.0.0/8,11.0.0.0/8",
            "--cluster-cidr: '10.0.0.0/8,11.0.0.0/8' has several networks of a family;"
            " give one, or one IPv4 and one IPv6",
        ),
        (
            "--detect-local-mode=Magic",
            "--detect-local-mode: 'Magic' is not one of"
            " ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix",
        ),
        (
            "--pod-bridge-interface=a/b",
            "--pod-bridge-interface: 'a/b' is no interface's name: 15 characters at most,"
            " no space, slash, colon",
        ),
        ("--masquerade-all=yes", "--masquerade-all: 'yes' is not true or false"),
        ("--masquerade-bit=32", "--iptables-masquerade-bit: 32 is not a whole number from 0 to 31"),
        ("--masquerade-bit=٣", "--iptables-masquerade-bit: '٣' is not a whole number"),
        ("--conntrack-min=99999999999", "--conntrack-min: '99999999999' is not a whole number that fits"),
        ("--conntrack-min=-1", "--conntrack-min: -1 is less than 0"),
        ("--kube-api-qps=much", "--kube-api-qps: 'much' is not a number"),
        ("--kube-api-burst=-1", "--kube-api-burst: -1 is less than 0"),
        ("--oom-score-adj=1001", "--oom-score-adj: 1001 is not a whole number from -1000 to 1000"),
        ("--bind-address=me", "--bind-address: 'me' is not an IP address"),
        (
            "--healthz-bind-address=::1:10256",
            "--healthz-bind-address: '::1:10256' is not ADDRESS:PORT, such as 0.0.0.0:10256 or [::]:10256",
        ),
        (
            "--metrics-bind-address=localhost:1",
            "--metrics-bind-address: 'localhost' is not an IP address",
        ),
        (
            "--metrics-bind-address=0.0.0.0:65536",
            "--metrics-bind-address: '0.0.0.0:65536' is not ADDRESS:PORT,"
            " such as 0.0.0.0:10256 or [::]:10256",
        ),
        ("--metrics-port=-1", "--metrics-port: -1 is not a whole number from 0 to 65535"),
        (
            "--show-hidden-metrics-for-version=1.34",
            "--show-hidden-metrics-for-version: '1.34' is not the previous minor release, 1.35",
        ),
        (
            "--nodeport-addresses=primary,10.0.0.0/8",
            "--nodeport-addresses: 'primary,10.0.0.0/8' mixes primary with networks;"
            " give primary alone, or networks",
        ),
        ("--iptables-sync-period=0", "--iptables-sync-period: 0s is not more than 0"),
        ("--iptables-min-sync-period=-1s", "--iptables-min-sync-period: -1s is less than 0"),
        (
            "--iptables-min-sync-period=soon",
            "--iptables-min-sync-period: 'soon' is not a duration such as 30s, 500ms or 1h2m3s",
        ),
        ("--feature-gates=AllAlpha", "--feature-gates: 'AllAlpha' is not NAME=true or NAME=false"),
        (
            "--feature-gates=AllowServiceExternalIP=true",
            "--feature-gates: there is no such feature gate in Kubernetes 1.36:"
            " 'AllowServiceExternalIP' (did you mean AllowServiceExternalIPs?)",
        ),
        ("--vmodule=a", "--vmodule: 'a' is not PATTERN=LEVEL"),
        ("--log-format=xml", "--logging-format: 'xml' is not one of text, json"),
        ("-v=-1", "-v: '-1' is not a whole number that fits"),
    ],
)
def test_a_problem_names_the_flag_and_what_would_be_right(argument: str, problem: str) -> None:
    assert refused(argument) == (problem,)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["--iptables-sync-period=1s", "--iptables-min-sync-period=2s"], "--iptables-sync-period"),
        (
            ["--proxy-mode=ipvs", "--ipvs-sync-period=1s", "--ipvs-min-sync-period=2s"],
            "--ipvs-sync-period",
        ),
        (["--detect-local-mode=BridgeInterface"], "--pod-bridge-interface"),
        (["--detect-local-mode=InterfaceNamePrefix"], "--pod-interface-name-prefix"),
        (["--cluster-cidr=10.0.0.0/8", "--ip-family=ipv6"], "--cluster-cidr"),
    ],
)
def test_CFG_19_and_CFG_14_values_that_contradict_each_other(arguments: list[str], flag: str) -> None:
    [problem] = refused(*arguments)
    assert problem.startswith(f"{flag}: ")


def test_a_network_of_a_family_that_is_not_served_does_no_harm_beside_one_that_is() -> None:
    both = "10.0.0.0/8,fd00::/16"
    assert told(f"--cluster-cidr={both}", "--ip-family=ipv6").config.cluster_cidr == both


def test_CFG_05_all_problems_are_named_at_once() -> None:
    found = refused(
        "--masquerade-bit=32", "--cluster-cidr=y", "--iptables-sync-period=-1s", "--proxy-mode=none"
    )
    assert sorted(problem.partition(":")[0] for problem in found) == [
        "--cluster-cidr",
        "--iptables-masquerade-bit",
        "--iptables-sync-period",
        "--proxy-mode",
    ]


def test_CFG_26_the_node_is_named_after_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Worker-1.Example.COM")
    assert node_name("") == "worker-1.example.com"
    assert node_name("  Node-A ") == "node-a"


def test_klogs_flags_are_taken_and_said_to_be_without_effect() -> None:
    flags = [
        "--logtostderr",
        "--alsologtostderr=false",
        "--stderrthreshold=2",
        "--log_dir",
        "/var/log",
        "--one-output",
    ]
    assert sorted(told(*flags).without_effect()) == [
        "--alsologtostderr", "--log-dir", "--logtostderr", "--one-output", "--stderrthreshold"
    ]  # fmt: skip


def test_what_says_nothing_new_is_not_said_to_be_without_effect() -> None:
    assert told().without_effect() == []
    assert told("--kube-api-qps=5", "--ipvs-strict-arp=false", "--ipvs-exclude-cidrs=").without_effect() == []
    assert told("--kube-api-qps=6", "--vmodule=a=1").without_effect() == ["--kube-api-qps", "--vmodule"]


@pytest.mark.parametrize("flag", ["--cleanup", "--init-only"])
def test_commands_are_flags(flag: str) -> None:
    assert told().commands[flag] is False
    assert told(flag).commands[flag] is True
    assert told(f"{flag}=false").commands[flag] is False


def test_CFG_28_the_master_is_no_field() -> None:
    chosen = told("--master=https://192.0.2.1:6443")
    assert chosen.commands["--master"] == "https://192.0.2.1:6443"
    assert chosen.config == told().config


def test_flagz_shows_every_flag_with_its_value() -> None:
    shown = told("--masquerade-all", "--conntrack-min=5", "--feature-gates=AllBeta=true").flags
    assert shown["masquerade-all"] == "true"
    assert shown["conntrack-min"] == "5"
    assert (shown["logging-format"], shown["iptables-masquerade-bit"], shown["v"]) == ("text", "14", "0")
    assert shown["conntrack-tcp-timeout-established"] == "24h0m0s"
    assert shown["feature-gates"] == "AllBeta=true"
    assert shown["nodeport-addresses"] == ""
    assert len(flag_values({}, SETTINGS)) == sum(bool(setting.flags) for setting in SETTINGS)


def test_the_defaults_keep_their_own_rules() -> None:
    for setting in SETTINGS:
        value = value_at(KubeProxyConfiguration(), setting.field) if setting.field else setting.default
        if value != "":
            setting.rule(value)


def test_flags_have_distinct_names_and_every_field_has_its_entry() -> None:
    names = [name for setting in SETTINGS for name in setting.flags]
    assert len(set(names)) == len(names)
    listed = [setting.field for setting in SETTINGS if setting.field]
    assert sorted(listed) == sorted(set(field_types()) - {"apiVersion", "kind"})


def test_CFG_25_CFG_27_CFG_29_CFG_30_CFG_31_CFG_32_and_CFG_33_defaults_are_kube_proxys() -> None:
    config = told().config
    assert (config.bind_address_hard_fail, config.enable_profiling) == (False, False)
    client = config.client_connection
    assert (client.kubeconfig, client.content_type) == ("", "application/vnd.kubernetes.protobuf")
    assert (client.accept_content_types, client.qps, client.burst) == ("", 5, 10)
    assert str(config.config_sync_period) == "15m0s"
    conntrack = config.conntrack
    assert (conntrack.max_per_core, conntrack.min) == (32768, 131072)
    assert (str(conntrack.tcp_established_timeout), str(conntrack.tcp_close_wait_timeout)) == (
        "24h0m0s",
        "1h0m0s",
    )
    assert (conntrack.tcp_be_liberal, conntrack.udp_timeout, conntrack.udp_stream_timeout) == (False, 0, 0)
    assert config.oom_score_adj == -999


@pytest.mark.parametrize(
    ("version", "right"), [("", True), ("1.35", True), ("1.36", False), ("1.34", False), ("x", False)]
)
def test_CFG_35_hidden_metrics_are_those_of_the_previous_minor_release(version: str, right: bool) -> None:
    flag = f"--show-hidden-metrics-for-version={version}"
    if right:
        assert told(flag).config.show_hidden_metrics_for_version == version
    else:
        assert len(refused(flag)) == 1
