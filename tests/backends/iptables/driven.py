"""A dataplane, and a kernel of its own to write to."""

import subprocess

from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.model import Model, NodeContext
from pointsman.core.plan import SyncPlan, diff


class Kernel:
    """A dataplane in a namespace of its own, driven as the engine drives it."""

    def __init__(
        self,
        namespace: Namespace,
        variant: Variant,
        family: IPFamily = IPFamily.IPV4,
        period: float = 30.0,
    ) -> None:
        self.namespace = namespace
        self.settings = DataplaneSettings(family, sync_period=period)
        self.variant = variant
        self.family = family
        self.model = Model(NodeContext(family))
        self.dataplane = IptablesDataplane(self.settings, self.variant)

    def sync(self, desired: Model, *, full: bool = False, complete: bool = True) -> int:
        """Bring the kernel to a model; how much was written."""
        plan = SyncPlan(self.family, desired, diff(self.model, desired), full, complete)
        report = self.namespace.run(self.dataplane.dataplane_sync, plan)
        self.model = desired
        return report.writes

    def observe(self, meant: Model | None = None) -> Observed:
        return self.namespace.run(self.dataplane.dataplane_observe, meant)

    def restart(self) -> None:
        """A new process with nothing in memory; the kernel keeps what it has."""
        self.namespace.run(self.dataplane.dataplane_close)
        self.dataplane = IptablesDataplane(self.settings, self.variant)

    def command(self, *arguments: str) -> str:
        """Run iptables as somebody else would."""
        prefix = "iptables" if self.family is IPFamily.IPV4 else "ip6tables"
        tool = f"{prefix}-{self.variant}"
        return self._run(tool, *arguments)

    def save(self) -> str:
        prefix = "iptables" if self.family is IPFamily.IPV4 else "ip6tables"
        return self._run(f"{prefix}-{self.variant}-save")

    def _run(self, tool: str, *arguments: str) -> str:
        return self.namespace.run(
            lambda: (
                subprocess.run(
                    [f"/usr/sbin/{tool}", *arguments], check=True, capture_output=True, text=True
                ).stdout
            )
        )

    def close(self) -> None:
        self.namespace.run(self.dataplane.dataplane_cleanup)
        self.namespace.run(self.dataplane.dataplane_close)
