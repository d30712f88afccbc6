"""What this kernel can do, found out by trying it: all that the nftables backend needs, and IPVS."""

from collections.abc import Mapping
from contextlib import suppress
from errno import ENOENT, EPERM

from pointsman.core.addresses import IPFamily, Network, family_of
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.model import Protocol

from . import environment
from .netlink import IpvsError, IpvsSocket
from .servers import ADD_SERVICE, DELETE_SERVICE, SIMPLE, Request, Server
from .split import virtual_service

NAME = "ipvs"
_PORT = 1


def probe(inner: Capabilities, network: Network, scheduler: str) -> Capabilities:
    """Try to make a virtual server at our first address, where none ever is, and take it away again.

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
        features = dict(inner.features)
        for name in dict.fromkeys((SIMPLE, scheduler)):
            _try(ipvs, Server(Protocol.TCP, network.address, _PORT), name)
        features[Feature.SCTP] = _sctp(
            ipvs, Server(Protocol.SCTP, network.address, _PORT), scheduler, features
        )
    finally:
        ipvs.close()
    return Capabilities(features, inner.cold_start_chunk)


def _check_environment(family: IPFamily) -> None:
    missing = environment.missing(family)
    if missing is not None:
        what, option = missing
        raise BackendUnavailable(NAME, f"the kernel has no {what}", f"use a kernel with {option}")


def _sctp(ipvs: IpvsSocket, server: Server, scheduler: str, features: Mapping[Feature, Support]) -> Support:
    try:
        _try(ipvs, server, scheduler)
    except BackendUnavailable:
        return Support(Level.NOT_HERE, "the kernel's IPVS does no SCTP (CONFIG_IP_VS_PROTO_SCTP)")
    return features.get(Feature.SCTP, SUPPORTED)


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
            remedy = f"run modprobe ip_vs_{scheduler}, or use a kernel with CONFIG_IP_VS_{scheduler.upper()}"
            raise BackendUnavailable(NAME, f"the kernel lacks scheduler {scheduler}", remedy) from error
        remedy = "use a kernel with CONFIG_IP_VS_IPV6 and CONFIG_IP_VS_PROTO_TCP"
        raise BackendUnavailable(NAME, f"the kernel refuses a virtual server ({error})", remedy) from error
    ipvs.commit([Request(DELETE_SERVICE, server)])
