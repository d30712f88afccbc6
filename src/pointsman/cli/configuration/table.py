"""Every setting, once: kube-proxy's by its flags and fields (CFG-10…CFG-37), then our own.

From here come the flags, their help, the rules for values, and the table in docs/kube-proxy.md.
"""

from collections.abc import Sequence

from pointsman.cli.durations import Duration

from . import rules
from .entries_dataplane import DATAPLANE
from .entries_logging import LOGGING
from .entries_process import PROCESS
from .settings import Setting, Verdict

OURS: Sequence[Setting] = (
    Setting(
        "pointsman.instance",
        ("--instance",),
        "the name of this proxy's kernel objects, which tells it from others on the same node",
        rules.instance,
        verdict=Verdict.OURS,
        zero_is_default=True,
    ),
    Setting(
        "pointsman.source",
        ("--source",),
        "NAME:ARGUMENT, where objects come from if not from an API server, such as files:PATH",
        rules.source,
        verdict=Verdict.OURS,
    ),
    Setting(
        "pointsman.ipFamily",
        ("--ip-family",),
        "ipv4, ipv6 or dual; with dual, one that can't be served here is left out with a warning",
        rules.families,
        verdict=Verdict.OURS,
        zero_is_default=True,
    ),
    Setting(
        "pointsman.trafficCounters",
        (),
        "count the connections of each service port, for pointsman_service_connections_total",
        verdict=Verdict.OURS,
    ),
    Setting(
        "pointsman.backends",
        (),
        "by backend, the settings that it declares itself",
        verdict=Verdict.OURS,
    ),
)

SETTINGS: Sequence[Setting] = (*PROCESS, *DATAPLANE, *LOGGING, *OURS)

BY_KEY = {setting.key: setting for setting in SETTINGS}
INSTANCE = BY_KEY["pointsman.instance"]


def stays_with_a_file(setting: Setting) -> bool:
    """Whether a flag counts beside ``--config`` (CFG-02)."""
    if not setting.field:
        return setting.flags[0] not in ("--healthz-port", "--metrics-port")
    return setting.field == "hostnameOverride" or setting in LOGGING or setting in OURS


def zero(value: object) -> bool:
    """Whether kube-proxy couldn't tell a value from nothing."""
    return value in ("", 0, Duration(0)) or value == ()
