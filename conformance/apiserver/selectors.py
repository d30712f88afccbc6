"""Label and field selectors, in the API's query syntax."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .store import Stored

Selector = Callable[[Stored], bool]

_KEY = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUALITY = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*({_VALUE})\s*")
_EXISTENCE = re.compile(rf"\s*(!?)\s*({_KEY})\s*")
_NUMBER = re.compile(rf"\s*({_KEY})\s*([<>])\s*(-?\d+)\s*")
_FIELD = re.compile(r"([A-Za-z.]+)(==|=|!=)(.*)")
_COMMA = re.compile(r",(?![^(]*\))")

_Requirement = Callable[[Mapping[str, str]], bool]


class BadSelector(ValueError):
    """A selector that can't be understood; the message quotes it."""


def everything(_: Stored) -> bool:
    """The selector that says nothing."""
    return True


def label_selector(text: str) -> Selector:
    """What ``labelSelector`` asks for: equality, sets, existence and numbers.

    Raises:
        BadSelector: it can't be understood.
    """
    if not text:
        return everything
    requirements = [_requirement(one) for one in _COMMA.split(text)]
    return lambda stored: all(requirement(stored.labels) for requirement in requirements)


def field_selector(text: str, selectable: Collection[str]) -> Selector:
    """What ``fieldSelector`` asks for: names, namespaces, and what else is ``selectable`` of the resource.

    Raises:
        BadSelector: it can't be understood, or it is about another field.
    """
    if not text:
        return everything
    tests = [_field(one, selectable) for one in text.split(",")]
    return lambda stored: all(test(stored) for test in tests)


def both(first: Selector, second: Selector) -> Selector:
    """What either lets through."""
    if first is everything:
        return second
    if second is everything:
        return first
    return lambda stored: first(stored) and second(stored)


def _requirement(text: str) -> _Requirement:
    if match := _SET.fullmatch(text):
        key, operator, listed = match.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALITY.fullmatch(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTENCE.fullmatch(text):
        absent, key = match.groups()
        return lambda labels: (key in labels) is not bool(absent)
    if match := _NUMBER.fullmatch(text):
        key, operator, bound = match.groups()
        return lambda labels: _compares(labels.get(key, ""), operator, int(bound))
    raise BadSelector(f"unable to parse requirement: {text!r}")


def _compares(value: str, operator: str, bound: int) -> bool:
    if not re.fullmatch(r"-?\d+", value):
        return False
    return int(value) < bound if operator == "<" else int(value) > bound


def _field(text: str, selectable: Collection[str]) -> Selector:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise BadSelector(f"invalid field selector: {text!r}")
    field, operator, value = match.groups()
    equal = operator != "!="
    if field == "metadata.name":
        return lambda stored: (stored.name == value) is equal
    if field == "metadata.namespace":
        return lambda stored: (stored.namespace == value) is equal
    if field in selectable:
        return lambda stored: (_text(stored.manifest(), field) == value) is equal
    raise BadSelector(f"field label not supported: {field}")


def _text(manifest: Mapping[str, Any], field: str) -> str:
    """A field's value as selectors have it; empty where there is none, but for what is true or false."""
    value: Any = manifest
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return "false" if field == "spec.unschedulable" else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
