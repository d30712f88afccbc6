"""The paths of the metrics server (HTTP-01)."""

from collections.abc import Mapping

from pointsman.plugins.http.messages import Handler, json, text
from pointsman.plugins.http.routing import Router

CONFIG_GROUP = "kubeproxy.config.k8s.io"


def status_pages(
    *,
    page: Handler,
    metrics: Handler,
    slis: Handler,
    mode: str,
    config: object,
    more: Mapping[str, Handler],
    writing: Mapping[str, str],
) -> Router:
    """The handler for the metrics server.

    Args:
        page: for people, at ``/``.
        metrics: answers who scrapes metrics.
        slis: answers who scrapes the health of components.
        mode: the proxy mode, as kube-proxy names it.
        config: the configuration that counts, as plain values.
        more: what else is served, by path.
        writing: the methods of paths that take another than GET.
    """
    routes: dict[str, Handler] = {
        "/": page,
        "/healthz": lambda _: text("ok"),
        "/metrics": metrics,
        "/metrics/slis": slis,
        "/proxyMode": lambda _: text(mode),
        "/configz": lambda _: json({CONFIG_GROUP: config}),
        **more,
    }
    return Router(routes, writing)
