"""Flagz, statusz and the other paths of the metrics server."""

import json
import threading
from typing import Any

import pytest
import yaml

from pointsman.plugins.http.messages import Handler, Later, Request, Response, text
from pointsman.plugins.status.pages import status_pages
from pointsman.plugins.status.profiling import WRITING, profiling_routes
from pointsman.plugins.status.zpages import Form, Kind, Process, accepted, flagz, statusz

FLAGS = {"v": "2", "config": "/etc/proxy.yaml"}
PROCESS = Process(1767225600.0, "9.9", "1.36", "3.11.7", ("/configz", "/healthz"))
EXACT = "application/{};g=config.k8s.io;v={};as={}"


def ask(handler: Handler, path: str = "/", method: str = "GET", accept: str | None = None) -> Response:
    headers = {} if accept is None else {"accept": accept}
    answer = handler(Request(method, path, headers))
    if isinstance(answer, Later):
        answer = answer.work()
    return answer


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "text/plain", "text/plain;q=0.9", "image/png, */*;q=0.1"]
)
def test_HTTP_02_plain_text_for_people(accept: str | None) -> None:
    answer = ask(flagz(FLAGS), accept=accept)
    assert (answer.status, answer.content_type) == (200, "text/plain; charset=utf-8")
    assert answer.body.decode().startswith("\nkube-proxy flagz\n")
    assert answer.body.decode().endswith("\n\nconfig=/etc/proxy.yaml\nv=2\n")


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/yaml",
        "text/html",
        "application/json;as=Flagz",
        EXACT.format("json", "v1", "Flagz"),
        EXACT.format("json", "v1beta1", "Statusz"),
        EXACT.format("cbor", "v1beta1", "Flagz"),
        EXACT.format("json", "v1beta1", "Flagz") + ";q=0",
        "nonsense",
    ],
)
def test_HTTP_02_nothing_else_is_acceptable(accept: str) -> None:
    assert ask(flagz(FLAGS), accept=accept).status == 406


@pytest.mark.parametrize(("version", "warned"), [("v1beta1", False), ("v1alpha1", True)])
@pytest.mark.parametrize("media", ["json", "yaml"])
def test_HTTP_02_programs_ask_exactly(media: str, version: str, warned: bool) -> None:
    answer = ask(flagz(FLAGS), accept=EXACT.format(media, version, "Flagz"))
    content: Any = json.loads(answer.body) if media == "json" else yaml.safe_load(answer.body)
    assert content == {
        "kind": "Flagz",
        "apiVersion": f"config.k8s.io/{version}",
        "metadata": {"name": "kube-proxy"},
        "flags": FLAGS,
    }
    assert answer.content_type == f"application/{media}"
    assert ("Warning" in dict(answer.headers)) == warned


def test_HTTP_02_statusz() -> None:
    handler = statusz(PROCESS, now=lambda: PROCESS.started + 3725)
    said = ask(handler).body.decode()
    assert said.startswith("\nkube-proxy statusz\n")
    assert "Started: Thu Jan 01 00:00:00 UTC 2026\nUp: 1 hr 02 min 05 sec\n" in said
    assert "Paths: /configz /healthz\n" in said
    content = json.loads(ask(handler, accept=EXACT.format("json", "v1beta1", "Statusz")).body)
    assert content["uptimeSeconds"] == 3725
    assert content["startTime"] == "2026-01-01T00:00:00Z"
    assert content["emulationVersion"] == "1.36"


def test_the_first_acceptable_form_counts() -> None:
    exact = EXACT.format("yaml", "v1beta1", "Flagz")
    assert accepted(f"application/json, {exact}, */*", Kind.FLAGZ) == Form("application/yaml", "v1beta1")


def pages(set_verbosity: Any = None) -> Handler:
    routes = {} if set_verbosity is None else profiling_routes(set_verbosity)
    return status_pages(
        page=lambda _: text("page"),
        metrics=lambda _: text("metrics"),
        slis=lambda _: text("slis"),
        mode="nftables",
        config={"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"},
        more=routes,
        writing=WRITING if routes else {},
    )


def test_HTTP_01_the_paths_of_the_metrics_server() -> None:
    answers = {
        path: ask(pages(), path).body for path in ("/", "/metrics", "/metrics/slis", "/healthz", "/proxyMode")
    }
    assert answers == {
        "/": b"page",
        "/metrics": b"metrics",
        "/metrics/slis": b"slis",
        "/healthz": b"ok",
        "/proxyMode": b"nftables",
    }
    configz = ask(pages(), "/configz")
    assert configz.content_type == "application/json"
    assert json.loads(configz.body) == {
        "kubeproxy.config.k8s.io": {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
        }
    }


@pytest.mark.parametrize(
    "path", ["/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap", "/debug/flags/v", "/debug/pprof"]
)
def test_HTTP_01_nothing_for_debugging_unless_asked_for(path: str) -> None:
    assert ask(pages(), path).status == 404
    assert ask(pages(), path, "PUT").status == 404


def test_HTTP_01_profiling() -> None:
    asked = pages(lambda _: None)
    assert b"goroutine" in ask(asked, "/debug/pprof/").body
    assert b"MainThread" in ask(asked, "/debug/pprof/goroutine").body
    assert ask(asked, "/debug/pprof/cmdline").body
    assert ask(asked, "/debug/pprof/profile?seconds=never").status == 400
    assert ask(asked, "/debug/pprof/profile?seconds=1e9").status == 400


def test_HTTP_01_a_profile_shows_where_threads_are() -> None:
    done = threading.Event()
    busy = threading.Thread(target=done.wait, name="busy")
    busy.start()
    try:
        lines = ask(pages(lambda _: None), "/debug/pprof/profile?seconds=0.1").body.decode().splitlines()
    finally:
        done.set()
        busy.join()
    assert any("threading.Event.wait" in line and int(line.rpartition(" ")[2]) > 1 for line in lines)


def test_HTTP_01_verbosity_can_be_set() -> None:
    levels: list[int] = []
    asked = pages(levels.append)
    assert ask(asked, "/debug/flags/v").status == 405
    put = asked(Request("PUT", "/debug/flags/v", {}, b"4"))
    bad = asked(Request("PUT", "/debug/flags/v", {}, b"much"))
    assert isinstance(put, Response)
    assert isinstance(bad, Response)
    assert (put.status, bad.status, levels) == (200, 400, [4])
