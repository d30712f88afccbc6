"""Settings of connection tracking, written once at the start (CT-08, CT-09, CLN-05).

All are the network namespace's own, but for the table's size: that is the machine's, and can only be set from
the namespace that the machine started with.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from pointsman.core.errors import PointsmanError

MOST_ENTRIES = 1 << 20
"""The most that processors are counted into, whatever there are of them; about 300 MB of memory when full."""

ENTRIES_PER_BUCKET = 4

_MAX = "net/netfilter/nf_conntrack_max"
_LIBERAL = "net/netfilter/nf_conntrack_tcp_be_liberal"
_HASH_SIZE = Path("module/nf_conntrack/parameters/hashsize")

log = logging.getLogger(__name__)


class ConntrackSettings(Struct, frozen=True):
    """What connection tracking is to be set to; 0 leaves a setting as it is. Times are in seconds.

    ``max_per_core`` entries for each processor, no more than `MOST_ENTRIES`, but at least ``min``.
    """

    max_per_core: int = 32768
    min: int = 131072
    tcp_established_timeout: int = 86400
    tcp_close_wait_timeout: int = 3600
    tcp_be_liberal: bool = False
    udp_timeout: int = 0
    udp_stream_timeout: int = 0


class SettingRefused(PointsmanError):
    """A setting that was asked for can't be made."""


class Place(NamedTuple):
    """Where the kernel shows its settings; another one for tests."""

    sysctls: Path = Path("/proc/sys")
    sys: Path = Path("/sys")
    processors: int = os.cpu_count() or 1


def wanted(settings: ConntrackSettings, processors: int) -> Iterator[tuple[str, int]]:
    """The sysctls, below ``/proc/sys``, and the values that they are to have."""
    if settings.max_per_core:
        yield _MAX, max(min(settings.max_per_core * processors, MOST_ENTRIES), settings.min)
    prefix = "net/netfilter/nf_conntrack"
    for name, value in (
        (f"{prefix}_tcp_timeout_established", settings.tcp_established_timeout),
        (f"{prefix}_tcp_timeout_close_wait", settings.tcp_close_wait_timeout),
        (_LIBERAL, int(settings.tcp_be_liberal)),
        (f"{prefix}_udp_timeout", settings.udp_timeout),
        (f"{prefix}_udp_timeout_stream", settings.udp_stream_timeout),
    ):
        if value:
            yield name, value


def apply(settings: ConntrackSettings, place: Place = Place()) -> None:
    """Make the settings, in the network namespace of the calling thread; what is right already isn't written.

    Raises:
        SettingRefused: one that isn't right can't be written.
    """
    for name, value in wanted(settings, place.processors):
        path = place.sysctls / name
        if name == _MAX:
            if _is_the_machines(path):
                log.info("setting_kept", extra={"setting": str(path), "why": "only the machine can set it"})
                continue
            _enlarge(place.sys / _HASH_SIZE, value // ENTRIES_PER_BUCKET)
        _write(path, value)


def is_liberal(place: Place = Place()) -> bool:
    """Whether TCP packets outside the window count as valid; then none is dropped as invalid (SEC-02)."""
    try:
        return int((place.sysctls / _LIBERAL).read_text()) != 0
    except (OSError, ValueError):
        return False  # nothing is tracked, so nothing is invalid


def _is_the_machines(path: Path) -> bool:
    """Whether nobody may write a setting from here: so the kernel shows it in all but its first namespace."""
    try:
        return not path.stat().st_mode & 0o222
    except OSError:
        return False  # whoever writes it hears what is wrong


def _enlarge(path: Path, buckets: int) -> None:
    """Have at least so many buckets. Without them everything works, at the cost of longer chains."""
    try:
        if int(path.read_text()) >= buckets:
            return
        path.write_text(str(buckets))
    except OSError as error:
        log.warning(
            "hashsize_kept",
            extra={
                "error": str(error),
                "wanted": buckets,
                "remedy": f"write it to {path} as root of the host, or give --conntrack-max-per-core=0",
            },
        )
        return
    log.info("setting_changed", extra={"setting": str(path), "value": buckets})


def _write(path: Path, value: int) -> None:
    try:
        before = path.read_text().strip()
        if before == str(value):
            return
        path.write_text(str(value))
    except OSError as error:
        raise SettingRefused(
            f"{path} can't be set to {value} ({error.strerror}); run once with --init-only and all"
            " privileges, set it by other means, or give 0 for it so that it is left alone"
        ) from error
    log.info("setting_changed", extra={"setting": str(path), "value": value, "before": before})
