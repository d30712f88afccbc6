"""Sums of what kernels count: they only grow, and never say more than there was."""

from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from pointsman.core.addresses import IPFamily
from pointsman.core.model import Model, NodeContext, Protocol, ServiceFrontends, ServicePortName
from pointsman.core.traffic import SHARE, Count, Traffic

WEB = ServicePortName("shop", "web", "http", Protocol.TCP)
DNS = ServicePortName("kube-system", "dns", "", Protocol.UDP)


def model(*names: ServicePortName) -> Model:
    services = {name: ServiceFrontends(name, ()) for name in names}
    return Model(NodeContext(IPFamily.IPV4), Map(services))


class Kernel:
    """Counts in places that somebody may write anew, and a clock."""

    def __init__(self, *names: ServicePortName) -> None:
        self.model = model(*names)
        self.places: dict[tuple[ServicePortName, str], int] = {}
        self.now, self.takes, self.looks = 0.0, 0.0, 0
        self.traffic = Traffic(lambda: self.model, self.read, lambda: self.now)

    def read(self, _: Model) -> list[Count]:
        self.looks += 1
        self.now += self.takes
        return [Count(name, place, number) for (name, place), number in self.places.items()]


def test_counting_begins_with_the_first_look_and_goes_on_through_rewrites() -> None:
    kernel = Kernel(WEB, DNS)
    kernel.places = {(WEB, "a"): 100, (WEB, "b"): 5}
    assert kernel.traffic.connections() == {WEB: 0, DNS: 0}
    kernel.places = {(WEB, "a"): 103, (WEB, "b"): 2, (DNS, "a"): 7}  # b was written anew; dns' place is new
    assert kernel.traffic.connections() == {WEB: 5, DNS: 7}
    kernel.places = {(WEB, "b"): 2}
    assert kernel.traffic.connections() == {WEB: 5, DNS: 7}
    kernel.places = {(WEB, "a"): 1, (WEB, "b"): 2}
    assert kernel.traffic.connections() == {WEB: 6, DNS: 7}


def test_a_place_that_escapes_a_look_is_not_counted_twice() -> None:
    kernel = Kernel(WEB)
    kernel.places = {(WEB, "a"): 10}
    kernel.traffic.connections()
    kernel.places = {}
    assert kernel.traffic.connections() == {WEB: 0}
    kernel.places = {(WEB, "a"): 12}
    assert kernel.traffic.connections() == {WEB: 2}


def test_who_is_gone_is_forgotten() -> None:
    kernel = Kernel(WEB, DNS)
    kernel.traffic.connections()
    kernel.places = {(WEB, "a"): 3}
    assert kernel.traffic.connections()[WEB] == 3
    kernel.model, kernel.places = model(DNS), {}
    assert kernel.traffic.connections() == {DNS: 0}
    kernel.model, kernel.places = model(WEB, DNS), {(WEB, "a"): 2}
    assert kernel.traffic.connections() == {WEB: 2, DNS: 0}


def test_before_the_first_sync_nothing_is_read() -> None:
    kernel = Kernel()
    assert kernel.traffic.connections() == {}
    assert kernel.looks == 0


def test_looks_keep_within_their_share_of_a_processor() -> None:
    kernel = Kernel(WEB)
    kernel.takes = 0.5
    kernel.traffic.connections()
    kernel.places = {(WEB, "a"): 1}
    kernel.now += 0.5 / SHARE - 0.1
    assert kernel.traffic.connections() == {WEB: 0}
    kernel.now += 0.2
    assert kernel.traffic.connections() == {WEB: 1}
    assert kernel.looks == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=30))
def test_a_sum_never_falls_and_never_says_too_much(steps: list[tuple[str, int, bool]]) -> None:
    kernel = Kernel(WEB)
    kernel.traffic.connections()
    real = told = 0
    for place, connections, anew in steps:
        if anew:
            kernel.places.pop((WEB, place), None)
        kernel.places[WEB, place] = kernel.places.get((WEB, place), 0) + connections
        real += connections
        before, told = told, kernel.traffic.connections()[WEB]
        assert before <= told <= real
