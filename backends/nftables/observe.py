"""From the table as the kernel holds it back to the model's terms.

Nothing remembered is used. What depends on the node is recovered from the rules themselves; then every chain
must hold exactly the rules that its name stands for, or what it does can't be said, and it is called strange.
Of what the model's terms don't tell, somebody has to say what is meant: rules that depend on the node, and
sets of addresses that are shared by all service ports.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, summarize_address_range

from pointsman.core.addresses import Network
from pointsman.core.backend import Observed, ObservedAnswer, ObservedFrontend, lowest_terms
from pointsman.core.model import Endpoint, Masquerade, Match, Model, Pool, Protocol, Refusal

from .affinity import LEARNING, Group
from .chains import NOBODY, REFUSALS, Allow, Pick, Split, closure, parse_class, skeleton
from .compile import compile_addresses, compile_node
from .layout import Layout, Side, target
from .netlink import constants as nf
from .netlink.elements import Element, Verdict
from .netlink.objects import RuleInfo
from .numbers import held, verdicts
from .recover import node_context
from .ruleset import Chain
from .slots import index_key
from .state import TableState

_STICKY = re.compile(
    r"sticky-([0-9a-f]+)-((?:cluster|local)(?:-(?:cluster|local))?)-((?:nodeport-)?(?:pick|split)-.+)"
)
_LEARN = re.compile(r"learn-[0-9a-f]+")


def observed(layout: Layout, state: TableState | None, meant: Model | None = None) -> Observed:
    """What the table does, in the model's terms; strange is also what isn't as it is meant."""
    return Observed({}) if state is None else _Observer(layout, state, meant).observed()


class _Observer:
    """Reads one state of the table, collecting what it can't make sense of."""

    def __init__(self, layout: Layout, state: TableState, meant: Model | None) -> None:
        self._layout = layout
        self._state = state
        self._meant = meant
        self._elements = verdicts(layout, state.elements)
        self._found = node_context(layout, state)
        self._context = self._found if meant is None else meant.node
        self._strange: set[str] = set()
        self._accounted: set[str] = set()

    def observed(self) -> Observed:
        for spec in self._layout.sets:
            if not self._state.declares(spec):
                self._strange.add(f"{spec.noun} {spec.name} is missing or declared in another way")
        for chain in skeleton(self._layout, self._context):
            self._check(chain)
        classes = self._elements.get(self._layout.classes.name, {})
        if classes != held(classes).elements():
            self._strange.add(f"map {self._layout.classes.name} leads elsewhere than to classes")
        if self._meant is not None:
            self._check_addresses(self._meant)
        frontends = {_match(key): self._frontend(side, key) for side, key in self._places()}
        for name in self._state.chains.keys() - self._accounted:
            unused = parse_class(name)
            if unused is None:
                self._strange.add(f"chain {name} has no business here")
            else:
                self._check(unused.chain(self._layout, self._context))
        return Observed(
            frontends,
            frozenset(self._elements.get(self._layout.cluster_ips.name, {})),
            frozenset(self._found.service_cidrs),
            tuple(sorted(self._strange)),
        )

    def _check_addresses(self, meant: Model) -> None:
        """The sets that no single answer shows: who may reach itself, and where node ports are."""
        wanted = compile_addresses(self._layout, meant.cluster_ips, meant.endpoint_addresses)
        for name, elements in (wanted | compile_node(self._layout, meant.node)).items():
            if elements.keys() != self._elements.get(name, {}).keys():
                self._strange.add(f"set {name} lacks addresses or has others")

    def _places(self) -> Iterator[tuple[Side, bytes]]:
        """The keys that anything is said about, each with its side."""
        elements = self._elements
        for side in self._layout.sides:
            keys = elements.get(side.dispatch.name, {}).keys() | elements.get(side.refusals.name, {}).keys()
            yield from ((side, key) for key in keys)

    def _frontend(self, side: Side, key: bytes) -> ObservedFrontend:
        where = f"{side.dispatch.name} {side.dispatch.render_key(key)}"
        nobody = ObservedAnswer(frozenset(), Masquerade.NEVER, self._refusal(side, key))
        near, far = nobody, None
        verdict = self._verdict(side.dispatch.name, key)
        if isinstance(self._elements.get(side.dispatch.name, {}).get(key), bytes):
            self._strange.add(f"{where} has a number that leads nowhere")
        if verdict is not None and verdict != NOBODY:
            chain = verdict.chain or ""
            sticky = _STICKY.fullmatch(chain)
            shared = parse_class(chain)
            if sticky is not None:
                near, far = self._sticky(side, key, sticky, nobody)
            elif isinstance(shared, Pick):
                near = self._answer(side.endpoints.name, key, shared)
            elif isinstance(shared, Split):
                near, far = self._split(side, key, shared, nobody)
            else:
                self._strange.add(f"{where} leads to {chain or verdict.code!r}")
        affinity = self._affinity(side, key)
        return ObservedFrontend(near, None if far == near else far, self._sources(side, key), affinity)

    def _split(
        self, side: Side, key: bytes, split: Split, nobody: ObservedAnswer
    ) -> tuple[ObservedAnswer, ObservedAnswer]:
        self._check(split.chain(self._layout, self._context))
        near, far = split
        return (
            nobody if near is None else self._answer(side.endpoints.name, key, near),
            nobody if far is None else self._answer(side.far_endpoints.name, key, far),
        )

    def _sticky(
        self, side: Side, key: bytes, name: re.Match[str], nobody: ObservedAnswer
    ) -> tuple[ObservedAnswer, ObservedAnswer | None]:
        """The answers of a service port that has chains of its own."""
        group = Group(name[1], "", 0)
        pools = [Pool(pool) for pool in name[2].split("-")]
        shape = parse_class(name[3])
        if isinstance(shape, Pick) and len(pools) == 1:
            return self._sticky_answer(side.endpoints.name, key, group, shape, pools[0]), None
        if isinstance(shape, Split) and len(pools) == 2:
            self._check(group.split_chain(self._layout, self._context, shape, (pools[0], pools[1])))
            near, far = shape
            return (
                nobody
                if near is None
                else self._sticky_answer(side.endpoints.name, key, group, near, pools[0]),
                nobody
                if far is None
                else self._sticky_answer(side.far_endpoints.name, key, group, far, pools[1]),
            )
        self._strange.add(f"chain {name[0]} has no business here")
        return nobody, None

    def _sticky_answer(
        self, endpoints: str, key: bytes, sticky: Group, pick: Pick, pool: Pool
    ) -> ObservedAnswer:
        self._check(sticky.pick_chain(self._layout, self._context, pick, pool))
        shares = self._shares(endpoints, key, pick)
        self._check_members(sticky, pool, {target(endpoint) for endpoint in shares})
        return ObservedAnswer(shares, pick.masquerade)

    def _check_members(self, sticky: Group, pool: Pool, targets: set[bytes]) -> None:
        """Only members are remembered, and nobody is remembered who isn't."""
        clients, members = sticky.clients(self._layout, pool).name, sticky.members(self._layout, pool).name
        if {element.key for element in self._state.owned.get(members, [])} != targets:
            self._strange.add(f"set {members} is missing or has other members")
        for element in self._state.owned.get(clients, []):
            if element.data not in targets:
                self._strange.add(
                    f"map {clients} leads a client to an endpoint that is none of its service's"
                )

    def _affinity(self, side: Side, key: bytes) -> int:
        """For how many seconds a client is remembered that comes to an address, 0 if it isn't."""
        verdict = self._verdict(side.learners.name, key)
        if verdict is None or verdict.chain is None:
            return 0
        timeouts = {
            timeout for rule in self._state.rules.get(verdict.chain, []) for timeout in _timeouts(rule)
        }
        if len(timeouts) != 1 or _LEARN.fullmatch(verdict.chain) is None:
            self._strange.add(f"{side.learners.name} {side.learners.render_key(key)} leads to {verdict}")
            return 0
        seconds = timeouts.pop() // 1000
        sticky = Group(verdict.chain.removeprefix("learn-"), "", seconds)
        pools = [pool for pool in Pool if sticky.clients(self._layout, pool).name in self._state.sets]
        self._check(sticky.learn_chain(self._layout, pools))
        for chain_class in closure(LEARNING):
            self._check(chain_class.chain(self._layout, self._context))
        return seconds

    def _answer(self, endpoints: str, key: bytes, pick: Pick) -> ObservedAnswer:
        """What a pick comes to; at an index without an element packets would go astray."""
        self._check(pick.chain(self._layout, self._context))
        return ObservedAnswer(self._shares(endpoints, key, pick), pick.masquerade)

    def _shares(self, endpoints: str, key: bytes, pick: Pick) -> frozenset[Endpoint]:
        shares: Counter[bytes] = Counter()
        for index in range(pick.size):
            occupant = self._elements.get(endpoints, {}).get(key + index_key(index))
            if isinstance(occupant, bytes):
                shares[occupant] += 1
            else:
                self._strange.add(f"{endpoints} {key.hex()}: no element at index {index} of {pick.size}")
        return lowest_terms(tuple(Endpoint(*_endpoint(data), weight) for data, weight in shares.items()))

    def _refusal(self, side: Side, key: bytes) -> Refusal | None:
        verdict = self._verdict(side.refusals.name, key)
        for refusal, meaning in REFUSALS.items():
            if verdict == meaning:
                return refusal
        if verdict is not None:
            self._strange.add(f"{side.refusals.name} {side.refusals.render_key(key)} leads to {verdict}")
        return None

    def _sources(self, side: Side, key: bytes) -> frozenset[Network] | None:
        firewall = self._layout.firewall
        verdict = self._verdict(firewall.name, key) if side is self._layout.address else None
        if verdict is None:
            return None
        networks = _networks(self._state.owned.get(verdict.chain or "", []))
        admitted = Allow(tuple(sorted(networks)))
        if admitted.name == verdict.chain:
            self._check(admitted.chain(self._layout, self._context))
        else:
            self._strange.add(f"{firewall.name} {firewall.render_key(key)} leads to {verdict}")
        return networks

    def _verdict(self, name: str, key: bytes) -> Verdict | None:
        value = self._elements.get(name, {}).get(key)
        return value if isinstance(value, Verdict) else None

    def _check(self, chain: Chain) -> None:
        if chain.name not in self._accounted:
            self._accounted.add(chain.name)
            if not self._state.holds(chain) or not self._state.attached(chain):
                self._strange.add(f"chain {chain.name} is missing or has other rules")


