"""A simulated table as the backend would read it back from a kernel."""

from pointsman.backends.nftables.layout import Layout
from pointsman.backends.nftables.netlink.objects import SetInfo
from pointsman.backends.nftables.state import TableState
from tests.backends.nftables.simulated import Simulated

_VERDICTS = 0xFFFFFF00  # NFT_DATA_VERDICT
_VERDICT_SIZE = 16


def state_of(layout: Layout, table: Simulated) -> TableState:
    """What a restarted process finds."""
    ours = {spec.name for spec in layout.sets}
    held = {name: list(elements.values()) for name, elements in table.elements.items()}
    return TableState(
        chains=dict(table.chains),
        rules={name: list(table.rules(name)) for name in table.chains if table.rules(name)},
        sets={name: _reported(info) for name, info in table.sets.items()},
        elements={
            name: {element.key: element.data for element in held[name]} for name in held if name in ours
        },
        owned={name: elements for name, elements in held.items() if name not in ours},
    )


def _reported(info: SetInfo) -> SetInfo:
    """The kernel fills in how long a verdict is."""
    return info._replace(data_length=_VERDICT_SIZE) if info.data_type == _VERDICTS else info
