"""Which backend serves which families."""

import logging
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendSpec, Candidate, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import BackendUnavailable, PluginError
from pointsman.core.features import CORE, Capabilities, Feature, Level
from pointsman.core.plugins import Plugins, probe

from .configuration.engine import AUTO

# For auto: these first, in this order, then others by name; never one that touches no packet, or lacks what
# makes a service proxy.
PREFERRED = ("nftables",)

log = logging.getLogger(__name__)


Outcomes = Mapping[IPFamily, Capabilities | BackendUnavailable]
Options = Callable[[BackendSpec], object]
"""Gives the settings that are a backend's own (`BackendSpec.options`)."""


class Selection(Struct, frozen=True):
    """A backend with its own settings, the families it serves, and what it can do for each."""

    spec: BackendSpec
    capabilities: Mapping[IPFamily, Capabilities]
    options: object = None


def survey(
    spec: BackendSpec, families: Sequence[IPFamily], instance: str, options: object = None
) -> Outcomes:
    """Find out what a backend can do here, for each family; one that fails is unavailable, nothing worse."""
    return {family: _probe(spec, DataplaneSettings(family, instance, options)) for family in families}


def _defaults(_spec: BackendSpec) -> None:
    """No settings of a backend's own."""


def select(plugins: Plugins, config: ProxyConfig, options: Options = _defaults) -> Selection:
    """Find the backend that ``config.proxy_mode`` asks for, and which of the families it can serve here.

    A family that can't be served is left out, with a warning, where another one can.

    Raises:
        BackendUnavailable: nothing can be served.
        PluginError: a plugin chose a backend that there isn't.
    """
    if config.proxy_mode != AUTO:
        return _usable(plugins.backends[config.proxy_mode], config, options)
    order = {name: place for place, name in enumerate(PREFERRED)}
    specs = [spec for spec in plugins.backends if not spec.simulated]
    specs.sort(key=lambda spec: (order.get(spec.name, len(order)), spec.name))
    candidates = [
        Candidate(spec, _overall(survey(spec, config.families, config.instance, options(spec))))
        for spec in specs
    ]
    name = plugins.select_backend(candidates, config)
    if name is not None:
        if name not in plugins.backends:
            raise PluginError(f"for --proxy-mode auto a plugin chose {name!r}, which isn't installed")
        return _usable(plugins.backends[name], config, options)
    reasons = []
    for candidate in candidates:
        reason = _why_not(candidate)
        if not reason:
            return _usable(candidate.spec, config, options)
        reasons.append(reason)
    found = "; ".join(reasons) or "none is installed"
    raise BackendUnavailable(AUTO, f"none fits ({found})", "pointsman backends says more")


def _why_not(candidate: Candidate) -> str:
    """Why a backend isn't chosen of our own accord; empty if nothing speaks against it."""
    spec, outcome = candidate
    if isinstance(outcome, BackendUnavailable):
        return str(outcome)
    # Whether there is IPv6 is known by its own probe.
    lacking = sorted(f for f in CORE - {Feature.IPV6} if outcome.support(f).level is not Level.SUPPORTED)
    return f"{spec.name}: it lacks {', '.join(lacking)}" if lacking else ""


def _probe(spec: BackendSpec, settings: DataplaneSettings) -> Capabilities | BackendUnavailable:
    try:
        return probe(spec, settings).outcome
    except PluginError as error:
        # It must neither hide the other backends nor keep them from being chosen.
        return BackendUnavailable(spec.name, str(error), "report this to whoever made the backend")


def _usable(spec: BackendSpec, config: ProxyConfig, options: Options) -> Selection:
    own = options(spec)
    outcomes = survey(spec, config.families, config.instance, own)
    overall = _overall(outcomes)
    if isinstance(overall, BackendUnavailable):
        raise overall
    for family, outcome in outcomes.items():
        if isinstance(outcome, BackendUnavailable):
            why = {"reason": outcome.reason, "remedy": outcome.remedy}
            log.warning("family_left_out", extra={"backend": spec.name, "family": str(family)} | why)
    served = {family: outcome for family, outcome in outcomes.items() if isinstance(outcome, Capabilities)}
    return Selection(spec, served, own)


def _overall(outcomes: Outcomes) -> Capabilities | BackendUnavailable:
    """The first family's capabilities that there are, else the first reason why not."""
    found: Sequence[Capabilities | BackendUnavailable] = [*outcomes.values()]
    return next((outcome for outcome in found if isinstance(outcome, Capabilities)), found[0])
