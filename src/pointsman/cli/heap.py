"""Where C's allocator takes memory from: one heap for all threads.

glibc gives threads heaps of their own, up to eight for each processor, so that none waits for another; what
one of them frees, no other uses. Here they take turns at the interpreter anyway, and what a dozen of them
keep comes to 10 MB of 144 with ten thousand services.
"""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8  # M_ARENA_MAX, malloc.h


def share_heap() -> None:
    """Have threads that start from now on share the heap of those that run, as with most C libraries."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
