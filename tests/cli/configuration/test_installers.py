"""What installers of clusters start kube-proxy with is taken as it is."""

from pathlib import Path

import pytest

from .told import told

COMMAND_LINES = {
    "kops": "--alsologtostderr=true --cluster-cidr=100.96.0.0/11 --conntrack-max-per-core=131072"
    " --hostname-override=i-0123 --kubeconfig=/var/lib/kube-proxy/kubeconfig"
    " --log-file=/var/log/kube-proxy.log --logtostderr=false --master=https://api.internal"
    " --oom-score-adj=-998 --v=2",
    "GKE": "--master=https://192.0.2.4 --kubeconfig=/var/lib/kube-proxy/kubeconfig --cluster-cidr=10.4.0.0/14"
    " --oom-score-adj=-998 --v=2 --feature-gates=TopologyAwareHints=false --iptables-sync-period=1m"
    " --iptables-min-sync-period=10s --ipvs-sync-period=1m --ipvs-min-sync-period=10s"
    " --detect-local-mode=NodeCIDR",
    "RKE2": "--cluster-cidr=10.42.0.0/16 --conntrack-max-per-core=0 --conntrack-tcp-timeout-close-wait=0s"
    " --conntrack-tcp-timeout-established=0s --healthz-bind-address=127.0.0.1 --hostname-override=n1"
    " --kubeconfig=/var/lib/rancher/rke2/agent/kubeproxy.kubeconfig --proxy-mode=iptables",
    "the hard way": "--config=FILE",
}


@pytest.mark.parametrize("who", COMMAND_LINES)
def test_command_lines_of_installers_are_taken_as_they_are(tmp_path: Path, who: str) -> None:
    file = tmp_path / "kube-proxy-config.yaml"
    file.write_text(
        "kind: KubeProxyConfiguration\napiVersion: kubeproxy.config.k8s.io/v1alpha1\n"
        "clientConnection:\n  kubeconfig: /var/lib/kube-proxy/kubeconfig\n"
        'mode: "iptables"\nclusterCIDR: "10.200.0.0/16"\n'
    )
    chosen = told(*COMMAND_LINES[who].replace("FILE", str(file)).split())
    assert chosen.config.client_connection.kubeconfig
    assert not chosen.warnings
    assert not chosen.ignored


# As Amazon's add-on has it since long: some fields went with the releases that had them.
EKS = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clientConnection:
  acceptContentTypes: ""
  burst: 10
  contentType: application/vnd.kubernetes.protobuf
  kubeconfig: /var/lib/kube-proxy/kubeconfig
  qps: 5
clusterCIDR: ""
configSyncPeriod: 15m0s
conntrack:
  max: 0
  maxPerCore: 32768
  min: 131072
  tcpCloseWaitTimeout: 1h0m0s
  tcpEstablishedTimeout: 24h0m0s
enableProfiling: false
healthzBindAddress: 0.0.0.0:10256
hostnameOverride: ""
iptables: {masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 0s, syncPeriod: 30s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", syncPeriod: 30s}
kind: KubeProxyConfiguration
metricsBindAddress: 0.0.0.0:10249
mode: "iptables"
nodePortAddresses: null
oomScoreAdj: -998
portRange: ""
resourceContainer: ""
udpIdleTimeout: 250ms
"""


def test_fields_of_earlier_releases_are_warned_of_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(EKS)
    chosen = told(f"--config={tmp_path}/config", "--v=2", "--hostname-override=ip-10-0-0-7.ec2.internal")
    named = ["conntrack.'max'", "'resourceContainer'", "'udpIdleTimeout'"]
    assert list(chosen.warnings) == [f"there is no field {name}" for name in named]
    assert chosen.config.metrics_bind_address == "0.0.0.0:10249"
    assert chosen.config.oom_score_adj == -998
