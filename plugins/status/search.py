"""Which service ports a page shows: searched, sorted and cut into pages."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pointsman.core.addresses import IPFamily
from pointsman.core.model import ServiceFrontends

from .board import FamilyState

PAGE = 100


class Found(NamedTuple):
    """A page of service ports, and how many there are in all; pages count from 1."""

    services: tuple[tuple[IPFamily, ServiceFrontends], ...]
    matches: int
    page: int
    pages: int


def search(families: Mapping[IPFamily, FamilyState], words: str, page: int) -> Found:
    """The service ports in whose name, frontends or endpoints every one of the words occurs."""
    wanted = words.lower().split()
    found = [
        (family, service)
        for family, state in sorted(families.items())
        for _, service in sorted(state.held.services.items())
        if not wanted or _holds(service, wanted)
    ]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    return Found(tuple(found[(page - 1) * PAGE : page * PAGE]), len(found), page, pages)


def _holds(service: ServiceFrontends, words: list[str]) -> bool:
    text = " ".join(_text(service)).lower()
    return all(word in text for word in words)


def _text(service: ServiceFrontends) -> Iterator[str]:
    yield str(service.name)
    yield from (str(frontend.match) for frontend in service.frontends)
    yield from (str(endpoint) for pool in (service.cluster, service.local) for endpoint in pool)
