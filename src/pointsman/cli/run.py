"""``pointsman run``: keep the kernel as the objects say; and whatever else kube-proxy's flags ask for."""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from pointsman import __version__
from pointsman.core.backend import BackendSpec
from pointsman.core.config import ProxyConfig
from pointsman.core.plugins import Plugins
from pointsman.core.source import Source

from .command import Subparsers
from .configuration.agreement import wrong_family
from .configuration.effective import Effective, effective
from .configuration.engine import DEFAULT_MODE, KUBERNETES_SOURCE, proxy_config, source_of
from .configuration.flags import add
from .configuration.options import options_for
from .configuration.rules import families
from .configuration.table import SETTINGS
from .configuration.v1alpha1 import KUBERNETES
from .problems import Problems
from .selection import select

if TYPE_CHECKING:
    from pointsman.plugins.kubernetes.client import ApiClient


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "run",
        help="serve this node until told to stop",
        description="Program this node's kernel as Services and EndpointSlices say, and follow their changes."
        " Takes kube-proxy's flags and its configuration file."
        " SIGTERM or SIGINT ends it; the rules stay and go on serving: --cleanup removes them.",
        allow_abbrev=False,
    )
    add(parser, SETTINGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    if getattr(args, "--version") not in (None, "false"):
        print(f"pointsman {__version__}, for Kubernetes {'.'.join(map(str, KUBERNETES))}")
        return 0
    chosen = effective(args, plugins)
    # Late: structlog, and what the daemon is made of, take as long to load as all the rest.
    from . import announcements, logs

    logging = chosen.config.logging
    logs.configure(sys.stderr, logging.format, logging.verbosity)
    announcements.tell_of_configuration(chosen)
    if chosen.commands["--write-config-to"]:
        from .configuration.writing import write

        write(chosen.config, chosen.commands["--write-config-to"])
        return 0
    if chosen.commands["--cleanup"]:
        from .cleanup import clean_all

        return clean_all(plugins, chosen.config.pointsman.instance, kube_proxy=True)
    return _serve(chosen, plugins)


def _serve(chosen: Effective, plugins: Plugins) -> int:
    from .daemon import Decided, serve
    from .heap import share_heap
    from .preparation import as_the_kernel_is, prepare_kernel, prepare_process

    share_heap()  # before the first thread starts, that of a backend
    config = chosen.config
    asked = proxy_config(config, config.mode or DEFAULT_MODE, families(config.pointsman.ip_family))
    selection = select(plugins, asked, partial(_options, chosen))
    problems = list(wrong_family(config, tuple(selection.capabilities), chosen.labels))
    if problems:
        raise Problems(problems)
    settled = proxy_config(config, selection.spec.name, tuple(selection.capabilities))
    plugins.configure(settled)
    prepare_kernel(selection, config)
    if chosen.commands["--init-only"]:
        return 0
    prepare_process(config)
    settled = as_the_kernel_is(selection, settled)
    source, api_server = _source(chosen, settled, plugins)
    serve(Decided(settled, selection, source, chosen, api_server), plugins)
    return 0


def _source(chosen: Effective, config: ProxyConfig, plugins: Plugins) -> "tuple[Source, ApiClient | None]":
    """Where objects come from; and the API server, if it is one, which is told of events too."""
    kind, argument = source_of(chosen.config)
    if kind != KUBERNETES_SOURCE:
        return plugins.sources[kind].make(argument, config), None
    from pointsman.plugins.kubernetes.client import connect
    from pointsman.plugins.kubernetes.source import KubernetesSource

    kubeconfig = argument or chosen.config.client_connection.kubeconfig
    api_server = connect(kubeconfig, chosen.commands["--master"])
    return KubernetesSource(api_server, config.node_name), api_server


def _options(chosen: Effective, spec: BackendSpec) -> object:
    return options_for(spec, chosen.config)
