"""What this kernel can do, found out by trying it: all that the nftables backend needs, and IPVS."""

from contextlib import suppress
from errno import ENOENT, EPERM

from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, Network, family_of
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import SUPPORTED, Capabilities, Feature
from pointsman.core.model import Protocol

from . import environment
from .netlink import IpvsError, IpvsSocket
from .servers import ADD_SERVICE, DELETE_SERVICE, SIMPLE, Request, Server
from .split import virtual_service

NAME = "ipvs"
_PORT = 1


def probe(inner: Capabilities, network: Network, scheduler: str) -> Capabilities:
    """Try to make a virtual server at our first address, where none ever is, and take it away again.

    Who asks for IPVS or a scheduler has the kernel load the module, if there is one.

    Raises:
        BackendUnavailable: something is missing; names it and the remedy.
    """
    try:
        ipvs = IpvsSocket()
    except OSError as error:
        if error.errno != ENOENT:
            raise BackendUnavailable(
                NAME, f"the kernel has no generic netlink ({error})", "use another"
            ) from error
        remedy = "run modprobe ip_vs, or use a kernel with CONFIG_IP_VS"
        raise BackendUnavailable(NAME, "the kernel has no IPVS, or has not loaded it", remedy) from error
    try:
        _check_environment(family_of(network.address))
        for name in dict.fromkeys((SIMPLE, scheduler)):
            _try(ipvs, Server(Protocol.TCP, network.address, _PORT), name)
        _check_protocols(ipvs)
    finally:
        ipvs.close()
    return replace(inner, features={**inner.features, Feature.SCHEDULERS: SUPPORTED})


def _check_environment(family: IPFamily) -> None:
    missing = environment.missing(family)
    if missing is not None:
        what, option = missing
        raise BackendUnavailable(NAME, f"the kernel has no {what}", f"use a kernel with {option}")


def _check_protocols(ipvs: IpvsSocket) -> None:
    """See that IPVS does TCP and UDP: virtual servers are made of any protocol, but it has no time-outs then.

    Whether it does SCTP nothing tells.
    """
    held = ipvs.timeouts()
    missing = [name for name, seconds in (("TCP", held.tcp), ("UDP", held.udp)) if not seconds]
    if missing:
        options = " and ".join(f"CONFIG_IP_VS_PROTO_{name}" for name in missing)
        reason = f"the kernel's IPVS does no {' and no '.join(missing)}"
        raise BackendUnavailable(NAME, reason, f"use a kernel with {options}")


def refused(ipvs: IpvsSocket, network: Network, scheduler: str) -> BackendUnavailable | None:
    """Why the kernel makes no virtual server with a scheduler; None if it does."""
    try:
        _try(ipvs, Server(Protocol.TCP, network.address, _PORT), scheduler)
    except BackendUnavailable as error:
        return error
    return None


def _try(ipvs: IpvsSocket, server: Server, scheduler: str) -> None:
    with suppress(IpvsError):  # one that a probe left behind that was killed
        ipvs.commit([Request(DELETE_SERVICE, server)])
    try:
        ipvs.commit([Request(ADD_SERVICE, server, virtual_service((), scheduler))])
    except IpvsError as error:
        if error.errno == EPERM:
            remedy = "run as root, or with CAP_NET_ADMIN"
            raise BackendUnavailable(NAME, "programming the kernel is not permitted", remedy) from error
        if error.errno == ENOENT:
            option = f"CONFIG_IP_VS_{scheduler.upper()}"
            remedy = f"run modprobe ip_vs_{scheduler}, choose another, or use a kernel with {option}"
            raise BackendUnavailable(NAME, f"the kernel lacks scheduler {scheduler}", remedy) from error
        remedy = "use a kernel with CONFIG_IP_VS_IPV6"
        raise BackendUnavailable(NAME, f"the kernel refuses a virtual server ({error})", remedy) from error
    ipvs.commit([Request(DELETE_SERVICE, server)])
