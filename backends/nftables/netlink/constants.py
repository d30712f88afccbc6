"""Numbers of the nf_tables netlink protocol, under the names the kernel gives them.

Source: ``include/uapi/linux/netfilter/nf_tables.h``, ``nfnetlink.h``, ``netlink.h`` and
``nf_conntrack_common.h``; the ``TYPE_*`` data types and ``NFTNL_UDATA_*`` records are nft's own
(``include/datatype.h`` there, ``include/libnftnl/udata.h`` in libnftnl).

Only what this package uses is listed. Plain integers rather than enumerations where the numbers go
into :mod:`struct`: packing an ``IntEnum`` member costs several times as much as packing an ``int``.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

# --- sockets (asm-generic/socket.h; not in Python's socket module) --------------------------------
SO_ATTACH_FILTER: Final = 26
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33

# --- netlink -------------------------------------------------------------------------------------
NETLINK_NETFILTER: Final = 12
SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NETLINK_DROP_MEMBERSHIP: Final = 2
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11

NLMSG_NOOP: Final = 1
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLMSG_OVERRUN: Final = 4

NLM_F_REQUEST: Final = 0x01
NLM_F_ACK: Final = 0x04
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_CAPPED: Final = 0x100
NLM_F_ACK_TLVS: Final = 0x200
NLM_F_DUMP: Final = 0x300
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800
NLM_F_REPLACE: Final = 0x100

NLA_F_NESTED: Final = 0x8000
NLA_TYPE_MASK: Final = 0x3FFF

NLMSGERR_ATTR_MSG: Final = 1
NLMSGERR_ATTR_OFFS: Final = 2

# --- nfnetlink -----------------------------------------------------------------------------------
NFNL_SUBSYS_NFTABLES: Final = 10
NFNL_MSG_BATCH_BEGIN: Final = 16
NFNL_MSG_BATCH_END: Final = 17
NFNL_BATCH_GENID: Final = 1
NFNLGRP_NFTABLES: Final = 7


class Family(IntEnum):
    """``NFPROTO_*``: the protocol family a table belongs to. Ours are ``IP`` and ``IP6``."""

    UNSPEC = 0
    INET = 1
    IP = 2
    ARP = 3
    NETDEV = 5
    BRIDGE = 7
    IP6 = 10

    def __str__(self) -> str:
        return self.name.lower()


# --- messages ------------------------------------------------------------------------------------
NFT_MSG_NEWTABLE: Final = 0
NFT_MSG_GETTABLE: Final = 1
NFT_MSG_DELTABLE: Final = 2
NFT_MSG_NEWCHAIN: Final = 3
NFT_MSG_GETCHAIN: Final = 4
NFT_MSG_DELCHAIN: Final = 5
NFT_MSG_NEWRULE: Final = 6
NFT_MSG_GETRULE: Final = 7
NFT_MSG_DELRULE: Final = 8
NFT_MSG_NEWSET: Final = 9
NFT_MSG_GETSET: Final = 10
NFT_MSG_DELSET: Final = 11
NFT_MSG_NEWSETELEM: Final = 12
NFT_MSG_GETSETELEM: Final = 13
NFT_MSG_DELSETELEM: Final = 14
NFT_MSG_NEWGEN: Final = 15
NFT_MSG_GETGEN: Final = 16
NFT_MSG_NEWOBJ: Final = 18
NFT_MSG_DELOBJ: Final = 20
NFT_MSG_NEWFLOWTABLE: Final = 22
NFT_MSG_DELFLOWTABLE: Final = 24
# Deletions that do not mind a missing object: Linux 6.3 and newer.
NFT_MSG_DESTROYTABLE: Final = 26
NFT_MSG_DESTROYCHAIN: Final = 27
NFT_MSG_DESTROYRULE: Final = 28
NFT_MSG_DESTROYSET: Final = 29
NFT_MSG_DESTROYSETELEM: Final = 30
NFT_MSG_DESTROYOBJ: Final = 31
NFT_MSG_DESTROYFLOWTABLE: Final = 32

# --- attributes ----------------------------------------------------------------------------------
NFTA_LIST_ELEM: Final = 1

NFTA_TABLE_NAME: Final = 1
NFTA_TABLE_FLAGS: Final = 2
NFTA_TABLE_USE: Final = 3
NFTA_TABLE_HANDLE: Final = 4
NFTA_TABLE_USERDATA: Final = 6
NFTA_TABLE_OWNER: Final = 7

NFTA_CHAIN_TABLE: Final = 1
NFTA_CHAIN_HANDLE: Final = 2
NFTA_CHAIN_NAME: Final = 3
NFTA_CHAIN_HOOK: Final = 4
NFTA_CHAIN_POLICY: Final = 5
NFTA_CHAIN_USE: Final = 6
NFTA_CHAIN_TYPE: Final = 7
NFTA_CHAIN_USERDATA: Final = 12
NFTA_HOOK_HOOKNUM: Final = 1
NFTA_HOOK_PRIORITY: Final = 2

NFTA_RULE_TABLE: Final = 1
NFTA_RULE_CHAIN: Final = 2
NFTA_RULE_HANDLE: Final = 3
NFTA_RULE_EXPRESSIONS: Final = 4
NFTA_RULE_USERDATA: Final = 7

NFTA_SET_TABLE: Final = 1
NFTA_SET_NAME: Final = 2
NFTA_SET_FLAGS: Final = 3
NFTA_SET_KEY_TYPE: Final = 4
NFTA_SET_KEY_LEN: Final = 5
NFTA_SET_DATA_TYPE: Final = 6
NFTA_SET_DATA_LEN: Final = 7
NFTA_SET_DESC: Final = 9
NFTA_SET_ID: Final = 10
NFTA_SET_TIMEOUT: Final = 11
NFTA_SET_USERDATA: Final = 13
NFTA_SET_HANDLE: Final = 16
NFTA_SET_EXPR: Final = 17
NFTA_SET_COUNT: Final = 20
NFTA_SET_DESC_SIZE: Final = 1
NFTA_SET_DESC_CONCAT: Final = 2
NFTA_SET_FIELD_LEN: Final = 1

NFTA_SET_ELEM_LIST_TABLE: Final = 1
NFTA_SET_ELEM_LIST_SET: Final = 2
NFTA_SET_ELEM_LIST_ELEMENTS: Final = 3
NFTA_SET_ELEM_KEY: Final = 1
NFTA_SET_ELEM_DATA: Final = 2
NFTA_SET_ELEM_FLAGS: Final = 3
NFTA_SET_ELEM_TIMEOUT: Final = 4
NFTA_SET_ELEM_EXPIRATION: Final = 5
NFTA_SET_ELEM_USERDATA: Final = 6
NFTA_SET_ELEM_EXPR: Final = 7
NFTA_SET_ELEM_KEY_END: Final = 10

NFTA_DATA_VALUE: Final = 1
NFTA_DATA_VERDICT: Final = 2
NFTA_VERDICT_CODE: Final = 1
NFTA_VERDICT_CHAIN: Final = 2

NFTA_GEN_ID: Final = 1
NFTA_GEN_PROC_PID: Final = 2
NFTA_GEN_PROC_NAME: Final = 3

NFTA_EXPR_NAME: Final = 1
NFTA_EXPR_DATA: Final = 2
NFTA_IMMEDIATE_DREG: Final = 1
NFTA_IMMEDIATE_DATA: Final = 2
NFTA_BITWISE_SREG: Final = 1
NFTA_BITWISE_DREG: Final = 2
NFTA_BITWISE_LEN: Final = 3
NFTA_BITWISE_MASK: Final = 4
NFTA_BITWISE_XOR: Final = 5
NFTA_BITWISE_OP: Final = 6
NFTA_BITWISE_DATA: Final = 7
NFTA_BYTEORDER_SREG: Final = 1
NFTA_BYTEORDER_DREG: Final = 2
NFTA_BYTEORDER_OP: Final = 3
NFTA_BYTEORDER_LEN: Final = 4
NFTA_BYTEORDER_SIZE: Final = 5
NFTA_CMP_SREG: Final = 1
NFTA_CMP_OP: Final = 2
NFTA_CMP_DATA: Final = 3
NFTA_LOOKUP_SET: Final = 1
NFTA_LOOKUP_SREG: Final = 2
NFTA_LOOKUP_DREG: Final = 3
NFTA_LOOKUP_FLAGS: Final = 5
NFTA_DYNSET_SET_NAME: Final = 1
NFTA_DYNSET_OP: Final = 3
NFTA_DYNSET_SREG_KEY: Final = 4
NFTA_DYNSET_SREG_DATA: Final = 5
NFTA_DYNSET_TIMEOUT: Final = 6
NFTA_PAYLOAD_DREG: Final = 1
NFTA_PAYLOAD_BASE: Final = 2
NFTA_PAYLOAD_OFFSET: Final = 3
NFTA_PAYLOAD_LEN: Final = 4
NFTA_META_DREG: Final = 1
NFTA_META_KEY: Final = 2
NFTA_META_SREG: Final = 3
NFTA_CT_DREG: Final = 1
NFTA_CT_KEY: Final = 2
NFTA_CT_DIRECTION: Final = 3
NFTA_COUNTER_BYTES: Final = 1
NFTA_COUNTER_PACKETS: Final = 2
NFTA_LIMIT_RATE: Final = 1
NFTA_LIMIT_UNIT: Final = 2
NFTA_LIMIT_BURST: Final = 3
NFTA_LIMIT_TYPE: Final = 4
NFTA_LIMIT_FLAGS: Final = 5
NFTA_LOG_PREFIX: Final = 2
NFTA_LOG_LEVEL: Final = 5
NFTA_REJECT_TYPE: Final = 1
NFTA_REJECT_ICMP_CODE: Final = 2
NFTA_NAT_TYPE: Final = 1
NFTA_NAT_FAMILY: Final = 2
NFTA_NAT_REG_ADDR_MIN: Final = 3
NFTA_NAT_REG_ADDR_MAX: Final = 4
NFTA_NAT_REG_PROTO_MIN: Final = 5
NFTA_NAT_REG_PROTO_MAX: Final = 6
NFTA_NAT_FLAGS: Final = 7
NFTA_MASQ_FLAGS: Final = 1
NFTA_FIB_DREG: Final = 1
NFTA_FIB_RESULT: Final = 2
NFTA_FIB_FLAGS: Final = 3
NFTA_NG_DREG: Final = 1
NFTA_NG_MODULUS: Final = 2
NFTA_NG_TYPE: Final = 3
NFTA_NG_OFFSET: Final = 4

# --- registers and expression arguments ----------------------------------------------------------
NFT_REG_VERDICT: Final = 0
NFT_REG_1: Final = 1
NFT_REG32_00: Final = 8

NFT_PAYLOAD_NETWORK_HEADER: Final = 1
NFT_PAYLOAD_TRANSPORT_HEADER: Final = 2

NFT_META_PROTOCOL: Final = 1
NFT_META_PRIORITY: Final = 2
NFT_META_MARK: Final = 3
NFT_META_IIFNAME: Final = 6
NFT_META_OIFNAME: Final = 7
NFT_META_NFPROTO: Final = 15
NFT_META_L4PROTO: Final = 16

IP_CT_DIR_ORIGINAL: Final = 0
NFT_CT_STATE: Final = 0
NFT_CT_STATUS: Final = 2
NFT_CT_MARK: Final = 3
NFT_CT_PROTO_SRC: Final = 11
NFT_CT_PROTO_DST: Final = 12
NFT_CT_SRC_IP: Final = 19
NFT_CT_DST_IP: Final = 20
NFT_CT_SRC_IP6: Final = 21
NFT_CT_DST_IP6: Final = 22

NFT_CMP_EQ: Final = 0
NFT_CMP_NEQ: Final = 1
NFT_CMP_LT: Final = 2
NFT_CMP_LTE: Final = 3
NFT_CMP_GT: Final = 4
NFT_CMP_GTE: Final = 5

NFT_BYTEORDER_HTON: Final = 1
NFT_LOOKUP_F_INV: Final = 1
NFT_NG_RANDOM: Final = 1

NFT_NAT_DNAT: Final = 1
NF_NAT_RANGE_MAP_IPS: Final = 0x01
NF_NAT_RANGE_PROTO_SPECIFIED: Final = 0x02
NF_NAT_RANGE_PROTO_RANDOM_FULLY: Final = 0x10

NFT_FIB_RESULT_ADDRTYPE: Final = 3
NFTA_FIB_F_SADDR: Final = 1
NFTA_FIB_F_DADDR: Final = 2
RTN_LOCAL: Final = 2

NFT_REJECT_ICMP_UNREACH: Final = 0
NFT_REJECT_TCP_RST: Final = 1
ICMP_PORT_UNREACH: Final = 3
ICMPV6_PORT_UNREACH: Final = 4

NFT_LIMIT_PKTS: Final = 0

NFT_DYNSET_OP_ADD: Final = 0
NFT_DYNSET_OP_UPDATE: Final = 1
NFT_DYNSET_OP_DELETE: Final = 2


class TcpFlag(IntFlag):
    """Bits of ``tcp flags``, as they stand in the header."""

    SYN = 0x02
    ACK = 0x10


class CtState(IntFlag):
    """Bits of ``ct state`` as nf_tables sees them (``NF_CT_STATE_BIT``)."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class CtStatus(IntFlag):
    """Bits of ``ct status`` (``IPS_*``)."""

    SNAT = 1 << 4
    DNAT = 1 << 5


