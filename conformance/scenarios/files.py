"""Scenarios as YAML that people can read and edit."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from pointsman.core.errors import PointsmanError

from .model import Scenario


class ScenarioUnreadable(PointsmanError):
    """A file is no scenario; the message names it and what is wrong with it."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write everything out: references to what stands elsewhere are no help to a reader."""
        return True


def dump(scenario: Scenario, *, comment: Iterable[str] = ()) -> str:
    """A scenario as YAML, after a comment that says what it is about."""
    plain = msgspec.to_builtins(scenario)
    text = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {line}".rstrip() + "\n" for line in comment) + text


def load(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ScenarioUnreadable: there is no such file, or it is no scenario.
    """
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Scenario)
    except OSError as error:
        raise ScenarioUnreadable(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ScenarioUnreadable(f"{path} is no scenario: {error}") from error
