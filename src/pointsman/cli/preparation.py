"""What has to be so before serving begins: the kernel's settings, and the process' (CT-08, CT-09, CFG-33)."""

from msgspec.structs import replace

from pointsman.core.config import ProxyConfig
from pointsman.plugins.system.files import allow_open_files
from pointsman.plugins.system.oom import set_oom_score
from pointsman.plugins.system.sysctls import ConntrackSettings, apply, is_liberal

from .configuration.v1alpha1 import KubeProxyConfiguration
from .selection import Selection


def prepare_kernel(selection: Selection, config: KubeProxyConfiguration) -> None:
    """Set up connection tracking; what is right already, as after --init-only, isn't written (CLN-05).

    Raises:
        SettingRefused: a setting can't be made.
    """
    if not selection.spec.conntrack:
        return
    conntrack = config.conntrack
    apply(
        ConntrackSettings(
            max_per_core=conntrack.max_per_core,
            min=conntrack.min,
            tcp_established_timeout=int(conntrack.tcp_established_timeout.seconds),
            tcp_close_wait_timeout=int(conntrack.tcp_close_wait_timeout.seconds),
            tcp_be_liberal=conntrack.tcp_be_liberal,
            udp_timeout=int(conntrack.udp_timeout.seconds),
            udp_stream_timeout=int(conntrack.udp_stream_timeout.seconds),
        )
    )


def prepare_process(config: KubeProxyConfiguration) -> None:
    """Have the kernel spare this process when memory runs out, and let it have as many files as it may."""
    allow_open_files()
    set_oom_score(config.oom_score_adj)


def as_the_kernel_is(selection: Selection, config: ProxyConfig) -> ProxyConfig:
    """The engine's configuration, with what the kernel has to say in it (SEC-02)."""
    if not selection.spec.conntrack:
        return config
    return replace(config, drop_invalid=not is_liberal())
