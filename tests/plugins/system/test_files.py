"""The limit of open files: raised as far as that needs no privilege, and never lowered."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
from pointsman.plugins.system.files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({}, {}))
allow_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard", "after"), [(256, 512, 512), (512, 512, 512)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, after: int) -> None:
    """In a process of its own."""
    script = SCRIPT.format(soft, hard)
    said = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert said.split() == [str(after), str(hard)]
