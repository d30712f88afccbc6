from pathlib import Path

import pytest

from tests.conformance.runs import install_mutants


@pytest.fixture(scope="session")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the mutants are installed."""
    folder = tmp_path_factory.mktemp("mutants")
    install_mutants(folder)
    return folder
