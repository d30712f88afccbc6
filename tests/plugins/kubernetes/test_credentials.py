"""How the API server is found and convinced: kubeconfigs, token files, exec plugins, pods; and rotation."""

import base64
import json
import os
import textwrap
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pointsman.conformance.apiserver import ApiServer
from pointsman.core.errors import ConfigError
from pointsman.plugins.kubernetes import kubeconfig
from pointsman.plugins.kubernetes.client import ApiClient, connect
from pointsman.plugins.kubernetes.credentials import RELOAD_SECONDS, Credentials
from pointsman.plugins.kubernetes.errors import Refused, Unreachable
from tests.core.fakes import Clock

from .following import followed, following, node, read, service, wait_for_status


@pytest.fixture(autouse=True)
def _a_node(server: ApiServer) -> None:
    server.put(node())


def written(api: ApiServer, folder: Path, user: Mapping[str, Any], **cluster: Any) -> str:
    """A kubeconfig in which the user, and the cluster where said, is another."""
    path = api.kubeconfig(folder / "kubeconfig")
    config = json.loads(path.read_text())
    config["users"][0]["user"] = user
    config["clusters"][0]["cluster"].update(cluster)
    path.write_text(json.dumps(config))
    return str(path)


def exec_plugin(folder: Path, token_file: Path, **status: str) -> dict[str, Any]:
    """An exec plugin that gives what a file holds, fails if there is none, and counts how often it is run."""
    script = folder / "plugin"
    more = "".join(f', "{key}": "{value}"' for key, value in status.items())
    script.write_text(
        textwrap.dedent(f"""\
        #!/bin/sh
        echo run >> {folder}/runs
        token=$(cat {token_file}) || exit 1
        printf '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": '
        printf '{{"token": "%s"{more}}}}}' "$token"
        """)
    )
    script.chmod(0o700)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "interactiveMode": "Never",
        }
    }


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def answers(client: ApiClient) -> bool:
    return read(client) is not None


def test_a_token_and_an_authority_in_a_kubeconfig(server: ApiServer, tmp_path: Path) -> None:
    assert answers(connect(str(server.kubeconfig(tmp_path / "kubeconfig"))))


