"""File and flags together: what counts, complete and checked (CFG-02, CFG-04, CFG-05)."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from pointsman.cli.problems import Problems
from pointsman.core.addresses import format_endpoint, parse_address
from pointsman.core.errors import ConfigError
from pointsman.core.plugins import Plugins

from .agreement import contradictions, not_installed
from .flags import flag_values, read
from .settings import Setting, Verdict, value_at, with_value
from .table import BY_KEY, SETTINGS, stays_with_a_file, zero
from .v1alpha1 import KubeProxyConfiguration

_VMODULE = "logging.vmodule"
_HEALTHZ_PORT, _METRICS_PORT = 10256, 10249


class Effective(Struct, frozen=True):
    """What the proxy is told, all in all.

    Attributes:
        config: the configuration, complete.
        commands: the values of flags that no file has, such as ``--cleanup``, by name.
        labels: how each field that was set is called to the user: by its flag, or its path in the file.
        flags: every flag with its value, for /flagz.
        warnings: what in the file was strange.
        ignored: the flags that ``--config`` makes ineffective.
    """

    config: KubeProxyConfiguration
    commands: Mapping[str, Any]
    labels: Mapping[str, str]
    flags: Mapping[str, str]
    warnings: tuple[str, ...]
    ignored: tuple[str, ...]

    def without_effect(self) -> list[str]:
        """What was set to anything and means nothing here."""
        return [self.labels.get(key, key) for key in self._pointless()]

    def _pointless(self) -> Iterator[str]:
        for setting in SETTINGS:
            said = not _is_default(self.config, setting) if setting.field else self.commands[setting.key]
            if setting.verdict is Verdict.NONE and said:
                yield setting.key


def effective(args: argparse.Namespace, plugins: Plugins) -> Effective:
    """What parsed arguments say, and the file that they name.

    Raises:
        Problems: some of it is wrong; all of that is named.
        ConfigError: the file can't be read.
    """
    problems: list[str] = []
    given = read(args, SETTINGS, problems)
    config, warnings, labels = KubeProxyConfiguration(), tuple[str, ...](), dict[str, str]()
    counting = dict(given)
    if given.get("--config"):
        from .reading import read_file  # late, for it brings a YAML parser along

        try:
            reading = read_file(given["--config"])
        except Problems as error:
            raise Problems([*problems, *error.problems]) from error
        except ConfigError as error:
            raise Problems([*problems, str(error)]) from error
        config, warnings = reading.config, reading.warnings
        labels = {path: path for path in reading.given}
        counting = {key: value for key, value in given.items() if stays_with_a_file(BY_KEY[key])}
    config = _overlay(config, counting, labels)
    config = _with_listeners(config, counting)
    if not problems:
        problems += _broken_rules(config, counting, labels)
        problems += not_installed(config, labels, plugins)
    if not problems:
        problems += contradictions(config, labels)
    if problems:
        raise Problems(list(dict.fromkeys(problems)))
    return Effective(
        config=config,
        commands={s.key: counting.get(s.key, s.default) for s in SETTINGS if not s.field},
        labels=labels,
        flags=flag_values(given, SETTINGS),
        warnings=warnings,
        ignored=tuple(BY_KEY[key].flags[0] for key in given.keys() - counting.keys()),
    )


def _overlay(
    config: KubeProxyConfiguration, given: Mapping[str, Any], labels: dict[str, str]
) -> KubeProxyConfiguration:
    """The configuration with what flags say."""
    for setting in SETTINGS:
        if not setting.field or setting.key not in given:
            continue
        value = given[setting.key]
        if setting.field == _VMODULE:
            value += config.logging.vmodule
        for path in (setting.field, *setting.also):
            config = with_value(config, path, value)
            labels[path] = setting.flags[0]
    return config


def _with_listeners(config: KubeProxyConfiguration, given: Mapping[str, Any]) -> KubeProxyConfiguration:
    """The configuration with addresses and ports where the servers listen (CFG-23, CFG-24)."""
    try:
        ipv6 = len(parse_address(config.bind_address)) == 16
    except ValueError:
        return config  # which is said elsewhere
    hosts = {"healthz": "[::]" if ipv6 else "0.0.0.0", "metrics": "[::1]" if ipv6 else "127.0.0.1"}
    for name, usual in (("healthz", _HEALTHZ_PORT), ("metrics", _METRICS_PORT)):
        field = f"{name}BindAddress"
        text = value_at(config, field)
        port = given.get(f"--{name}-port", usual)
        if port == 0 or (not text and field in given):
            text = f"{hosts[name]}:0"
        elif not text:
            text = f"{hosts[name]}:{port}"
        config = with_value(config, field, _with_port(text, port))
    return config


def _with_port(text: str, port: int) -> str:
    try:
        return format_endpoint(parse_address(text), port)
    except ValueError:
        return text  # it has one, or is no address, which is said elsewhere


def _broken_rules(
    config: KubeProxyConfiguration, given: Mapping[str, Any], labels: Mapping[str, str]
) -> Iterator[str]:
    for setting in SETTINGS:
        if setting.field and (setting.field not in labels or _of_another_mode(config, setting)):
            continue
        if not setting.field and setting.key not in given:
            continue
        value = value_at(config, setting.field) if setting.field else given[setting.key]
        try:
            setting.rule(value)
        except ValueError as error:
            yield f"{labels.get(setting.key, setting.key)}: {error}"


def _of_another_mode(config: KubeProxyConfiguration, setting: Setting) -> bool:
    """Whether a setting belongs to a proxy mode that is not asked for, as kube-proxy then doesn't look."""
    section = setting.field.partition(".")[0]
    return section in ("ipvs", "nftables") and config.mode not in (section, "", "auto")


def _is_default(config: KubeProxyConfiguration, setting: Setting) -> bool:
    value = value_at(config, setting.field)
    return zero(value) or value == value_at(KubeProxyConfiguration(), setting.field)
