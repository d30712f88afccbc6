import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.conformance.lab import Reply
from pointsman.conformance.lab.outcomes import decode_reply, encode_reply
from pointsman.core.model import Protocol

ports = st.integers(1, 65535)
replies = st.builds(
    Reply, st.text(), ports, st.text(), ports, st.sampled_from(Protocol), st.integers(0, 70_000)
)


@given(replies)
def test_a_reply_is_one_line_as_long_as_its_request(reply: Reply) -> None:
    line = encode_reply(reply)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) >= reply.size
    assert decode_reply(line) == reply


def test_somebody_elses_line_is_no_reply() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_reply(b'{"pod":"pod-a"}\n')
