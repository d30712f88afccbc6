"""The typed face of pluggy: the only module that calls hooks.

pluggy types every hook call as `Any` and checks names alone. Here each hook has a method with a signature,
and the rules on errors are kept: acquire hooks are fatal and name the plugin, drive hooks raise what a
dataplane may raise, observe hooks are called one by one so that one raising stops nobody.
"""

import argparse
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from . import hookspecs
from .backend import BackendRegistry, BackendSpec, Candidate, DataplaneSettings, Observed
from .config import ProxyConfig
from .errors import BackendUnavailable, DataplaneError, PluginError, PointsmanError, ResyncRequired
from .features import Capabilities
from .packet import Packet, Trace
from .plan import SyncPlan, SyncReport
from .source import SourceRegistry

ENTRY_POINT_GROUP = "pointsman"

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Plugins:
    """All plugins of this process: built-in ones first, then those that entry points name."""

    def __init__(self, builtins: Sequence[object] = (), *, discover: bool = True) -> None:
        """Load and check every plugin.

        Raises:
            PluginError: one can't be loaded, implements an unknown hook or has a wrong signature.
        """
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs.Acquire)
        self._manager.add_hookspecs(hookspecs.Observe)
        for plugin in builtins:
            self.register(plugin)
        if discover:
            for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
                self.register(_load(entry), f"{_distribution(entry)} ({entry.value})")
        self.backends = BackendRegistry()
        self.sources = SourceRegistry()
        self._each("pointsman_register_backends", registry=self.backends)
        self._each("pointsman_register_sources", registry=self.sources)

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a plugin.

        Raises:
            PluginError: it is there already, implements an unknown hook or has a wrong signature.
        """
        _register(self._manager, plugin, name)

    def add_options(self, commands: "argparse._SubParsersAction[Any]") -> None:
        """Let plugins add subcommands and options."""
        self._each("pointsman_add_options", commands=commands)

    def configure(self, config: ProxyConfig) -> None:
        """Tell plugins the configuration; `ConfigError` refuses it."""
        self._each("pointsman_configure", config=config)

    def select_backend(self, candidates: Sequence[Candidate], config: ProxyConfig) -> str | None:
        """What plugins choose for ``--proxy-mode auto``, None if they leave it open."""
        name: str | None = self._manager.hook.pointsman_select_backend(candidates=candidates, config=config)
        return name

    def before_sync(self, plan: SyncPlan) -> None:
        """Tell observers that a plan is about to be carried out."""
        self._tell("pointsman_before_sync", plan=plan)

    def after_sync(self, plan: SyncPlan, report: SyncReport | None, error: Exception | None) -> None:
        """Tell observers how it went."""
        self._tell("pointsman_after_sync", plan=plan, report=report, error=error)

    def shutdown(self) -> None:
        """Tell observers that the process ends."""
        self._tell("pointsman_shutdown")

    def _each(self, hook: str, **arguments: object) -> None:
        """Call an acquire hook on each plugin; what goes wrong is fatal and names the plugin."""
        for name, call in self._implementations(hook):
            try:
                call(**arguments)
            except PointsmanError:
                raise
            except Exception as error:
                raise PluginError(f"plugin {name} failed in {hook}: {error!r}") from error

    def _tell(self, hook: str, **arguments: object) -> None:
        """Call an observe hook on each plugin; what goes wrong is logged and stops nobody."""
        for name, call in self._implementations(hook):
            try:
                call(**arguments)
            except Exception:
                log.exception("plugin_failed", extra={"plugin": name, "hook": hook})

    def _implementations(self, hook: str) -> Iterator[tuple[str, Callable[..., object]]]:
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            yield implementation.plugin_name, _accepting(implementation)


class Dataplane:
    """One selected dataplane for one family: the drive hooks, typed."""

    def __init__(self, spec: BackendSpec, settings: DataplaneSettings) -> None:
        """Make the dataplane's plugin.

        Raises:
            PluginError: it implements an unknown hook, lacks one, or has a wrong signature.
        """
        self.name = spec.name
        self.family = settings.family
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs.Drive)
        _register(self._manager, spec.make(settings), f"backend {spec.name}")
        for hook in _hooks(hookspecs.Drive):
            if not getattr(self._manager.hook, hook).get_hookimpls() and hook != "dataplane_close":
                raise PluginError(f"backend {spec.name} has no {hook}")

    def probe(self) -> Capabilities:
        """What the dataplane can do here. Raises `BackendUnavailable`."""
        return self._drive("dataplane_probe", Capabilities)

    def sync(self, plan: SyncPlan) -> SyncReport:
        """Carry out a plan. Raises `SyncError` or `ResyncRequired`."""
        return self._drive("dataplane_sync", SyncReport, plan=plan)

    def observe(self) -> Observed:
        """Read back what the kernel holds."""
        return self._drive("dataplane_observe", Observed)

    def trace(self, packet: Packet) -> Trace:
        """Follow a packet through what the kernel holds."""
        return self._drive("dataplane_trace", Trace, packet=packet)

    def cleanup(self) -> bool:
        """Remove everything this instance wrote; whether there was anything."""
        return self._drive("dataplane_cleanup", bool)

    def close(self) -> None:
        """Release resources; the kernel's state stays."""
        self._manager.hook.dataplane_close()

    def _drive(self, hook: str, expected: type[Result], **arguments: object) -> Result:
        try:
            result = getattr(self._manager.hook, hook)(**arguments)
        except DataplaneError:
            raise
        except Exception as error:
            # A bug in the dataplane: nobody knows what it did before it raised.
            log.exception("dataplane_failed", extra={"backend": self.name, "hook": hook})
            raise ResyncRequired(self.name, f"{hook} raised {error!r}") from error
        if not isinstance(result, expected):
            raise ResyncRequired(self.name, f"{hook} returned {result!r} instead of {expected.__name__}")
        return result


def probe(spec: BackendSpec, settings: DataplaneSettings) -> Candidate:
    """Find out whether a backend can run here."""
    dataplane = Dataplane(spec, settings)
    try:
        return Candidate(spec, dataplane.probe())
    except BackendUnavailable as error:
        return Candidate(spec, error)
    finally:
        dataplane.close()


def _register(manager: pluggy.PluginManager, plugin: object, name: str | None) -> None:
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"plugin {name or plugin!r}: {error}") from error


def _accepting(implementation: pluggy.HookImpl) -> Callable[..., object]:
    """The implementation as a function of all hook arguments, as pluggy lets plugins take only some."""

    def call(**arguments: object) -> object:
        return implementation.function(*(arguments[name] for name in implementation.argnames))

    return call


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(
            f"plugin {entry.name} of {_distribution(entry)} can't be loaded: {error!r}"
        ) from error


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def _hooks(specification: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(specification, inspect.isfunction)]
