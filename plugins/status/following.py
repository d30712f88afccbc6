"""What the page says of the API server: how fresh what is known of each kind is, and what is in the way."""

from collections.abc import Iterable

from msgspec import Struct

from .html import Markup, facts, joined, tag
from .text import ago


class Followed(Struct, frozen=True):
    """How it stands with a kind of objects.

    Attributes:
        kind: its name.
        age: seconds since anything was heard of it; None if nothing ever was.
        failures: how often in a row it went wrong since.
        error: what went wrong last, or why there is nothing to follow.
        served: whether there is anything to follow.
    """

    kind: str
    age: float | None
    failures: int
    error: str
    served: bool


def following(kinds: Iterable[Followed]) -> Markup:
    """The card of the API server; nothing where objects come from elsewhere."""
    rows = [(followed.kind, _how(followed)) for followed in sorted(kinds, key=lambda each: each.kind)]
    return (
        tag("section", tag("h2", "API server"), facts(*rows), class_="card", id="source")
        if rows
        else Markup()
    )


def _how(followed: Followed) -> Markup:
    if not followed.served:
        return tag("span", f"not followed: {followed.error}", class_="faint")
    heard = "never heard of" if followed.age is None else f"heard of {ago(followed.age)}"
    if not followed.failures:
        return tag("span", heard, class_="faint" if followed.age is None else "good")
    times = "once" if followed.failures == 1 else f"{followed.failures} times in a row"
    return joined(tag("span", f"failed {times}", class_="bad"), f", {heard}: {followed.error}")
