"""What ``nft list`` shows of our tables: readable, the same each time, and never an abort."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.backend import DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.model import Model, NodeContext, Protocol
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import SyncPlan, diff
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.plugins.sources.files import documents
from tests import strategies
from tests.backends.nftables.netlink.namespaces import Namespace
from tests.backends.nftables.synced import without_loopback

pytestmark = [pytest.mark.netns, pytest.mark.program("nft")]

FAMILIES = tuple(IPFamily)
ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).with_name("seed.nft")
README = ROOT / "backends/nftables/README.md"
CLIENT = Packet(parse_address("10.244.1.2"), parse_address("10.96.92.20"), 80, Protocol.TCP, "vethclient")


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    opened = Namespace()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def seeded(namespace: Namespace) -> Iterator[Dataplane]:
    """A dataplane that the engine has brought the seed's objects to."""
    plugins = Plugins()
    dataplane = namespace.call(Dataplane, plugins.backends["nftables"], DataplaneSettings(IPFamily.IPV4))
    namespace.call(program, plugins, dataplane)
    yield dataplane
    namespace.call(dataplane.close)


def program(plugins: Plugins, dataplane: Dataplane) -> None:
    config = ProxyConfig("node", families=(IPFamily.IPV4,), cluster_cidrs=(parse_network("10.244.0.0/16"),))
    engine = Engine(config, {IPFamily.IPV4: dataplane}, plugins)
    engine.probe()
    found = documents.read((ROOT / "examples/seed.yaml").read_bytes(), "seed.yaml").objects.values()
    for kind in KINDS:
        engine.replaced(kind, [located.object for located in found if isinstance(located.object, kind)])
    engine.run_due()


def listed(namespace: Namespace) -> str:
    done = namespace.nft("-a", "list", "table", "ip", "pointsman")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_seeds_example_reads_as_it_should(namespace: Namespace, seeded: Dataplane) -> None:
    assert listed(namespace) == GOLDEN.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """The README's blocks of a kind."""
    return [part.split("\n```")[0] for part in README.read_text(encoding="utf-8").split(f"```{kind}\n")[1:]]


def test_the_readme_shows_chains_and_maps_as_they_are(namespace: Namespace, seeded: Dataplane) -> None:
    """Whole lines, in this order; what stands between them in the listing is left out."""
    listing = namespace.nft("list", "table", "ip", "pointsman").stdout
    lines = iter([line.strip() for line in listing.splitlines()])
    [shown] = blocks("nft")
    for line in shown.splitlines():
        if line.strip() not in ("", "…"):
            assert line.strip() in lines, f"{line.strip()!r} isn't listed, or not there"


def test_the_readme_follows_a_packet_as_it_goes(namespace: Namespace, seeded: Dataplane) -> None:
    [told] = blocks("text packet")
    assert told == tell(namespace.call(seeded.trace, CLIENT))


def test_every_chain_that_the_readme_draws_is_there(namespace: Namespace, seeded: Dataplane) -> None:
    listing = listed(namespace)
    [drawing] = blocks("text layout")
    for name in (
        "prerouting-sources", "output-sources", "check-sources", "prerouting-nat", "output-nat", "dispatch",
        "input-filter", "forward-filter", "output-filter", "refuse", "check-service-addresses",
        "postrouting-nat", "masquerade-marked", "reject-it",
    ):  # fmt: skip
        assert f"chain {name} {{" in listing
        assert name in drawing


def tell(trace: Trace) -> str:
    """A way as the README writes it."""
    lines = []
    for step in trace.steps:
        chance = "" if step.probability == 1 else f"  {step.probability:.0%}"
        lines += [f"{step.topic:<11} {step.text}{chance}", f"{'':<11}   {step.where}"]
    return "\n".join(lines)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nft_lists_any_model_and_takes_it_back(family: IPFamily, data: st.DataObject) -> None:
    """Nft aborts at rules it has no words for, and with it every tool on the node that asks it."""
    model = without_loopback(data.draw(strategies.models(family)))
    namespace = Namespace()
    dataplane = NftablesDataplane(DataplaneSettings(family))
    try:
        plan = SyncPlan(family, model, diff(Model(NodeContext(family)), model), full=True)
        namespace.call(dataplane.dataplane_sync, plan)
        assert f"table {'ip' if family is IPFamily.IPV4 else 'ip6'} pointsman {{" in namespace.listing()
        done = namespace.nft("-j", "list", "ruleset")
        assert done.returncode == 0, done.stderr
    finally:
        namespace.call(dataplane.dataplane_close)
        namespace.close()
