"""Our rules and sets are, attribute by attribute, what nft makes of their text; and nft can list them.

Every case is loaded as text by nft in one namespace and by us in another, then dumped from both.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pointsman.backends.nftables.netlink import selectors
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.messages import Table, add_set, add_table
from pointsman.backends.nftables.netlink.selectors import (
    CT_ORIGINAL_PROTO_DST,
    CT_ORIGINAL_PROTO_SRC,
    Selector,
)
from pointsman.backends.nftables.netlink.sets import SetSpec
from tests.backends.nftables.netlink import layouts
from tests.backends.nftables.netlink.namespaces import Namespace

pytestmark = [pytest.mark.netns, pytest.mark.program("nft")]

SELECTORS = [value for value in vars(selectors).values() if isinstance(value, Selector)]

families = pytest.mark.parametrize("family", layouts.FAMILIES, ids=str)


@families
def test_sets(family: Family, make_namespace: Callable[[], Namespace]) -> None:
    theirs, ours = make_namespace(), make_namespace()
    theirs.load(layouts.skeleton_text(family))
    ours_socket = ours.socket()
    ours_socket.commit(layouts.skeleton(family))

    wanted = {one.name: one for one in theirs.socket().dump_sets(layouts.table(family))}
    got = {one.name: one for one in ours_socket.dump_sets(layouts.table(family))}
    assert list(got) == list(wanted)
    for name, one in got.items():
        assert one._replace(handle=0) == wanted[name]._replace(handle=0), name
    assert ours.listing() == theirs.listing()


@pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: selector.text)
def test_every_selector_can_be_a_sets_key(
    selector: Selector, make_namespace: Callable[[], Namespace]
) -> None:
    theirs, ours = make_namespace(), make_namespace()
    where = Table(Family.INET, "t")
    theirs.load(f"table inet t {{\n set s {{ typeof {selector.text}; }}\n}}\n")
    [reference] = theirs.socket().dump_sets(where)
    socket = ours.socket()
    socket.commit([add_table(where), add_set(where, SetSpec("s", (selector,)))])
    [mine] = socket.dump_sets(where)
    if selector in (CT_ORIGINAL_PROTO_SRC, CT_ORIGINAL_PROTO_DST):
        # Without a match on the protocol before it, nft does not know that these are port numbers.
        reference = reference._replace(key_type=mine.key_type)
    assert mine._replace(handle=0) == reference._replace(handle=0)
    assert ours.listing() == theirs.listing()


@families
def test_rules(family: Family, make_namespace: Callable[[], Namespace]) -> None:
    theirs, ours = make_namespace(), make_namespace()
    their_socket, our_socket = theirs.socket(), ours.socket()
    where = layouts.table(family)
    cases = layouts.cases(family)
    theirs.load(layouts.skeleton_text(family, "\n".join(case.text for case in cases)))
    our_socket.commit([*layouts.skeleton(family), *(layouts.rule(family, case.packed) for case in cases)])

    wanted = [one.expressions for one in their_socket.dump_rules(where, "tested")]
    got = [one.expressions for one in our_socket.dump_rules(where, "tested")]
    assert len(got) == len(wanted) == len(cases)
    for case, mine, reference in zip(cases, got, wanted, strict=True):
        assert mine == reference, case.text

    assert ours.listing() == theirs.listing()


@families
def test_listing_can_be_loaded_again(family: Family, make_namespace: Callable[[], Namespace]) -> None:
    ours, again = make_namespace(), make_namespace()
    loadable = [layouts.rule(family, case.packed) for case in layouts.cases(family) if case.reloads]
    ours.socket().commit([*layouts.skeleton(family), *loadable])
    listing = ours.listing()
    again.load(listing)
    assert again.listing() == listing
