"""What of one family waits for a sync."""

from msgspec import Struct

from .addresses import IPFamily


class Backlog(Struct, frozen=True):
    """What has come in for a family, and what of it the dataplane does not hold yet.

    ``since`` is when the oldest of what waits was taken in, in seconds of `time.monotonic`; None if nothing
    waits, or the first lists are not complete (HZ-02). ``services`` and ``slices`` count the objects with
    changes that wait (MET-05), ``service_events`` and ``slice_events`` all that was ever heard of them
    (MET-06).
    """

    family: IPFamily
    since: float | None = None
    services: int = 0
    slices: int = 0
    service_events: int = 0
    slice_events: int = 0
