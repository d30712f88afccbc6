"""A target's command line, with places for what is known only in the lab."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Self

from msgspec import Struct

from pointsman.core.errors import PointsmanError

PLACES = {
    "kubeconfig": "the path of a kubeconfig that leads to the suite's API server",
    "node": "the name of the node that the program is to serve",
    "cluster_cidrs": "the networks of all pods, with a comma between them",
    "folder": "a folder for its files, which is empty at first and ends with the run",
}
"""What may stand in braces. ``{config:FILE}`` is a copy of a file in which these places are filled too."""

_PLACE = re.compile(r"\{(\w+)\}")
_CONFIG = re.compile(r"\{config:([^{}]+)\}")


class BadCommand(PointsmanError):
    """A command line that can't be used; the message says why."""


class TargetCommand(Struct, frozen=True):
    """How to start a target."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a command line as a shell would, without expanding anything.

        Raises:
            BadCommand: a quote is not closed, a place in braces is none of `PLACES`, a file can't be read,
                nothing names the kubeconfig, or there is no word.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise BadCommand(f"{text}: {error}") from error
        places = set(_PLACE.findall(" ".join(words)))
        if unknown := sorted(places - PLACES.keys()):
            known = ", ".join(f"{{{name}}}" for name in PLACES)
            raise BadCommand(f"{text}: there is no {{{unknown[0]}}}; known are {known}, {{config:FILE}}")
        for file in _CONFIG.findall(" ".join(words)):
            try:
                places.update(_PLACE.findall(Path(file).read_text("utf-8")))
            except (OSError, UnicodeDecodeError) as error:
                raise BadCommand(f"{text}: {file} can't be read: {error}") from error
        if not words or "kubeconfig" not in places:
            raise BadCommand(
                f"{text or 'empty'}: name a program and give it {{kubeconfig}}, its way to the API"
            )
        return cls(words)

    @property
    def name(self) -> str:
        """What reports call the target: its program."""
        return PurePath(self.words[0]).name

    def filled(self, values: Mapping[str, str], folder: Path) -> list[str]:
        """The words, with values in their places; filled copies of files are made in a folder."""

        def copy(place: re.Match[str]) -> str:
            file = Path(place[1])
            (folder / file.name).write_text(_filled(file.read_text("utf-8"), values), "utf-8")
            return str(folder / file.name)

        return [_CONFIG.sub(copy, _filled(word, values)) for word in self.words]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), text)
