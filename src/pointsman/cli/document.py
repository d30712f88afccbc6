"""docs/kube-proxy.md, made from the tables that the program goes by: ``python -m pointsman.cli.document``."""

import sys
from collections.abc import Iterable, Iterator, Sequence

from .configuration.flags import as_text
from .configuration.gates import HEEDED
from .configuration.settings import Setting, Verdict, value_at
from .configuration.table import OURS, SETTINGS
from .configuration.v1alpha1 import KUBERNETES, KubeProxyConfiguration
from .served import METRICS, PAGES, Served

INTRODUCTION = f"""\
# In kube-proxy's place

Pointsman takes the flags and the configuration file of kube-proxy {".".join(map(str, KUBERNETES))}, so that
a node changes from one to the other by its image. What becomes of each is one of these:

| | |
|---|---|
| {Verdict.SAME} | as in kube-proxy |
| {Verdict.BETTER} | the same, and what the note says |
| {Verdict.NONE} | nothing here that it could change; set to anything, it is named in the log, once |

This page is made from the program's own tables: `make docs` writes it, and a test checks that it is current.
How to use the program is in [cli](cli.md), which rights it needs in [privileges](privileges.md).

**Where it differs on purpose.** With no proxy mode set, kube-proxy programs iptables. Pointsman programs
nftables then, by the settings of the section `iptables`, which are those that such a node has: packets are
treated as they were, and node ports answer on every local address as before, but for loopback addresses.
`mode: iptables` brings those back.

kube-proxy has an Event `IPVSDeprecation` on the Node where its mode is ipvs. Here that mode stays, so there
is none.

**Precedence.** With `--config`, of all flags only these count: those on logging, which go before the file
(`--vmodule` adds to it), `--hostname-override`, `--master`, the commands at the top of the table, and our
own. The others are named in the log. Underscores in names of flags are dashes.

**Mistakes.** Fields that don't exist, or are there twice, are warnings, with the name that may be meant.
Another kind or version is refused first; then all values of wrong types are named together, and where there
are none, all values that break a rule. The exit status is 1.

**Changes.** When the file is written to or renamed, the process ends with status 1, for its supervisor to
start it again. As in kube-proxy, a file that another takes the place of doesn't end it: neither does a
ConfigMap that is changed under a mount, nor an editor that writes a new file and gives it the old one's name.
"""


def document() -> str:
    """The whole page."""
    theirs = [setting for setting in SETTINGS if setting not in OURS]
    parts = [
        INTRODUCTION,
        "## Flags\n",
        _table(("flag", "field", "default", "what becomes of it"), map(_flag_row, _with_flags(theirs))),
        "## Fields of KubeProxyConfiguration\n",
        _table(("field", "default", "what becomes of it"), map(_field_row, _with_fields(theirs))),
        "Feature gates that are heeded: " + ", ".join(f"`{gate}`" for gate in sorted(HEEDED)) + ".\n"
        "All are on by default; `AllBeta=false` turns the last two off, unless they are named.\n"
        "All others of Kubernetes are accepted and have no effect; an unknown one is an error.\n",
        "## Metrics\n",
        _table(("metric", "proxy modes", "what becomes of it"), map(_served_row, METRICS)),
        "With an API server as source, `rest_client_*` too. Our own series are named `pointsman_*`.\n",
        "## Pages\n",
        _table(("page", "served at", "what becomes of it"), map(_served_row, PAGES)),
        "With `enableProfiling`, pages for debugging besides. Health check node ports answer as there.\n",
        "## Our own settings\n",
        "In the same file, below the field `pointsman`, of which kube-proxy only warns. The flags go before"
        " the file.\n",
        _table(("flag", "field", "default", "meaning"), map(_own_row, OURS)),
    ]
    return "\n".join(parts)


def _with_flags(settings: Iterable[Setting]) -> Iterator[Setting]:
    return (setting for setting in settings if setting.flags)


def _with_fields(settings: Iterable[Setting]) -> list[Setting]:
    return sorted((setting for setting in settings if setting.field), key=lambda setting: setting.field)


def _flag_row(setting: Setting) -> tuple[str, ...]:
    fields = " ".join(f"`{field}`" for field in (setting.field, *setting.also) if field)
    names = " ".join(f"`{flag}`" for flag in setting.flags)
    return names, fields, _default(setting), _fate(setting)


def _field_row(setting: Setting) -> tuple[str, ...]:
    return f"`{setting.field}`", _default(setting), _fate(setting)


def _served_row(served: Served) -> tuple[str, ...]:
    return f"`{served.name}`", served.where, ": ".join(filter(None, (str(served.verdict), served.note)))


def _own_row(setting: Setting) -> tuple[str, ...]:
    return (
        " ".join(f"`{flag}`" for flag in setting.flags),
        f"`{setting.field}`",
        _default(setting),
        setting.help,
    )


def _default(setting: Setting) -> str:
    listeners = {"healthzBindAddress": "0.0.0.0:10256", "metricsBindAddress": "127.0.0.1:10249"}
    if setting.field in listeners:
        return f"`{listeners[setting.field]}`"
    value = value_at(KubeProxyConfiguration(), setting.field) if setting.field else setting.default
    return f"`{as_text(value)}`" if as_text(value) else ""


def _fate(setting: Setting) -> str:
    notes = [f"deprecated: {setting.deprecated}" if setting.deprecated else "", setting.note]
    return ": ".join([str(setting.verdict), "; ".join(note for note in notes if note)]).rstrip(": ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines
    ).replace("|  |", "| |")


if __name__ == "__main__":
    sys.stdout.write(document())
