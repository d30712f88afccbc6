"""The plugin, found and used as the command line does."""

from pathlib import Path

import pytest

from pointsman.core.config import ProxyConfig
from pointsman.core.errors import ConfigError
from pointsman.core.plugins import Plugins
from pointsman.plugins.sources.files import plugin

from .recording import RecordingSink


def test_the_source_is_found_by_its_entry_point(tmp_path: Path) -> None:
    spec = Plugins().sources["files"]
    assert spec is plugin.SPEC
    source = spec.make(str(tmp_path), ProxyConfig("node-a"))
    sink = RecordingSink()
    source.start(sink)
    sink.wait_until_listed()
    source.stop()


def test_a_missing_path_is_the_users_error(tmp_path: Path) -> None:
    source = plugin.SPEC.make(str(tmp_path / "missing"), ProxyConfig("node-a"))
    with pytest.raises(ConfigError, match=f"--source files:{tmp_path}/missing: No such file or directory"):
        source.start(RecordingSink())
