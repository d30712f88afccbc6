"""Least privilege: with CAP_NET_ADMIN alone, on read-only filesystems, it syncs and serves."""

import os
import subprocess
from pathlib import Path

import pytest

from pointsman.conformance.lab.netns import Namespace
from tests.conftest import SBIN

from .manifests import folder
from .processes import POINTSMAN, pointsman, running

# What a container runtime does: everything read-only, one capability, no way to get another.
CONFINED = """
set -e
mount --make-rprivate /
mount --rbind / /
for place in $(awk '{print $5}' /proc/self/mountinfo); do
    mount -o remount,bind,ro "$place" 2>/dev/null || true
done
! touch "$1/written" 2>/dev/null
shift
exec setpriv --no-new-privs --inh-caps=-all,+net_admin --bounding-set=-all,+net_admin "$@"
"""


def as_root_with(*capabilities: str) -> list[str]:
    """A command that may do no more than these."""
    kept = ",".join(("-all", *(f"+{one}" for one in capabilities)))
    return ["setpriv", "--no-new-privs", f"--inh-caps={kept}", f"--bounding-set={kept}", *POINTSMAN]


@pytest.mark.netns
@pytest.mark.program("nft", "iptables-nft", "iptables-legacy", "setpriv")
@pytest.mark.parametrize(
    ("mode", "capabilities"),
    [
        ("nftables", ["net_admin"]),
        ("iptables-nft", ["net_admin"]),
        ("iptables-legacy", ["net_admin", "net_raw"]),
    ],
)
def test_it_needs_these_capabilities_and_each_of_them(
    tmp_path: Path, mode: str, capabilities: list[str]
) -> None:
    objects = folder(tmp_path / "objects")
    arguments = ["run", f"--source=files:{objects}", f"--proxy-mode={mode}", "--hostname-override=node-a"]
    arguments += ["--iptables-localhost-nodeports=false"]
    with Namespace("node") as node:
        with running(*arguments, program=as_root_with(*capabilities), popen=node.popen) as process:
            process.wait_for("ready")
            assert process.end() == 0
        for missing in capabilities:
            others = [one for one in capabilities if one != missing]
            with running(*arguments, program=as_root_with(*others), popen=node.popen) as process:
                assert process.status() == 1
            assert f"CAP_{missing.upper()}" in process.lines[-1]


@pytest.mark.netns
@pytest.mark.program("nft", "setpriv", "unshare", "mount", "awk")
def test_CLN_05_after_init_only_one_capability_and_nothing_writable_suffice(tmp_path: Path) -> None:
    objects = folder(tmp_path / "objects")
    confined = ["unshare", "--mount", "sh", "-c", CONFINED, "sh", str(tmp_path), *POINTSMAN]
    arguments = ["run", f"--source=files:{objects}", "--proxy-mode=nftables", "--hostname-override=node-a"]
    with Namespace("node") as node:
        # As the init container of deploy/daemonset.yaml does.
        done = node.run(pointsman, *arguments, "--init-only")
        assert done.returncode == 0, done.stderr
        with running(*arguments, program=confined, popen=node.popen) as process:
            process.wait_for("ready")
            path = os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN])
            held = node.run(
                subprocess.check_output, ["nft", "list", "ruleset"], env={"PATH": path}, text=True
            )
            assert "10.96.0.10" in held
            assert process.end() == 0
    assert not (tmp_path / "written").exists()
