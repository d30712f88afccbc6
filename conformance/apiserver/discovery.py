"""What clients ask before anything else: versions, groups and the resources in them."""

from itertools import groupby

from .answers import Answer
from .encoding import Manifest, encode
from .resources import RESOURCES, Resource

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]
_WITH_STATUS = ("Service", "Node", "ServiceCIDR")
_VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}

# Messages of gnostic's openapi.v2.Document (field 1: swagger, field 2: info) and Info (title, version).
_INFO = b"\x0a\x0aKubernetes\x12\x07v1.36.0"
_OPENAPI_V2 = b"\x0a\x032.0\x12%c%b" % (len(_INFO), _INFO)


def documents() -> dict[str, Answer]:
    """What is at which path. There are no schemas: kubectl checks only objects that it finds one for."""
    paths: dict[str, Manifest] = {
        "/version": _VERSION,
        "/api": {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        },
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    }
    for (group, version), of_one in groupby(
        sorted(RESOURCES, key=lambda one: one.api_version), key=lambda one: (one.group, one.version)
    ):
        listed = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": [entry for resource in of_one for entry in _entries(resource)],
        }
        if not group:
            paths[f"/api/{version}"] = listed
            continue
        paths[f"/apis/{group}/{version}"] = listed
        served = {"groupVersion": f"{group}/{version}", "version": version}
        entry = {"name": group, "versions": [served], "preferredVersion": served}
        paths["/apis"]["groups"].append(entry)
        paths[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **entry}
    return {
        **{path: Answer(200, encode(document) + b"\n") for path, document in paths.items()},
        "/openapi/v2": Answer(200, _OPENAPI_V2, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"),
        "/openapi/v3": Answer(200, b'{"paths":{}}\n'),
    }


def _entries(resource: Resource) -> list[Manifest]:
    entry: Manifest = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.kind not in _WITH_STATUS:
        return [entry]
    status = {
        "name": f"{resource.plural}/status",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _STATUS_VERBS,
    }
    return [entry, status]
