"""The suite as a pytest plugin: which cases run for whom, in what world, and what it all comes to."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from pointsman.conformance.external import BadCommand, OutOfSight, TargetCommand
from pointsman.conformance.report.model import Outcome
from pointsman.conformance.report.verdict import WORDS
from pointsman.core.addresses import IPFamily
from pointsman.core.errors import PluginError
from pointsman.core.features import CORE, Feature, Level
from pointsman.core.plugins import Plugins

from .account import Account, known
from .results import EXCUSE, FALSE_ALARMS
from .selection import MARKERS, Selection, Variant, features_of, is_dual_stack, variant_of
from .stages import NotHere, Stage, Stages
from .statistics import Budget
from .tally import Tally
from .world import World

if TYPE_CHECKING:
    from .scenarios import Campaign, Scenario

_FAMILIES = {
    "4": (IPFamily.IPV4,),
    "6": (IPFamily.IPV6,),
    "both": (IPFamily.IPV4, IPFamily.IPV6),
}
_OUTCOMES = {Level.UNSUPPORTED: Outcome.UNSUPPORTED, Level.NOT_HERE: Outcome.NOT_HERE}

Worlds = Callable[[], AbstractContextManager[World]]


class Suite:
    """Fixtures and hooks; registered where ``--backend`` is given.

    Raises:
        pytest.UsageError: there is no such backend, or an installed plugin is broken.
    """

    def __init__(self, config: pytest.Config) -> None:
        try:
            plugins = Plugins()
        except PluginError as error:
            raise pytest.UsageError(str(error)) from error
        backends = tuple(dict.fromkeys(config.getoption("backend")))
        for name in backends:
            if name not in plugins.backends:
                installed = ", ".join(spec.name for spec in plugins.backends)
                raise pytest.UsageError(f"--backend {name}: there is no such backend; installed: {installed}")
        for name in config.getoption("conformance_report"):
            if not Path(name).absolute().parent.is_dir():
                raise pytest.UsageError(f"--conformance-report {name}: there is no such folder")
        self._scenarios = _scenarios(config.getoption("conformance_replay"))
        self._families: Sequence[IPFamily] = _FAMILIES[config.getoption("family")]
        targets = _targets(config.getoption("target_command"), plugins)
        self._backends = (*backends, *targets)
        self._stages = Stages(plugins, self._families, config.getoption("instance"), targets)
        core_only = config.getoption("conformance_profile") == "core"
        self._selection = Selection(self._families, core_only=core_only)
        tally = Tally(config, self._backends, [str(family) for family in self._families], self._account)
        for line in MARKERS:
            config.addinivalue_line("markers", line)
        config.pluginmanager.register(self._selection, "pointsman-selection")
        config.pluginmanager.register(tally, "pointsman-tally")

    def pytest_unconfigure(self) -> None:
        """Take down what was set up."""
        self._stages.close()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Play each case for each backend and family, and each scenario in its own family."""
        if "variant" not in metafunc.fixturenames:
            return
        variants = [Variant(backend, family) for backend in self._backends for family in self._families]
        if "scenario" in metafunc.fixturenames:
            pairs = [
                pytest.param(variant, scenario, id=f"{variant.label}-{name}")
                for variant in variants
                for name, scenario in self._scenarios.items()
                if scenario.family == str(variant.family)
            ]
            metafunc.parametrize(("variant", "scenario"), pairs, scope="session")
        else:
            names = [variant.label for variant in variants]
            metafunc.parametrize("variant", variants, ids=names, scope="session")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what can't be had here, and say so; core features admit no other excuse."""
        variant = variant_of(item)
        if variant is None:
            return
        stage = self._stages.of(variant.backend)
        if isinstance(stage, NotHere):
            _excuse(item, Outcome.NOT_HERE, str(stage))
        needed = self._families if is_dual_stack(item) else (variant.family,)
        for family in needed:
            if family in stage.missing:
                _excuse(item, Outcome.NOT_HERE, f"{family}: {stage.missing[family]}")
        for feature in sorted(features_of(item) - CORE):
            support = stage.support(feature, variant.family)
            if support.level is Level.NOT_IMPLEMENTED:
                item.add_marker(pytest.mark.xfail(reason=support.reason, strict=True))
            elif support.level is not Level.SUPPORTED:
                _excuse(item, _OUTCOMES[support.level], f"{feature}: {support.reason}")

    @pytest.fixture
    def worlds(self, request: pytest.FixtureRequest, variant: Variant) -> Iterator[Worlds]:
        """Makes worlds, one after another, for a case that needs several."""
        stage = self._stages.of(variant.backend)
        assert isinstance(stage, Stage)
        subject, budget = stage.subject, Budget()

        @contextmanager
        def new() -> Iterator[World]:
            try:
                yield stage.world(variant.family, budget, request.node.nodeid)
            finally:
                try:
                    subject.cleanup()
                finally:
                    if stage.network is not None:
                        stage.network.forget_flows()

        yield new
        request.node.user_properties.append((FALSE_ALARMS, budget.spent))

    @pytest.fixture
    def world(self, worlds: Worlds) -> Iterator[World]:
        """A cluster with a node and no services, for one case; nothing of it remains."""
        with worlds() as world:
            yield world

    @pytest.fixture
    def features(self, variant: Variant) -> frozenset[Feature]:
        """What can be had for a case beyond the core."""
        stage = self._stages.of(variant.backend)
        assert isinstance(stage, Stage)
        beyond = frozenset(Feature) - CORE
        return frozenset(f for f in beyond if stage.support(f, variant.family).level is Level.SUPPORTED)

    @pytest.fixture
    def campaign(
        self, pytestconfig: pytest.Config, variant: Variant, worlds: Worlds, features: frozenset[Feature]
    ) -> "Campaign":
        """The search for a scenario that fails."""
        from .scenarios import Campaign

        stage = self._stages.of(variant.backend)
        assert isinstance(stage, Stage)
        others = (family for family in stage.subject.families if family is not variant.family)
        reports = pytestconfig.getoption("conformance_report")
        return Campaign(
            backend=variant.backend,
            family=variant.family,
            other=next(others, None),
            worlds=worlds,
            features=features,
            ours=stage.target is None,
            number=pytestconfig.getoption("conformance_scenarios"),
            seed=pytestconfig.getoption("conformance_seed"),
            folder=Path(reports[0]).absolute().parent if reports else Path.cwd(),
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Verify the world when its case is done, as a part of it."""
        try:
            result = yield
            world = pyfuncitem.funcargs.get("world")
            if isinstance(world, World):
                world.verify()
        except OutOfSight as error:
            _excuse(pyfuncitem, Outcome.NOT_ASKED, str(error))
        return result

    def _account(self) -> Account:
        stages = {name: known(stage, self._families) for name, stage in self._stages.known().items()}
        return Account(self._selection.chosen, stages)


def _scenarios(files: Sequence[str]) -> dict[str, "Scenario"]:
    """The scenarios to be played again, by the names of their files."""
    if not files:
        return {}
    from .scenarios import ScenarioUnreadable, load

    try:
        return {Path(file).stem: load(Path(file)) for file in files}
    except ScenarioUnreadable as error:
        raise pytest.UsageError(f"--conformance-replay: {error}") from error


def _targets(commands: Sequence[str], plugins: Plugins) -> dict[str, TargetCommand]:
    """Programs to be held to the suite, by name. Raises `pytest.UsageError`."""
    targets: dict[str, TargetCommand] = {}
    for text in commands:
        try:
            command = TargetCommand.parse(text)
        except BadCommand as error:
            raise pytest.UsageError(f"--target-command {error}") from error
        if command.name in targets or command.name in plugins.backends:
            raise pytest.UsageError(f"--target-command {text}: {command.name} is the name of another already")
        targets[command.name] = command
    return targets


def _excuse(item: pytest.Item, outcome: Outcome, reason: str) -> NoReturn:
    """Skip a case. Raises `pytest.skip.Exception`."""
    item.user_properties.append((EXCUSE, str(outcome)))
    pytest.skip(f"{WORDS[outcome]}: {reason}")
