"""What `iptables-save` says of the seed's example, held to the files beside this one.

A file a variant, as the tool prints it, but for its remarks with dates: whoever changes a rule that
everybody's eyes and scripts know sees it in the difference. What the rules mean is in `test_seed.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Namespace
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import SEP, SVC, seed

pytestmark = [pytest.mark.netns, pytest.mark.program("iptables-legacy", "iptables-nft")]

# Kernels without nfacct count nothing here.
COUNTED = " -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts"


@pytest.fixture(params=Variant, ids=str)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Namespace("golden") as namespace:
        opened = Kernel(namespace, request.param)
        yield opened
        opened.close()


def dump(saved: str) -> list[str]:
    """The tables of a dump, in the order of their names: kernels list them in any."""
    lines = [line.replace(COUNTED, "") for line in saved.splitlines() if line and line[0] != "#"]
    starts = [number for number, line in enumerate(lines) if line.startswith("*")]
    tables = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    return [line for table in sorted(tables) for line in table]


def golden(variant: Variant) -> list[str]:
    return dump(Path(__file__).with_name(f"seed-{variant}.save").read_text())


def test_the_seeds_rules_are_those_of_the_golden_dump(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)

    assert dump(kernel.save()) == golden(kernel.variant)


@pytest.mark.parametrize("variant", Variant)
def test_the_golden_dump_says_25_then_33_3_then_50_percent_then_the_rest(variant: Variant) -> None:
    """So each pod gets a quarter: a rule sees only what the ones before it left."""
    picks = [
        line.split() for line in golden(variant) if line.startswith(f"-A {SVC} ") and "KUBE-SEP-" in line
    ]
    chances = [float(words[words.index("--probability") + 1]) for words in picks[:-1]]

    assert chances == pytest.approx([1 / 4, 1 / 3, 1 / 2], abs=1e-9)
    assert "--probability" not in picks[-1]
    assert [words[-1] for words in picks] == SEP


def test_both_variants_hold_the_same_rules() -> None:
    assert golden(Variant.LEGACY) == golden(Variant.NFT)
