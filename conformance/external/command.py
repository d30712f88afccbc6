"""A target's command line, with places for what is known only in the lab."""

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Self

from msgspec import Struct

from pointsman.core.errors import PointsmanError

PLACES = {
    "kubeconfig": "the path of a kubeconfig that leads to the suite's API server",
    "node": "the name of the node that the program is to serve",
    "cluster_cidrs": "the networks of all pods, with a comma between them",
    "folder": "a folder for its files, which is empty at first and ends with the run",
}
"""What may stand in braces."""

_PLACE = re.compile(r"\{(\w+)\}")


class BadCommand(PointsmanError):
    """A command line that can't be used; the message says why."""


class TargetCommand(Struct, frozen=True):
    """How to start a target."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a command line as a shell would, without expanding anything.

        Raises:
            BadCommand: a quote is not closed, a place in braces is none of `PLACES`, the kubeconfig's is missing,
                or there is no word.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise BadCommand(f"{text}: {error}") from error
        places = set(_PLACE.findall(" ".join(words)))
        if unknown := sorted(places - PLACES.keys()):
            known = ", ".join(f"{{{name}}}" for name in PLACES)
            raise BadCommand(f"{text}: there is no {{{unknown[0]}}}; known are {known}")
        if not words or "kubeconfig" not in places:
            raise BadCommand(
                f"{text or 'empty'}: name a program and give it {{kubeconfig}}, its way to the API"
            )
        return cls(words)

    @property
    def name(self) -> str:
        """What reports call the target: its program."""
        return PurePath(self.words[0]).name

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The words, with values in their places."""
        return [_PLACE.sub(lambda place: values[place[1]], word) for word in self.words]