class Hook(IntEnum):
    """``NF_INET_*``: where a base chain is attached."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


class VerdictCode(IntEnum):
    """Verdicts: ``NF_DROP``, ``NF_ACCEPT`` and the internal ``NFT_*`` ones."""

    DROP = 0
    ACCEPT = 1
    CONTINUE = -1
    JUMP = -3
    GOTO = -4
    RETURN = -5


class TableFlag(IntFlag):
    """``NFT_TABLE_F_*``. ``OWNER`` needs Linux 5.12, ``PERSIST`` Linux 6.9.

    Only the owner's socket may change an owned table, and the table goes when that socket closes. With
    ``PERSIST`` it stays, open to everybody, until a socket adds it again with both flags.
    """

    NONE = 0
    DORMANT = 1
    OWNER = 2
    PERSIST = 4


class SetFlag(IntFlag):
    """``NFT_SET_*``. ``EVAL`` is what nft prints as ``dynamic``."""

    NONE = 0
    ANONYMOUS = 0x01
    CONSTANT = 0x02
    INTERVAL = 0x04
    MAP = 0x08
    TIMEOUT = 0x10
    EVAL = 0x20
    OBJECT = 0x40
    CONCAT = 0x80


NFT_SET_ELEM_INTERVAL_END: Final = 1
NFT_DATA_VERDICT: Final = 0xFFFFFF00


class DataType(IntEnum):
    """nft's data types: what ``nft list`` prints the bytes as. The kernel only stores the number."""

    VERDICT = 1
    NFPROTO = 2
    INTEGER = 4
    IPV4_ADDR = 7
    IPV6_ADDR = 8
    ETHER_TYPE = 10
    INET_PROTO = 12
    INET_SERVICE = 13
    TCP_FLAG = 15
    MARK = 19
    CLASSID = 23
    CT_STATE = 26
    CT_STATUS = 28
    FIB_ADDRTYPE = 38
    IFNAME = 41


class ByteOrder(IntEnum):
    """nft's ``enum byteorder``, stored in a set's user data."""

    UNSPECIFIED = 0
    HOST = 1
    BIG = 2


# --- user data: nft's own records, opaque to the kernel -------------------------------------------
NFTNL_UDATA_COMMENT: Final = 0  # of a table, chain, rule or set element
NFTNL_UDATA_SET_KEYBYTEORDER: Final = 0
NFTNL_UDATA_SET_DATABYTEORDER: Final = 1
NFTNL_UDATA_SET_KEY_TYPEOF: Final = 3
NFTNL_UDATA_SET_DATA_TYPEOF: Final = 4
NFTNL_UDATA_SET_DATA_INTERVAL: Final = 6
NFTNL_UDATA_SET_COMMENT: Final = 7
NFTNL_UDATA_SET_TYPEOF_EXPR: Final = 0
NFTNL_UDATA_SET_TYPEOF_DATA: Final = 1
