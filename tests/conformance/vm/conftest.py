import pytest

from pointsman.conformance.vm import Guest, Kernel, VmUnavailable, find


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    """The newest kernel, unless there is none."""
    try:
        return find()
    except VmUnavailable as error:
        pytest.skip(error.reason)


@pytest.fixture(scope="session")
def guest(kernel: Kernel) -> Guest:
    return Guest(kernel, memory=512)
