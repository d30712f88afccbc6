"""What the socket makes of answers that a healthy kernel seldom gives: lost, foreign, interrupted."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINTR, ENOBUFS
from struct import pack, unpack_from

import pytest

from pointsman.backends.nftables.netlink import constants as nf
from pointsman.backends.nftables.netlink import framing, netfilter
from pointsman.backends.nftables.netlink.attributes import attribute, be32, string
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.errors import DumpInterrupted, NetlinkError, OutcomeUnknown
from pointsman.backends.nftables.netlink.messages import Table, add_chain, add_table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket

T = Table(Family.IP, "t")


def message(kind: int, flags: int, sequence: int, body: bytes = b"") -> bytes:
    return pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def acknowledgement(sequence: int, error: int = 0) -> bytes:
    return message(nf.NLMSG_ERROR, nf.NLM_F_CAPPED, sequence, pack("=i", -error) + bytes(16))


def table_info(sequence: int, flags: int = 0) -> bytes:
    return message(0xA00, flags, sequence, bytes((2, 0, 0, 0)) + string(nf.NFTA_TABLE_NAME, "t"))


def done(sequence: int) -> bytes:
    return message(nf.NLMSG_DONE, 0, sequence, bytes(4))


class Kernel:
    """Stands for the netlink socket: answers each request by the next function of a script."""

    def __init__(self, *answers: Callable[[int], list[bytes | OSError]]) -> None:
        self.answers = list(answers)
        self.queue: list[bytes | OSError] = []

    def send(self, request: bytes) -> int:
        first = unpack_from("=I", request, 8)[0]
        self.queue += self.answers.pop(0)(first)
        return len(request)

    def recv(self, size: int) -> bytes:
        if not self.queue:
            raise BlockingIOError
        answer = self.queue.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self) -> None:
        self.queue.clear()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kernel], NetfilterSocket]:
    def connected(kernel: Kernel) -> NetfilterSocket:
        monkeypatch.setattr(netfilter, "open_netlink", lambda: kernel)
        return NetfilterSocket()

    return connected


Connect = Callable[[Kernel], NetfilterSocket]
OVERRUN = OSError(ENOBUFS, "No buffer space available")


def test_answers_to_others_and_stray_messages_are_ignored(connect: Connect) -> None:
    netfilter = connect(
        Kernel(
            lambda begin: [
                acknowledgement(begin - 1, error=1),
                acknowledgement(begin + 99, error=1),
                message(nf.NLMSG_NOOP, 0, begin),
                acknowledgement(begin + 2),
            ]
        )
    )
    netfilter.commit([add_table(T), add_chain(T, "c")])


def test_what_an_earlier_request_left_is_thrown_away(connect: Connect) -> None:
    kernel = Kernel(lambda begin: [acknowledgement(begin + 1)])
    kernel.queue = [acknowledgement(0, error=1), OVERRUN]
    connect(kernel).commit([add_table(T)])


@pytest.mark.parametrize("answers", [[], [OVERRUN]])
def test_a_lost_answer_to_a_transaction_leaves_its_outcome_unknown(
    connect: Connect, answers: list[bytes | OSError]
) -> None:
    with pytest.raises(OutcomeUnknown, match="transaction of 2 operations"):
        connect(Kernel(lambda begin: answers)).commit([add_table(T), add_chain(T, "c")])


def test_errors_count_even_when_others_were_lost(connect: Connect) -> None:
    kernel = Kernel(lambda begin: [acknowledgement(begin + 2, error=17), OVERRUN])
    with pytest.raises(NetlinkError, match="add chain ip t c: File exists"):
        connect(kernel).commit([add_table(T), add_chain(T, "c"), add_table(T)])


def test_a_refused_commit_is_not_blamed_on_an_operation(connect: Connect) -> None:
    kernel = Kernel(lambda begin: [acknowledgement(begin, error=12)])
    with pytest.raises(NetlinkError, match="commit of the transaction: Cannot allocate memory"):
        connect(kernel).commit([add_table(T)])


def test_a_lost_answer_to_a_question(connect: Connect) -> None:
    with pytest.raises(OutcomeUnknown, match="get generation"):
        connect(Kernel(lambda sequence: [])).generation()


def test_a_refused_question(connect: Connect) -> None:
    with pytest.raises(NetlinkError, match="get generation: Operation not permitted"):
        connect(Kernel(lambda sequence: [acknowledgement(sequence, error=1)])).generation()


@pytest.mark.parametrize(
    "disturbed",
    [
        lambda sequence: [table_info(sequence, nf.NLM_F_DUMP_INTR), done(sequence)],
        lambda sequence: [table_info(sequence), OVERRUN, done(sequence)],
        lambda sequence: [acknowledgement(sequence, error=EINTR)],
        lambda sequence: [table_info(sequence)],
    ],
    ids=["flag", "overrun", "error", "cut short"],
)
def test_a_disturbed_dump_is_repeated_but_not_for_ever(
    connect: Connect, disturbed: Callable[[int], list[bytes | OSError]]
) -> None:
    def whole(sequence: int) -> list[bytes | OSError]:
        return [table_info(sequence - 1), table_info(sequence) + table_info(sequence), done(sequence)]

    assert [info.table for info in connect(Kernel(disturbed, disturbed, whole)).dump_tables()] == [T, T]
    with pytest.raises(DumpInterrupted, match="list tables"):
        connect(Kernel(*[disturbed] * 20)).dump_tables()


def test_sequence_numbers_start_again_before_they_overflow(connect: Connect) -> None:
    seen: list[int] = []

    def acknowledge(begin: int) -> list[bytes | OSError]:
        seen.append(begin)
        return [acknowledgement(begin + 1)]

    netfilter = connect(Kernel(acknowledge, acknowledge))
    netfilter._sequence = 2**32 - 4
    netfilter.commit([add_table(T)])
    netfilter.commit([add_table(T)])
    assert seen == [2**32 - 3, 1]


def test_the_kernels_own_words_are_passed_on() -> None:
    notes = string(nf.NLMSGERR_ATTR_MSG, "Invalid chain type") + attribute(
        nf.NLMSGERR_ATTR_OFFS, pack("=I", 44)
    )
    body = pack("=i", -22) + pack("=IHHII", 60, 0xA03, 0, 7, 0)
    capped = framing.Message(nf.NLMSG_ERROR, nf.NLM_F_CAPPED | nf.NLM_F_ACK_TLVS, 7, 0, body + notes)
    assert framing.parse_error(capped) == (22, 44, "Invalid chain type")
    whole = framing.Message(nf.NLMSG_ERROR, nf.NLM_F_ACK_TLVS, 7, 0, body + bytes(44) + notes)
    assert framing.parse_error(whole) == (22, 44, "Invalid chain type")
    end = framing.Message(
        nf.NLMSG_DONE, nf.NLM_F_ACK_TLVS, 7, 0, pack("=i", -2) + string(nf.NLMSGERR_ATTR_MSG, "x")
    )
    assert framing.parse_error(end) == (2, None, "x")
    assert framing.parse_error(framing.Message(nf.NLMSG_DONE, 0, 7, 0, b"")) == (0, None, "")


def test_a_message_cut_short_ends_the_buffer() -> None:
    whole = message(0xA00, 0, 1, be32(1, 2))
    assert len(list(framing.messages(whole + pack("=IHHII", 3, 0, 0, 0, 0)))) == 1
    assert len(list(framing.messages(whole + b"\0" * 7))) == 1
