"""The server answers as a real one did, byte by byte; what legitimately differs is listed here.

- `table-services.json`: ages, which are those of the day, and descriptions, of which there are none.
- `error-future-rv.json`: the current revision, for the real server's had moved on since the lists.
- watches: bookmarks come when they are due by the clock, and are compared where the recording has them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.apiserver.resources import (
    ENDPOINT_SLICES,
    NODES,
    RESOURCES,
    SERVICE_CIDRS,
    SERVICES,
)
from tests.conformance.apiserver.asking import Client

RECORDINGS = Path(__file__).parent / "recordings"
INDEX = json.loads((RECORDINGS / "index.json").read_text())
ANSWERS = [entry for entry in INDEX if not entry["file"].startswith("watch-")]
REVISION = 131
LISTS = {
    "list-services.json": SERVICES,
    "list-endpointslices.json": ENDPOINT_SLICES,
    "list-nodes.json": NODES,
    "list-servicecidrs.json": SERVICE_CIDRS,
}


def recorded(file: str) -> bytes:
    return (RECORDINGS / file).read_bytes()


@pytest.fixture
def loaded(server: ApiServer) -> ApiServer:
    for file, resource in LISTS.items():
        server.store.load(resource, json.loads(recorded(file))["items"], REVISION)
    return server


def comparable(file: str, body: bytes) -> bytes:
    if file == "table-services.json":
        return re.sub(rb'"\d+[smhd]"', b'"AGE"', body)
    if file == "error-future-rv.json":
        return re.sub(rb"current: \d+", b"current: REVISION", body)
    return body


@pytest.mark.parametrize("entry", ANSWERS, ids=lambda entry: entry["file"])
def test_an_answer_is_a_real_servers(loaded: ApiServer, client: Client, entry: dict[str, Any]) -> None:
    method, path = entry["request"].split(" ", 1)
    path = path.replace("timeoutSeconds=3", "timeoutSeconds=1")
    answer = client.ask(path, method=method, **entry["headers"])
    assert answer.status == entry["status"]
    assert answer.headers["Content-Type"] == entry["content_type"]
    assert comparable(entry["file"], answer.body) == comparable(entry["file"], recorded(entry["file"]))


@pytest.mark.parametrize(
    ("file", "path"),
    [
        (entry["file"], entry["request"].split(" ")[1])
        for entry in INDEX
        if entry["file"].startswith("watch-")
    ],
)
def test_a_history_is_told_as_a_real_server_told_it(
    server: ApiServer, client: Client, file: str, path: str
) -> None:
    """The recorded watch, played back: objects before the first bookmark were there, the rest happens."""
    lines = [line + b"\n" for line in recorded(file).splitlines() if line]
    events = [json.loads(line) for line in lines]
    resource = next(one for one in RESOURCES if one.kind == events[0]["object"]["kind"])
    first = next(index for index, event in enumerate(events) if event["type"] == "BOOKMARK")
    revision = int(events[first]["object"]["metadata"]["resourceVersion"])
    server.store.load(resource, [event["object"] for event in events[:first]], revision)
    told = client.lines(path)
    assert [next(told) for _ in range(first + 1)] == lines[: first + 1]
    for line, event in zip(lines[first + 1 :], events[first + 1 :], strict=True):
        metadata = event["object"]["metadata"]
        if event["type"] == "BOOKMARK":
            server.bookmark()
        else:
            # Revisions in between were spent on objects of other kinds.
            server.store.revision = int(metadata["resourceVersion"]) - 1
            if event["type"] == "DELETED":
                server.delete(resource.kind, metadata.get("namespace", ""), metadata["name"])
            else:
                server.put(event["object"])
        assert next(told) == line


def test_objects_come_in_a_real_servers_order_however_they_were_written(
    server: ApiServer, client: Client
) -> None:
    """Fields and labels backwards; the list is the recorded one."""
    for resource, file in ((SERVICES, "list-services.json"), (ENDPOINT_SLICES, "list-endpointslices.json")):
        items = json.loads(recorded(file))["items"]
        server.store.load(resource, [backwards(item) for item in reversed(items)], REVISION)
        path = "/api/v1/services" if resource is SERVICES else "/apis/discovery.k8s.io/v1/endpointslices"
        assert client.ask(path).body == recorded(file)


def backwards(value: Any) -> Any:
    """An object with its fields in reverse, but for those that are the API's own business."""
    if not isinstance(value, dict):
        return [backwards(one) for one in value] if isinstance(value, list) else value
    return dict(reversed([(name, _kept(name, one)) for name, one in value.items()]))


def _kept(name: str, value: Any) -> Any:
    return value if name in ("managedFields", "sessionAffinityConfig", "hints") else backwards(value)


def test_no_recording_is_left_out() -> None:
    files = {path.name for path in RECORDINGS.iterdir()} - {"index.json", "README.md"}
    assert files == {entry["file"] for entry in INDEX}
