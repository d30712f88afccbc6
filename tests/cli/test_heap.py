"""Where C's allocator takes memory from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAPS = """
import ctypes, sys, threading
from pointsman.cli.heap import share_heap

libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    sys.exit()
if "share" in sys.argv:
    share_heap()
together = threading.Barrier(8)
def allocate():
    kept = bytearray(1 << 14)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


def heaps(path: Path, *arguments: str) -> int:
    """How many heaps a process has that had eight threads allocate at once."""
    subprocess.run([sys.executable, "-c", HEAPS, path, *arguments], check=True)
    if not path.exists():
        pytest.skip("the C library doesn't tell of its heaps")
    return len(re.findall("<heap ", path.read_text()))


def test_threads_share_one_heap(tmp_path: Path) -> None:
    assert heaps(tmp_path / "as-it-is") > 1
    assert heaps(tmp_path / "shared", "share") == 1
