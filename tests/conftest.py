"""What every test shares: markers that skip with a reason, and a check that a test cleans up after itself."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Where Debian keeps administration tools, which an ordinary user's PATH leaves out.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


# Other work on the machine is no fault of the code's, so that no example has a deadline.
settings.register_profile("quick", deadline=None)
settings.register_profile("brief", settings.get_profile("quick"), max_examples=15)
settings.register_profile("nightly", settings.get_profile("quick"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


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


def environment() -> dict[str, str]:
    """Return the environment, save the variable in which pytest names the running test and its phase."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def network_namespace() -> Path:
    """Return the identity of the network namespace that this thread is in."""
    return Path("/proc/thread-self/ns/net").readlink()


@pytest.fixture(autouse=True)
def _leaves_surroundings_alone() -> Iterator[None]:
    """Fail a test that changes what the next one finds."""
    variables, folder, namespace = environment(), Path.cwd(), network_namespace()
    yield
    # Names only: values may be secrets, and this ends up in logs.
    changed = sorted(name for name, _ in variables.items() ^ environment().items())
    assert not changed, "the test left environment variables changed"
    assert Path.cwd() == folder, "the test left the working directory changed"
    assert network_namespace() == namespace, "the test left its thread in another network namespace"
