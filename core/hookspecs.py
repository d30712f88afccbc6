"""The hooks: specifications and nothing else.

Three layers. *Acquire* hooks run once, at start-up, and tell Pointsman what there is. *Drive* hooks make one
selected dataplane work; they are called on that dataplane's plugin alone, one instance per IP family.
*Observe* hooks tell any number of plugins what happened; one of them raising stops neither the others nor the
dataplane. Hooks are for once per process, event or sync, never per rule: a call costs microseconds.
Everything calls them through `pointsman.core.plugins`, never directly.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from .packet import Packet, Trace
from .plan import SyncPlan, SyncReport

if TYPE_CHECKING:
    from .audit import AuditResult
    from .backend import BackendRegistry, Candidate, Observed
    from .backlog import Backlog
    from .companions import CompanionRegistry
    from .config import ProxyConfig
    from .events import Event
    from .features import Capabilities
    from .model import Model
    from .node import NodeFacts
    from .source import SourceRegistry
    from .traffic import Count

PROJECT = "pointsman"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Acquire:
    """Once per process."""

    @hookspec
    def pointsman_register_backends(self, registry: "BackendRegistry") -> None:
        """Add the dataplanes this plugin ships. A name that is taken is a `PluginError`."""

    @hookspec
    def pointsman_register_sources(self, registry: "SourceRegistry") -> None:
        """Add the kinds of object source this plugin ships."""

    @hookspec
    def pointsman_register_companions(self, registry: "CompanionRegistry") -> None:
        """Add what this plugin has work beside dataplanes, where no daemon makes its services."""

    @hookspec
    def pointsman_add_options(self, commands: "argparse._SubParsersAction[Any]") -> None:
        """Add subcommands, or options to existing ones, before the command line is parsed."""

    @hookspec
    def pointsman_configure(self, config: "ProxyConfig") -> None:
        """The configuration is complete. Raise `ConfigError` to refuse it."""

    @hookspec(firstresult=True)
    def pointsman_select_backend(
        self, candidates: "Sequence[Candidate]", config: "ProxyConfig"
    ) -> str | None:
        """Choose among probed backends, for ``--proxy-mode auto`` only; None leaves it to the next plugin."""


class Drive:
    """On one dataplane, which serves one IP family."""

    @hookspec(firstresult=True)
    def dataplane_probe(self) -> "Capabilities | None":
        """Try what is needed on this machine, leaving no trace.

        Raises `BackendUnavailable` where something that can't be done without is missing.
        """

    @hookspec(firstresult=True)
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport | None:
        """Make the kernel hold ``plan.desired``, atomically as far as the kernel allows.

        Raises `SyncError` if nothing was applied, `ResyncRequired` if what the kernel holds is now unknown.
        """

    @hookspec(firstresult=True)
    def dataplane_observe(self, meant: "Model | None") -> "Observed | None":
        """Read back what the kernel really holds, in the model's terms.

        ``meant`` is what it should hold, for whoever knows: rules that deviate from that, and of which the
        model's terms can't tell, are `Observed.strange`. Nothing else of the answer follows from it, and a
        dataplane to which it says nothing leaves it out.
        """

    @hookspec(firstresult=True)
    def dataplane_trace(self, packet: Packet) -> Trace | None:
        """Follow a packet through what the kernel holds (not through what we believe it holds)."""

    @hookspec(firstresult=True)
    def dataplane_cleanup(self) -> bool | None:
        """Remove everything this instance ever wrote; True if there was anything. Idempotent."""

    @hookspec
    def dataplane_watch(self, changed: Callable[[], None]) -> None:
        """From now on call ``changed``, on any thread, when somebody else has written to what is ours.

        A dataplane that can't hear of that leaves this hook out.
        """

    @hookspec(firstresult=True)
    def dataplane_traffic(self, model: "Model") -> "list[Count] | None":
        """How many new connections the kernel has counted for the service ports of a model that it holds.

        Asked on an instance that doesn't sync, where `DataplaneSettings.traffic` is set. A dataplane that
        has no such counts leaves this hook out.
        """

    @hookspec
    def dataplane_close(self) -> None:
        """Release sockets and other resources; what the kernel holds stays."""


class Observe:
    """Any number of listeners."""

    @hookspec
    def pointsman_before_sync(self, plan: SyncPlan) -> None:
        """A plan is about to go to the dataplane."""

    @hookspec
    def pointsman_after_sync(
        self, plan: SyncPlan, report: SyncReport | None, error: Exception | None
    ) -> None:
        """The dataplane is done: with a report, or with the error that stopped it."""

    @hookspec
    def pointsman_backlog(self, backlog: "Backlog") -> None:
        """What of a family waits for a sync is not what it was: objects came in, or a sync is over.

        Comes once for a whole list of objects, once for each change of one object, and after a sync's
        `pointsman_after_sync`.
        """

    @hookspec
    def pointsman_node(self, facts: "NodeFacts") -> None:
        """This node's object was seen for the first time, or says something else than before."""

    @hookspec
    def pointsman_audited(self, audit: "AuditResult") -> None:
        """What the kernel holds was compared with what it should. Called on the auditor's thread."""

    @hookspec
    def pointsman_event(self, event: "Event") -> None:
        """Something happened that is to be seen at an API object. Called on any thread; must not block."""

    @hookspec
    def pointsman_shutdown(self) -> None:
        """The process is about to end."""
