"""The tree: flat, the same whatever its history, and cheap to change."""

from math import log2

from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.iptables import dispatch
from pointsman.backends.iptables.dispatch import BITS, LEAF, LINEAR, PORT_LENGTH, Tree, place
from pointsman.backends.iptables.names import BRANCH
from pointsman.backends.iptables.rules import parse, rule
from pointsman.backends.iptables.tables import ChainName, Rules, nat
from pointsman.core.addresses import format_address, parse_network
from pointsman.core.model import Match, Protocol

ROOT = nat("KUBE-SERVICES")
NODE_PORTS = nat("KUBE-NODEPORTS")
# Some close together, some far apart.
ADDRESSES = st.one_of(st.integers(0, 400), st.integers(0, 1 << 32 - 1)).map(lambda n: n.to_bytes(4))


def leaf(address: bytes, text: str = "SVC") -> dict[tuple[int, int], str]:
    return {(6, 80): f"-d {format_address(address)}/32 -j {text}"}


def tree(addresses: set[bytes]) -> tuple[Tree, dict[ChainName, Rules]]:
    made = Tree(ROOT, 4, dispatch.addresses)
    chains = made.fill({address: leaf(address) for address in addresses})
    return made, {name: rules for name, rules in chains.items() if rules is not None}


def found(chains: dict[ChainName, Rules], address: bytes) -> tuple[list[str], int]:
    """The rules for an address, and how many rules were looked at on the way."""
    hits, looked, todo = list[str](), 0, [ROOT]
    while todo:
        for text in chains[todo.pop()]:
            looked += 1
            rule = parse(text)
            if address in parse_network(rule.get("-d")):
                if rule.target.startswith(BRANCH):
                    todo.append(ROOT._replace(name=rule.target))
                else:
                    hits.append(text)
    return hits, looked


@given(st.sets(ADDRESSES, max_size=300))
def test_every_address_is_found_once_and_no_other(addresses: set[bytes]) -> None:
    _, chains = tree(addresses)

    for address in addresses:
        assert found(chains, address)[0] == list(leaf(address).values())
    assert found(chains, b"\xff\xff\xff\xff")[0] == []


@given(st.lists(st.sets(ADDRESSES, max_size=60), min_size=1, max_size=6))
def test_changes_lead_to_the_tree_that_would_be_made_anew(steps: list[set[bytes]]) -> None:
    made, chains = tree(set(steps[0]))
    held = set(steps[0])
    for step in steps[1:]:
        for name, rules in made.replace({a: {} if a in held else leaf(a) for a in step}).items():
            if rules is None:
                del chains[name]
            else:
                assert chains.get(name) != rules, "written without need"
                chains[name] = rules
        held ^= step
        assert chains == tree(held)[1]


def test_few_addresses_stand_in_the_root_chain() -> None:
    _, chains = tree({number.to_bytes(4) for number in range(LINEAR)})

    assert set(chains) == {ROOT}


def test_lookup_grows_with_the_logarithm() -> None:
    for size in (1 << 8, 1 << 11, 1 << 14):
        addresses = [(0x0A600000 + number).to_bytes(4) for number in range(size)]
        _, chains = tree(set(addresses))
        worst = max(found(chains, address)[1] for address in addresses[:: size // 64])
        assert worst <= (1 << BITS) * log2(size) / BITS + LEAF


def test_a_change_rewrites_only_the_way_to_its_address() -> None:
    addresses = {(0x0A600000 + number).to_bytes(4) for number in range(10_000)}
    made, chains = tree(addresses)

    address = (0x0A600000 + 10_000).to_bytes(4)
    changes = made.replace({address: leaf(address)})

    assert sum(len(rules or ()) for rules in changes.values()) <= 3 * (LEAF + (1 << BITS))
    assert len(chains) > 500


def port(protocol: Protocol, number: int) -> Match:
    return Match(None, protocol, number)


def port_tree(matches: set[Match]) -> dict[ChainName, Rules]:
    made = Tree(NODE_PORTS, PORT_LENGTH, dispatch.ports)
    chains = made.fill({place(m): {(m.protocol, m.port): rule("EXT", service=m[1:])} for m in matches})
    return {name: rules for name, rules in chains.items() if rules is not None}


@given(st.sets(st.builds(port, st.sampled_from(Protocol), st.integers(30000, 30200)), max_size=200))
def test_every_port_is_found_once_and_no_other(matches: set[Match]) -> None:
    chains = port_tree(matches)

    for asked in {*matches, *(m._replace(protocol=p) for m in list(matches)[:9] for p in Protocol)}:
        assert len(found_by_port(chains, asked)[0]) == (asked in matches)


def test_lookup_of_a_port_grows_with_the_logarithm_too() -> None:
    matches = {port(protocol, 30000 + n) for protocol in (Protocol.TCP, Protocol.UDP) for n in range(2000)}
    chains = port_tree(matches)

    worst = max(found_by_port(chains, asked)[1] for asked in list(matches)[::50])
    assert worst <= (1 << BITS) * (log2(len(matches)) / BITS + 1) + LEAF


def found_by_port(chains: dict[ChainName, Rules], asked: Match) -> tuple[list[str], int]:
    """The rules for a port, and how many rules were looked at on the way."""
    hits, looked, todo = list[str](), 0, [NODE_PORTS]
    while todo:
        for text in chains[todo.pop()]:
            looked += 1
            parsed = parse(text)
            first, _, last = parsed.get("--dport").partition(":")
            if parsed.get("-p") == asked.protocol.name.lower() and int(first) <= asked.port <= int(
                last or first
            ):
                if parsed.target.startswith(BRANCH):
                    todo.append(NODE_PORTS._replace(name=parsed.target))
                    break
                hits.append(text)
    return hits, looked
