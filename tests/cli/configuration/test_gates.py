"""Feature gates: those of all of Kubernetes are taken, and few mean something (CFG-34)."""

import pytest

from pointsman.cli.configuration.gates import in_force

from .told import refused, told


@pytest.mark.parametrize(
    "gate", ["AllAlpha", "NFTablesProxyMode", "WatchListClient", "ContextualLogging", "NodeSwap"]
)
def test_CFG_34_gates_of_all_of_kubernetes_are_taken(gate: str) -> None:
    assert told(f"--feature-gates={gate}=false").config.feature_gates == {gate: False}


@pytest.mark.parametrize(
    ("given", "external_ips", "flagz", "statusz"),
    [
        ("", True, True, True),
        ("AllowServiceExternalIPs=false", False, True, True),
        ("ComponentFlagz=false", True, False, True),
        ("AllBeta=false", True, False, False),
        ("AllAlpha=true", True, True, True),
        ("ComponentStatusz=true,AllBeta=false", True, False, True),
        ("AllBeta=false,ComponentFlagz=true", True, True, False),
        ("AllBeta=false,AllBeta=true", True, True, True),
    ],
)
def test_CFG_34_gates_that_mean_something_here(
    given: str, external_ips: bool, flagz: bool, statusz: bool
) -> None:
    found = in_force(told(f"--feature-gates={given}").config.feature_gates)
    gates = (found["AllowServiceExternalIPs"], found["ComponentFlagz"], found["ComponentStatusz"])
    assert gates == (external_ips, flagz, statusz)


def test_CFG_34_an_unknown_gate_is_an_error() -> None:
    [problem] = refused("--feature-gates=NoSuchGate=true,NodeSwop=true")
    assert "'NoSuchGate'" in problem
    assert "'NodeSwop' (did you mean NodeSwap?)" in problem
