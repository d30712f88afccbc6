"""kube-proxy's layout of nf_tables, written with Pointsman's encoder: what the flat layout is compared with.

A chain per service, a chain per endpoint, and an anonymous map per service that leads from a random number to
an endpoint's chain (pkg/proxy/nftables/proxier.go). Transactions hold 500 services each: in one, the kernel
takes quadratic time to bind the anonymous maps.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from pointsman.backends.nftables.layout import match_key, target
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink import selectors as sel
from pointsman.backends.nftables.netlink.constants import Family, Hook, SetFlag, VerdictCode
from pointsman.backends.nftables.netlink.elements import ElementCodec, Verdict
from pointsman.backends.nftables.netlink.messages import Operation, Table
from pointsman.backends.nftables.netlink.sets import VERDICTS, SetSpec
from pointsman.backends.nftables.slots import index_key
from pointsman.core.addresses import format_address
from pointsman.core.model import Endpoint, ServiceFrontends

TABLE = Table(Family.IP, "kube-proxy-like")
SERVICES_AT_ONCE = 500
_MARK, _MASQUERADE, _DISPATCH = "mark-for-masquerade", "masquerading", "services"
_BIT = 1 << 14
_PODS = (bytes((10, 128, 0, 0)), 10)
_SADDR, _DADDR = sel.saddr(Family.IP), sel.daddr(Family.IP)
_SERVICE_IPS = SetSpec("service-ips", (_DADDR, sel.L4PROTO, sel.TH_DPORT), VERDICTS)
_CODEC = ElementCodec(_SERVICE_IPS)


def skeleton() -> list[Operation]:
    """What is there whatever the services are."""
    operations = [messages.add_table(TABLE), messages.add_set(TABLE, _SERVICE_IPS)]
    operations += (messages.add_chain(TABLE, name) for name in (_MARK, _MASQUERADE, _DISPATCH))
    operations.append(messages.add_rule(TABLE, _MARK, r.set_mark_bits(_BIT)))
    marked = r.match_mark(_BIT, 0, negate=True) + r.flip_mark_bits(_BIT)
    operations.append(messages.add_rule(TABLE, _MASQUERADE, marked, r.masquerade(fully_random=True)))
    operations.append(messages.add_rule(TABLE, _DISPATCH, r.verdict_map(_SERVICE_IPS.key, _SERVICE_IPS.name)))
    for hook, priority, chain in (
        (Hook.PREROUTING, -100, _DISPATCH),
        (Hook.OUTPUT, -100, _DISPATCH),
        (Hook.POSTROUTING, 100, _MASQUERADE),
    ):
        name = f"nat-{hook.name.lower()}"
        operations.append(messages.add_base_chain(TABLE, name, "nat", hook, priority))
        operations.append(messages.add_rule(TABLE, name, r.jump(chain)))
    return operations


def transactions(services: Sequence[ServiceFrontends]) -> Iterator[list[Operation]]:
    """Everything, in transactions of a bearable size."""
    yield skeleton()
    for start in range(0, len(services), SERVICES_AT_ONCE):
        yield [o for service in services[start : start + SERVICES_AT_ONCE] for o in add(service)]


def add(service: ServiceFrontends) -> list[Operation]:
    """A service with its endpoints."""
    return [
        messages.add_chain(TABLE, _chain(service)),
        *(o for endpoint in service.cluster for o in _add_endpoint(service, endpoint)),
        *_rules(service, edition=0),
        *messages.add_elements(TABLE, _SERVICE_IPS, _CODEC.verdicts([_element(service)])),
    ]


def remove(service: ServiceFrontends) -> list[Operation]:
    """A service with its endpoints."""
    key, _ = _element(service)
    return [
        *messages.delete_elements(TABLE, _SERVICE_IPS, _CODEC.keys([key])),
        messages.flush_chain(TABLE, _chain(service)),
        messages.delete_chain(TABLE, _chain(service)),
        *(o for endpoint in service.cluster for o in _remove_endpoint(service, endpoint)),
    ]


def change(old: ServiceFrontends, new: ServiceFrontends, edition: int) -> list[Operation]:
    """Other endpoints: the service's rules anew, and the chains of endpoints that came or went."""
    came, went = set(new.cluster) - set(old.cluster), set(old.cluster) - set(new.cluster)
    return [
        *(o for endpoint in sorted(came) for o in _add_endpoint(new, endpoint)),
        messages.flush_chain(TABLE, _chain(new)),
        *_rules(new, edition),
        *(o for endpoint in sorted(went) for o in _remove_endpoint(old, endpoint)),
    ]


def _rules(service: ServiceFrontends, edition: int) -> Iterator[Operation]:
    """``edition`` tells the anonymous maps of one service apart, of which there are two within a change."""
    match, chain = service.frontends[0].match, _chain(service)
    assert match.address is not None
    asked = r.match(_DADDR, match.address) + r.match(sel.L4PROTO, bytes((match.protocol,)))
    asked += r.match(sel.TH_DPORT, match.port.to_bytes(2)) + r.match_prefix(_SADDR, *_PODS, negate=True)
    yield messages.add_rule(TABLE, chain, asked, r.jump(_MARK))
    number = sel.numgen_random(len(service.cluster))
    choice = SetSpec(
        f"__map-{_digest(chain)}-{edition}", (number,), VERDICTS, SetFlag.ANONYMOUS | SetFlag.CONSTANT
    )
    yield messages.add_set(TABLE, choice)
    leads = (
        (index_key(at), _goto(_endpoint_chain(service, endpoint)))
        for at, endpoint in enumerate(service.cluster)
    )
    yield from messages.add_elements(TABLE, choice, ElementCodec(choice).verdicts(leads))
    yield messages.add_rule(TABLE, chain, r.verdict_map(choice.key, choice.name))


def _add_endpoint(service: ServiceFrontends, endpoint: Endpoint) -> Iterator[Operation]:
    chain, match = _endpoint_chain(service, endpoint), service.frontends[0].match
    yield messages.add_chain(TABLE, chain)
    yield messages.add_rule(TABLE, chain, r.match(_SADDR, endpoint.address), r.jump(_MARK))
    protocol = r.match(sel.L4PROTO, bytes((match.protocol,)))
    yield messages.add_rule(TABLE, chain, protocol, r.dnat_to(Family.IP, endpoint.address, endpoint.port))


def _remove_endpoint(service: ServiceFrontends, endpoint: Endpoint) -> Iterator[Operation]:
    chain = _endpoint_chain(service, endpoint)
    yield messages.flush_chain(TABLE, chain)
    yield messages.delete_chain(TABLE, chain)


def _element(service: ServiceFrontends) -> tuple[bytes, Verdict]:
    return match_key(service.frontends[0].match), _goto(_chain(service))


def _goto(chain: str) -> Verdict:
    return Verdict(VerdictCode.GOTO, chain)


def _chain(service: ServiceFrontends) -> str:
    name = service.name
    text = f"{name.namespace}/{name.name}/{name.protocol.name.lower()}/{name.port}"
    return f"service-{_digest(str(name))}-{text}"


def _endpoint_chain(service: ServiceFrontends, endpoint: Endpoint) -> str:
    name = service.name
    where = f"{format_address(endpoint.address)}/{endpoint.port}"
    digest = _digest(f"{name}{target(endpoint).hex()}")
    return f"endpoint-{digest}-{name.namespace}/{name.name}/{name.protocol.name.lower()}/{name.port}__{where}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8].upper()
