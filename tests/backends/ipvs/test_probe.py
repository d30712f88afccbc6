"""What the probe says where something is missing: what, and what to do about it."""

from collections.abc import Sequence
from errno import EAFNOSUPPORT, ENOENT, EPERM, EPROTONOSUPPORT
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest
from pyroute2.netlink.exceptions import NetlinkError as RouteError

from pointsman.backends.ipvs import environment
from pointsman.backends.ipvs import probe as probing
from pointsman.backends.ipvs.netlink import IpvsError
from pointsman.backends.ipvs.places import block
from pointsman.backends.ipvs.servers import ADD_SERVICE, Request, Timeouts
from pointsman.core.addresses import IPFamily
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support

NOT_IN_THE_TABLE = Support(Level.UNSUPPORTED, "not in the table")
INNER = Capabilities(
    dict.fromkeys(Feature, SUPPORTED)
    | dict.fromkeys((Feature.SCHEDULERS, Feature.LOCALHOST_NODE_PORTS), NOT_IN_THE_TABLE),
    cold_start_chunk=7,
)


class Kernel:
    """IPVS that holds virtual servers, and refuses what it wasn't built with."""

    def __init__(
        self,
        schedulers: tuple[str, ...] = ("rr", "mh"),
        families: tuple[int, ...] = (4, 16),
        timeouts: Timeouts = Timeouts(900, 120, 300),
        refuses: int = 0,
    ) -> None:
        self._schedulers, self._lengths, self._timeouts = schedulers, families, timeouts
        self._refuses = refuses
        self.held: set[object] = set()
        self.closed = False

    def commit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            if self._refuses:
                raise IpvsError(self._refuses, request, "")
            if len(request.server.address) not in self._lengths:
                raise IpvsError(EAFNOSUPPORT, request, "")
            if request.verb is ADD_SERVICE:
                assert request.service is not None
                if request.service.scheduler not in self._schedulers:
                    raise IpvsError(ENOENT, request, "")
                self.held.add(request.server)
            elif request.server in self.held:
                self.held.remove(request.server)
            else:
                raise IpvsError(ENOENT, request, "")

    def timeouts(self) -> Timeouts:
        return self._timeouts

    def close(self) -> None:
        self.closed = True


class Routes:
    """The policy routing of a kernel that has it for one family at least."""

    def __init__(self, *families: int) -> None:
        self._families = families

    def __enter__(self) -> "Routes":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def get_rules(self, family: int) -> list[str]:
        if family not in self._families:
            raise RouteError(EAFNOSUPPORT)
        return ["a rule"]


@pytest.fixture
def sysctls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a kernel that has all that is needed."""
    (tmp_path / "vs").mkdir()
    (tmp_path / "vs/conntrack").touch()
    monkeypatch.setattr(environment, "_SYSCTLS", tmp_path)
    monkeypatch.setattr(environment, "IPRoute", lambda: Routes(AF_INET, AF_INET6))
    return tmp_path


def probe(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, family: IPFamily = IPFamily.IPV6, scheduler: str = "mh"
) -> Capabilities:
    monkeypatch.setattr(probing, "IpvsSocket", lambda: kernel)
    try:
        return probing.probe(INNER, block(family, "pointsman"), scheduler)
    finally:
        assert kernel.closed
        assert not kernel.held


def said(caught: pytest.ExceptionInfo[BackendUnavailable]) -> tuple[str, str]:
    return caught.value.reason, caught.value.remedy


@pytest.mark.usefixtures("sysctls")
def test_where_all_is_there_a_service_may_have_its_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table can't do, and IPVS can, is told as what it is."""
    found = probe(monkeypatch, Kernel())
    assert found.support(Feature.SCHEDULERS) == SUPPORTED
    assert found.support(Feature.LOCALHOST_NODE_PORTS) == NOT_IN_THE_TABLE
    assert found.cold_start_chunk == 7


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (
            IpvsError(ENOENT, "find IPVS", ""),
            "the kernel has no IPVS, or has not loaded it",
            "run modprobe ip_vs, or use a kernel with CONFIG_IP_VS",
        ),
        (
            OSError(EPROTONOSUPPORT, "Protocol not supported"),
            f"the kernel has no generic netlink ([Errno {EPROTONOSUPPORT}] Protocol not supported)",
            "use another",
        ),
    ],
    ids=["no IPVS", "no generic netlink"],
)
def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, remedy: str) -> None:
    def absent() -> Kernel:
        raise error

    monkeypatch.setattr(probing, "IpvsSocket", absent)
    with pytest.raises(BackendUnavailable) as caught:
        probing.probe(INNER, block(IPFamily.IPV4, "pointsman"), "mh")
    assert said(caught) == (reason, remedy)


@pytest.mark.usefixtures("sysctls")
@pytest.mark.parametrize(
    ("kernel", "asked", "reason", "remedy"),
    [
        (
            Kernel(schedulers=("rr",)),
            "mh",
            "the kernel lacks scheduler mh",
            "run modprobe ip_vs_mh, choose another, or use a kernel with CONFIG_IP_VS_MH",
        ),
        (
            Kernel(schedulers=("mh",)),
            "mh",
            "the kernel lacks scheduler rr",
            "run modprobe ip_vs_rr, choose another, or use a kernel with CONFIG_IP_VS_RR",
        ),
        (
            Kernel(families=(4,)),
            "rr",
            "the kernel refuses a virtual server (",
            "use a kernel with CONFIG_IP_VS_IPV6",
        ),
        (
            Kernel(refuses=EPERM),
            "rr",
            "programming the kernel is not permitted",
            "run as root, or with CAP_NET_ADMIN",
        ),
        (
            Kernel(timeouts=Timeouts(900, 120, 0)),
            "rr",
            "the kernel's IPVS does no UDP",
            "use a kernel with CONFIG_IP_VS_PROTO_UDP",
        ),
        (
            Kernel(timeouts=Timeouts()),
            "rr",
            "the kernel's IPVS does no TCP and no UDP",
            "use a kernel with CONFIG_IP_VS_PROTO_TCP and CONFIG_IP_VS_PROTO_UDP",
        ),
    ],
    ids=["its scheduler", "the simplest", "IPv6", "permission", "UDP", "both protocols"],
)
def test_what_is_missing_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, kernel: Kernel, asked: str, reason: str, remedy: str
) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        probe(monkeypatch, kernel, scheduler=asked)
    assert caught.value.reason.startswith(reason)
    assert caught.value.remedy == remedy


def test_without_connection_tracking_in_ipvs(sysctls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sysctls / "vs/conntrack").unlink()
    with pytest.raises(BackendUnavailable) as caught:
        probe(monkeypatch, Kernel())
    assert said(caught) == (
        "the kernel has no connection tracking in IPVS",
        "use a kernel with CONFIG_IP_VS_NFCT",
    )


@pytest.mark.usefixtures("sysctls")
def test_without_policy_routing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "IPRoute", lambda: Routes(AF_INET))
    with pytest.raises(BackendUnavailable) as caught:
        probe(monkeypatch, Kernel())
    assert said(caught) == (
        "the kernel has no policy routing",
        "use a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES",
    )
    probe(monkeypatch, Kernel(), IPFamily.IPV4)
