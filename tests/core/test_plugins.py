"""The typed face of plugins: who is called, in what order, and who is blamed."""

import argparse
import logging
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendRegistry, BackendSpec, Candidate, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import (
    BackendUnavailable,
    ConfigError,
    DataplaneError,
    PluginError,
    ResyncRequired,
    SyncError,
)
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Model, NodeContext
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import Delta, SyncPlan, SyncReport
from pointsman.core.plugins import Dataplane, Plugins, probe
from pointsman.core.source import SourceRegistry, SourceSpec

from .fakes import Listener, Script
from .objects import NODE

CONFIG = ProxyConfig(NODE)
SETTINGS = DataplaneSettings(IPFamily.IPV4)
PLAN = SyncPlan(IPFamily.IPV4, Model(NodeContext(IPFamily.IPV4)), Delta(), full=True)
PACKET = Packet(bytes(4), bytes(4), 80, None)


def spec(
    name: str = "mine",
    make: Callable[[DataplaneSettings], object] = lambda _: Script(),
    patience: float = 30.0,
) -> BackendSpec:
    return BackendSpec(name, "of a test", make, patience=patience)


class Registering:
    """A plugin that brings a backend."""

    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def pointsman_register_backends(self, registry: BackendRegistry) -> None:
        registry.add(spec(self.name))


def plugins(*given: object) -> Plugins:
    return Plugins(given, discover=False)


# Acquiring


def test_backends_are_there_under_their_names() -> None:
    registry = plugins(Registering("zeta"), Registering("alpha")).backends
    assert [backend.name for backend in registry] == ["alpha", "zeta"]
    assert registry["zeta"].name == "zeta"
    assert "alpha" in registry
    assert "beta" not in registry


def test_sources_are_there_under_their_names() -> None:
    class Plugin:
        @hookimpl
        def pointsman_register_sources(self, registry: SourceRegistry) -> None:
            for name in ("files", "air"):
                registry.add(SourceSpec(name, "of a test", lambda argument, config: pytest.fail("not made")))

    registry = plugins(Plugin()).sources
    assert [source.name for source in registry] == ["air", "files"]
    assert "files" in registry
    assert registry["air"].summary == "of a test"


def test_a_source_registered_twice_is_refused() -> None:
    class Plugin:
        @hookimpl
        def pointsman_register_sources(self, registry: SourceRegistry) -> None:
            registry.add(SourceSpec("files", "of a test", lambda argument, config: pytest.fail("not made")))

    with pytest.raises(PluginError, match="source 'files' is registered twice"):
        plugins(Plugin(), Plugin())


def test_a_backend_registered_twice_is_refused_and_the_second_plugin_named() -> None:
    class Usurper(Registering):
        """Takes a name that is taken."""

    with pytest.raises(PluginError, match=r"Usurper.*'mine' is registered twice"):
        plugins(Registering("mine"), Usurper("mine"))


def test_an_unknown_hook_is_refused() -> None:
    class Plugin:
        @hookimpl
        def pointsman_configuer(self, config: ProxyConfig) -> None: ...

    with pytest.raises(PluginError, match=r"Plugin.*pointsman_configuer"):
        plugins(Plugin())


def test_a_hook_that_wants_an_unknown_argument_is_refused() -> None:
    class Plugin:
        @hookimpl
        def pointsman_configure(self, config: ProxyConfig, colour: str) -> None: ...

    with pytest.raises(PluginError, match=r"(?s)Plugin.*colour"):
        plugins(Plugin())


def test_the_same_plugin_twice_is_refused() -> None:
    plugin = Registering("mine")
    with pytest.raises(PluginError, match="Registering"):
        plugins(plugin, plugin)


class Wrapper:
    @hookimpl(wrapper=True)
    def pointsman_shutdown(self) -> Generator[None, None, None]:
        yield


