"""Which backend serves, where the choice is left to us."""

import logging
from collections.abc import Iterable, Sequence

import pytest

from pointsman.cli.selection import select
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendRegistry, BackendSpec, Candidate, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import BackendUnavailable, PluginError
from pointsman.core.features import CORE, SUPPORTED, Capabilities, Feature
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plugins import Plugins

V4, V6 = IPFamily.IPV4, IPFamily.IPV6


class Dataplane:
    """One that can be probed, and nothing else."""

    def __init__(self, name: str, *, works: bool) -> None:
        self.name = name
        self.works = works
        # What isn't of the core may be missing; a skeleton has hardly more than its bones.
        self.features = {Feature.CLUSTER_IP} if name == "skeleton" else CORE

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        if not self.works:
            raise BackendUnavailable(self.name, "something is missing", "get it")
        return Capabilities(dict.fromkeys(self.features, SUPPORTED))

    @hookimpl
    def dataplane_sync(self, plan: object) -> None:
        pytest.fail("a probe syncs nothing")

    @hookimpl
    def dataplane_observe(self) -> None:
        pytest.fail("a probe observes nothing")

    @hookimpl
    def dataplane_trace(self, packet: object) -> None:
        pytest.fail("a probe traces nothing")

    @hookimpl
    def dataplane_cleanup(self) -> None:
        pytest.fail("a probe cleans up nothing")


class Backends:
    """Backends by name, with the families each can serve; one without a list can't be made."""

    def __init__(self, *, simulated: Iterable[str] = (), **families: Sequence[IPFamily] | None) -> None:
        self.families = families
        self.simulated = frozenset(simulated)

    @hookimpl
    def pointsman_register_backends(self, registry: BackendRegistry) -> None:
        for name in self.families:
            registry.add(BackendSpec(name, "", self.maker(name), simulated=name in self.simulated))

    def maker(self, name: str):  # type: ignore[no-untyped-def]
        def make(settings: DataplaneSettings) -> Dataplane:
            works = self.families[name]
            if works is None:
                raise ValueError("no wood")
            return Dataplane(name, works=settings.family in works)

        return make


class Chooser:
    """A plugin with an opinion."""

    def __init__(self, choice: str | None) -> None:
        self.choice = choice
        self.asked: list[tuple[str, bool]] = []

    @hookimpl
    def pointsman_select_backend(self, candidates: Sequence[Candidate]) -> str | None:
        self.asked = [(spec.name, isinstance(outcome, Capabilities)) for spec, outcome in candidates]
        return self.choice


def chosen(backends: Backends, mode: str = "auto", *others: object) -> tuple[str, tuple[IPFamily, ...]]:
    plugins = Plugins([backends, *others], discover=False)
    selection = select(plugins, ProxyConfig("n", proxy_mode=mode))
    return selection.spec.name, tuple(selection.capabilities)


@pytest.mark.parametrize(
    ("backends", "expected"),
    [
        (Backends(alpha=[V4, V6], nftables=[V4, V6]), "nftables"),
        (Backends(beta=[V4], alpha=[V4]), "alpha"),
        (Backends(alpha=[], nftables=[], zeta=[V4]), "zeta"),
        (Backends(alpha=None, beta=[V4]), "beta"),
        (Backends(alpha=[V4], beta=[V4], simulated=["alpha"]), "beta"),
        (Backends(alpha=[V4], nftables=[V6]), "nftables"),
        (Backends(skeleton=[V4], zeta=[V4]), "zeta"),
    ],
)
def test_auto_takes_the_first_that_works(backends: Backends, expected: str) -> None:
    assert chosen(backends)[0] == expected


def test_auto_says_why_each_cannot_run() -> None:
    with pytest.raises(BackendUnavailable) as caught:
        chosen(Backends(alpha=[], beta=None, memory=[V4], simulated=["memory"]))
    text = str(caught.value)
    assert "alpha: something is missing; get it" in text
    assert "backend beta can't be made" in text
    assert "pointsman backends" in text
    assert "memory" not in text


def test_auto_with_nothing_installed() -> None:
    with pytest.raises(BackendUnavailable, match="none is installed"):
        chosen(Backends())


def test_a_plugin_may_choose_among_what_was_probed() -> None:
    chooser = Chooser("beta")
    assert chosen(Backends(nftables=[V4], beta=[V4], gamma=[]), "auto", chooser)[0] == "beta"
    assert chooser.asked == [("nftables", True), ("beta", True), ("gamma", False)]


def test_a_plugin_may_leave_the_choice() -> None:
    assert chosen(Backends(nftables=[V4], beta=[V4]), "auto", Chooser(None))[0] == "nftables"


def test_a_plugin_is_not_asked_about_a_backend_that_was_named() -> None:
    chooser = Chooser("beta")
    assert chosen(Backends(nftables=[V4], beta=[V4]), "nftables", chooser)[0] == "nftables"
    assert chooser.asked == []


def test_a_plugin_must_choose_what_there_is() -> None:
    with pytest.raises(PluginError, match="for --proxy-mode auto a plugin chose 'gamma'"):
        chosen(Backends(nftables=[V4]), "auto", Chooser("gamma"))


def test_a_choice_that_cannot_run_is_an_error() -> None:
    with pytest.raises(BackendUnavailable, match="beta: something is missing; get it"):
        chosen(Backends(nftables=[V4], beta=[]), "auto", Chooser("beta"))


def test_auto_does_not_take_what_is_no_service_proxy_yet() -> None:
    with pytest.raises(BackendUnavailable, match="skeleton: it lacks external-ip, load-balancer, "):
        chosen(Backends(skeleton=[V4]))
    assert chosen(Backends(skeleton=[V4]), "skeleton") == ("skeleton", (V4,))


def test_a_simulated_backend_can_be_named() -> None:
    assert chosen(Backends(memory=[V4, V6], simulated=["memory"]), "memory") == ("memory", (V4, V6))


def test_a_family_that_cannot_be_served_is_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert chosen(Backends(alpha=[V6]), "alpha") == ("alpha", (V6,))
    [record] = caplog.records
    assert record.getMessage() == "family_left_out"
    assert vars(record).items() >= {
        "backend": "alpha", "family": "IPv4", "reason": "something is missing", "remedy": "get it"
    }.items()  # fmt: skip
