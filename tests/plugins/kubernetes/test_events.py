"""Events: posted beside their objects, in measure, and never in anybody's way."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pointsman.conformance.apiserver import FOREVER, ApiServer
from pointsman.core.events import Event
from pointsman.core.model import NamespacedName
from pointsman.plugins.kubernetes import events
from pointsman.plugins.kubernetes.client import connect
from pointsman.plugins.kubernetes.events import BURST, MAX_NOTE, REFILL_SECONDS, Allowance, EventPoster
from tests.core.fakes import Clock

from .following import NODE

ABOUT_A_SERVICE = Event("Service", NamespacedName("shop", "web"), "Warning", "FailedToStart", "port in use")
ABOUT_THE_NODE = Event("Node", NamespacedName("", NODE), "Normal", "Starting", "")


@contextmanager
def posting(server: ApiServer, folder: Path) -> Iterator[EventPoster]:
    """A poster; what it was given has been posted when this ends."""
    poster = EventPoster(connect(str(server.kubeconfig(folder / "kubeconfig"))), NODE)
    poster.start()
    try:
        yield poster
    finally:
        poster.stop()
        poster.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "events"]


def test_an_event_is_found_beside_its_object(server: ApiServer, tmp_path: Path) -> None:
    with posting(server, tmp_path) as poster:
        poster.pointsman_event(ABOUT_A_SERVICE)
        poster.pointsman_event(ABOUT_THE_NODE)
    service, node = sorted(
        server.objects("Event", "events.k8s.io/v1"),
        key=lambda found: found["regarding"]["kind"],
        reverse=True,
    )
    assert service["metadata"]["namespace"] == "shop"
    assert service["regarding"] == {
        "kind": "Service",
        "apiVersion": "v1",
        "namespace": "shop",
        "name": "web",
    }
    assert (service["type"], service["reason"], service["note"]) == (
        "Warning",
        "FailedToStart",
        "port in use",
    )
    assert node["metadata"]["namespace"] == "default"
    assert (node["regarding"]["name"], node["regarding"]["uid"]) == (NODE, NODE)
    assert NODE in node["reportingInstance"]
    assert node["eventTime"].endswith("Z")


def test_a_long_message_is_cut_to_what_the_server_takes(server: ApiServer, tmp_path: Path) -> None:
    with posting(server, tmp_path) as poster:
        poster.pointsman_event(Event("Node", NamespacedName("", NODE), "Normal", "Starting", "x" * 5000))
    (found,) = server.objects("Event", "events.k8s.io/v1")
    assert len(found["note"]) == MAX_NOTE


def test_what_cannot_be_posted_is_said_once_and_dropped(
    server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.fail(500, times=FOREVER, plural="events")
    with caplog.at_level(logging.WARNING), posting(server, tmp_path) as poster:
        poster.pointsman_event(ABOUT_A_SERVICE)
        poster.pointsman_event(ABOUT_THE_NODE)
    assert [record.message for record in caplog.records] == ["event_not_posted"]
    assert not server.objects("Event", "events.k8s.io/v1")


def test_nobody_waits_for_a_server_that_does_not_answer(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What doesn't fit into the queue is dropped."""
    monkeypatch.setattr(events, "QUEUE", 3)
    poster = EventPoster(connect(str(server.kubeconfig(tmp_path / "kubeconfig"))), NODE)
    for _ in range(10):
        poster.pointsman_event(ABOUT_A_SERVICE)
    poster.stop()
    assert not server.requests


def test_floods_about_one_object_are_dammed() -> None:
    clock = Clock()
    allowance = Allowance(clock)
    assert [allowance.grant(ABOUT_A_SERVICE) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert allowance.grant(ABOUT_THE_NODE)
    clock.advance(REFILL_SECONDS)
    assert [allowance.grant(ABOUT_A_SERVICE) for _ in range(2)] == [True, False]


def test_no_more_objects_are_told_apart_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_OBJECTS", 2)
    allowance = Allowance(Clock())
    for _ in range(BURST):
        allowance.grant(ABOUT_A_SERVICE)
    for name in ("a", "b"):
        allowance.grant(Event("Node", NamespacedName("", name), "Normal", "Starting", ""))
    assert allowance.grant(ABOUT_A_SERVICE)  # it has been forgotten
