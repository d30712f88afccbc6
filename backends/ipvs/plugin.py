"""The plugin that brings the backend ``ipvs``, and its flag."""

import argparse
from typing import Any

from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl

from .split import DEFAULT_SCHEDULER

_chosen = {"scheduler": DEFAULT_SCHEDULER}


class _Choose(argparse.Action):
    """Keeps what the command line says until a dataplane is made."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """See `argparse.Action`."""
        _chosen["scheduler"] = values


def _make(settings: DataplaneSettings) -> object:
    # Imported late: whoever only lists the backends needn't pay for this one's netlink code.
    from .dataplane import IpvsDataplane

    return IpvsDataplane(settings, _chosen["scheduler"])


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """See `Acquire.pointsman_register_backends`."""
    summary = "endpoints picked by IPVS behind flat nftables maps, all over netlink"
    registry.add(BackendSpec("ipvs", summary, _make))


@hookimpl
def pointsman_add_options(commands: "argparse._SubParsersAction[Any]") -> None:
    """Have ``pointsman run`` take the scheduler (CFG-16)."""
    commands.choices["run"].add_argument(
        "--ipvs-scheduler",
        metavar="NAME",
        action=_Choose,
        default=argparse.SUPPRESS,
        help="how IPVS picks endpoints: any scheduler that the kernel has, such as wrr, lc or sed"
        f" (default: {DEFAULT_SCHEDULER})",
    )