class OldWrapper:
    @hookimpl(hookwrapper=True)
    def pointsman_shutdown(self) -> Generator[None, None, None]:
        yield


@pytest.mark.parametrize("plugin", [Wrapper(), OldWrapper()])
def test_a_wrapper_which_would_never_run_is_refused(plugin: object) -> None:
    with pytest.raises(PluginError, match=r"Wrapper.*pointsman_shutdown.*wrapper"):
        plugins(plugin)


def test_a_plugin_that_fails_at_the_start_is_named() -> None:
    class Plugin:
        @hookimpl
        def pointsman_configure(self) -> None:
            raise KeyError("zone")

    with pytest.raises(PluginError, match=r"Plugin.*pointsman_configure.*KeyError\('zone'\)"):
        plugins(Plugin()).configure(CONFIG)


def test_a_plugin_may_refuse_the_configuration() -> None:
    class Plugin:
        @hookimpl
        def pointsman_configure(self, config: ProxyConfig) -> None:
            raise ConfigError(f"no node {config.node_name}")

    with pytest.raises(ConfigError, match=r"^no node node-a$"):
        plugins(Plugin()).configure(CONFIG)


def test_a_plugin_may_add_a_command() -> None:
    class Plugin:
        @hookimpl
        def pointsman_add_options(self, commands: "argparse._SubParsersAction[Any]") -> None:
            commands.add_parser("inspect").add_argument("--deep", action="store_true")

    parser = argparse.ArgumentParser()
    plugins(Plugin()).add_options(parser.add_subparsers(dest="command"))
    assert parser.parse_args(["inspect", "--deep"]).deep


class Choosing:
    """A plugin that chooses a backend, or says nothing."""

    def __init__(self, choice: str | None) -> None:
        self.choice = choice

    @hookimpl
    def pointsman_select_backend(self, candidates: list[Candidate]) -> str | None:
        return self.choice and candidates[0].spec.name + self.choice


@pytest.mark.parametrize(
    ("choices", "expected"),
    [([], None), ([None], None), (["a"], "mine-a"), (["a", "b"], "mine-b"), (["a", None], "mine-a")],
)
def test_the_last_plugin_with_an_opinion_chooses(choices: list[str | None], expected: str | None) -> None:
    manager = plugins(*(Choosing(choice and f"-{choice}") for choice in choices))
    assert manager.select_backend([Candidate(spec(), Capabilities({}))], CONFIG) == expected


def test_a_plugin_that_fails_to_choose_is_named() -> None:
    with pytest.raises(PluginError, match=r"Choosing.*pointsman_select_backend.*IndexError"):
        plugins(Choosing("a")).select_backend([], CONFIG)


# Observing


def test_every_observer_is_told() -> None:
    first, second = Listener(), Listener()
    manager = plugins(first, second)
    report = SyncReport(1, 2)
    error = SyncError("mine", "no memory")
    manager.before_sync(PLAN)
    manager.after_sync(PLAN, report, None)
    manager.after_sync(PLAN, None, error)
    manager.shutdown()
    for listener in (first, second):
        assert listener.before == [PLAN]
        assert listener.after == [(PLAN, report, None), (PLAN, None, error)]
        assert listener.ended == 1


def test_an_observer_that_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Raising:
        @hookimpl
        def pointsman_after_sync(self) -> None:
            raise ValueError("oops")

    before, after = Listener(), Listener()
    plugins(before, Raising(), after).after_sync(PLAN, None, None)
    assert len(before.after) == len(after.after) == 1
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "plugin_failed")
    assert "Raising" in vars(record)["plugin"]
    assert vars(record)["hook"] == "pointsman_after_sync"