def test_files_beside_a_kubeconfig_are_found(server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(server.ca)
    (tmp_path / "token").write_text(server.token + "\n")
    path = written(server, tmp_path, {"tokenFile": "token"}, **{"certificate-authority": "ca.crt"})
    config = json.loads(Path(path).read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    Path(path).write_text(json.dumps(config))
    assert answers(connect(path))


def test_a_token_file_is_read_again_when_it_is_old_or_refused(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(server.token)
    clock = Clock()
    load = kubeconfig.loader(written(server, tmp_path, {"tokenFile": str(token)}))
    credentials = Credentials(load, clock=clock)
    client = ApiClient(credentials)
    assert answers(client)
    # Refused: read again at once.
    token.write_text(server.change_token())
    assert answers(client)
    # Old: read again before it is refused.
    token.write_text("the next one")
    assert credentials.access().headers == {"Authorization": f"Bearer {server.token}"}
    clock.advance(RELOAD_SECONDS)
    assert credentials.access().headers == {"Authorization": "Bearer the next one"}
    # While it can't be read, the server can't be asked.
    token.unlink()
    clock.advance(RELOAD_SECONDS)
    with pytest.raises(Unreachable, match="No such file"):
        read(client)
    token.write_text(server.token)
    assert answers(client)


def test_a_wrong_token_is_followed_by_the_right_one(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("wrong")
    path = written(server, tmp_path, {"tokenFile": str(token)})
    with followed(connect(path)) as (source, mirror):
        status = wait_for_status(source, "Service", lambda status: status.failures > 1)
        assert "401" in status.error
        token.write_text(server.token)
        mirror.wait_until_listed()
        wait_for_status(source, "Service", lambda status: not status.failures)


def test_a_token_that_expires_under_a_watch_is_replaced(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(server.token)
    path = written(server, tmp_path, {"tokenFile": str(token)})
    with followed(connect(path)) as (source, mirror):
        mirror.wait_until_listed()
        server.change_token()
        server.drop_connections()
        server.put(service())
        wait_for_status(source, "Service", lambda status: "401" in status.error)
        assert not mirror.names()
        token.write_text(server.token)
        mirror.wait_until_same(server)


def test_an_exec_plugin_is_run_once_and_again_when_refused(server: ApiServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(server.token)
    client = connect(written(server, tmp_path, exec_plugin(tmp_path, token)))
    assert answers(client)
    assert answers(client)
    assert runs(tmp_path) == 1
    token.write_text(server.change_token())
    assert answers(client)
    assert runs(tmp_path) == 2


def test_an_exec_plugins_credentials_are_replaced_before_they_expire(
    server: ApiServer, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(server.token)
    user = exec_plugin(tmp_path, token, expirationTimestamp="2020-01-01T00:00:00Z")
    client = connect(written(server, tmp_path, user))
    before = runs(tmp_path)
    assert answers(client)
    assert runs(tmp_path) > before


def test_an_exec_plugin_that_fails_is_run_again(
    server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    client = connect(written(server, tmp_path, exec_plugin(tmp_path, token)))
    with pytest.raises(Unreachable, match="exec plugin"):
        read(client)
    assert "process returned 1" in caplog.text
    token.write_text(server.token)
    assert answers(client)


def test_an_exec_plugin_that_hangs_is_ended_and_run_again(
    server: ApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is kept waiting by it, nor by what it has started and left behind."""
    monkeypatch.setattr(kubeconfig, "EXEC_SECONDS", 0.5)
    token = tmp_path / "token"
    token.write_text(server.token)
    user = exec_plugin(tmp_path, token)
    healthy = Path(user["exec"]["command"]).read_text()
    Path(user["exec"]["command"]).write_text(f"#!/bin/sh\nsleep 1000 & echo $! > {tmp_path}/left; wait\n")

    client = connect(written(server, tmp_path, user))
    with pytest.raises(Unreachable, match="exec plugin"):
        read(client)

    assert f"{user['exec']['command']} was ended: it gave nothing for 0.5 s" in caplog.text
    assert not running(int((tmp_path / "left").read_text()))
    Path(user["exec"]["command"]).write_text(healthy)
    assert answers(client)


def running(process: int) -> bool:
    """Whether a process is there and has not ended; who waits for it is somebody else."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_closing_does_not_wait_for_an_exec_plugin(server: ApiServer, tmp_path: Path) -> None:
    waiting = tmp_path / "waiting"
    os.mkfifo(waiting)
    user = exec_plugin(tmp_path, waiting)  # reads what nobody writes
    path = written(server, tmp_path, user)
    client = ApiClient(Credentials(kubeconfig.loader(path)))

    def ask() -> None:
        with suppress(Unreachable, Refused):
            read(client)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with waiting.open("w"):  # opens once the plugin has
            closing = threading.Thread(target=client.close)
            closing.start()
            closing.join(20)
            assert not closing.is_alive()
            waiting.unlink()  # so that it fails when run again
    finally:
        asking.join(20)
    assert not asking.is_alive()


@pytest.fixture
def pod(server: ApiServer, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """What a cluster gives to a pod: a folder and variables."""
    (tmp_path / "ca.crt").write_text(server.ca)
    (tmp_path / "token").write_text(server.token)
    return tmp_path, {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}


def test_a_pod_needs_no_kubeconfig(server: ApiServer, pod: tuple[Path, dict[str, str]]) -> None:
    """CFG-06; the token that a pod is given is replaced while it lasts."""
    clock = Clock()
    credentials = Credentials(partial(kubeconfig.in_cluster, *pod), clock=clock)
    client = ApiClient(credentials)
    assert answers(client)
    (pod[0] / "token").write_text("the next one")
    clock.advance(RELOAD_SECONDS)
    assert credentials.access().headers == {"Authorization": "bearer the next one"}
    (pod[0] / "token").write_text(server.token)
    assert answers(client)


def test_a_clock_that_jumps_keeps_no_token_alive(
    server: ApiServer, pod: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with followed(ApiClient(Credentials(partial(kubeconfig.in_cluster, *pod)))) as (_, mirror):
        mirror.wait_until_listed()
        now = time.time()
        monkeypatch.setattr("time.time", lambda: now - 12 * 3600)
        (pod[0] / "token").write_text(server.change_token())
        server.drop_connections()
        server.put(service())
        mirror.wait_until_same(server)
        monkeypatch.setattr("time.time", lambda: now + 12 * 3600)
        server.drop_connections()
        server.put(service("db", "10.96.0.11"))
        mirror.wait_until_same(server)


def test_where_there_is_nothing_to_go_by_that_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither --kubeconfig nor --master") as raised:
        kubeconfig.in_cluster(tmp_path, {})
    assert "--source files:PATH" in str(raised.value)


@pytest.mark.parametrize("port", ["", ":1"])
def test_master_overrides_the_kubeconfigs_server(server: ApiServer, tmp_path: Path, port: str) -> None:
    """CFG-28; also after credentials have been read again."""
    path = written(server, tmp_path, {"token": server.token}, server=f"https://127.0.0.1{port}")
    client = connect(path, f"127.0.0.1:{server.port}")
    assert answers(client)
    server.change_token()
    with pytest.raises(Refused, match="401"):
        read(client)
    written(server, tmp_path, {"token": server.token}, server=f"https://127.0.0.1{port}")
    assert answers(client)


def test_master_alone_is_enough_where_nobody_asks_who_we_are() -> None:
    loaded = kubeconfig.loader("", "10.0.0.1:8080")()
    assert loaded.configuration.host == "http://10.0.0.1:8080"
    assert Credentials(lambda: loaded).access().headers == {}


@pytest.mark.parametrize("master", ["ftp://10.0.0.1", "https://", "10.0.0.1:port", "http://[::1"])
def test_a_master_that_is_no_server_is_the_users_error(master: str) -> None:
    with pytest.raises(ConfigError, match=r"--master: .* is no server; write https://HOST:PORT"):
        connect("", master)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file or directory"),
        ("", "it is no kubeconfig"),
        ("{", "it is no kubeconfig"),
        ("[]", "it is no kubeconfig"),
        ("current-context: a\ncontexts: []\nclusters: []\nusers: []", "it is no kubeconfig: .*context"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]", "name b in"),
    ],
)
def test_a_kubeconfig_that_is_none_is_the_users_error(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"--kubeconfig {path}: .*{reason}") as raised:
        connect(str(path))
    assert "\n" not in str(raised.value)


def test_a_kubeconfig_that_breaks_later_stops_nothing(server: ApiServer, tmp_path: Path) -> None:
    path = server.kubeconfig(tmp_path / "kubeconfig")
    text = path.read_text()
    with following(server, tmp_path) as (source, mirror):
        path.write_text("{")
        server.change_token()
        server.drop_connections()
        server.put(service())
        wait_for_status(source, "Service", lambda status: "no kubeconfig" in status.error)
        server.change_token(json.loads(text)["users"][0]["user"]["token"])
        path.write_text(text)
        mirror.wait_until_same(server)


def test_another_authority_is_trusted_once_the_kubeconfig_says_so(server: ApiServer, tmp_path: Path) -> None:
    with ApiServer() as other, following(server, tmp_path) as (source, mirror):
        path = Path(server.kubeconfig(tmp_path / "kubeconfig"))
        text = path.read_text()
        ca = base64.b64encode(other.ca.encode()).decode()
        config = json.loads(text)
        config["clusters"][0]["cluster"]["certificate-authority-data"] = ca
        path.write_text(json.dumps(config))
        server.change_token()  # which has it read again
        server.drop_connections()
        wait_for_status(source, "Service", lambda status: "TLS" in status.error)
        server.change_token(config["users"][0]["user"]["token"])
        path.write_text(text)
        server.put(service())
        mirror.wait_until_same(server)


def test_certificates_go_to_shared_memory_where_nothing_else_is_writable(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_usable() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    shared = tmp_path / "shared"
    monkeypatch.setattr(kubeconfig, "SHARED_MEMORY", str(shared))
    assert answers(connect(str(server.kubeconfig(tmp_path / "kubeconfig"))))
    (file,) = shared.iterdir()
    assert file.read_text() == server.ca
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == os.geteuid()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
