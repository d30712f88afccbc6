"""How many files this process may have open: each health check node port is one, and each client."""

import resource

ENOUGH = 1 << 20


def allow_open_files() -> None:
    """Raise the soft limit to the hard one, as every Go program does; it is often 1024 at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
