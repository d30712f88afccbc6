"""Settings of the process: what to do, the API server, the node, servers (CFG-22…CFG-29, CFG-33)."""

from collections.abc import Sequence

from pointsman.core.config import LocalMode

from . import rules
from .settings import Setting, Verdict

PROCESS: Sequence[Setting] = (
    # What to do.
    Setting(
        "",
        ("--config",),
        "the configuration file; of all other flags then only those on logging,"
        " --hostname-override, --master and our own count",
        kind=str,
        default="",
        verdict=Verdict.BETTER,
        note="says which flags it makes ineffective; suggests near names for unknown fields",
    ),
    Setting(
        "",
        ("--write-config-to",),
        "write the configuration, complete, to a file, and exit",
        kind=str,
        default="",
    ),
    Setting(
        "",
        ("--cleanup",),
        "remove all rules, ours and kube-proxy's, and exit",
        kind=bool,
        default=False,
        alone="true",
        verdict=Verdict.BETTER,
        note="leaves other programs' virtual servers alone",
    ),
    Setting(
        "",
        ("--init-only",),
        "do what needs privileges beyond CAP_NET_ADMIN, and exit",
        kind=bool,
        default=False,
        alone="true",
    ),
    Setting(
        "",
        ("--version",),
        "print the version, and exit",
        kind=str,
        default="false",
        alone="true",
        rule=rules.one_of("true", "false", "raw"),
        note="prints our version, and kube-proxy's that it stands for",
    ),
    # The API server.
    Setting(
        "", ("--master",), "the API server's address, whatever the kubeconfig says", kind=str, default=""
    ),
    Setting(
        "clientConnection.kubeconfig",
        ("--kubeconfig",),
        "how to reach the API server; without it and --master, as a pod does",
    ),
    Setting(
        "clientConnection.acceptContentTypes",
        (),
        "content types to ask the API server for",
        verdict=Verdict.NONE,
        note="always JSON, which is decoded as it comes in",
    ),
    Setting(
        "clientConnection.contentType",
        ("--kube-api-content-type",),
        "the content type of requests",
        verdict=Verdict.NONE,
        note="always JSON, which is decoded as it comes in",
        zero_is_default=True,
    ),
    Setting(
        "clientConnection.qps",
        ("--kube-api-qps",),
        "requests to the API server in a second",
        zero_is_default=True,
        verdict=Verdict.NONE,
        note="there are four watches and few events; retries back off by themselves",
    ),
    Setting(
        "clientConnection.burst",
        ("--kube-api-burst",),
        "requests to the API server at once",
        rules.not_negative,
        zero_is_default=True,
        verdict=Verdict.NONE,
        note="there are four watches and few events; retries back off by themselves",
    ),
    Setting(
        "configSyncPeriod",
        ("--config-sync-period",),
        "how often informers resync",
        rules.positive,
        zero_is_default=True,
        verdict=Verdict.NONE,
        note="a watch that breaks is resumed or listed again; there is no cache to resync from",
    ),
    # The node.
    Setting(
        "hostnameOverride",
        ("--hostname-override",),
        "the name of this node's Node object, if not the host name",
        rules.node_name,
    ),
    Setting(
        "bindAddress",
        ("--bind-address",),
        "this node's own address, if it is not what its Node object says",
        rules.bind_address,
        zero_is_default=True,
    ),
    Setting(
        "oomScoreAdj",
        ("--oom-score-adj",),
        "how readily the kernel kills this process, -1000 to 1000",
        rules.within(-1000, 1000),
    ),
    Setting(
        "detectLocalMode",
        ("--detect-local-mode",),
        f"how local pods are told from others: {', '.join(LocalMode)}",
        rules.local_mode,
        zero_is_default=True,
    ),
    Setting(
        "detectLocal.bridgeInterface",
        ("--pod-bridge-interface",),
        "the bridge that local pods' packets come in by, for BridgeInterface",
        rules.interface,
    ),
    Setting(
        "detectLocal.interfaceNamePrefix",
        ("--pod-interface-name-prefix",),
        "what the names of local pods' interfaces begin with, for InterfaceNamePrefix",
        rules.interface,
    ),
    Setting(
        "clusterCIDR",
        ("--cluster-cidr",),
        "the pods' network, by which local pods are told from others; one of each family",
        rules.cluster_cidrs,
    ),
    # Servers.
    Setting(
        "healthzBindAddress",
        ("--healthz-bind-address",),
        "where /healthz and /livez answer; port 0: nowhere",
        rules.listener,
    ),
    Setting(
        "metricsBindAddress",
        ("--metrics-bind-address",),
        "where /metrics and the pages for people answer; port 0, or an empty flag: nowhere",
        rules.listener,
        verdict=Verdict.BETTER,
        note="can be switched off",
    ),
    Setting(
        "",
        ("--healthz-port",),
        "the port of --healthz-bind-address, if that has none; 0: nowhere",
        rules.within(0, 65535),
        kind=int,
        default=10256,
        deprecated="use --healthz-bind-address",
    ),
    Setting(
        "",
        ("--metrics-port",),
        "the port of --metrics-bind-address, if that has none; 0: nowhere",
        rules.within(0, 65535),
        kind=int,
        default=10249,
        deprecated="use --metrics-bind-address",
        verdict=Verdict.BETTER,
        note="0 works",
    ),
    Setting(
        "bindAddressHardFail",
        ("--bind-address-hard-fail",),
        "exit if a server can't listen",
        alone="true",
    ),
    Setting(
        "enableProfiling",
        ("--profiling",),
        "serve debugging pages too",
        alone="true",
        note="profiles are of Python",
    ),
    Setting(
        "showHiddenMetricsForVersion",
        ("--show-hidden-metrics-for-version",),
        "the previous minor release, to show metrics that were hidden since",
        rules.hidden_metrics,
        verdict=Verdict.NONE,
        note="no metric is hidden",
    ),
)
