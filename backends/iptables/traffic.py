"""Connections by service port, as the rules that lead to its endpoints have counted them.

Every rule counts what it is for. A chain that picks from a pool is always written as a whole, so the counts
of its rules begin anew together.
"""

import re
from collections.abc import Iterator

from pointsman.core.model import Model, Pool
from pointsman.core.traffic import Count

from . import names

_PICKED = re.compile(
    rf"^\[(\d+):\d+\] -A ({names.SERVICE}\S+|{names.LOCAL}\S+) .*-j (?:{names.ENDPOINT}|DNAT)", re.MULTILINE
)


def counts(saved: str, model: Model) -> Iterator[Count]:
    """The counts of a model's service ports, from the nat table as ``iptables-save -c`` prints it."""
    picked: dict[str, int] = {}
    for match in _PICKED.finditer(saved):
        packets, chain = match.groups()
        picked[chain] = picked.get(chain, 0) + int(packets)
    for name in model.services:
        for pool in Pool:
            chain = names.pool_chain(name, pool)
            if chain in picked:
                yield Count(name, chain, picked[chain])
