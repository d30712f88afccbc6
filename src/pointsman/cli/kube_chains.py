"""kube-proxy's chains in iptables, of its modes ``iptables`` and ``ipvs``: how to remove them. Pure."""

import re
from collections.abc import Iterator

from pointsman.backends.iptables.changes import Step
from pointsman.backends.iptables.state import read_tables

_OURS = "KUBE-"
# The kubelet's; and what drops martian packets is for it too (CLN-04).
_KEPT = {"KUBE-FIREWALL", "KUBE-MARK-DROP", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"}
_BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
_TARGET = re.compile(r"(?:^| )-[jg] (\S+)")


def removal(saved: str) -> list[Step]:
    """What to do to be rid of kube-proxy's chains, by the output of ``iptables-save``.

    A chain that other programs' rules lead to stays, as what it is needed for is not for us to know. Where
    the chains bear the mark of an instance of ours, nothing is to be done.
    """
    if read_tables(saved.splitlines()).owner:
        return []
    return [step for table, chains in _tables(saved).items() if (step := _step(table, chains))]


def _tables(saved: str) -> dict[str, dict[str, list[str]]]:
    """The rules of each chain of each table."""
    tables: dict[str, dict[str, list[str]]] = {}
    chains: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:], {})
        elif line.startswith(":"):
            chains.setdefault(line[1:].split(" ", 1)[0], [])
        elif line.startswith("-A "):
            name, _, body = line[3:].partition(" ")
            chains.setdefault(name, []).append(body)
    return tables


def _step(table: str, chains: dict[str, list[str]]) -> Step | None:
    gone = {name for name in chains if name.startswith(_OURS) and name not in _KEPT}
    while needed := gone & set(_led_to(chains, gone)):
        gone -= needed
    if not gone:
        return None
    jumps = [
        f"-D {name} {rule}"
        for name in sorted(_BUILT_IN & chains.keys())
        for rule in chains[name]
        if _target(rule) in gone
    ]
    declared = [f":{name} - [0:0]" for name in sorted(gone)]  # which empties them
    return Step(table, ([*declared, *jumps, *(f"-X {name}" for name in sorted(gone))],))


def _led_to(chains: dict[str, list[str]], gone: set[str]) -> Iterator[str]:
    """The chains that rules lead to which stay."""
    for name, rules in chains.items():
        if name not in gone and name not in _BUILT_IN:
            yield from filter(None, map(_target, rules))


def _target(rule: str) -> str | None:
    # What a comment quotes stands before the target, which comes last but for its own options.
    found = _TARGET.findall(rule)
    return found[-1] if found else None
