"""The kernel's named counters, nfacct, which rules count with for kube-proxy's metrics (MET-12).

They are of a network namespace and both families count with the same; like kube-proxy's, they survive a
clean-up (CLN-04). Kernel counterpart: ``net/netfilter/nfnetlink_acct.c``.
"""

from errno import EEXIST

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_ACCT, nfgen_msg
from pyroute2.netlink.nlsocket import NetlinkSocket

INVALID = "ct_state_invalid_dropped_pkts"
LOCALHOST_NODE_PORTS = "localhost_nps_accepted_pkts"

_NEW = NFNL_SUBSYS_ACCT << 8
_GET = _NEW | 1


class _Message(nfgen_msg):  # type: ignore[misc] # pyroute2 ships no annotations
    nla_map = (
        ("NFACCT_UNSPEC", "none"),
        ("NFACCT_NAME", "asciiz"),
        ("NFACCT_PKTS", "be64"),
        ("NFACCT_BYTES", "be64"),
        ("NFACCT_USE", "be32"),
    )


def ensure() -> None:
    """Make the counters that aren't there yet, in the calling thread's network namespace. Raises OSError."""
    with _open() as netlink:
        for name in (INVALID, LOCALHOST_NODE_PORTS):
            message = _Message()
            message["attrs"] = [("NFACCT_NAME", name)]
            flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
            try:
                list(netlink.nlm_request(message, _NEW, flags))
            except NetlinkError as error:
                if error.code != EEXIST:
                    raise OSError(error.code, f"can't make nfacct counter {name}: {error}") from error


def counters() -> dict[str, int]:
    """Packets counted so far, by counter; those that aren't there are left out. Raises OSError."""
    with _open() as netlink:
        try:
            answers = list(netlink.nlm_request(_Message(), _GET, NLM_F_REQUEST | NLM_F_DUMP))
        except NetlinkError as error:
            raise OSError(error.code, f"can't read nfacct counters: {error}") from error
    found = {str(a.get_attr("NFACCT_NAME")): int(a.get_attr("NFACCT_PKTS")) for a in answers}
    return {name: found[name] for name in (INVALID, LOCALHOST_NODE_PORTS) if name in found}


def _open() -> NetlinkSocket:
    netlink = NetlinkSocket(family=NETLINK_NETFILTER)
    netlink.register_policy({_NEW: _Message, _GET: _Message})
    netlink.bind()
    return netlink
