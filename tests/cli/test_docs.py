"""What docs/cli.md shows works as it says."""

import re
from pathlib import Path

import pytest

from pointsman.cli.configuration.engine import AUTO
from pointsman.cli.configuration.table import SETTINGS
from pointsman.cli.document import document
from pointsman.core.features import Level

from .processes import distribution, pointsman

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "cli.md").read_text()


def test_the_command_of_the_example(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    done = pointsman("names", path=distribution(tmp_path / "site", "names", example))
    assert (done.returncode, done.stderr) == (0, "")
    assert {"memory", "nftables"} <= set(done.stdout.split())


def test_every_flag_it_names_exists() -> None:
    known = {name for setting in SETTINGS for name in setting.flags} | {"--json", "--help"}
    assert set(re.findall(r"--[a-z][a-z-]*", TEXT)) <= known


def test_the_page_on_kube_proxy_is_current() -> None:
    page = DOCS / "kube-proxy.md"
    assert page.read_text() == document(), "make docs"


def test_the_page_on_kube_proxy_has_every_flag_and_field() -> None:
    page = document()
    for setting in SETTINGS:
        for name in (*setting.flags, *filter(None, [setting.field])):
            assert f"`{name}`" in page


@pytest.mark.parametrize("word", [AUTO, *Level])
def test_it_explains(word: str) -> None:
    assert f"`{word}`" in TEXT
