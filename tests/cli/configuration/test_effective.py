"""File and flags together: precedence, listeners, and that writing and reading are each other's reverse."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cli.configuration.effective import Effective
from pointsman.cli.configuration.flags import as_text
from pointsman.cli.configuration.rules import Listener, listener
from pointsman.cli.configuration.settings import value_at, with_value
from pointsman.cli.configuration.table import BY_KEY, SETTINGS
from pointsman.cli.configuration.v1alpha1 import KubeProxyConfiguration, VModuleItem
from pointsman.cli.configuration.writing import as_yaml, plain
from pointsman.cli.durations import Duration, duration
from pointsman.core.addresses import parse_address

from .told import KUBEADM, refused_file, told, written


def test_CFG_02_a_file_makes_flags_ineffective_and_that_is_said(tmp_path: Path) -> None:
    flags = ["--proxy-mode=nftables", "--masquerade-all", "--metrics-port=0", "--kubeconfig=/k"]
    chosen = written(tmp_path, "mode: ipvs\n", *flags)
    assert chosen.config == written(tmp_path, "mode: ipvs\n").config
    assert sorted(chosen.ignored) == ["--kubeconfig", "--masquerade-all", "--metrics-port", "--proxy-mode"]


def test_CFG_02_node_name_master_logging_and_our_own_flags_remain(tmp_path: Path) -> None:
    text = "hostnameOverride: other\nlogging: {verbosity: 1, vmodule: [{filePattern: b, verbosity: 2}]}\n"
    flags = ["--hostname-override=node-a", "--master=https://m", "-v=5", "--vmodule=a=1", "--instance=blue"]
    chosen = written(tmp_path, text, *flags)
    assert chosen.ignored == ()
    assert chosen.config.hostname_override == "node-a"
    assert chosen.commands["--master"] == "https://m"
    assert chosen.config.logging.verbosity == 5
    assert chosen.config.logging.vmodule == (VModuleItem("a", 1), VModuleItem("b", 2))
    assert chosen.config.pointsman.instance == "blue"


def test_CFG_02_commands_remain(tmp_path: Path) -> None:
    chosen = written(tmp_path, "", "--cleanup", "--init-only", "--write-config-to=/x")
    assert (
        chosen.commands.items() >= {"--cleanup": True, "--init-only": True, "--write-config-to": "/x"}.items()
    )


def test_CFG_05_a_wrong_flag_and_a_wrong_file_are_both_named(tmp_path: Path) -> None:
    found = refused_file(tmp_path, "mode: 3\n", "--feature-gates=x")
    assert [problem.partition(":")[0] for problem in found] == ["--feature-gates", "mode"]


@pytest.mark.parametrize(
    ("arguments", "healthz", "metrics"),
    [
        ([], "0.0.0.0:10256", "127.0.0.1:10249"),
        (["--bind-address=::"], "[::]:10256", "[::1]:10249"),
        (["--bind-address=fd00::7"], "[::]:10256", "[::1]:10249"),
        (["--healthz-bind-address=::", "--metrics-bind-address=192.0.2.1"], "[::]:10256", "192.0.2.1:10249"),
        (["--healthz-port=1", "--metrics-port=2"], "0.0.0.0:1", "127.0.0.1:2"),
        (["--healthz-bind-address=192.0.2.1", "--healthz-port=1"], "192.0.2.1:1", "127.0.0.1:10249"),
        (["--healthz-bind-address=192.0.2.1:7", "--healthz-port=1"], "192.0.2.1:7", "127.0.0.1:10249"),
        (["--healthz-port=0", "--metrics-port=0"], "0.0.0.0:0", "127.0.0.1:0"),
        (["--healthz-bind-address=", "--metrics-bind-address="], "0.0.0.0:0", "127.0.0.1:0"),
        (["--healthz-bind-address=0.0.0.0:0", "--metrics-bind-address=[::]:0"], "0.0.0.0:0", "[::]:0"),
    ],
)
def test_CFG_23_and_CFG_24_where_servers_listen(arguments: list[str], healthz: str, metrics: str) -> None:
    config = told(*arguments).config
    assert (config.healthz_bind_address, config.metrics_bind_address) == (healthz, metrics)


def test_CFG_23_port_0_is_nowhere() -> None:
    assert listener("[::]:0") is None
    assert listener("[::1]:80") == Listener(parse_address("::1"), 80)
    assert str(listener("[::1]:80")) == "[::1]:80"


def test_labels_say_where_a_value_came_from(tmp_path: Path) -> None:
    assert told("--masquerade-all").labels["nftables.masqueradeAll"] == "--masquerade-all"
    assert written(tmp_path, "ipvs: {strictARP: true}").without_effect() == ["ipvs.strictARP"]


def test_CFG_16_settings_of_another_mode_are_not_looked_at(tmp_path: Path) -> None:
    text = "ipvs: {excludeCIDRs: [x]}\nmode: "
    assert written(tmp_path, text + "iptables").config.ipvs.exclude_cidrs == ("x",)
    assert refused_file(tmp_path, text + "ipvs") == ("ipvs.excludeCIDRs: 'x' is not an IP address",)


def test_configz_has_the_names_of_the_api() -> None:
    shown = plain(told(f"--config={KUBEADM}").config)
    assert shown["kind"] == "KubeProxyConfiguration"
    assert shown["conntrack"]["tcpEstablishedTimeout"] == "24h0m0s"
    assert shown["clusterCIDR"] == "10.244.0.0/16"


spans = st.integers(1, 10**15).map(Duration)
networks = st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.0/24"])
# What each flag for a field may say; those that are left out have but one or two values worth trying.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "hostnameOverride": st.sampled_from(["node-a", "b"]),
    "clientConnection.kubeconfig": st.text("abc/", min_size=1),
    "clientConnection.qps": st.integers(1, 99).map(float),
    "clientConnection.burst": st.integers(1, 99),
    "configSyncPeriod": spans,
    "bindAddress": st.sampled_from(["0.0.0.0", "::", "192.0.2.1", "fd00::1"]),
    "oomScoreAdj": st.integers(-1000, 1000),
    "detectLocalMode": st.sampled_from(["ClusterCIDR", "NodeCIDR"]),
    "clusterCIDR": st.sampled_from(["10.0.0.0/8", "10.0.0.0/8,fd00::/8"]),
    "healthzBindAddress": st.sampled_from(["[::]:1", "192.0.2.1:0", "192.0.2.1"]),
    "metricsBindAddress": st.sampled_from(["[::]:1", "192.0.2.1:0", "192.0.2.1"]),
    "bindAddressHardFail": st.booleans(),
    "enableProfiling": st.booleans(),
    "mode": st.sampled_from(["iptables", "nftables", "ipvs", "auto", "memory"]),
    "iptables.localhostNodePorts": st.booleans(),
    "ipvs.scheduler": st.sampled_from(["rr", "lc"]),
    "ipvs.strictARP": st.booleans(),
    "ipvs.excludeCIDRs": st.lists(networks, min_size=1).map(tuple),
    "ipvs.tcpTimeout": spans,
    "nodePortAddresses": st.lists(networks, min_size=1).map(tuple) | st.just(("primary",)),
    "conntrack.maxPerCore": st.integers(0, 2**31 - 1),
    "conntrack.min": st.integers(0, 2**31 - 1),
    "conntrack.tcpEstablishedTimeout": spans | st.just(Duration(0)),
    "conntrack.tcpBeLiberal": st.booleans(),
    "featureGates": st.dictionaries(st.sampled_from(["AllAlpha", "NodeSwap"]), st.booleans(), min_size=1),
    "logging.format": st.sampled_from(["text", "json"]),
    "logging.verbosity": st.integers(0, 2**31),
    "logging.vmodule": st.lists(
        st.builds(VModuleItem, st.text("ab*", min_size=1), st.integers(0, 9)), min_size=1
    ).map(tuple),
    "pointsman.instance": st.sampled_from(["a", "b-2"]),
    "pointsman.source": st.sampled_from(["files:/x", "kubernetes:"]),
    "pointsman.ipFamily": st.sampled_from(["dual"]),
}  # fmt: skip
said = st.fixed_dictionaries({}, optional=VALUES)


def by_flags(values: dict[str, Any]) -> Effective:
    return told(*(f"{BY_KEY[path].flags[-1]}={as_text(value)}" for path, value in values.items()))


@given(said)
def test_CFG_04_what_is_written_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "config.yaml"
    config = by_flags(values).config
    file.write_text(as_yaml(config))
    again = told(f"--config={file}")
    assert again.warnings == ()
    assert again.config == config
    assert as_yaml(again.config) == file.read_text()


@given(said)
def test_flags_and_a_file_of_the_same_values_mean_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "config.yaml"
    config = KubeProxyConfiguration()
    for path, value in values.items():
        config = with_value(config, path, value)
    file.write_text(as_yaml(config))
    assert told(f"--config={file}").config == by_flags(values).config


def test_as_text_is_what_a_flag_takes() -> None:
    assert as_text(duration("90s")) == "1m30s"
    for setting in SETTINGS:
        if setting.field and setting.flags:
            assert isinstance(as_text(value_at(KubeProxyConfiguration(), setting.field)), str)
