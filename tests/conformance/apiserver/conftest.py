from collections.abc import Iterator

import pytest

from pointsman.conformance.apiserver import ApiServer
from tests.conformance.apiserver.asking import Client


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def client(server: ApiServer) -> Iterator[Client]:
    with Client(server) as client:
        yield client
