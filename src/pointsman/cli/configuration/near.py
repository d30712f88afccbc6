"""Suggestions for names that don't exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: str, known: Iterable[str]) -> str:
    """A half-sentence that suggests the known name nearest to one; empty if none is near."""
    by_folded = {known_name.lower(): known_name for known_name in known}
    found = get_close_matches(name[:80].lower(), by_folded, n=1, cutoff=0.75)
    return f" (did you mean {by_folded[found[0]]}?)" if found else ""
