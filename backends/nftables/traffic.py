"""Connections by service port, as the elements that lead to its endpoints have counted them.

A packet that opens a connection looks its destination up once, in the dispatch, and the kernel adds it to the
counter of the element found (``nft_lookup_eval``). Nobody else looks there.
"""

from collections.abc import Callable, Iterator

from pointsman.core.model import Model
from pointsman.core.traffic import Count

from .layout import Layout, match_key
from .netlink.elements import Element


def counts(layout: Layout, model: Model, dump: Callable[[str], list[Element]]) -> Iterator[Count]:
    """The counts of a model's service ports; ``dump`` reads a map of the table, by name."""
    found = {
        side.dispatch.name: {element.key: element.packets for element in dump(side.dispatch.name)}
        for side in layout.sides
    }
    for service, frontend in model.frontends():
        if not any(map(service.pool, frontend.answers)):
            continue  # whoever asks there is refused
        packets = found[layout.side(frontend.match).dispatch.name].get(match_key(frontend.match))
        if packets is not None:
            yield Count(service.name, str(frontend.match), packets)
