"""The typed face of pluggy: the only module that calls hooks.

pluggy types every hook call as `Any` and checks names alone. Here each hook has a method with a signature,
and the rules on errors are kept: acquire hooks are fatal and name the plugin, drive hooks raise what a
dataplane may raise, observe hooks are called one by one so that one raising stops nobody.
"""

import argparse
import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from . import hookspecs
from .backend import BackendRegistry, BackendSpec, Candidate, DataplaneSettings, Observed
from .backlog import Backlog
from .calls import Caller, Unreturned
from .companions import CompanionRegistry
from .config import ProxyConfig
from .errors import BackendUnavailable, DataplaneError, PluginError, PointsmanError, ResyncRequired
from .events import Event
from .features import Capabilities
from .node import NodeFacts
from .packet import Packet, Trace
from .plan import SyncPlan, SyncReport
from .source import SourceRegistry

if TYPE_CHECKING:  # it drives dataplanes, and so imports this module
    from .audit import AuditResult
    from .model import Model
    from .traffic import Count

ENTRY_POINT_GROUP = "pointsman"

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_OPTIONAL = {"dataplane_watch", "dataplane_traffic", "dataplane_close"}


class Plugins:
    """All plugins of this process: those handed in, then those that entry points name, our own first."""

    def __init__(self, given: Sequence[object] = (), *, discover: bool = True) -> None:
        """Load and check every plugin.

        pluggy asks the last one registered first, so a third party's word comes before ours where the first
        answer counts.

        Raises:
            PluginError: one can't be loaded, implements an unknown hook or has a wrong signature.
        """
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs.Acquire)
        self._manager.add_hookspecs(hookspecs.Observe)
        for plugin in given:
            self.register(plugin)
        if discover:
            for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_order):
                self.register(_load(entry), f"{_distribution(entry)} ({entry.value})")
        self.backends = BackendRegistry()
        self.sources = SourceRegistry()
        self.companions = CompanionRegistry()
        self._each("pointsman_register_backends", registry=self.backends)
        self._each("pointsman_register_sources", registry=self.sources)
        self._each("pointsman_register_companions", registry=self.companions)

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
        """What the last plugin with an opinion chooses for ``--proxy-mode auto``, None if there is none."""
        for implementation in reversed(self._implementations("pointsman_select_backend")):
            choice = _acquire(implementation, candidates=candidates, config=config)
            if isinstance(choice, str):
                return choice
        return None

    def before_sync(self, plan: SyncPlan) -> None:
        """Tell observers that a plan is about to be carried out."""
        self._tell("pointsman_before_sync", plan=plan)

    def after_sync(self, plan: SyncPlan, report: SyncReport | None, error: Exception | None) -> None:
        """Tell observers how it went."""
        self._tell("pointsman_after_sync", plan=plan, report=report, error=error)

    def backlog(self, backlog: Backlog) -> None:
        """Tell observers what waits for a sync."""
        self._tell("pointsman_backlog", backlog=backlog)

    def node(self, facts: NodeFacts) -> None:
        """Tell observers what this node's object says."""
        self._tell("pointsman_node", facts=facts)

    def audited(self, audit: "AuditResult") -> None:
        """Tell observers how an audit ended; from any thread."""
        self._tell("pointsman_audited", audit=audit)

    def event(self, event: Event) -> None:
        """Tell observers of something to be seen at an API object; from any thread."""
        self._tell("pointsman_event", event=event)

    def shutdown(self) -> None:
        """Tell observers that the process ends."""
        self._tell("pointsman_shutdown")

    def _each(self, hook: str, **arguments: object) -> None:
        """Call an acquire hook on each plugin."""
        for implementation in self._implementations(hook):
            _acquire(implementation, **arguments)

    def _tell(self, hook: str, **arguments: object) -> None:
        """Call an observe hook on each plugin; what goes wrong is logged and stops nobody."""
        for implementation in self._implementations(hook):
            try:
                _call(implementation, **arguments)
            except Exception:
                log.exception("plugin_failed", extra={"plugin": implementation.plugin_name, "hook": hook})

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """In the order of registration, but for those that asked to be first or last."""
        found = getattr(self._manager.hook, hook).get_hookimpls()
        return sorted(found, key=lambda implementation: implementation.trylast - implementation.tryfirst)


