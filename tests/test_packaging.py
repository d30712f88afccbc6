"""The folders at the top, the package root that links to them, and the wheel hold the same modules."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/pointsman"
FOLDERS = ["backends", "conformance", "core", "plugins"]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build reads, links kept, so that building leaves nothing behind in the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ["src", *FOLDERS]:
        shutil.copytree(
            ROOT / folder,
            copy / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    for file in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / file, copy)
    return copy


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from the sdist as a package index would serve it."""
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(checkout)]
    result = subprocess.run(build, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    [path] = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    """Return the text of one file of the wheel's metadata."""
    [path] = [
        path
        for path in wheel.namelist()
        if path.partition("/")[0].endswith(".dist-info") and path.endswith(f"/{name}")
    ]
    return wheel.read(path).decode()


def shipped(root: Path) -> set[str]:
    """Return the files below the package root that belong into the wheel, links followed."""
    found = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if name != "__pycache__"]
        found |= {
            (Path(folder) / name).relative_to(root.parent).as_posix()
            for name in files
            if Path(name).suffix in {".py", ".md", ".toml", ".yaml"} or name == "py.typed"
        }
    return found


def test_wheel_holds_exactly_the_files_of_the_tree(checkout: Path, wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    assert packed == shipped(checkout / "src/pointsman")


def test_every_folder_with_modules_is_a_package() -> None:
    """Setuptools leaves out, without a word, a folder that has no __init__.py."""
    folders = {file.parent for name in FOLDERS for file in (ROOT / name).rglob("*.py")}
    assert not {folder for folder in folders if not (folder / "__init__.py").exists()}


def test_wheel_has_the_declared_entry_points(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packed = ConfigParser(delimiters="=")
    packed.read_string(dist_info(wheel, "entry_points.txt"))
    assert {section: dict(packed[section]) for section in packed.sections()} == {
        "console_scripts": project["scripts"],
        **project["entry-points"],
    }


def test_wheel_carries_license_and_readme(wheel: zipfile.ZipFile) -> None:
    assert dist_info(wheel, "LICENSE") == (ROOT / "LICENSE").read_text()
    assert (ROOT / "README.md").read_text().strip() in dist_info(wheel, "METADATA")


@pytest.mark.parametrize("folder", FOLDERS)
def test_package_root_links_to_the_folder(folder: str) -> None:
    link = PACKAGE / folder
    assert link.readlink() == Path("../..") / folder
    assert link.resolve() == ROOT / folder
    assert link.is_dir()


def test_package_root_has_no_other_links() -> None:
    assert {path.name for path in PACKAGE.rglob("*") if path.is_symlink()} == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_bare_folder_refuses_to_be_imported(folder: str) -> None:
    """By its bare name a folder would be a second copy of every type in it."""
    result = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert f"ImportError: import pointsman.{folder}, not the bare folder {folder}/" in result.stderr
