"""Rules as text: exactly as ``iptables-save`` prints them, so that equal rules are equal strings.

A rule is what follows ``-A CHAIN``. Other versions of the tools may order options in another way or quote
more; `same` says whether two texts are one rule nevertheless.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypedDict

from msgspec import Struct

from pointsman.core.addresses import IPFamily, Network
from pointsman.core.model import Protocol

# What iptables-save leaves unquoted.
_PLAIN = re.compile(r"[-_0-9A-Za-z]+")
_ESCAPED = str.maketrans({letter: f"\\{letter}" for letter in "\"\\'"})
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_PROTOCOLS = {protocol: protocol.name.lower() for protocol in Protocol}
_SCALE = 1 << 31  # xt_statistic holds a probability as so many parts

ANYWHERE = {IPFamily.IPV4: "0.0.0.0/0", IPFamily.IPV6: "::/0"}
LOOPBACK = {IPFamily.IPV4: "127.0.0.0/8", IPFamily.IPV6: "::1/128"}
REJECT = {
    IPFamily.IPV4: "REJECT --reject-with icmp-port-unreachable",
    IPFamily.IPV6: "REJECT --reject-with icmp6-port-unreachable",
}


class Where(TypedDict, total=False):
    """The options of a rule that say which packets it is for."""

    source: str
    destination: str
    interface: str
    service: tuple[Protocol, int] | None
    matches: str


def rule(
    target: str = "",
    *,
    source: str = "",
    destination: str = "",
    interface: str = "",
    service: tuple[Protocol, int] | None = None,
    comment: str = "",
    matches: str = "",
) -> str:
    """A rule; without a target it only counts. Networks and interfaces are negated by a leading ``! ``."""
    networks = (("-s", source), ("-d", destination), ("-i", interface))
    parts = [_option(name, value) for name, value in networks if value]
    if service:
        parts.append(f"-p {_PROTOCOLS[service[0]]}")
    if comment:
        parts.append(f"-m comment --comment {_quoted(comment)}")
    if service:
        parts.append(f"-m {_PROTOCOLS[service[0]]}")
        if service[1]:
            parts.append(f"--dport {service[1]}")
    if matches:
        parts.append(matches)
    if target:
        parts.append(f"-j {target}")
    return " ".join(parts)


def network(block: Network) -> str:
    """A network as the tools print it; nothing for the one that holds every address."""
    return str(block) if block.prefix else ""


@lru_cache(maxsize=1 << 10)
def random_share(parts: int, whole: int) -> str:
    """The match that lets ``parts`` of ``whole`` packets through (IPT-06), as precisely as the kernel can."""
    return f"-m statistic --mode random --probability {round(parts / whole * _SCALE) / _SCALE:.11f}"


class Parsed(Struct, frozen=True):
    """A rule taken apart: its options with their arguments, a negated one's name beginning with ``! ``."""

    options: dict[str, str]
    target: str = ""

    def get(self, option: str) -> str:
        """The argument of an option, empty if the rule hasn't got it."""
        return self.options.get(option, "")


# Rules that are looked at several times are so one right after the other, or are few: jumps, say.
@lru_cache(maxsize=1 << 11)
def parse(text: str) -> Parsed:
    """Take a rule apart. Options that come twice are kept together."""
    options: dict[str, str] = {}
    for name, value in _options(text):
        options[name] = f"{options[name]} {value}" if name in options else value
    return Parsed(options, options.pop("-j", "") or options.pop("-g", ""))


def same(one: str, other: str) -> bool:
    """Whether two texts are the same rule."""
    return one == other or parse(one) == parse(other)


def _options(text: str) -> Iterator[tuple[str, str]]:
    name, values, negated = "", list[str](), ""
    for match in _TOKEN.finditer(text):
        quoted, token = match.groups()
        if token == "!":
            if name:
                yield name, " ".join(values)
            name, values, negated = "", [], "! "
        elif token is not None and token.startswith("-") and not _is_argument(name, values):
            if name:
                yield name, " ".join(values)
            name, values, negated = negated + token, [], ""
        else:
            values.append(token if token is not None else re.sub(r"\\(.)", r"\1", quoted))
        if name == "-m" and values:  # says nothing that its options don't
            name, values = "", []
    if name:
        yield name, " ".join(values)


def _is_argument(name: str, values: list[str]) -> bool:
    """Whether the next word belongs to an option whatever it looks like."""
    return name in ("--comment", "-i", "! -i") and not values


def _option(name: str, value: str) -> str:
    return f"! {name} {value[2:]}" if value.startswith("! ") else f"{name} {value}"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return f'"{text.translate(_ESCAPED)}"'