class Dataplane:
    """One selected dataplane for one family: the drive hooks, typed.

    Its plugin lives on a thread of its own, in the network namespace of who makes this object. A hook that
    hangs therefore keeps nobody: after `BackendSpec.patience` its call fails like that of one that raises.
    """

    def __init__(self, spec: BackendSpec, settings: DataplaneSettings) -> None:
        """Make the dataplane's plugin.

        Raises:
            BackendUnavailable: not even that is possible here.
            PluginError: it can't be made, implements an unknown hook, lacks one, or has a wrong signature.
        """
        self.name = spec.name
        self.family = settings.family
        self.settings = settings
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs.Drive)
        self._caller = Caller(f"{spec.name} {settings.family}", spec.patience)
        try:
            plugin = self._caller.call("making it", spec.make, settings)
        except BackendUnavailable:
            raise
        except Unreturned as error:
            raise PluginError(f"backend {spec.name} can't be made: {error}") from error
        except Exception as error:
            raise PluginError(f"backend {spec.name} can't be made: {error!r}") from error
        _register(self._manager, plugin, f"backend {spec.name}")
        for hook in _hooks(hookspecs.Drive):
            if not getattr(self._manager.hook, hook).get_hookimpls() and hook not in _OPTIONAL:
                raise PluginError(f"backend {spec.name} has no {hook}")

    def probe(self) -> Capabilities:
        """What the dataplane can do here. Raises `BackendUnavailable`, also if the probe is broken."""
        try:
            return self._drive("dataplane_probe", Capabilities)
        except ResyncRequired as error:
            remedy = "report this to whoever made the backend"
            raise BackendUnavailable(self.name, f"its probe is broken: {error}", remedy) from error

    def sync(self, plan: SyncPlan) -> SyncReport:
        """Carry out a plan. Raises `SyncError` or `ResyncRequired`."""
        return self._drive("dataplane_sync", SyncReport, plan=plan)

    def observe(self, meant: "Model | None" = None) -> Observed:
        """Read back what the kernel holds, told what it should hold if that is known."""
        return self._drive("dataplane_observe", Observed, meant=meant)

    def trace(self, packet: Packet) -> Trace:
        """Follow a packet through what the kernel holds."""
        return self._drive("dataplane_trace", Trace, packet=packet)

    def cleanup(self) -> bool:
        """Remove everything this instance wrote; whether there was anything."""
        return self._drive("dataplane_cleanup", bool)

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called, on any thread, when somebody else has written to the dataplane's rules.

        Raises `ResyncRequired`: they can't be watched.
        """
        self._call("dataplane_watch", changed=changed)

    @property
    def counts_traffic(self) -> bool:
        """Whether the dataplane can tell how many connections service ports got."""
        return bool(self._manager.hook.dataplane_traffic.get_hookimpls())

    def traffic(self, model: "Model") -> "list[Count]":
        """The kernel's counts of new connections, where the dataplane has them."""
        return self._drive("dataplane_traffic", list, model=model)

    @property
    def hanging(self) -> str:
        """Which hook was called and has not returned; empty if none."""
        return self._caller.hanging

    def close(self) -> None:
        """Release resources; the kernel's state stays. One whose hook hangs keeps what it has."""
        if self.hanging:
            return
        try:
            self._call("dataplane_close")
        except ResyncRequired as error:
            log.warning("dataplane_not_closed", extra={"backend": self.name, "error": str(error)})
        finally:
            self._caller.close()

    def _drive(self, hook: str, expected: type[Result], **arguments: object) -> Result:
        result = self._call(hook, **arguments)
        if not isinstance(result, expected):
            raise ResyncRequired(self.name, f"{hook} returned {result!r} instead of {expected.__name__}")
        return result

    def _call(self, hook: str, **arguments: object) -> object:
        try:
            return self._caller.call(hook, getattr(self._manager.hook, hook), **arguments)
        except DataplaneError:
            raise
        except Unreturned as error:
            raise ResyncRequired(self.name, f"{error}; nothing is asked of it until it has") from error
        except Exception as error:
            # A bug in the dataplane: nobody knows what it did before it raised.
            log.exception("dataplane_failed", extra={"backend": self.name, "hook": hook})
            raise ResyncRequired(self.name, f"{hook} raised {error!r}") from error


def probe(spec: BackendSpec, settings: DataplaneSettings) -> Candidate:
    """Find out whether a backend can run here."""
    try:
        with closing(Dataplane(spec, settings)) as dataplane:
            return Candidate(spec, dataplane.probe())
    except BackendUnavailable as error:
        return Candidate(spec, error)


def _register(manager: pluggy.PluginManager, plugin: object, name: str | None) -> None:
    name = name or getattr(plugin, "__name__", repr(plugin))
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"plugin {name}: {error}") from error
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            # Plugins are called one by one, where a wrapper has nothing to wrap.
            if implementation.wrapper or implementation.hookwrapper:
                raise PluginError(f"plugin {implementation.plugin_name}: {caller.name} can't be a wrapper")


def _acquire(implementation: pluggy.HookImpl, **arguments: object) -> object:
    """Call one plugin at start-up; what goes wrong is fatal and names the plugin."""
    hook = implementation.function.__name__
    try:
        return _call(implementation, **arguments)
    except PluginError as error:
        raise PluginError(f"plugin {implementation.plugin_name}: {error}") from error
    except PointsmanError:
        raise
    except Exception as error:
        raise PluginError(f"plugin {implementation.plugin_name} failed in {hook}: {error!r}") from error


def _call(implementation: pluggy.HookImpl, **arguments: object) -> object:
    """Call one plugin with those of a hook's arguments that it takes, as pluggy lets it."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(
            f"plugin {entry.name} of {_distribution(entry)} can't be loaded: {error!r}"
        ) from error


def _order(entry: EntryPoint) -> tuple[bool, str]:
    return (_distribution(entry) != hookspecs.PROJECT, entry.name)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def _hooks(specification: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(specification, inspect.isfunction)]
