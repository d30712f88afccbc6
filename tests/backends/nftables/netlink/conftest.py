"""Fixtures: network namespaces, and a socket in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from tests.backends.nftables.netlink.namespaces import Namespace


@pytest.fixture
def make_namespace() -> Iterator[Callable[[], Namespace]]:
    made: list[Namespace] = []

    def make() -> Namespace:
        made.append(Namespace())
        return made[-1]

    yield make
    for namespace in made:
        namespace.close()


@pytest.fixture
def namespace(make_namespace: Callable[[], Namespace]) -> Namespace:
    return make_namespace()


@pytest.fixture
def netfilter(namespace: Namespace) -> NetfilterSocket:
    return namespace.socket()
