"""What becomes of remembered clients when their service port changes. Pure."""

from collections.abc import Iterable

from .netlink import messages
from .netlink.elements import Element, ElementCodec
from .netlink.messages import Operation, Table
from .planner import Review


def reviewed(table: Table, review: Review, elements: Iterable[Element]) -> tuple[list[Operation], int]:
    """The operations that leave only right entries in a map of clients, and how many entries they touch.

    A client that was led to an endpoint that has left picks anew (AFF-04). One that came under another
    timeout keeps its endpoint for as long as if this one had held from the start (AFF-06).
    """
    codec = ElementCodec(review.clients)
    gone: list[bytes] = []
    timed: list[bytes] = []
    for element in elements:
        if element.data not in review.members:
            gone.append(element.key)
        elif element.timeout != review.timeout:
            gone.append(element.key)
            left = element.expires + review.timeout - element.timeout
            if left > 0:
                timed.append(
                    codec.pack(
                        element.key, element.data, timeout=review.timeout, expires=min(left, review.timeout)
                    )
                )
    operations = messages.delete_elements(table, review.clients, codec.keys(gone))
    operations += messages.add_elements(table, review.clients, timed)
    return operations, len(gone)
