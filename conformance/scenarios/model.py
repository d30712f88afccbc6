"""A scenario: what happens to a cluster one after another, and how connections between are answered.

A step's ``do`` says what it is. Every step that changes anything is over when the proxy has taken it in, and
then what the dataplane holds must be what it was told.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from pointsman.conformance.objects import Manifest
from pointsman.core.model import NamespacedName


class Apply(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="apply"):
    """Objects are added or changed; each is a manifest as `kubectl apply` takes it."""

    objects: tuple[Manifest, ...]


class Delete(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="delete"):
    """Objects are removed, each given as ``Kind namespace/name``."""

    objects: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z]+ [^/ ]+/[^/ ]+$")], ...]

    def identities(self) -> list[tuple[str, NamespacedName]]:
        """Kind and name of each."""
        return [(kind, NamespacedName(*name.split("/"))) for kind, name in map(str.split, self.objects)]


class Restart(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="restart"):
    """The proxy ends without a word, and another one starts."""

    masquerade_all: bool = False


class Wipe(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="wipe"):
    """Somebody removes all rules, and the proxy looks."""


class Connect(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do", tag="connect"
):
    """As many connections as it takes to see all answers there are.

    Attributes:
        client: the name of a machine of the lab.
        protocol: ``TCP``, ``UDP`` or ``SCTP``.
        answers: all that are due, in the words of `answers`: ``pod-a:8080 seeing itself`` (or ``the node``:
            whom the server takes for its client), ``rejected``, ``unanswered``, ``reset``.
        sticky: one of them, and always the same: a Service with session affinity.
    """

    client: str
    to: str
    port: int
    protocol: str
    answers: tuple[str, ...]
    sticky: bool = False


Step: TypeAlias = Apply | Delete | Restart | Wipe | Connect


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A history, and where it comes from.

    Attributes:
        family: the family that it is about.
        steps: what happens.
        suite: the version of the suite that found it; empty if somebody wrote it.
    """

    family: Literal["IPv4", "IPv6"]
    steps: tuple[Step, ...]
    suite: str = ""
