"""The plugin that brings the backends ``iptables``, ``iptables-legacy`` and ``iptables-nft``."""

from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl


def _make(settings: DataplaneSettings) -> object:
    from .dataplane import IptablesDataplane

    return IptablesDataplane(settings, None)


def _make_legacy(settings: DataplaneSettings) -> object:
    from .dataplane import IptablesDataplane
    from .kernel import Variant

    return IptablesDataplane(settings, Variant.LEGACY)


def _make_nft(settings: DataplaneSettings) -> object:
    from .dataplane import IptablesDataplane
    from .kernel import Variant

    return IptablesDataplane(settings, Variant.NFT)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """See `Acquire.pointsman_register_backends`."""
    summary = "kube-proxy's chains, dispatched by a tree"
    kin = frozenset({"iptables", "iptables-legacy", "iptables-nft"})
    on = f"{summary}, on"
    registry.add(
        BackendSpec("iptables", f"{on} the variant that this node uses", _make, kin=kin, conntrack=True)
    )
    registry.add(
        BackendSpec("iptables-legacy", f"{on} iptables-legacy", _make_legacy, kin=kin, conntrack=True)
    )
    registry.add(BackendSpec("iptables-nft", f"{on} iptables-nft", _make_nft, kin=kin, conntrack=True))
