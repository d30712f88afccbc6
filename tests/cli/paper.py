"""A backend that writes to files what others write to a kernel: it outlives its process, and can be read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .processes import distribution

SOURCE = """
import json
from pathlib import Path

from pointsman.core.addresses import format_address
from pointsman.core.backend import BackendSpec, Observed
from pointsman.core.errors import BackendUnavailable, SyncError
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.hookspecs import hookimpl
from pointsman.core.packet import Action, Trace, Verdict
from pointsman.core.plan import SyncReport

FOLDER = Path({folder!r})
UNAVAILABLE = {unavailable!r}
MISSING = {missing!r}
BROKEN = {broken!r}


class Paper:
    def __init__(self, settings):
        self.family = str(settings.family)
        self.sheet = FOLDER / f"{{settings.instance}}.{{self.family}}.json"

    @hookimpl
    def dataplane_probe(self):
        if "probe" in BROKEN:
            raise RuntimeError("no pencil")
        if self.family in UNAVAILABLE:
            raise BackendUnavailable("paper", "there is no paper", "buy some")
        later = Support(Level.NOT_IMPLEMENTED, "comes with paper 2")
        return Capabilities({{f: later if f in MISSING else SUPPORTED for f in Feature}})

    @hookimpl
    def dataplane_sync(self, plan):
        if "sync" in BROKEN or (FOLDER / "wet").exists():
            raise SyncError("paper", "the pencil broke")
        ports = plan.desired.node.node_ports.addresses
        frontends = {{
            str(frontend.match): sorted(map(str, service.pool(frontend.near)))
            for service, frontend in plan.desired.frontends()
        }}
        held = {{
            "node_ports": None if ports is None else sorted(map(format_address, ports)),
            "frontends": frontends,
        }}
        draft = self.sheet.with_suffix(".draft")
        draft.write_text(json.dumps(held))
        draft.replace(self.sheet)
        return SyncReport(1, len(plan.delta.services))

    @hookimpl
    def dataplane_observe(self):
        return Observed({{}})

    @hookimpl
    def dataplane_trace(self, packet):
        return Trace(Verdict(Action.PASS), ())

    @hookimpl
    def dataplane_cleanup(self):
        if "cleanup" in BROKEN:
            raise SyncError("paper", "the shredder is stuck")
        found = self.sheet.exists()
        self.sheet.unlink(missing_ok=True)
        return found


@hookimpl
def pointsman_register_backends(registry):
    registry.add(BackendSpec("paper", "writes everything down", Paper))
"""


class Paper:
    """The backend ``paper``, installed below a folder, and what it has written."""

    def __init__(
        self,
        folder: Path,
        *,
        unavailable: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        broken: tuple[str, ...] = (),
    ) -> None:
        """Install it.

        ``unavailable`` families can't be served, ``missing`` features aren't there, ``broken`` hooks fail.
        """
        self.folder = folder / "sheets"
        self.folder.mkdir()
        source = SOURCE.format(
            folder=str(self.folder), unavailable=unavailable, missing=missing, broken=broken
        )
        self.path = distribution(folder / "site", "paper", source, name="paper-backend", version="2.1")

    def wet(self, *, wet: bool) -> None:
        """Have no sync succeed, or have them succeed again."""
        if wet:
            (self.folder / "wet").touch()
        else:
            (self.folder / "wet").unlink()

    def holds(self, family: str = "IPv4", instance: str = "pointsman") -> Mapping[str, Any]:
        """What was written for a family, empty for nothing."""
        sheet = self.folder / f"{instance}.{family}.json"
        held: Mapping[str, Any] = json.loads(sheet.read_text()) if sheet.exists() else {}
        return held
