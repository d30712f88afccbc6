"""The lean form: what a large cluster's rules leave out, and from when on.

A pool's chain leads to an endpoint at once, not by a KUBE-SEP-… chain of the endpoint's own, and no rule says
again what the one before it says. What those chains did besides, one rule does for all: whoever was led to
itself is told by its own address being its destination. Only affinity still needs chains of endpoints, to
remember clients in.
"""

from pointsman.core.addresses import IPFamily
from pointsman.core.model import Model

# From so many endpoints on kube-proxy names endpoints no more either (SYNC-09).
LEAN_ABOVE = 1000
# The lean form is kept until there are no more than so many, so that nothing is written back and forth.
LEAN_DOWN_TO = 800

# Where IPv4 and IPv6 headers have the two addresses, in words of four bytes.
_SOURCE = {IPFamily.IPV4: range(12, 16, 4), IPFamily.IPV6: range(8, 24, 4)}
_DESTINATION = {IPFamily.IPV4: range(16, 20, 4), IPFamily.IPV6: range(24, 40, 4)}
# From include/uapi/linux/bpf_common.h and filter.h: load a word, move it to X, compare with X, return.
_LOAD, _TO_X, _UNLESS_EQUAL, _RETURN = 0x20, 0x07, 0x1D, 0x06


def hairpin(family: IPFamily) -> str:
    """The match for packets to their own source that have been translated: an endpoint reached itself."""
    words = list(zip(_SOURCE[family], _DESTINATION[family], strict=True))
    program = [
        line
        for left, (source, destination) in zip(reversed(range(len(words))), words, strict=True)
        for line in (
            f"{_LOAD} 0 0 {source}",
            f"{_TO_X} 0 0 0",
            f"{_LOAD} 0 0 {destination}",
            f"{_UNLESS_EQUAL} 0 {4 * left + 1} 0",
        )
    ]
    program += (f"{_RETURN} 0 0 1", f"{_RETURN} 0 0 0")
    return f'-m conntrack --ctstate DNAT -m bpf --bytecode "{len(program)},{",".join(program)}"'


def is_lean(model: Model, *, held: bool) -> bool:
    """Whether a model is to have the lean form, given whether the kernel holds it by now."""
    endpoints = sum(len({*service.cluster, *service.local}) for service in model.services.values())
    return endpoints > (LEAN_DOWN_TO if held else LEAN_ABOVE)
