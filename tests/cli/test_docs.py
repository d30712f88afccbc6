"""What docs/cli.md shows works as it says."""

import re
from pathlib import Path

import pytest

from pointsman.cli.configuration.engine import AUTO
from pointsman.cli.configuration.table import SETTINGS
from pointsman.core.features import Level

from .processes import distribution, pointsman

TEXT = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def test_the_command_of_the_example(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    done = pointsman("names", path=distribution(tmp_path / "site", "names", example))
    assert (done.returncode, done.stderr) == (0, "")
    assert {"memory", "nftables"} <= set(done.stdout.split())


def test_every_flag_it_names_exists() -> None:
    known = {name for setting in SETTINGS for name in setting.flags} | {"--json", "--help"}
    assert set(re.findall(r"--[a-z][a-z-]*", TEXT)) <= known


@pytest.mark.parametrize("word", [AUTO, *Level])
def test_it_explains(word: str) -> None:
    assert f"`{word}`" in TEXT
