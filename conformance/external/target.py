"""A target: a program that watches the suite's API server and serves the lab's node."""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.kernel import KernelNetwork
from pointsman.conformance.lab import NODE
from pointsman.conformance.objects import Manifest
from pointsman.conformance.scene import CLUSTER_CIDRS
from pointsman.conformance.subject import SyncFailed
from pointsman.core.addresses import IPFamily
from pointsman.core.errors import PointsmanError
from pointsman.core.model import NamespacedName

from .command import TargetCommand
from .process import TargetProcess
from .sentinel import Sentinel

READY = 30.0
"""Seconds within which a program has to serve after it was started."""

TAKEN_IN = 15.0
"""Seconds within which it has to serve a change."""

_PAUSE = 0.01


class NotReady(PointsmanError):
    """A program could not be started, or did not begin to serve; the message holds its last words."""


class Target:
    """A program under test, for the length of a run: one process for case after case.

    Args:
        command: how to start it.
        network: the lab.
        families: those it has to serve.

    Raises:
        NotReady: it doesn't come to serve.
    """

    def __init__(self, command: TargetCommand, network: KernelNetwork, families: Sequence[IPFamily]) -> None:
        self.name = command.name
        self._network = network
        self._mourned = False
        self._sentinels = [Sentinel(family) for family in families]
        with ExitStack() as stack:
            self._server = stack.enter_context(ApiServer(run=network.run))
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="pointsman-target-")))
            scratch = folder / "scratch"
            scratch.mkdir()
            values = {
                "kubeconfig": str(self._server.kubeconfig(folder / "kubeconfig")),
                "node": NODE,
                "cluster_cidrs": ",".join(CLUSTER_CIDRS[family] for family in families),
                "folder": str(scratch),
            }
            self._process = TargetProcess(network.popen, command.filled(values, folder))
            stack.callback(self._process.stop)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End the program and the server."""
        self._stack.close()

    def start(self, manifests: Iterable[Manifest]) -> None:
        """Start the program, with these objects to be found. Raises `NotReady`."""
        self._server.replace_all([*manifests, *self._next_sentinels()])
        self._mourned = False
        try:
            self._process.start()
        except OSError as error:
            raise NotReady(f"{self.name} can't be started: {error}") from error
        if why := self._why_not_served(READY):
            raise NotReady(why)

    def restart(self, manifests: Iterable[Manifest]) -> None:
        """End the program, change what there is, and start it again.

        Raises:
            SyncFailed: it doesn't come to serve once more.
        """
        self._process.stop()
        try:
            self.start(manifests)
        except NotReady as error:
            raise SyncFailed(str(error)) from error

    def begin(self, manifests: Iterable[Manifest]) -> None:
        """Have it serve these objects and no others; start it again if it ended, and somebody was told.

        Raises:
            SyncFailed: it doesn't come to serve them.
        """
        if self._mourned:
            self.restart(manifests)
            return
        self._server.replace_all([*manifests, *self._next_sentinels()])
        self._await_served()

    def change(self, changed: Iterable[Manifest], deleted: Iterable[tuple[str, NamespacedName]] = ()) -> None:
        """Add, change and delete objects, and wait until it has taken that in. Raises `SyncFailed`."""
        for manifest in changed:
            self._server.put(manifest)
        for kind, name in deleted:
            self._server.delete(kind, name.namespace, name.name)
        for manifest in self._next_sentinels():
            self._server.put(manifest)
        self._await_served()

    def assert_alive(self) -> None:
        """Raises `SyncFailed` if the program has ended."""
        if ended := self._process.ended():
            raise SyncFailed(self._mourn(ended))

    def _await_served(self) -> None:
        if why := self._why_not_served(TAKEN_IN):
            raise SyncFailed(why)

    def _why_not_served(self, within: float) -> str:
        deadline = time.monotonic() + within
        for sentinel in self._sentinels:
            while not sentinel.is_served(self._network):
                if ended := self._process.ended(_PAUSE):
                    return self._mourn(ended)
                if time.monotonic() > deadline:
                    late = f"{self.name} does not serve the last change after {within:.0f} s"
                    return self._with_last_words(late)
        return ""

    def _next_sentinels(self) -> list[Manifest]:
        return [manifest for sentinel in self._sentinels for manifest in sentinel.next()]

    def _mourn(self, ended: str) -> str:
        self._mourned = True
        return self._with_last_words(ended)

    def _with_last_words(self, what: str) -> str:
        return f"{what}; the last it said:\n{self._process.last_words()}"
