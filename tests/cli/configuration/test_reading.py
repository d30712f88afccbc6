"""The configuration file: what it sets, what is only strange, and what is refused."""

import json
from pathlib import Path

import pytest

from pointsman.cli.configuration.reading import MAX_BYTES, read_text
from pointsman.cli.configuration.v1alpha1 import KubeProxyConfiguration, VModuleItem
from pointsman.cli.durations import duration
from pointsman.cli.problems import Problems

from .told import HEAD, KUBEADM, refused_file, told, written


def test_CFG_01_kubeadms_file_says_what_kube_proxys_defaults_say(tmp_path: Path) -> None:
    chosen = told(f"--config={KUBEADM}", "--hostname-override=Node-A")
    assert chosen.warnings == ()
    assert chosen.ignored == ()
    assert chosen.without_effect() == []
    expected = told(
        "--kubeconfig=/var/lib/kube-proxy/kubeconfig.conf",
        "--cluster-cidr=10.244.0.0/16",
        "--hostname-override=Node-A",
    )
    assert chosen.config == expected.config


def test_CFG_01_json_is_read_too() -> None:
    fields = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "nftables": {"minSyncPeriod": "250ms"},
    }
    config = read_text(json.dumps(fields, indent="\t").encode()).config
    assert config.mode == "nftables"
    assert config.nftables.min_sync_period == duration("250ms")


def test_CFG_01_a_mapping_in_braces_may_be_yaml() -> None:
    text = "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration, mode: ipvs}"
    assert read_text(text.encode()).config.mode == "ipvs"


def test_CFG_01_unknown_fields_are_only_strange_and_the_near_name_is_said(tmp_path: Path) -> None:
    text = "clusterCidr: 10.0.0.0/8\niptables:\n  masqueradebit: 3\n  xyz: 1\nmode: iptables\n"
    chosen = written(tmp_path, text)
    assert chosen.warnings == (
        "there is no field 'clusterCidr' (did you mean clusterCIDR?)",
        "there is no field iptables.'masqueradebit' (did you mean masqueradeBit?)",
        "there is no field iptables.'xyz'",
    )
    assert chosen.config.mode == "iptables"
    assert chosen.config.cluster_cidr == ""


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "mode: ipvs\nmode: iptables\n",
        '{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",'
        ' "mode": "ipvs", "mode": "iptables"}',
    ],
)
def test_CFG_01_the_last_of_fields_with_one_name_counts(text: str) -> None:
    reading = read_text(text.encode())
    assert reading.config.mode == "iptables"
    [warning] = reading.warnings
    assert warning.endswith("the field 'mode' is there twice; the last one counts")


def test_only_the_first_document_counts() -> None:
    reading = read_text(f"# first\n---\n{HEAD}mode: ipvs\n---\n{HEAD}mode: iptables\n".encode())
    assert reading.config.mode == "ipvs"
    assert reading.warnings == ("line 6: only the first document of the file counts",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "--config: the file holds no mapping"),
        ("", "--config: the file holds no mapping"),
        (
            "kind: KubeProxyConfiguration",
            "--config: apiVersion is None, and only kubeproxy.config.k8s.io/v1alpha1 is known",
        ),
        (
            "apiVersion: kubeproxy.config.k8s.io/v1alpha2\nkind: KubeProxyConfiguration",
            "--config: apiVersion is 'kubeproxy.config.k8s.io/v1alpha2',"
            " and only kubeproxy.config.k8s.io/v1alpha1 is known",
        ),
        (
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeletConfiguration",
            "--config: kind is 'KubeletConfiguration', and only KubeProxyConfiguration is known",
        ),
    ],
)
def test_CFG_01_another_kind_or_version_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Problems) as caught:
        read_text(text.encode())
    assert caught.value.problems == (problem,)


def test_CFG_01_values_of_wrong_types_are_refused_all_at_once(tmp_path: Path) -> None:
    text = """
iptables: {masqueradeBit: "14", syncPeriod: soon, minSyncPeriod: true}
ipvs: [1]
conntrack: {min: 4294967296}
mode: 3
nodePortAddresses: 10.0.0.0/8
featureGates: {AllAlpha: "true"}
logging: {vmodule: [{filePattern: a}]}
"""
    found = refused_file(tmp_path, text)
    assert [problem.partition(":")[0] for problem in found] == [
        "iptables.masqueradeBit",
        "iptables.syncPeriod",
        "iptables.minSyncPeriod",
        "ipvs",
        "conntrack.min",
        "mode",
        "nodePortAddresses",
        "featureGates",
        "logging.vmodule",
    ]


