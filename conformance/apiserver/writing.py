"""Create, update, patch and delete, as clients ask for them."""

from typing import Any

import msgspec

from . import answers
from .answers import Answer
from .defaults import ServiceDefaults
from .encoding import Manifest, alone, encode
from .patching import patches
from .requests import Request
from .resources import SERVICES, Resource
from .store import Store, Stored


class Writer:
    """Carries out requests that change something.

    Raises:
        Failure: from `answer`.
    """

    def __init__(self, store: Store, defaults: ServiceDefaults) -> None:
        self._store = store
        self._defaults = defaults
        self._named = 0

    def answer(self, request: Request) -> Answer:
        """Do what a request asks for."""
        assert request.resource is not None
        if "dryRun" in request.query:
            raise answers.bad_request("dryRun is not supported by this server")
        with self._store.lock:
            match request.verb:
                case "create":
                    return self._create(request, request.resource)
                case "update":
                    return self._update(request, request.resource)
                case "patch":
                    return self._patch(request, request.resource)
                case _:
                    return self._delete(request, request.resource)

    def _create(self, request: Request, resource: Resource) -> Answer:
        manifest = self._checked(_object(request), request, resource)
        metadata = manifest["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            self._named += 1
            metadata["name"] = f"{metadata['generateName']}{self._named:05x}"
        if not metadata.get("name"):
            raise answers.bad_request("name or generateName is required")
        if self._store.get(resource, request.namespace, metadata["name"]):
            raise answers.already_exists(resource, metadata["name"])
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
            metadata.pop(field, None)
        return _written(resource, self._put(resource, manifest), 201)

    def _update(self, request: Request, resource: Resource) -> Answer:
        before = self._existing(request, resource)
        manifest = self._checked(_object(request), request, resource)
        return self._replace(request, resource, before, manifest)

    def _patch(self, request: Request, resource: Resource) -> Answer:
        before = self._existing(request, resource)
        kind = _media_type(request)
        ways = patches(resource)
        if kind not in ways:
            raise answers.unsupported_media_type(", ".join(ways))
        patch = _decoded(request)
        try:
            patched = ways[kind](before.manifest(), patch)
        except (AttributeError, KeyError, TypeError) as error:
            raise answers.bad_request(f"the patch can't be applied: {error}") from error
        return self._replace(request, resource, before, self._checked(patched, request, resource))

    def _replace(self, request: Request, resource: Resource, before: Stored, manifest: Manifest) -> Answer:
        seen = manifest["metadata"].get("resourceVersion")
        if seen and seen != str(before.revision):
            raise answers.conflict(resource, request.name)
        if request.subresource:
            manifest = {**before.manifest(), request.subresource: manifest.get(request.subresource)}
        return _written(resource, self._put(resource, manifest), 200)

    def _delete(self, request: Request, resource: Resource) -> Answer:
        gone = self._existing(request, resource)
        self._store.delete(resource, request.namespace, request.name)
        uid = gone.manifest()["metadata"]["uid"]
        details = answers.about(resource, request.name, uid=uid)
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return Answer(200, encode(done) + b"\n")

    def _existing(self, request: Request, resource: Resource) -> Stored:
        stored = self._store.get(resource, request.namespace, request.name)
        if stored is None:
            raise answers.not_found(resource, request.name)
        return stored

    def _put(self, resource: Resource, manifest: Manifest) -> Stored:
        if resource is SERVICES:
            manifest = self._defaults.filled(manifest)
        return self._store.put(resource, manifest)

    def _checked(self, manifest: Any, request: Request, resource: Resource) -> Manifest:
        """An object that is what and where the request says it is. Raises `Failure`."""
        if not isinstance(manifest, dict):
            raise answers.bad_request("the body is no object")
        kind, version = manifest.get("kind") or resource.kind, manifest.get("apiVersion")
        if kind != resource.kind or (version or resource.api_version) != resource.api_version:
            raise answers.bad_request(
                f"{version}, Kind={kind} in the body does not match {resource.api_version}, "
                f"Kind={resource.kind}, which is expected here"
            )
        metadata = manifest["metadata"] = dict(manifest.get("metadata") or {})
        if resource.namespaced:
            own = metadata.setdefault("namespace", request.namespace)
            if own != request.namespace:
                raise answers.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        if request.name and metadata.setdefault("name", request.name) != request.name:
            raise answers.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL "
                f"({request.name})"
            )
        return manifest


def _object(request: Request) -> Any:
    if _media_type(request) not in ("", "application/json"):
        raise answers.unsupported_media_type("application/json")
    return _decoded(request)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _decoded(request: Request) -> Any:
    try:
        return msgspec.json.decode(request.body)
    except msgspec.DecodeError as error:
        raise answers.bad_request(f"the body is no JSON: {error}") from error


def _written(resource: Resource, stored: Stored, code: int) -> Answer:
    return Answer(code, alone(resource, stored.body) + b"\n")
