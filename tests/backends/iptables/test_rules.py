"""Rules as text, and the same rules in other words."""

import pytest

from pointsman.backends.iptables.rules import parse, random_share, rule, same
from pointsman.core.model import Protocol


def test_a_rule_has_its_options_in_the_order_of_iptables_save() -> None:
    text = rule(
        "KUBE-MARK-MASQ",
        source="! 10.244.0.0/16",
        destination="10.96.0.1/32",
        service=(Protocol.TCP, 80),
        comment="a/b cluster IP",
    )

    assert text == (
        '! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m comment --comment "a/b cluster IP"'
        " -m tcp --dport 80 -j KUBE-MARK-MASQ"
    )


def test_one_word_is_not_quoted() -> None:
    assert rule("ACCEPT", comment="one") == "-m comment --comment one -j ACCEPT"


@pytest.mark.parametrize(
    "other",
    [
        '-p tcp -d 10.96.0.1/32 -m tcp --dport 80 -m comment --comment "one" -j KUBE-SVC-A',
        "-d 10.96.0.1/32 -p tcp -m comment --comment one -m tcp --dport 80 -j KUBE-SVC-A",
    ],
)
def test_order_and_quotes_do_not_make_another_rule(other: str) -> None:
    text = "-d 10.96.0.1/32 -p tcp -m comment --comment one -m tcp --dport 80 -j KUBE-SVC-A"
    assert same(text, other)


@pytest.mark.parametrize(
    "other",
    [
        "! -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A",
        "-d 10.96.0.1/32 -p tcp -m tcp --dport 81 -j KUBE-SVC-A",
        "-d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-B",
        "-d 10.96.0.1/32 -p tcp -m tcp --dport 80 -i eth0 -j KUBE-SVC-A",
        "-d 10.96.0.1/32 -p tcp -m tcp --dport 80",
    ],
)
def test_other_packets_or_another_target_make_another_rule(other: str) -> None:
    assert not same("-d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A", other)


def test_a_comment_may_look_like_options() -> None:
    parsed = parse('-m comment --comment "! -s 1.2.3.4 -j DROP" -j ACCEPT')

    assert parsed.target == "ACCEPT"
    assert parsed.options == {"--comment": "! -s 1.2.3.4 -j DROP"}


def test_probabilities_are_those_the_kernel_can_hold() -> None:
    assert random_share(1, 4).endswith(" 0.25000000000")
    assert random_share(1, 3).endswith(" 0.33333333349")
    assert random_share(1, 2).endswith(" 0.50000000000")
