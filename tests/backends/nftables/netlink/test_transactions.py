"""Transactions: all or nothing, the culprit named, conditions on the generation, size."""

from __future__ import annotations

import sys
from errno import EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, EPERM, ERESTART

import pytest

from pointsman.backends.nftables.netlink import constants as nf
from pointsman.backends.nftables.netlink import rules
from pointsman.backends.nftables.netlink.constants import Family, Hook, TableFlag, VerdictCode
from pointsman.backends.nftables.netlink.elements import ElementCodec, Verdict
from pointsman.backends.nftables.netlink.errors import NetlinkError, StaleGeneration
from pointsman.backends.nftables.netlink.messages import (
    Table,
    add_base_chain,
    add_chain,
    add_elements,
    add_rule,
    add_set,
    add_table,
    delete_chain,
    delete_elements,
    delete_rule,
    delete_set,
    delete_table,
    destroy_chain,
    destroy_set,
    destroy_table,
    flush_chain,
    insert_rule,
    replace_rule,
    set_reference,
)
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.selectors import TH_DPORT
from pointsman.backends.nftables.netlink.sets import SetSpec
from tests.backends.nftables.netlink import layouts
from tests.backends.nftables.netlink.namespaces import Namespace

pytestmark = pytest.mark.netns

T = layouts.table(Family.IP)
SERVICES = layouts.spec(Family.IP, "services")
ENDPOINTS = layouts.spec(Family.IP, "endpoints")


def service(number: int) -> bytes:
    return (0x0A600000 + number).to_bytes(4, "big") + b"\x06\0\0\0\0\x50\0\0"


def test_a_refused_operation_undoes_the_transaction_and_is_named(netfilter: NetfilterSocket) -> None:
    with pytest.raises(NetlinkError) as caught:
        netfilter.commit([add_table(T), add_chain(T, "a"), delete_chain(T, "b"), add_chain(T, "c")])
    assert caught.value.errno == ENOENT
    assert str(caught.value) == "delete chain ip pointsman-test b: No such file or directory"
    assert netfilter.dump_tables() == []


def test_every_refused_operation_is_told(netfilter: NetfilterSocket) -> None:
    with pytest.raises(NetlinkError, match=r"\(and 1 more\)") as caught:
        netfilter.commit([add_table(T), delete_set(T, "x"), add_chain(T, "a"), delete_chain(T, "y")])
    assert [failure.operation for failure in caught.value.failures] == [
        "delete set ip pointsman-test x",
        "delete chain ip pointsman-test y",
    ]


def test_the_refused_element_is_named_among_thousands(netfilter: NetfilterSocket) -> None:
    codec = ElementCodec(SERVICES)
    netfilter.commit(layouts.skeleton(Family.IP))
    drop, jump = Verdict(VerdictCode.DROP), Verdict(VerdictCode.GOTO, "other")
    netfilter.commit(add_elements(T, SERVICES, codec.verdicts([(service(4321), drop)])))
    load = add_elements(T, SERVICES, codec.verdicts((service(number), jump) for number in range(6000)))
    assert len(load) > 1
    with pytest.raises(NetlinkError) as caught:
        netfilter.commit(load)
    assert caught.value.errno == EEXIST
    assert "add element ip pointsman-test services { 10.96.16.225 . tcp . 80 }" in str(caught.value)
    assert netfilter.dump_pairs(T, codec) == {service(4321): drop}


def test_the_refused_element_is_named_when_it_is_the_only_one(netfilter: NetfilterSocket) -> None:
    netfilter.commit(layouts.skeleton(Family.IP))
    with pytest.raises(NetlinkError) as caught:
        netfilter.commit(delete_elements(T, SERVICES, ElementCodec(SERVICES).keys([service(1)])))
    assert str(caught.value).startswith(
        "delete element ip pointsman-test services { 10.96.0.1 . tcp . 80 }: No such"
    )


def test_an_element_that_leads_nowhere_is_refused(netfilter: NetfilterSocket) -> None:
    netfilter.commit(layouts.skeleton(Family.IP))
    nowhere = ElementCodec(SERVICES).verdicts([(service(1), Verdict(VerdictCode.GOTO, "nowhere"))])
    with pytest.raises(NetlinkError, match=r"services \{ 10.96.0.1 . tcp . 80 \}: No such file"):
        netfilter.commit(add_elements(T, SERVICES, nowhere))


def test_a_chain_in_use_is_not_deleted(netfilter: NetfilterSocket) -> None:
    netfilter.commit([*layouts.skeleton(Family.IP), add_rule(T, "tested", rules.jump("other"))])
    with pytest.raises(NetlinkError) as caught:
        netfilter.commit([delete_chain(T, "other")])
    assert caught.value.errno == EBUSY
    netfilter.commit([flush_chain(T, "tested"), delete_chain(T, "other")])
    assert [chain.name for chain in netfilter.dump_chains(T)] == ["tested"]


def test_an_empty_transaction_changes_nothing(netfilter: NetfilterSocket) -> None:
    before = netfilter.generation()
    netfilter.commit([])
    assert netfilter.generation() == before


