"""Changelog fragments are named as towncrier reads them: it passes over the others without a word."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
TYPES = [entry["directory"] for entry in CONFIG["type"]]
FRAGMENT = re.compile(rf"[1-9][0-9]*\.({'|'.join(TYPES)})(\.[1-9][0-9]*)?\.md")


def test_fragments_are_named_after_issue_and_type() -> None:
    names = {path.name for path in (ROOT / CONFIG["directory"]).iterdir()} - {".gitignore", "README.md"}
    assert not {name for name in names if not FRAGMENT.fullmatch(name)}


def test_fragments_say_something() -> None:
    fragments = (ROOT / CONFIG["directory"]).glob("[0-9]*.md")
    assert not [path.name for path in fragments if not path.read_text().strip()]


@pytest.mark.parametrize("name", ["2.feature.md", "31.bugfix.2.md"])
def test_right_names_pass(name: str) -> None:
    assert FRAGMENT.fullmatch(name)


@pytest.mark.parametrize("name", ["feature.md", "2.fix.md", "2.feature.rst", "2.feature", "02.feature.md"])
def test_wrong_names_are_caught(name: str) -> None:
    assert not FRAGMENT.fullmatch(name)