@pytest.mark.parametrize("number", ["5", "0", "30.5"])
def test_CFG_01_a_duration_without_a_unit_is_refused(tmp_path: Path, number: str) -> None:
    [problem] = refused_file(tmp_path, f"iptables: {{minSyncPeriod: {number}}}\n")
    assert problem == "iptables.minSyncPeriod: a duration such as 30s is expected, not a number"


@pytest.mark.parametrize("text", ["mode: [", "a: *b", "mode: !!python/object x", "\x00"])
def test_CFG_01_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    [problem] = refused_file(tmp_path, text)
    assert problem.startswith(f"--config: {tmp_path}/config.yaml, line ")


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(Problems, match="none can't be read: No such file or directory"):
        told(f"--config={tmp_path}/none")
    (tmp_path / "large").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(Problems, match=f"large has more than {MAX_BYTES} bytes"):
        told(f"--config={tmp_path}/large")


def test_broken_rules_are_named_by_field(tmp_path: Path) -> None:
    found = refused_file(tmp_path, "iptables: {masqueradeBit: 32}\noomScoreAdj: 2000\nbindAddress: me\n")
    assert sorted(problem.partition(":")[0] for problem in found) == [
        "bindAddress",
        "iptables.masqueradeBit",
        "oomScoreAdj",
    ]


def test_CFG_15_zero_is_no_value_but_for_ipvs(tmp_path: Path) -> None:
    text = "iptables: {minSyncPeriod: 0s}\nnftables: {minSyncPeriod: 0s}\nipvs: {minSyncPeriod: 0s}\n"
    config = written(tmp_path, text).config
    second = duration("1s")
    assert (config.iptables.min_sync_period, config.nftables.min_sync_period) == (second, second)
    assert config.ipvs.min_sync_period == 0


def test_CFG_36_logging_of_all_kinds(tmp_path: Path) -> None:
    text = """
logging:
  format: json
  flushFrequency: 2000000000
  verbosity: 3
  vmodule: [{filePattern: a*, verbosity: 2}]
  options: {json: {splitStream: true, infoBufferSize: 1Mi}}
"""
    chosen = written(tmp_path, text)
    assert chosen.config.logging.format == "json"
    assert chosen.config.logging.flush_frequency == duration("2s")
    assert chosen.config.logging.vmodule == (VModuleItem("a*", 2),)
    assert sorted(chosen.without_effect()) == [
        "logging.flushFrequency",
        "logging.options.json.infoBufferSize",
        "logging.options.json.splitStream",
        "logging.vmodule",
    ]


def test_CFG_37_what_is_for_windows_is_taken_and_said_to_be_without_effect(tmp_path: Path) -> None:
    text = "portRange: 1-2\nwindowsRunAsService: true\nwinkernel: {networkName: n, enableDSR: true}\n"
    assert sorted(written(tmp_path, text).without_effect()) == [
        "portRange",
        "windowsRunAsService",
        "winkernel.enableDSR",
        "winkernel.networkName",
    ]


def test_our_own_settings_are_in_the_same_file(tmp_path: Path) -> None:
    text = "pointsman:\n  instance: blue\n  source: files:/objects\n  ipFamily: ipv4\n"
    own = written(tmp_path, text).config.pointsman
    assert (own.instance, own.source, own.ip_family) == ("blue", "files:/objects", "ipv4")
    assert refused_file(tmp_path, "pointsman: {instance: A B, ipFamily: 5}") == (
        "pointsman.ipFamily: Expected `str`, got `int`",
    )
    [problem] = refused_file(tmp_path, "pointsman: {backends: {paper: {}}}")
    assert problem == "pointsman.backends: no backend 'paper' is installed"


def test_an_empty_file_of_ours_means_the_defaults() -> None:
    assert read_text(HEAD.encode()).config == KubeProxyConfiguration()
