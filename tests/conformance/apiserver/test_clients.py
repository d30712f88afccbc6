"""Other people's clients: Kubernetes' own for Python, and kubectl."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as api
from kubernetes import config, watch

from pointsman.conformance import objects
from pointsman.conformance.apiserver import ApiServer
from tests.conformance.apiserver.asking import service

Kubectl = Callable[..., str]


@pytest.fixture
def python(server: ApiServer, tmp_path: Path) -> Iterator[Any]:
    """The official client, connected."""
    with config.new_client_from_config(str(server.kubeconfig(tmp_path / "kubeconfig"))) as connected:
        yield connected


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    """Runs kubectl with an object as its input, if need be; what it printed."""
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")

    def run(*arguments: str, manifest: object = None, status: int = 0) -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", kubeconfig, "--cache-dir", tmp_path / "cache", *arguments],
            input=None if manifest is None else json.dumps(manifest),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


def test_the_official_client_lists_and_reads(server: ApiServer, python: Any) -> None:
    for name in "abc":
        server.put(service(name))
    core: Any = api.CoreV1Api(python)
    assert [one.metadata.name for one in core.list_service_for_all_namespaces().items] == list("abc")
    assert core.read_namespaced_service("b", "default").spec.cluster_ip == "10.96.0.10"
    page = core.list_namespaced_service("default", limit=2)
    rest = core.list_namespaced_service("default", limit=2, _continue=page.metadata._continue)
    assert [one.metadata.name for one in (*page.items, *rest.items)] == list("abc")
    with pytest.raises(api.ApiException, match="Not Found"):
        core.read_namespaced_service("nonesuch", "default")


def test_the_official_client_watches(server: ApiServer, python: Any) -> None:
    core: Any = api.CoreV1Api(python)
    server.put(service("a"))
    seen = []
    for event in watch.Watch().stream(core.list_service_for_all_namespaces, timeout_seconds=10):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 1:
            server.put(service("b"))
        elif len(seen) == 2:
            server.delete("Service", "default", "b")
        else:
            break
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b")]


def test_the_official_client_changes_things(server: ApiServer, python: Any) -> None:
    discovery: Any = api.DiscoveryV1Api(python)
    manifest = objects.endpoint_slice("web-1", "web", "IPv4", [], [objects.target(8080)])
    created = discovery.create_namespaced_endpoint_slice("default", manifest)
    with pytest.raises(api.ApiException, match="Conflict"):
        discovery.create_namespaced_endpoint_slice("default", manifest)
    discovery.patch_namespaced_endpoint_slice("web-1", "default", {"metadata": {"labels": {"new": "yes"}}})
    with pytest.raises(api.ApiException, match="Conflict"):
        discovery.replace_namespaced_endpoint_slice("web-1", "default", created)
    [known] = server.objects("EndpointSlice")
    assert known["metadata"]["labels"] == {"kubernetes.io/service-name": "web", "new": "yes"}
    discovery.delete_namespaced_endpoint_slice("web-1", "default")
    assert server.objects("EndpointSlice") == []


def test_events_stay_where_tests_can_look(server: ApiServer, python: Any) -> None:
    event = {
        "metadata": {"generateName": "node-a."},
        "involvedObject": {"kind": "Node", "name": "node-a"},
        "reason": "Starting",
        "type": "Normal",
    }
    core: Any = api.CoreV1Api(python)
    created = core.create_namespaced_event("default", event)
    core.patch_namespaced_event(created.metadata.name, "default", {"count": 2})
    [known] = server.objects("Event", "v1")
    assert (known["reason"], known["count"]) == ("Starting", 2)


@pytest.mark.program("kubectl")
def test_kubectl_shows_tables(server: ApiServer, kubectl: Kubectl) -> None:
    server.put(service("web"))
    server.put(
        objects.endpoint_slice(
            "web-1", "web", "IPv4", [objects.endpoint("10.244.1.2", None)], [objects.target(8080)]
        )
    )
    header, row = kubectl("get", "svc", "-o", "wide").splitlines()
    assert header.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert row.split()[:5] == ["web", "ClusterIP", "10.96.0.10", "<none>", "80/TCP"]
    _, row = kubectl("get", "endpointslices", "-A").splitlines()
    assert row.split()[:5] == ["default", "web-1", "IPv4", "8080", "10.244.1.2"]
    assert json.loads(kubectl("get", "svc", "web", "-o", "json"))["spec"]["clusterIP"] == "10.96.0.10"


@pytest.mark.program("kubectl")
def test_kubectl_creates_applies_and_deletes(server: ApiServer, kubectl: Kubectl) -> None:
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": ports},
    }
    kubectl("create", "--save-config", "-f", "-", manifest=manifest)
    assert "already exists" in kubectl("create", "-f", "-", manifest=manifest, status=1)
    [created] = server.objects("Service")
    assert created["spec"]["clusterIP"] == "10.96.0.1"
    assert [port["nodePort"] for port in created["spec"]["ports"]] == [30000, 30001]
    manifest["spec"] = {
        "type": "NodePort",
        "selector": {"app": "api"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    }
    assert "configured" in kubectl("apply", "-f", "-", manifest=manifest)
    [applied] = server.objects("Service")
    assert applied["spec"]["selector"] == {"app": "api"}
    assert [(one["port"], one["targetPort"], one["nodePort"]) for one in applied["spec"]["ports"]] == [
        (80, 8080, 30000)
    ]
    assert "unchanged" in kubectl("apply", "-f", "-", manifest=manifest)
    assert "deleted" in kubectl("delete", "svc", "web")
    assert "not found" in kubectl("get", "svc", "web", status=1)


@pytest.mark.program("kubectl")
def test_kubectl_applies_slices(server: ApiServer, kubectl: Kubectl) -> None:
    manifest = objects.endpoint_slice(
        "web-1", "web", "IPv4", [objects.endpoint("10.244.1.2", None)], [objects.target(8080)]
    )
    assert "created" in kubectl("apply", "-f", "-", manifest=manifest)
    manifest["endpoints"] = [objects.endpoint("10.244.1.3", None)]
    assert "configured" in kubectl("apply", "-f", "-", manifest=manifest)
    [known] = server.objects("EndpointSlice")
    assert [one["addresses"] for one in known["endpoints"]] == [["10.244.1.3"]]
    assert known["metadata"]["generation"] == 2


@pytest.mark.program("kubectl")
def test_kubectl_watches(server: ApiServer, tmp_path: Path) -> None:
    server.put(service("a"))
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    arguments = ["--kubeconfig", str(kubeconfig), "--cache-dir", str(tmp_path / "cache")]
    with subprocess.Popen(
        ["kubectl", *arguments, "get", "svc", "-w", "--no-headers"], stdout=subprocess.PIPE, text=True
    ) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().split()[0] == "a"
            server.put(service("b"))
            assert watching.stdout.readline().split()[:3] == ["b", "ClusterIP", "10.96.0.10"]
        finally:
            watching.terminate()
