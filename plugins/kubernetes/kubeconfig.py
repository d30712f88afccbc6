"""Where the way to the API server is written down: a kubeconfig, a URL, or what a cluster gives to its pods.

`pointsman.plugins.kubernetes.credentials` says what of the official client is used, and what it costs.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pointsman.core.errors import ConfigError

from . import bounded
from .credentials import Loaded
from .errors import Unreachable

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Writable also where the root file system is not.
SHARED_MEMORY = "/dev/shm"
# How long an exec plugin may take, and the source wait for it. Those of clouds take seconds.
EXEC_SECONDS = 60.0


def loader(kubeconfig: str = "", master: str = "") -> Callable[[], Loaded]:
    """How to load what kube-proxy would (CFG-06, CFG-28).

    That is the kubeconfig, whose server ``master`` overrides; ``master`` alone, without credentials; or, if
    neither is given, what the cluster gives to this pod.
    """
    if kubeconfig:
        return partial(from_file, kubeconfig, master)
    return partial(from_url, master) if master else in_cluster


def from_file(path: str, master: str = "") -> Loaded:
    """Load a kubeconfig's current context.

    Raises:
        ConfigError: it can't be read, or isn't one.
        Unreachable: its exec plugin gives no credentials.
    """
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

    configuration = _configuration()
    try:
        # The client passes over files that aren't there.
        Path(path).open("rb").close()
        merged = KubeConfigMerger(path).config
        if master:
            _cluster(merged)["server"] = with_scheme(master, "https" if _has_tls(merged) else "http")
        _bound(_user(merged).get("exec"))
        KubeConfigLoader(
            config_dict=merged, config_base_path=None, temp_file_path=_temporary_folder()
        ).load_and_set(configuration)
        user = _user(merged)
    except OSError as error:
        raise ConfigError(f"--kubeconfig {path}: {error.strerror or error}") from error
    except Exception as error:  # the client's own errors, those of YAML, and what malformed parts come to
        raise ConfigError(f"--kubeconfig {path}: it is no kubeconfig: {_one_line(error)}") from error
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        # The client logs why, and goes on without.
        raise Unreachable(f"the exec plugin of {path} gave no credentials")
    return Loaded(configuration, renews_itself="exec" in user or "auth-provider" in user)


def from_url(master: str) -> Loaded:
    """Load nothing but an address."""
    configuration = _configuration()
    configuration.host = with_scheme(master, "http")
    return Loaded(configuration)


def in_cluster(folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Loaded:
    """Load what a cluster gives to its pods: two variables and a service account's files.

    Raises:
        ConfigError: they aren't there.
    """
    from kubernetes.config.incluster_config import InClusterConfigLoader

    configuration = _configuration()
    try:
        InClusterConfigLoader(
            token_filename=str(folder / "token"),
            cert_filename=str(folder / "ca.crt"),
            # By the wall clock, which may be set back for hours; `Credentials` reads it again by another.
            try_refresh_token=False,
            environ=environment,
        ).load_and_set(configuration)
    except Exception as error:
        raise ConfigError(
            f"no API server: neither --kubeconfig nor --master is given, and this is no pod with a service"
            f" account ({_one_line(error)}); give --kubeconfig, or --source files:PATH to do without"
        ) from error
    return Loaded(configuration)


def with_scheme(server: str, scheme: str) -> str:
    """A server's URL, whose scheme may be left out.

    Raises:
        ConfigError: it is none.
    """
    url = server if "://" in server else f"{scheme}://{server}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"--master: {server!r} is no server; write https://HOST:PORT")
    return url


def _configuration() -> "Configuration":
    from kubernetes.client.configuration import Configuration

    configuration = Configuration()
    # Retrying is the reflectors' business, which know what was heard already.
    configuration.retries = False
    # Else a watch on a connection that a firewall forgot would wait for ever.
    configuration.keep_alive = True
    return configuration


def _has_tls(merged: Any) -> bool:
    """Whether a server without a scheme is one of HTTPS, by client-go's rule (rest.DefaultServerURL)."""
    cluster, user = _cluster(merged), _user(merged)
    settings = ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")
    return any(map(cluster.get, settings)) or bool(
        user.get("client-certificate") or user.get("client-certificate-data")
    )


def _context(merged: Any) -> dict[str, Any]:
    found: dict[str, Any] = merged["contexts"].get_with_name(merged["current-context"])["context"].value
    return found


def _cluster(merged: Any) -> dict[str, Any]:
    found: dict[str, Any] = merged["clusters"].get_with_name(_context(merged)["cluster"])["cluster"].value
    return found


def _user(merged: Any) -> dict[str, Any]:
    name = _context(merged).get("user")
    found = merged["users"].get_with_name(name, safe=True) if name else None
    plain: dict[str, Any] = (found.value.get("user") if found else None) or {}
    return plain


def _bound(plugin: dict[str, Any] | None) -> None:
    """Have an exec plugin run with a time limit. What is malformed is left for the client to refuse."""
    if plugin and isinstance(plugin.get("command"), str):
        program = str(Path(bounded.__file__).resolve())
        asked = (plugin["command"], *(plugin.get("args") or ()))
        plugin["command"], plugin["args"] = sys.executable, ["-I", "-S", program, f"{EXEC_SECONDS:g}", *asked]


def _temporary_folder() -> str:
    """Where the client may put certificates that a kubeconfig holds as data; only their owner reads them."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return SHARED_MEMORY


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
