"""A cluster's network in miniature, for real packets."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

from .build import add_address, build, own_address, remove_address
from .errors import LabUnavailable, ProtocolUnavailable
from .layout import lay_out
from .netns import Namespace
from .servers import Server, ServerThread
from .spec import NODE, ROUTER, SECOND_NODE, LabSpec
from .topology import Machine

# SCTP has no error queue: a refusal by ICMP is felt only when the first packet is repeated, after 3 s unless
# told otherwise.
_QUICK_SCTP = {"sctp/rto_min": 100, "sctp/rto_initial": 100}


_FILES = 1024
"""How many files and sockets a process with a lab may have to open at once: what most systems allow."""


class Capability(Struct, frozen=True):
    """Whether this machine can do something, and if not, why not."""

    present: bool
    reason: str = ""


class Capabilities(Struct, frozen=True):
    """What depends on the kernel; all else a lab needs is there, or the lab would not be."""

    sctp: Capability


class Lab:
    """The machines of a `LabSpec`, each a network namespace, built and connected.

    Nothing of it outlives the process, however that ends.

    Attributes:
        spec: what was asked for.
        topology: what was built.
        capabilities: what the kernel can do beyond TCP, UDP and ICMP.

    Raises:
        ValueError: the specification contradicts itself.
        LabUnavailable: this machine or user can't have a lab.
    """

    def __init__(self, spec: LabSpec = LabSpec()) -> None:
        _have_files()
        self.spec = spec
        self.topology = lay_out(spec)
        self._machines = {machine.name: machine for machine in self.topology.machines}
        with ExitStack() as stack:
            self._namespaces = build(self.topology, stack)
            self._servers = ServerThread()
            stack.callback(self._servers.close)
            self.capabilities = Capabilities(_probe_sctp(self.node))
            if self.capabilities.sctp.present:
                for namespace in self._namespaces.values():
                    namespace.sysctl(_QUICK_SCTP)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        """Use the lab until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __getitem__(self, name: str) -> Namespace:
        """A machine's namespace, by the machine's name.

        Raises:
            KeyError: there is no such machine.
        """
        return self._namespaces[name]

    @property
    def node(self) -> Namespace:
        """The node under test."""
        return self[NODE]

    @property
    def second_node(self) -> Namespace:
        """The node of the remote pods."""
        return self[SECOND_NODE]

    @property
    def router(self) -> Namespace:
        """The default gateway of everyone on the segment."""
        return self[ROUTER]

    def machine(self, name: str) -> Machine:
        """How a machine was laid out.

        Raises:
            KeyError: there is no such machine.
        """
        return self._machines[name]

    def address(self, name: str, family: IPFamily) -> str:
        """A machine's main address."""
        return self.machine(name).addresses_of(family)[0]

    def serve(
        self, name: str, protocol: Protocol, family: IPFamily, port: int, *, address: str = ""
    ) -> Server:
        """Start a server on a machine, named as the machine; it ends with the lab or when closed.

        Without ``address`` it answers on all addresses of the machine; port 0 lets the kernel choose. SCTP on
        a machine with several addresses needs one, or it may answer from another than it was asked on.

        Raises:
            ProtocolUnavailable: the kernel lacks SCTP.
            OSError: the address is not the machine's, or the port is taken.
        """
        if protocol is Protocol.SCTP and not self.capabilities.sctp.present:
            raise ProtocolUnavailable(self.capabilities.sctp.reason)
        return self._servers.serve(self[name], name, protocol, family, port, address)

    def claim(self, address: str) -> None:
        """Make an address the router's own, so that a server there answers what no proxy takes care of."""
        self.router.configure(lambda netlink: own_address(netlink, address))

    @contextmanager
    def without_address(self, name: str, address: str) -> Iterator[None]:
        """Take an address from a machine until the context ends.

        Raises:
            KeyError: there is no such machine, or it has no such address.
        """
        configure = self[name].configure
        places = ((one.name, had) for one in self.machine(name).interfaces for had in one.addresses)
        interface, had = next(((at, had) for at, had in places if had.text == address), (None, None))
        if interface is None or had is None:
            raise KeyError(f"{name} has no address {address}")
        configure(lambda netlink: remove_address(netlink, interface, had))
        try:
            yield
        finally:
            configure(lambda netlink: add_address(netlink, interface, had))

    def close(self) -> None:
        """Take everything down; a second call does nothing."""
        self._stack.close()


def _probe_sctp(namespace: Namespace) -> Capability:
    try:
        [probe] = namespace.sockets(1, socket.AF_INET, socket.SOCK_STREAM, Protocol.SCTP)
    except OSError as error:
        return Capability(False, f"the kernel has no SCTP ({error.strerror})")
    probe.close()
    return Capability(True)


def _have_files() -> None:
    """See to it that this process may open as many sockets as a lab needs. Raises `LabUnavailable`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        return
    enough = hard if hard == resource.RLIM_INFINITY else max(hard, _FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, enough))
    except (OSError, ValueError):
        raise LabUnavailable(
            f"this process may open no more than {hard} files", f"raise the limit, as by 'ulimit -n {_FILES}'"
        ) from None