def test_observers_are_called_in_the_order_they_ask_for() -> None:
    told: list[str] = []

    class First:
        @hookimpl(tryfirst=True)
        def pointsman_shutdown(self) -> None:
            told.append("first")

    class Plain:
        def __init__(self, name: str) -> None:
            self.name = name

        @hookimpl
        def pointsman_shutdown(self) -> None:
            told.append(self.name)

    class Last:
        @hookimpl(trylast=True)
        def pointsman_shutdown(self) -> None:
            told.append("last")

    plugins(Last(), Plain("a"), First(), Plain("b")).shutdown()
    assert told == ["first", "a", "b", "last"]


# Driving


def dataplane(plugin: object) -> Dataplane:
    return Dataplane(spec(make=lambda _: plugin), SETTINGS)


def test_a_dataplane_is_driven() -> None:
    script = Script()
    driven = dataplane(script)
    assert (driven.name, driven.family) == ("mine", IPFamily.IPV4)
    assert driven.sync(PLAN) == SyncReport(transactions=1)
    assert script.plans == [PLAN]
    assert driven.probe() == Capabilities({})
    assert driven.cleanup() is False
    assert driven.observe().frontends == {}
    assert driven.trace(PACKET).steps == ()
    driven.close()


def test_a_backend_that_lacks_a_hook_is_refused() -> None:
    class Half:
        @hookimpl
        def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
            return SyncReport()

    with pytest.raises(PluginError, match="backend mine has no dataplane_cleanup"):
        dataplane(Half())


def test_a_backend_with_an_unknown_hook_is_refused() -> None:
    class Odd(Script):
        @hookimpl
        def dataplane_synch(self) -> None: ...

    with pytest.raises(PluginError, match=r"backend mine.*dataplane_synch"):
        dataplane(Odd())


def test_a_backend_that_cannot_be_made_is_named() -> None:
    def make(settings: DataplaneSettings) -> object:
        raise OSError("no socket")

    with pytest.raises(PluginError, match=r"backend mine.*OSError\('no socket'\)"):
        Dataplane(spec(make=make), SETTINGS)


@pytest.mark.parametrize("error", [SyncError("mine", "no memory"), ResyncRequired("mine", "half done")])
def test_errors_of_the_interface_pass_unchanged(error: DataplaneError) -> None:
    script = Script()
    script.failures = [error]
    with pytest.raises(type(error)) as caught:
        dataplane(script).sync(PLAN)
    assert caught.value is error


def test_any_other_error_means_that_the_state_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    script = Script()
    script.failures = [ZeroDivisionError("oops")]
    with pytest.raises(ResyncRequired, match=r"mine: dataplane_sync raised ZeroDivisionError\('oops'\)"):
        dataplane(script).sync(PLAN)
    assert [record.message for record in caplog.records] == ["dataplane_failed"]


def test_a_hook_that_hangs_is_named_and_nothing_more_is_asked_until_it_returns() -> None:
    gate = threading.Event()

    class Hanging(Script):
        @hookimpl
        def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
            gate.wait()
            return super().dataplane_sync(plan)

    hanging = Hanging()
    driven = Dataplane(spec(make=lambda _: hanging, patience=0.05), SETTINGS)
    for _ in range(2):
        with pytest.raises(ResyncRequired, match=r"^mine: dataplane_sync has not returned for \d+ s"):
            driven.sync(PLAN)
    with pytest.raises(ResyncRequired, match=r"^mine: dataplane_sync has not returned"):
        driven.observe()
    assert driven.hanging.startswith("dataplane_sync has not returned")
    driven.close()  # and doesn't wait for it
    assert not hanging.plans
    gate.set()


def test_a_backend_that_hangs_when_it_is_made_is_named() -> None:
    gate = threading.Event()
    with pytest.raises(PluginError, match=r"^backend mine can't be made: making it has not returned"):
        Dataplane(spec(make=lambda _: gate.wait(), patience=0.05), SETTINGS)
    gate.set()


