"""How likely the kernel is to end this process when memory runs out (CFG-33)."""

import logging
from pathlib import Path

_SCORE = Path("/proc/self/oom_score_adj")

log = logging.getLogger(__name__)


def set_oom_score(adjustment: int, path: Path = _SCORE) -> None:
    """Set the adjustment, from -1000 for never to 1000.

    That it can't be set is no more than logged, and no warning either: who gave us few privileges meant that.
    """
    try:
        if path.read_text().strip() != str(adjustment):
            path.write_text(str(adjustment))
    except OSError as error:
        log.info(
            "oom_score_kept",
            extra={
                "error": str(error),
                "wanted": adjustment,
                "remedy": "grant CAP_SYS_RESOURCE, or give --oom-score-adj no less than it is now",
            },
        )
