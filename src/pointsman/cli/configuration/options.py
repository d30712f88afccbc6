"""Backends' own settings: from the file to the type that a backend declares (`BackendSpec.options`)."""

from typing import Any

import msgspec
from msgspec import Struct

from pointsman.cli.durations import Duration
from pointsman.core.backend import BackendSpec

from .near import near
from .v1alpha1 import KubeProxyConfiguration

_SECTIONS = ("iptables", "ipvs", "nftables")


def options_for(spec: BackendSpec, config: KubeProxyConfiguration) -> Struct | None:
    """The settings of a backend; None if it has none of its own.

    Raises:
        ValueError: there is one that it doesn't know, or that has a wrong type.
    """
    own = config.pointsman.backends.get(spec.name, {})
    if spec.options is None:
        if own:
            raise ValueError(f"the backend {spec.name} has no settings of its own")
        return None
    known = {field.encode_name for field in msgspec.structs.fields(spec.options)}
    for name in own.keys() - known:
        raise ValueError(f"the backend {spec.name} has no setting {name[:80]!r}{near(name, known)}")
    section: dict[str, Any] = {}
    if spec.name in _SECTIONS:
        section = msgspec.to_builtins(getattr(config, spec.name), enc_hook=_seconds)
    return msgspec.convert(section | own, spec.options)


def _seconds(value: object) -> float:
    if isinstance(value, Duration):
        return value.seconds
    raise NotImplementedError(type(value))
