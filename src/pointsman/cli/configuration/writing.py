"""A configuration as text (CFG-04), and as plain values for /configz (HTTP-01)."""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pointsman.core.errors import PointsmanError

from .v1alpha1 import KubeProxyConfiguration


def plain(config: KubeProxyConfiguration) -> dict[str, Any]:
    """The configuration as mappings, lists and scalars, by the names of the API."""
    values: dict[str, Any] = msgspec.to_builtins(config, enc_hook=str)
    return values


def as_yaml(config: KubeProxyConfiguration) -> str:
    """The configuration as YAML, which says the same when it is read."""
    text: str = yaml.safe_dump(_lists(plain(config)), allow_unicode=True, width=4096)
    return text


def write(config: KubeProxyConfiguration, path: str) -> None:
    """Write the configuration to a file, all of it or nothing; or to what else is there, such as a pipe.

    Raises:
        PointsmanError: that is not possible.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            target.write_text(as_yaml(config), encoding="utf-8")
            return
        _replace(target.resolve(), as_yaml(config))
    except OSError as error:
        raise PointsmanError(f"--write-config-to: {path} can't be written: {error.strerror}") from error


def _replace(target: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _lists(value: Any) -> Any:
    """The value with lists for tuples, which YAML doesn't know."""
    if isinstance(value, dict):
        return {name: _lists(part) for name, part in value.items()}
    return [_lists(part) for part in value] if isinstance(value, (tuple, list)) else value
