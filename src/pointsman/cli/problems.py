"""All that is wrong, at once."""

from collections.abc import Sequence

from pointsman.core.errors import ConfigError


class Problems(ConfigError):
    """Everything that is wrong with a configuration, in a line each (CFG-05)."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
