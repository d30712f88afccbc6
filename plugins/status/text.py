"""Times in words."""


def ago(seconds: float) -> str:
    """How long ago something was, in its largest unit."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit} ago"
    return f"{whole} s ago"
