"""Kernels to write to, in every way that there is to do it."""

from collections.abc import Iterator

import pytest

from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Namespace

from .driven import Kernel


@pytest.fixture(
    params=[(Variant.LEGACY, True), (Variant.LEGACY, False), (Variant.NFT, False)],
    ids=["legacy-inside", "legacy", "nft"],
)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel by each variant; the legacy one with python-iptables, and without."""
    variant, inside = request.param
    if inside:
        pytest.importorskip("iptc", reason="python-iptables is not installed")
    monkeypatch.setattr(IptablesDataplane, "_is_inside", lambda _: inside)
    with Namespace("iptables") as namespace:
        opened = Kernel(namespace, variant)
        yield opened
        opened.close()
