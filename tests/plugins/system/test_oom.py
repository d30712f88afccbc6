"""The out-of-memory score: set, or said why not."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman.plugins.system.oom import set_oom_score


def test_CFG_33_the_score_is_set() -> None:
    """In a process of its own; the score may always be raised."""
    script = "from pointsman.plugins.system.oom import set_oom_score as s; s(1000);"
    script += "print(open('/proc/self/oom_score_adj').read())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1000"


def test_CFG_33_what_is_right_is_not_written(tmp_path: Path) -> None:
    score = tmp_path / "score"
    score.write_text("-999\n")
    set_oom_score(-999, score)
    assert score.read_text() == "-999\n"


def test_CFG_33_a_failure_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    set_oom_score(-999, tmp_path / "nowhere")
    assert [record.message for record in caplog.records] == ["oom_score_kept"]
