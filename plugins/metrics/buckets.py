"""The buckets of kube-proxy's histograms, in seconds."""

SYNC = tuple(0.001 * 2**step for step in range(15))
"""MET-01, MET-02 and MET-14."""

PROGRAMMING = (
    0.25,
    0.5,
    *map(float, range(1, 60)),
    *map(float, range(60, 120, 5)),
    *map(float, range(120, 301, 30)),
)
"""MET-04."""
