"""Chains and rules of others, however close to ours, stay as they are and keep no sync from its end."""

import pytest

from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import expected
from pointsman.core.errors import SyncError
from pointsman.core.model import Model
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import SEP, SVC, seed

pytestmark = [
    pytest.mark.netns,
    pytest.mark.program("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"),
]

NAMES = (
    *("KUBE-SVC-FOO", "KUBE-SEP-1", "KUBE-SVCS-MINE", "KUBE-CIPS-OLD", "KUBE-FW-lowercaseletters"),
    *("KUBE-EXT-AAAAAAAAAAAAAAA", "KUBE-SVC-AAAAAAAAAAAAAAAAA", "KUBE-SVL-AAAAAAAAAAAAAAA1"),
    *("KUBE-SERVICES-OF-OURS", "KUBE-LOAD-BALANCER", "KUBE-MARK-DROP"),
)


@pytest.mark.parametrize("table", ["nat", "filter"])
def test_names_that_are_nearly_ours_are_not_ours(kernel: Kernel, table: str) -> None:
    for name in NAMES:
        kernel.command("-t", table, "-N", name)
        kernel.command("-t", table, "-A", name, "-s", "192.0.2.1", "-j", "RETURN")
        kernel.command("-t", table, "-A", "OUTPUT", "-j", name)
    theirs = rules(kernel)

    kernel.sync(seed(), full=True)
    assert theirs <= rules(kernel)
    assert kernel.observe(seed()) == expected(seed())
    kernel.sync(Model(seed().node))
    kernel.sync(kernel.model, full=True)
    assert theirs <= rules(kernel)
    assert kernel.namespace.run(kernel.dataplane.dataplane_cleanup)

    assert rules(kernel) == theirs


def test_others_may_lead_to_our_chains(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    """A chain that they lead to can't go: that is said once, and the chain is left empty."""
    kernel.sync(seed(), full=True)
    kernel.command("-t", "nat", "-N", "OTHERS")
    kernel.command("-t", "nat", "-A", "OTHERS", "-s", "192.0.2.1", "-j", SVC)
    kernel.command("-t", "nat", "-A", "OTHERS", "-s", "192.0.2.2", "-j", SEP[0])
    kernel.command("-t", "nat", "-A", "OTHERS", "-s", "192.0.2.3", "-j", "KUBE-SERVICES")
    kernel.command("-t", "nat", "-A", "OTHERS", "-s", "192.0.2.4", "-j", "KUBE-MARK-MASQ")
    kernel.command("-t", "nat", "-A", "PREROUTING", "-s", "192.0.2.5", "-j", SVC)
    kernel.command("-t", "nat", "-A", "PREROUTING", "-s", "192.0.2.6", "-j", "KUBE-SERVICES")
    theirs = {text for text in rules(kernel) if "192.0.2." in text}
    assert len(theirs) == 6
    assert kernel.observe(seed()) == expected(seed())
    assert kernel.sync(seed(), full=True) == 0

    emptied = Model(seed().node)
    with pytest.raises(SyncError, match=r"-X KUBE-S.P-|-X KUBE-SVC-|KUBE-S.*(busy|links)"):
        kernel.sync(emptied)
    kernel.sync(emptied)
    assert "chain_in_use" in caplog.messages
    caplog.clear()
    assert kernel.sync(emptied, full=True) == 0
    assert not caplog.messages
    assert kernel.observe(emptied) == expected(emptied)
    left = rules(kernel)
    assert theirs <= left
    assert {f":{SVC}", f":{SEP[0]}"} <= left
    assert not {text for text in left if text.startswith((f"-A {SVC}", "-A KUBE-SEP-"))}
    assert f":{SEP[1]}" not in left

    kernel.sync(seed())
    assert kernel.observe(seed()) == expected(seed())
    assert kernel.namespace.run(kernel.dataplane.dataplane_cleanup)
    ours = {text for text in rules(kernel) - theirs if "KUBE-" in text}
    assert ours == {
        *(f":{name}" for name in (SVC, SEP[0], "KUBE-SERVICES", "KUBE-MARK-MASQ")),
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    }
    assert theirs <= rules(kernel)
    assert not kernel.namespace.run(kernel.dataplane.dataplane_cleanup)


def test_mended_jumps_leave_those_of_others_where_they_are(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)
    kernel.command("-F", "INPUT")
    kernel.command("-A", "INPUT", "-s", "192.0.2.6", "-j", "KUBE-SERVICES")
    kernel.command(
        "-A", "INPUT", "-s", "192.0.2.7", "-m", "comment", "--comment", "mine", "-j", "KUBE-FORWARD"
    )

    kernel.sync(seed(), full=True)

    *_, one, other = [text for text in kernel.save().splitlines() if text.startswith("-A INPUT")]
    assert ("192.0.2.6/32" in one, "192.0.2.7/32" in other) == (True, True)
    assert kernel.observe(seed()) == expected(seed())
    assert kernel.sync(seed(), full=True) == 0


def test_a_rule_of_others_in_a_chain_of_ours_goes_and_what_it_led_to_stays(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)
    kernel.command("-t", "nat", "-N", "OTHERS")
    kernel.command("-t", "nat", "-A", "OTHERS", "-s", "192.0.2.1", "-j", "RETURN")
    kernel.command("-t", "nat", "-I", SVC, "-j", "OTHERS")

    assert kernel.observe(seed()).strange == (f"chain {SVC} of table nat holds other rules than it should",)
    kernel.sync(seed(), full=True)

    assert "-A OTHERS -s 192.0.2.1/32 -j RETURN" in rules(kernel)
    assert kernel.observe(seed()) == expected(seed())


@pytest.mark.parametrize("variant", Variant)
def test_the_other_family_is_as_free(variant: Variant) -> None:
    with Namespace("foreign") as namespace:
        kernel = Kernel(namespace, variant, IPFamily.IPV6)
        kernel.command("-t", "nat", "-N", "KUBE-SVC-FOO")
        kernel.command("-t", "nat", "-A", "KUBE-SVC-FOO", "-s", "2001:db8::1", "-j", "RETURN")
        theirs = rules(kernel)
        kernel.sync(kernel.model, full=True)
        assert theirs <= rules(kernel)
        kernel.close()
        assert rules(kernel) == theirs


def rules(kernel: Kernel) -> set[str]:
    """The chains that are nobody's to begin with, and the rules."""
    lines = kernel.save().splitlines()
    return {line.split(" ")[0] for line in lines if line.startswith(":") and " - [" in line} | {
        line for line in lines if line.startswith("-A")
    }
