"""An API server for each test."""

from collections.abc import Iterator

import pytest

from pointsman.conformance.apiserver import ApiServer


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server
