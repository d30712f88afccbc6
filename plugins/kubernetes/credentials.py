"""How the API server is reached: address, TLS and credentials, kept fresh.

The official client reads kubeconfigs, runs exec plugins and finds what a cluster gives to its pods. It is
imported when the first connection is configured, and only its configuration is used: not its models, which
are slow (`stream` decodes instead), nor its request functions, which neither stream bytes nor tell time-outs
from cuts. Measured with Python 3.11 and kubernetes 37: importing it costs 0.29 s and 37 MB, of which urllib3
and YAML 0.09 s.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from pointsman.core.errors import ConfigError

from .errors import Unreachable

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration
    from urllib3 import PoolManager

# As often does client-go look at a token file.
RELOAD_SECONDS = 60.0
# Who closes is about to end, and the kernel closes what is left.
CLOSE_SECONDS = 1.0


class Loaded(Struct, frozen=True):
    """A configuration; ``renews_itself`` if it knows by itself when its credentials expire."""

    configuration: "Configuration"
    renews_itself: bool = False


class Access(Struct, frozen=True):
    """All that a request needs. ``server`` is a URL without a slash at its end."""

    server: str
    pool: "PoolManager"
    headers: Mapping[str, str]


class Credentials:
    """The way to the API server, read again often enough that nobody notices when it changes.

    Args:
        load: reads the configuration. Raises `ConfigError` or `Unreachable`.
        clock: monotonic seconds.
    """

    def __init__(self, load: Callable[[], Loaded], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._since = 0.0
        self._stale = True
        self._connection: object = None
        self._pool: PoolManager | None = None

    def access(self) -> Access:
        """What to make the next request with. May run an exec plugin.

        Raises:
            ConfigError: the first time, if the configuration is wrong.
            Unreachable: later, or if no credentials can be had at present.
        """
        with self._lock:
            loaded = self._fresh()
            try:
                token = loaded.configuration.get_api_key_with_prefix("BearerToken")
            except Exception as error:  # whatever a plugin, a token file or an identity provider comes to
                raise Unreachable(f"no credentials: {error}") from error
            headers = {"Authorization": token.strip()} if token else {}
            return Access(loaded.configuration.host.rstrip("/"), self._pool_for(loaded), headers)

    def distrust(self, refused: Access) -> bool:
        """Take in that an access was refused; whether another one is worth a try at once."""
        try:
            if self.access().headers != refused.headers:
                return True  # another thread was refused before, and has read them again
            with self._lock:
                self._stale = True
            return self.access().headers != refused.headers
        except Unreachable:
            return False

    def close(self) -> None:
        """Close the connections that nobody uses; not while credentials are awaited, which may take long."""
        if self._lock.acquire(timeout=CLOSE_SECONDS):
            try:
                if self._pool is not None:
                    self._pool.clear()
            finally:
                self._lock.release()

    def _fresh(self) -> Loaded:
        old = self._loaded
        aged = self._clock() - self._since >= RELOAD_SECONDS
        if old is None or self._stale or (aged and not old.renews_itself):
            try:
                self._loaded = self._load()
            except ConfigError as error:
                if old is None:
                    raise
                raise Unreachable(str(error)) from error
            self._since = self._clock()
            self._stale = False
        assert self._loaded is not None
        return self._loaded

    def _pool_for(self, loaded: Loaded) -> "PoolManager":
        """The pool of connections; another one when the way to the server is another."""
        from kubernetes.client.rest import RESTClientObject

        config = loaded.configuration
        connection = (
            config.host,
            config.ssl_ca_cert,
            config.cert_file,
            config.key_file,
            config.verify_ssl,
            config.tls_server_name,
            config.proxy,
        )
        if self._pool is None or connection != self._connection:
            if self._pool is not None:
                self._pool.clear()
            self._connection = connection
            self._pool = RESTClientObject(config).pool_manager
        return self._pool