def _match(key: bytes) -> Match:
    address = key[:-8] or None
    return Match(address, Protocol(key[-8]), int.from_bytes(key[-4:-2]))


def _endpoint(data: bytes) -> tuple[bytes, int]:
    return data[:-4], int.from_bytes(data[-4:-2])


def _timeouts(rule: RuleInfo) -> Iterator[int]:
    """The milliseconds for which a rule has its elements stay."""
    for expression in rule.expressions:
        for kind, value in expression.attributes if expression.name == "dynset" else ():
            if kind == nf.NFTA_DYNSET_TIMEOUT and isinstance(value, bytes):
                yield int.from_bytes(value)


def _networks(elements: Sequence[Element]) -> frozenset[Network]:
    """The networks of an interval set, from its boundaries."""
    networks: set[Network] = set()
    first: bytes | None = None
    for element in sorted(elements):
        if not element.interval_end:
            first = element.key
        elif first is not None:
            networks |= _between(first, int.from_bytes(element.key) - 1)
            first = None
    if first is not None:  # open: up to the greatest address there is
        networks |= _between(first, (1 << 8 * len(first)) - 1)
    return frozenset(networks)


def _between(first: bytes, last: int) -> set[Network]:
    blocks = summarize_address_range(ip_address(first), ip_address(last.to_bytes(len(first))))
    return {Network(block.network_address.packed, block.prefixlen) for block in blocks}
