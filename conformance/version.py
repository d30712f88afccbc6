"""What the suite is, apart from the project that carries it.

A case that is added or that asks for something else makes a new version, so that two reports of one version
answer the same questions. `digest` shows whether they asked all of them.
"""

from collections.abc import Iterable
from hashlib import sha256

SUITE_VERSION = "1.0"
"""The first number changes where a proxy that passed may fail for what a case says now; else the second."""

MUTANTS = 94
"""How many broken proxies this version was tried on: dataplanes, engines, and parts beside the rules.

It finds out every one of them: a mutant that no case catches fails the suite's own tests.
"""


def digest(cases: Iterable[str]) -> str:
    """What tells one set of cases from another: SHA-256 of their names, sorted, a line each."""
    return sha256("".join(f"{case}\n" for case in sorted(cases)).encode()).hexdigest()
