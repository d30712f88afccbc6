"""What each folder may import. Import-linter checks the layers; here, what it cannot say: complete lists."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "core": {"immutables", "msgspec", "pluggy", "pointsman.core"},
    "backends/memory": {"immutables", "msgspec", "pluggy", "pointsman.core"},
}
# core computes; whatever touches the machine or the network comes in from outside.
EFFECTS = {"ctypes", "fcntl", "http", "mmap", "subprocess", "urllib.request"}


def imports(source: str) -> Iterator[str]:
    """Yield the absolute modules that a source text imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from (f"{module}.{alias.name}" for alias in names)


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def strangers(source: str, folder: str) -> set[str]:
    """Return the imports in a source text of the folder that the folder may not have."""
    banned = EFFECTS if folder == "core" else set()
    return {
        module
        for module in imports(source)
        if within(module, banned)
        or not (within(module, ALLOWED[folder]) or module.partition(".")[0] in sys.stdlib_module_names)
    }


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_are_on_the_folders_list(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): strangers(file.read_text(), folder) for file in files}
    assert not {file: names for file, names in found.items() if names}


@pytest.mark.parametrize(
    ("source", "folder", "expected"),
    [
        ("import pyroute2.netlink", "core", {"pyroute2.netlink"}),
        ("def late():\n    from yaml import safe_load", "core", {"yaml.safe_load"}),
        ("from subprocess import run", "core", {"subprocess.run"}),
        ("from urllib import request", "core", {"urllib.request"}),
        ("from pointsman.backends.nftables import compile", "backends/memory",
         {"pointsman.backends.nftables.compile"}),
        ("from pointsman.core.plan import SyncPlan\nfrom .trace import trace\nimport subprocess",
         "backends/memory", set()),
        ("from collections import abc\nfrom urllib.parse import quote\nimport msgspec", "core", set()),
        ("import pointsman.corexyz", "core", {"pointsman.corexyz"}),
    ],
)  # fmt: skip
def test_strangers_are_found(source: str, folder: str, expected: set[str]) -> None:
    assert strangers(source, folder) == expected


def test_importing_core_loads_no_other_layer() -> None:
    """The static lists above cannot see an import by name; a fresh interpreter can."""
    modules = [
        "pointsman." + ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in (ROOT / "core").rglob("*.py")
        if file.name != "__init__.py"
    ]
    program = "import importlib, sys\nfor m in sys.argv[1:]: importlib.import_module(m)\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program, *modules], check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(modules) <= set(loaded)
    layers = {f"pointsman.{layer}" for layer in ("backends", "cli", "conformance", "plugins")}
    assert not {module for module in loaded if within(module, layers)}
