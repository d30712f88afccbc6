"""Command lines and files, read as ``pointsman run`` reads them."""

import argparse
from pathlib import Path

import pytest

from pointsman.backends.memory import plugin as memory
from pointsman.cli.configuration.effective import Effective, effective
from pointsman.cli.configuration.flags import add, dashed
from pointsman.cli.configuration.table import SETTINGS
from pointsman.cli.problems import Problems
from pointsman.core.backend import BackendRegistry, BackendSpec
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plugins import Plugins
from pointsman.core.source import SourceRegistry, SourceSpec

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
KUBEADM = Path(__file__).parent / "kubeadm.yaml"


class Installed:
    """Sources and backends by the usual names, none of which does anything."""

    @hookimpl
    def pointsman_register_sources(self, registry: SourceRegistry) -> None:
        for name in ("files", "kubernetes"):
            registry.add(SourceSpec(name, "", lambda argument, config: pytest.fail("not to be made")))

    @hookimpl
    def pointsman_register_backends(self, registry: BackendRegistry) -> None:
        for name in ("nftables", "iptables", "ipvs"):
            registry.add(BackendSpec(name, "", lambda settings: pytest.fail("not to be made")))


PLUGINS = Plugins([memory, Installed()], discover=False)


def told(*arguments: str, plugins: Plugins = PLUGINS) -> Effective:
    """What a command line says."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add(parser, SETTINGS)
    return effective(parser.parse_args(dashed(arguments)), plugins)


def written(folder: Path, text: str, *arguments: str) -> Effective:
    """What a file says, less its first two lines, and the command line that names it."""
    file = folder / "config.yaml"
    file.write_text(HEAD + text)
    return told(f"--config={file}", *arguments)


def refused(*arguments: str) -> tuple[str, ...]:
    """What is wrong with a command line."""
    with pytest.raises(Problems) as caught:
        told(*arguments)
    return caught.value.problems


def refused_file(folder: Path, text: str, *arguments: str) -> tuple[str, ...]:
    """What is wrong with a file, less its first two lines."""
    with pytest.raises(Problems) as caught:
        written(folder, text, *arguments)
    return caught.value.problems