def test_a_probe_that_hangs_makes_the_backend_unavailable() -> None:
    gate = threading.Event()

    class Hanging(Script):
        @hookimpl
        def dataplane_probe(self) -> Capabilities:
            gate.wait()
            return super().dataplane_probe()

    outcome = probe(spec(make=lambda _: Hanging(), patience=0.05), SETTINGS).outcome
    gate.set()
    assert isinstance(outcome, BackendUnavailable)
    assert "its probe is broken: mine: dataplane_probe has not returned" in outcome.reason
    assert "whoever made the backend" in outcome.remedy


def test_a_wrong_answer_means_that_the_state_is_unknown() -> None:
    class Vague(Script):
        @hookimpl
        def dataplane_trace(self, packet: Packet) -> Trace:
            return "somewhere"  # type: ignore[return-value]

    with pytest.raises(ResyncRequired, match="dataplane_trace returned 'somewhere' instead of Trace"):
        dataplane(Vague()).trace(PACKET)


def test_no_answer_means_that_the_state_is_unknown() -> None:
    class Silent(Script):
        @hookimpl
        def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
            return None  # type: ignore[return-value]

    with pytest.raises(ResyncRequired, match="dataplane_sync returned None"):
        dataplane(Silent()).sync(PLAN)


# Probing


class Probing(Script):
    """A dataplane whose probe ends as told, and that knows whether it was closed."""

    def __init__(self, outcome: Exception | None = None) -> None:
        super().__init__()
        self.outcome = outcome
        self.closed = 0

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        if self.outcome is not None:
            raise self.outcome
        return Capabilities({})

    @hookimpl
    def dataplane_close(self) -> None:
        self.closed += 1


def probed(plugin: Probing) -> Candidate:
    candidate = probe(spec(make=lambda _: plugin), SETTINGS)
    assert plugin.closed == 1
    return candidate


def test_probing_tells_what_a_backend_can_do() -> None:
    assert probed(Probing()).outcome == Capabilities({})


def test_probing_tells_why_a_backend_cannot_run() -> None:
    error = BackendUnavailable("mine", "no module", "modprobe it")
    assert probed(Probing(error)).outcome is error


def test_a_backend_that_cannot_even_be_made_here_tells_why() -> None:
    error = BackendUnavailable("mine", "no netlink", "run it on Linux")

    def make(settings: DataplaneSettings) -> object:
        raise error

    assert probe(spec(make=make), SETTINGS).outcome is error


def test_a_probe_that_is_broken_makes_a_backend_unavailable() -> None:
    outcome = probed(Probing(KeyError("kernel"))).outcome
    assert isinstance(outcome, BackendUnavailable)
    assert "KeyError('kernel')" in outcome.reason
    assert outcome.remedy


# Discovering


def install(folder: Path, distribution: str, module: str, source: str) -> None:
    """Lay down an installed distribution with one entry point."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pointsman]\nmine = {module}\n")
    (folder / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that distributions are found in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


GOOD = """
from pointsman.core.backend import BackendSpec
from pointsman.core.hookspecs import hookimpl

@hookimpl
def pointsman_register_backends(registry):
    registry.add(BackendSpec("third", "of a third party", lambda settings: None))
"""


def test_a_third_partys_backend_is_found(site: Path) -> None:
    install(site, "third-party", "third_party_good", GOOD)
    assert "third" in Plugins().backends


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("third_party_a", "import no_such_module", "no_such_module"),
        ("third_party_b", GOOD.replace("register_backends", "register_backend"), "register_backend"),
        ("third_party_c", GOOD.replace("(registry)", "(registry, flags)"), "flags"),
        ("third_party_d", GOOD.replace("registry.add", "registry.insert"), "insert"),
        ("third_party_e", GOOD + "    registry.add(BackendSpec('third', '', None))\n", "registered twice"),
    ],
)
def test_a_broken_distribution_is_named(site: Path, module: str, source: str, reason: str) -> None:
    install(site, "third-party", module, source)
    with pytest.raises(PluginError, match=rf"(?s)third-party.*{reason}"):
        Plugins()
