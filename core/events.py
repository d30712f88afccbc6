"""Events: what is to be seen at an API object, for those who look there and not into our log."""

from typing import Literal

from msgspec import Struct

from .model import NamespacedName


class Event(Struct, frozen=True):
    """Something that happened to an object.

    ``kind`` is the object's, ``name`` has no namespace where the kind is in none. ``reason`` is one word in
    camel case, by which events are told apart; ``message`` is for people.
    """

    kind: str
    name: NamespacedName
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
