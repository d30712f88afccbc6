"""The plugin, found and used as the command line does."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointsman.conformance.apiserver import ApiServer
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import ConfigError
from pointsman.core.plugins import Plugins
from pointsman.plugins.kubernetes import plugin

from .following import Mirror


def test_the_source_is_found_by_its_entry_point(server: ApiServer, tmp_path: Path) -> None:
    spec = Plugins().sources["kubernetes"]
    assert spec is plugin.SPEC
    source = spec.make(str(server.kubeconfig(tmp_path / "kubeconfig")), ProxyConfig("node-a"))
    mirror = Mirror()
    source.start(mirror)
    mirror.wait_until_listed()
    source.stop()


def test_a_missing_kubeconfig_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        plugin.SPEC.make(str(tmp_path / "missing"), ProxyConfig("node-a"))


def test_the_client_is_not_loaded_for_other_sources() -> None:
    """It takes as long to import as all the rest."""
    code = (
        "import sys; from pointsman.core.plugins import Plugins; Plugins();"
        " assert not sys.modules.keys() & {'kubernetes', 'urllib3'}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
