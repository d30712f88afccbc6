"""The page in a real browser."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.plugins.http.server import HttpServer, Listener

from .boards import lively

pytestmark = pytest.mark.program("chromium")


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = HttpServer("test-status")
    yield server.listen("127.0.0.1", 0, lively().handler)
    server.stop()


def browse(tmp_path: Path, url: str, *arguments: str) -> str:
    """What a browser without a screen says of a page."""
    chromium = shutil.which("chromium")
    assert chromium is not None
    return subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            # It asks nobody but the page: no updates, no lookups of its maker's hosts.
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}",
            *arguments,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    ).stdout


def test_a_browser_shows_the_page_and_runs_nothing(tmp_path: Path, listener: Listener) -> None:
    said = browse(tmp_path, f"http://127.0.0.1:{listener.port}/?q=web-22", "--dump-dom")
    assert "<title>Pointsman on node-a</title>" in said
    assert "11 service ports with 'web-22'" in said
    assert said.count("<tr>") >= 11
    assert "<img" not in said


@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_draws_the_page(tmp_path: Path, listener: Listener, width: int) -> None:
    url = f"http://127.0.0.1:{listener.port}/"
    browse(tmp_path, url, "--screenshot=page.png", f"--window-size={width},1400")
    picture = (tmp_path / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
