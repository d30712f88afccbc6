"""The suite as a pytest plugin: which cases run for whom, in what world, and what it all comes to."""

import re
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import pytest

from pointsman.core.addresses import IPFamily
from pointsman.core.errors import PluginError
from pointsman.core.features import CORE, Feature, Level
from pointsman.core.plugins import Plugins

from .cluster import Cluster
from .simulation import SimulatedNetwork
from .stages import NotHere, Stage, Stages
from .statistics import Budget
from .tally import Tally
from .world import World

_FAMILIES = {
    "4": (IPFamily.IPV4,),
    "6": (IPFamily.IPV6,),
    "both": (IPFamily.IPV4, IPFamily.IPV6),
}
_IDENTIFIER = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z]+)?-\d\d")
_MARKERS = (
    "semantics(identifier, ...): the rules of the service contract that a case is about",
    "requires(feature, ...): features without which a case makes no sense",
    "dual_stack: a case about both families at once",
)


class Variant(NamedTuple):
    """Whom a case is played for, and in which family."""

    backend: str
    family: IPFamily


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
        self._backends = tuple(dict.fromkeys(config.getoption("backend")))
        for name in self._backends:
            if name not in plugins.backends:
                installed = ", ".join(spec.name for spec in plugins.backends)
                raise pytest.UsageError(f"--backend {name}: there is no such backend; installed: {installed}")
        self._families: Sequence[IPFamily] = _FAMILIES[config.getoption("family")]
        self._stages = Stages(plugins, self._families, config.getoption("instance"))
        self._tally = Tally(self._backends)
        for line in _MARKERS:
            config.addinivalue_line("markers", line)
        config.pluginmanager.register(self._tally, "pointsman-tally")

    def pytest_unconfigure(self) -> None:
        """Take down what was set up."""
        self._stages.close()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Play each case for each backend and family."""
        if "variant" in metafunc.fixturenames:
            variants = [Variant(backend, family) for backend in self._backends for family in self._families]
            names = [f"{variant.backend}-{variant.family}" for variant in variants]
            metafunc.parametrize("variant", variants, ids=names, scope="session")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Check what cases say of themselves, and leave out what the families asked for leave no room for."""
        left_out: set[pytest.Item] = set()
        for item in items:
            variant = _variant(item)
            if variant is None:
                continue
            item.user_properties += _described(item, variant)
            both = len(self._families) > 1 and variant.family is self._families[0]
            if item.get_closest_marker("dual_stack") and not both:
                left_out.add(item)
        if left_out:
            config.hook.pytest_deselected(items=list(left_out))
            items[:] = [item for item in items if item not in left_out]

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what can't be had here, and say so; core features admit no other excuse."""
        variant = _variant(item)
        if variant is None:
            return
        stage = self._stages.of(variant.backend)
        if isinstance(stage, NotHere):
            pytest.skip(f"not here: {stage}")
        needed = self._families if item.get_closest_marker("dual_stack") else (variant.family,)
        for family in needed:
            if family in stage.missing:
                pytest.skip(f"not here: {family}: {stage.missing[family]}")
        for feature in _features(item) - CORE:
            support = stage.support(feature, variant.family)
            if support.level is Level.NOT_IMPLEMENTED:
                item.add_marker(pytest.mark.xfail(reason=support.reason, strict=True))
            elif support.level is not Level.SUPPORTED:
                pytest.skip(f"{support.level.replace('-', ' ')}: {feature}: {support.reason}")

    @pytest.fixture
    def world(self, request: pytest.FixtureRequest, variant: Variant) -> Iterator[World]:
        """A cluster with a node and no services, for one case; nothing of it remains."""
        stage = self._stages.of(variant.backend)
        assert isinstance(stage, Stage)
        subject, budget = stage.subject, Budget()
        try:
            cluster = Cluster(subject)
            network = stage.network or SimulatedNetwork(cluster.trace, request.node.nodeid)
            yield World(variant.family, cluster, network, budget)
        finally:
            request.node.user_properties.append(("false alarms", budget.spent))
            try:
                subject.cleanup()
            finally:
                if stage.network is not None:
                    stage.network.forget_flows()

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Verify the world when its case is done, as a part of it."""
        result = yield
        world = pyfuncitem.funcargs.get("world")
        if isinstance(world, World):
            world.verify()
        return result


def _variant(item: pytest.Item) -> Variant | None:
    variant = (
        item.callspec.params.get("variant")
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else None
    )
    return variant if isinstance(variant, Variant) else None


def _features(item: pytest.Item) -> set[Feature]:
    return {feature for mark in item.iter_markers("requires") for feature in mark.args}


def _described(item: pytest.Item, variant: Variant) -> list[tuple[str, object]]:
    """What a report has to know of a case. Raises `pytest.UsageError` if the case doesn't say it."""
    identifiers = [identifier for mark in item.iter_markers("semantics") for identifier in mark.args]
    wrong = [identifier for identifier in identifiers if not _IDENTIFIER.fullmatch(identifier)]
    if wrong or not identifiers:
        raise pytest.UsageError(
            f"{item.nodeid}: name the rules it is about, as in semantics('SEL-10'): {wrong}"
        )
    return [
        ("backend", variant.backend),
        ("family", str(variant.family)),
        ("semantics", " ".join(identifiers)),
        ("core", _features(item) <= CORE),
    ]
