"""Text that comes from elsewhere, made fit for a line of output."""


def one_line(text: str) -> str:
    """The text with everything that isn't printable escaped, so that it can neither forge nor hide a line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
