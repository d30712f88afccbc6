"""``pointsman backends``: what is installed, and whether it works here."""

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from typing import Any

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import Capabilities, Feature, Support
from pointsman.core.plugins import Plugins

from .command import Subparsers
from .selection import Outcomes, survey

PIPE_WIDTH = 320  # nobody sees it wrapped there, and programs would stumble

Surveys = Sequence[tuple[BackendSpec, Outcomes]]


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "backends",
        help="list the installed backends and what each can do here",
        description="List the installed backends: where they come from, whether they can run on this machine,"
        " what to do if not, and which features they have. Nothing is changed.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print the same as data")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    instance = DataplaneSettings(IPFamily.IPV4).instance
    surveys = [(spec, survey(spec, tuple(IPFamily), instance)) for spec in plugins.backends]
    if args.json:
        print(json.dumps([_data(spec, outcomes) for spec, outcomes in surveys], indent=2))
    else:
        _print_tables(surveys)
    return 0


def _origin(spec: BackendSpec) -> tuple[str, str]:
    """The distribution that a backend comes from and its version; empty where nobody knows."""
    make: Any = spec.make
    while isinstance(make, functools.partial):
        make = make.func
    package = (getattr(make, "__module__", None) or type(make).__module__).partition(".")[0]
    distribution = next(iter(packages_distributions().get(package, ())), None)
    return (distribution, version(distribution)) if distribution else ("", "")


def _data(spec: BackendSpec, outcomes: Outcomes) -> Mapping[str, object]:
    distribution, release = _origin(spec)
    return {
        "name": spec.name,
        "summary": spec.summary,
        "distribution": distribution,
        "version": release,
        "families": {str(family): _outcome_data(outcome) for family, outcome in outcomes.items()},
    }


def _outcome_data(outcome: Capabilities | BackendUnavailable) -> Mapping[str, object]:
    if isinstance(outcome, BackendUnavailable):
        return {"works": False, "reason": outcome.reason, "remedy": outcome.remedy}
    supports = {feature: outcome.support(feature) for feature in Feature}
    return {
        "works": True,
        "remarks": list(outcome.remarks),
        "features": {
            feature.value: {"level": support.level.value, "reason": support.reason}
            for feature, support in supports.items()
        },
    }


def _print_tables(surveys: Surveys) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    overview = Table("backend", "from", *(str(family) for family in IPFamily), "what it does", box=box.SIMPLE)
    for spec, outcomes in surveys:
        works = (_works(outcomes[family]) for family in IPFamily)
        row = (spec.name, " ".join(_origin(spec)), *works, spec.summary)
        # As Text, for what plugins say of themselves is not markup.
        overview.add_row(*(Text(cell) for cell in row))
    console.print(overview)
    table = Table("feature", *(escape(spec.name) for spec, _ in surveys), box=box.SIMPLE)
    for feature in Feature:
        table.add_row(feature.value, *(Text(_level(outcomes, feature)) for _, outcomes in surveys))
    console.print(table)
    for spec, outcomes in surveys:
        for remark in _remarks(outcomes):
            console.print(Text(f"{spec.name}: {remark}"))


def _remarks(outcomes: Outcomes) -> tuple[str, ...]:
    """What a backend has to say of how it works here, told by family only where they differ."""
    told: dict[str, list[str]] = {}
    for family, outcome in outcomes.items():
        for remark in outcome.remarks if isinstance(outcome, Capabilities) else ():
            told.setdefault(remark, []).append(str(family))
    whole = len(outcomes)
    return tuple(
        remark if len(where) == whole else f"{', '.join(where)}: {remark}" for remark, where in told.items()
    )


def _works(outcome: Capabilities | BackendUnavailable) -> str:
    return "works" if isinstance(outcome, Capabilities) else f"no: {outcome.reason}; {outcome.remedy}"


def _level(outcomes: Outcomes, feature: Feature) -> str:
    """How far a feature is there, told by family only where they differ."""
    levels = {
        str(family): _word(outcome.support(feature)) if isinstance(outcome, Capabilities) else "–"
        for family, outcome in outcomes.items()
    }
    if len(set(levels.values())) == 1:
        return next(iter(levels.values()))
    return "\n".join(f"{family}: {level}" for family, level in levels.items())


def _word(support: Support) -> str:
    return f"{support.level}: {support.reason}" if support.reason else support.level.value
