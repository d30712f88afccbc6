"""Bad input is said once, counted, and taken back."""

import logging

import pytest

from pointsman.core.rejections import Rejections
from pointsman.core.source import Rejection

BAD_IP = Rejection("Service", "shop/web", "$.spec.externalIPs", "'x' is not an IP address; it is skipped")
BAD_PORT = Rejection("Service", "shop/web", "$.spec.ports[0].port", "0 is not a port", "web.yaml, document 2")


@pytest.fixture(autouse=True)
def _listen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.message for record in caplog.records]
    caplog.clear()
    return messages


def test_a_rejection_is_said_once_while_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections()
    for _ in range(3):
        rejections.report("web", [BAD_IP])
    assert said(caplog) == ["rejected"]
    assert rejections.total == 1
    assert list(rejections) == [BAD_IP]


def test_the_log_line_names_object_field_reason_and_origin(caplog: pytest.LogCaptureFixture) -> None:
    Rejections().report("web", [BAD_PORT])
    fields = vars(caplog.records[0])
    assert {name: fields[name] for name in ("kind", "object", "field", "reason", "origin")} == {
        "kind": "Service",
        "object": "shop/web",
        "field": "$.spec.ports[0].port",
        "reason": "0 is not a port",
        "origin": "web.yaml, document 2",
    }
    assert caplog.records[0].levelno == logging.WARNING


def test_only_what_is_new_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections()
    rejections.report("web", [BAD_IP])
    said(caplog)
    rejections.report("web", [BAD_IP, BAD_PORT])
    assert [vars(record)["reason"] for record in caplog.records] == [BAD_PORT.reason]
    assert rejections.total == 2


def test_what_is_well_again_is_said_and_may_be_said_anew(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections()
    rejections.report("web", [BAD_IP])
    rejections.report("web", [])
    rejections.report("web", [])
    rejections.report("web", [BAD_IP])
    assert said(caplog) == ["rejected", "accepted_again", "rejected"]
    assert rejections.total == 2


def test_both_families_saying_the_same_count_once() -> None:
    rejections = Rejections()
    rejections.report("web", [BAD_IP, BAD_IP])
    assert list(rejections) == [BAD_IP]
    assert rejections.total == 1


def test_keys_do_not_mix(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections()
    rejections.report("a", [BAD_IP])
    rejections.report("b", [BAD_PORT])
    rejections.report("a", [])
    assert list(rejections) == [BAD_PORT]
    assert list(rejections.places()) == ["b"]