def test_a_transaction_on_a_stale_generation_is_refused(
    netfilter: NetfilterSocket, namespace: Namespace
) -> None:
    generation = netfilter.generation()
    namespace.socket().commit([add_table(Table(Family.IP, "foreign"))])
    with pytest.raises(StaleGeneration, match=f"commit on generation {generation}") as caught:
        netfilter.commit([add_table(T)], genid=generation)
    assert caught.value.errno == ERESTART
    assert caught.value.generation == generation
    assert [info.table.name for info in netfilter.dump_tables()] == ["foreign"]
    netfilter.commit([add_table(T)], genid=netfilter.generation())
    assert len(netfilter.dump_tables(Family.IP)) == 2
    assert netfilter.generation() == generation + 2


def test_120000_elements_in_one_transaction(netfilter: NetfilterSocket) -> None:
    netfilter.commit(layouts.skeleton(Family.IP))
    codec = ElementCodec(ENDPOINTS)
    indices = [index.to_bytes(4, "little") for index in range(4)]
    pairs = [
        (service(number) + index, (0x0AF40000 + number).to_bytes(4, "big") + b"\x1f\x90\0\0")
        for number in range(30_000)
        for index in indices
    ]
    before = netfilter.generation()
    netfilter.commit(add_elements(T, ENDPOINTS, codec.pairs(pairs)))
    assert netfilter.generation() == before + 1
    sample = pairs[:: len(pairs) // 200]
    found = netfilter.get_elements(T, codec, [key for key, _ in sample])
    assert [one and (one.key, one.data) for one in found] == sample
    with pytest.raises(NetlinkError, match=r"endpoints \{ 10\.96\.117\.47 \. tcp \. 80 \. 3 \}: File exists"):
        netfilter.commit(add_elements(T, ENDPOINTS, codec.pairs([*pairs[:-1], (pairs[-1][0], bytes(8))])))


def test_elements_of_uneven_size_are_cut_into_messages_too(netfilter: NetfilterSocket) -> None:
    names = [f"{number:x}".ljust(number % 40, "x") for number in range(100)]
    netfilter.commit([*layouts.skeleton(Family.IP), *(add_chain(T, name) for name in names)])
    codec = ElementCodec(SERVICES)
    pairs = [(service(n), Verdict(VerdictCode.GOTO, names[n % 100])) for n in range(5000)]
    load = add_elements(T, SERVICES, codec.verdicts(pairs))
    assert len({len(operation.attributes) for operation in load}) > 1
    netfilter.commit(load)
    assert netfilter.dump_pairs(T, codec) == dict(pairs)


def test_no_element_is_missing_from_a_dump_while_the_kernel_makes_room(netfilter: NetfilterSocket) -> None:
    """It moves elements to a larger table for a while after many came in, and dumps skip some meanwhile."""
    netfilter.commit(layouts.skeleton(Family.IP))
    codec, drop = ElementCodec(SERVICES), Verdict(VerdictCode.DROP)
    for first in range(0, 30_000, 3000):
        pairs = [(service(n), drop) for n in range(first, first + 3000)]
        netfilter.commit(add_elements(T, SERVICES, codec.verdicts(pairs)))
        if not netfilter.count_elements(T, SERVICES.name):
            pytest.skip("the kernel doesn't tell how many elements there are (Linux 6.16 does)")
        assert len(netfilter.dump_pairs(T, codec)) == first + 3000


def test_an_abandoned_dump_does_not_stand_in_the_way(netfilter: NetfilterSocket) -> None:
    netfilter.commit(layouts.skeleton(Family.IP))
    pairs = [(service(n), Verdict(VerdictCode.DROP)) for n in range(5000)]
    codec = ElementCodec(SERVICES)
    netfilter.commit(add_elements(T, SERVICES, codec.verdicts(pairs)))
    netfilter._request(nf.NFT_MSG_GETSETELEM, nf.NLM_F_DUMP, T.family, set_reference(T, SERVICES.name))
    assert netfilter.dump_pairs(T, codec) == dict(pairs)


def test_rules_are_appended_inserted_replaced_and_deleted(netfilter: NetfilterSocket) -> None:
    netfilter.commit(
        [
            *layouts.skeleton(Family.IP),
            add_rule(T, "tested", rules.accept(), comment="second"),
            add_rule(T, "tested", rules.drop(), comment="third"),
            insert_rule(T, "tested", rules.counter(), comment="first"),
            add_rule(T, "other", rules.drop(), comment="elsewhere"),
        ]
    )
    found = netfilter.dump_rules(T, "tested")
    assert [rule.comment for rule in found] == ["first", "second", "third"]
    assert len(netfilter.dump_rules(T)) == 4
    netfilter.commit(
        [
            replace_rule(T, "tested", found[1].handle, rules.masquerade(), comment="new"),
            delete_rule(T, "tested", found[2].handle),
        ]
    )
    assert [rule.comment for rule in netfilter.dump_rules(T, "tested")] == ["first", "new"]
    with pytest.raises(
        NetlinkError, match=f"delete rule ip pointsman-test tested handle {found[2].handle}: No such"
    ):
        netfilter.commit([delete_rule(T, "tested", found[2].handle)])
    with pytest.raises(NetlinkError, match="add rule ip pointsman-test nowhere comment 'lost': No such file"):
        netfilter.commit([add_rule(T, "nowhere", rules.drop(), comment="lost")])


def test_chains_are_reported_as_made(netfilter: NetfilterSocket) -> None:
    netfilter.commit(
        [
            add_table(T, comment="a test"),
            add_base_chain(T, "nat", "nat", Hook.PREROUTING, -100, comment="first stop"),
            add_base_chain(T, "guard", "filter", Hook.FORWARD, 7, policy=VerdictCode.DROP),
            add_chain(T, "plain", comment="nothing yet"),
        ]
    )
    chains = {chain.name: chain for chain in netfilter.dump_chains(T)}
    nat, guard, plain = chains["nat"], chains["guard"], chains["plain"]
    assert (nat.kind, nat.hook, nat.priority, nat.policy, nat.comment) == ("nat", 0, -100, 1, "first stop")
    assert (guard.kind, guard.hook, guard.priority, guard.policy, guard.comment) == ("filter", 2, 7, 0, "")
    assert (plain.kind, plain.hook, plain.priority, plain.policy, plain.comment) == (
        None,
        None,
        None,
        None,
        "nothing yet",
    )
    [info] = netfilter.dump_tables(Family.IP)
    assert (info.table, info.comment, info.use, info.owner) == (T, "a test", 3, 0)


def test_what_may_be_missing_is_destroyed_all_the_same(netfilter: NetfilterSocket) -> None:
    for _ in range(2):
        netfilter.commit([destroy_table(T), add_table(T), destroy_chain(T, "a"), destroy_set(T, "b")])
        netfilter.commit([add_chain(T, "a"), add_set(T, SetSpec("b", (TH_DPORT,)))])
    netfilter.commit([destroy_chain(T, "a"), destroy_set(T, "b")])
    assert netfilter.dump_chains(T) == []
    assert netfilter.dump_sets(T) == []
    netfilter.commit([delete_table(T)])
    assert netfilter.dump_tables() == []


def test_a_set_that_exists_in_another_shape_is_refused(netfilter: NetfilterSocket) -> None:
    netfilter.commit([add_table(T), add_set(T, SetSpec("ports", (TH_DPORT,)))])
    netfilter.commit([add_set(T, SetSpec("ports", (TH_DPORT,)))])
    with pytest.raises(NetlinkError, match="add map ip pointsman-test ports: File exists"):
        netfilter.commit([add_set(T, SetSpec("ports", (TH_DPORT,), (TH_DPORT,)))])


def test_an_owned_table_is_out_of_reach_for_others(netfilter: NetfilterSocket, namespace: Namespace) -> None:
    netfilter.commit([add_table(T, TableFlag.OWNER)])
    [info] = netfilter.dump_tables()
    assert info.flags == TableFlag.OWNER
    assert info.owner == netfilter.portid
    with pytest.raises(NetlinkError) as caught:
        namespace.socket().commit([delete_table(T)])
    assert caught.value.errno == EPERM
    netfilter.commit([add_chain(T, "mine")])


def test_an_owned_table_can_outlive_its_owner_and_be_taken_over(
    netfilter: NetfilterSocket, namespace: Namespace
) -> None:
    flags = TableFlag.OWNER | TableFlag.PERSIST
    try:
        netfilter.commit([add_table(T, flags)])
    except NetlinkError as error:
        if error.errno not in (EINVAL, EOPNOTSUPP):
            raise
        pytest.skip("this kernel has no persistent owned tables (Linux 6.9)")
    netfilter.commit([add_chain(T, "kept")])
    netfilter.close()
    heir = namespace.socket()
    [orphan] = heir.dump_tables()
    assert (orphan.flags, orphan.owner) == (TableFlag.PERSIST, 0)
    heir.commit([add_table(T, flags)])
    [taken] = heir.dump_tables()
    assert (taken.flags, taken.owner) == (flags, heir.portid)
    assert [chain.name for chain in heir.dump_chains(T)] == ["kept"]


def test_two_instances_and_families_do_not_see_each_other(netfilter: NetfilterSocket) -> None:
    tables = [Table(family, name) for family in layouts.FAMILIES for name in ("one", "two")]
    for number, where in enumerate(tables):
        netfilter.commit(
            [add_table(where), add_set(where, SERVICES), *(add_chain(where, f"c{n}") for n in range(number))]
        )
    assert {info.table for info in netfilter.dump_tables()} == set(tables)
    assert {info.table for info in netfilter.dump_tables(Family.IP6)} == set(tables[2:])
    for number, where in enumerate(tables):
        assert len(netfilter.dump_chains(where)) == number
        assert [info.table for info in netfilter.dump_sets(where)] == [where]


@pytest.mark.program("setpriv")
def test_without_privileges_the_door_stays_shut(namespace: Namespace) -> None:
    code = "from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket; NetfilterSocket()"
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    done = namespace.run([*without, sys.executable, "-c", code])
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
