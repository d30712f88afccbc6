"""When the interpreter looks for garbage: seldom while all comes in, and never among what has come to stay.

A full collection looks at every object there is. With ten thousand services that takes a fifth of a second,
in which no change reaches the kernel; and next to nothing that we hold is ever part of a cycle.
"""

import gc
from typing import Final

# New objects between two looks at the youngest ones. By default, 700: thousands of looks at a long list.
_WHILE_LOADING: Final = 100_000


class Garbage:
    """Has the collector look seldom until the first sync, and pass over what is there by then."""

    def __init__(self) -> None:
        self._usual = gc.get_threshold()
        gc.set_threshold(_WHILE_LOADING, *self._usual[1:])

    def settle(self) -> None:
        """What is there now has come to stay: freed once unused, as ever, but looked at no more."""
        gc.freeze()
        self.close()

    def close(self) -> None:
        """Collect as usual."""
        gc.set_threshold(*self._usual)
