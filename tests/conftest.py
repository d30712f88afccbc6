"""What every test shares: markers that skip with a reason, and a check that a test cleans up after itself."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Where Debian keeps administration tools, which an ordinary user's PATH leaves out.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, and say what is missing."""
    if item.get_closest_marker("netns") and (reason := why_no_netns()):
        pytest.skip(reason)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN])
    for marker in item.iter_markers("program"):
        for name in marker.args:
            if shutil.which(name, path=path) is None:
                pytest.skip(f"{name} is not installed")


@functools.cache
def why_no_netns() -> str | None:
    """Return the reason why network namespaces cannot be made here, or None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    try:
        subprocess.run(["unshare", "--net", "true"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        return "unshare (util-linux) is not installed"
    except subprocess.CalledProcessError as error:
        return f"root here may not make network namespaces: {error.stderr.strip()}"
    return None


def surroundings() -> dict[str, object]:
    """Return what a test may change for its own use but has to put back."""
    # pytest itself keeps the running test's name and phase in the first one.
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return {
        "environment": environ,
        "working directory": Path.cwd(),
        "network namespace": Path("/proc/thread-self/ns/net").readlink(),
    }


@pytest.fixture(autouse=True)
def _leaves_surroundings_alone() -> Iterator[None]:
    before = surroundings()
    yield
    after = surroundings()
    changed = [f"{what}: {before[what]} -> {after[what]}" for what in before if before[what] != after[what]]
    assert not changed, "the test left a changed " + "; ".join(changed)
