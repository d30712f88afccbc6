"""The hooks: what Pointsman asks of a dataplane, done with a database."""

import sqlite3

import msgspec

from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.errors import SyncError
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Match, Model, Protocol
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plan import SyncPlan, SyncReport

from .rules import Node, Rule, node_of, rule_of

NAME = "sqlite"

_TABLES = """
CREATE TABLE rule (
    address BLOB, protocol INTEGER, port INTEGER, text BLOB, PRIMARY KEY (address, protocol, port)
);
CREATE TABLE cluster_ip (address BLOB PRIMARY KEY);
CREATE TABLE node (text BLOB);
"""
_NODE_PORT = b""  # in the place of an address; NULL would equal nothing
_UNHEARD_OF = (Feature.SCHEDULERS, Feature.LOCALHOST_NODE_PORTS)

Row = tuple[bytes, int, int]


class SqliteDataplane:
    """One family's dataplane."""

    def __init__(self, settings: DataplaneSettings) -> None:
        # What Pointsman calls may run on another thread than this, but never on two at once.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(_TABLES)

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        """Everything but what was never thought of."""
        without = Support(Level.UNSUPPORTED, "an example has to end somewhere")
        return Capabilities(dict.fromkeys(Feature, SUPPORTED) | dict.fromkeys(_UNHEARD_OF, without))

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """Write what differs, all of it or nothing.

        A small state is compared as a whole each time; a real dataplane would trust ``plan.delta`` where the
        plan isn't full.
        """
        wanted = _rows(plan.desired)
        held = dict(self._rows())
        gone = [] if not plan.complete else [row for row in held if row not in wanted]
        new = {row: text for row, text in wanted.items() if held.get(row) != text}
        try:
            with self._database:
                self._database.executemany(
                    "DELETE FROM rule WHERE (address, protocol, port) = (?, ?, ?)", gone
                )
                self._database.executemany(
                    "INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?)",
                    [(*row, text) for row, text in new.items()],
                )
                others = self._sync_others(plan.desired, keep=not plan.complete)
        except sqlite3.Error as error:
            raise SyncError(NAME, f"{error}; nothing was written") from error
        writes = len(gone) + len(new) + others
        return SyncReport(transactions=int(writes > 0), writes=writes)

    @hookimpl
    def dataplane_observe(self) -> Observed:
        """What the rows say."""
        frontends = {
            Match(address or None, Protocol(protocol), port): msgspec.json.decode(text, type=Rule).observed()
            for (address, protocol, port), text in self._rows()
        }
        return Observed(frontends, self._cluster_ips(), frozenset(self._node().service_cidrs))

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        """What becomes of a packet, by the rows."""
        node = self._node()
        rule = self._rule(packet, packet.destination)
        if rule is None and node.has_node_ports(packet):
            rule = self._rule(packet, _NODE_PORT)
        if rule is not None:
            return rule.trace(packet, node)
        if packet.to_node and packet.interface is not None:
            return Trace(Verdict(Action.PASS), ())  # for the node's own programs to answer
        if packet.destination in self._cluster_ips():
            return Trace(Verdict(Action.REJECT), ())
        unused = any(packet.destination in network for network in node.service_cidrs)
        return Trace(Verdict(Action.DROP if unused else Action.PASS), ())

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        """Remove all rows."""
        with self._database:
            removed = [
                self._database.execute(f"DELETE FROM {table}").rowcount
                for table in ("rule", "cluster_ip", "node")
            ]
        return any(removed)

    @hookimpl
    def dataplane_close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _sync_others(self, desired: Model, *, keep: bool) -> int:
        """Write the node's settings and its ClusterIPs; how many of them changed."""
        held, wanted = self._cluster_ips(), frozenset(desired.cluster_ips)
        gone = frozenset[bytes]() if keep else held - wanted
        self._database.executemany("DELETE FROM cluster_ip WHERE address = ?", [(one,) for one in gone])
        self._database.executemany("INSERT INTO cluster_ip VALUES (?)", [(one,) for one in wanted - held])
        node = node_of(desired.node)
        changed = node != self._node()
        if changed:
            self._database.execute("DELETE FROM node")
            self._database.execute("INSERT INTO node VALUES (?)", (msgspec.json.encode(node),))
        return len(gone) + len(wanted - held) + changed

    def _rows(self) -> list[tuple[Row, bytes]]:
        found = self._database.execute("SELECT address, protocol, port, text FROM rule")
        return [((address, protocol, port), text) for address, protocol, port, text in found]

    def _rule(self, packet: Packet, address: bytes) -> Rule | None:
        found = self._database.execute(
            "SELECT text FROM rule WHERE (address, protocol, port) = (?, ?, ?)",
            (address, packet.protocol, packet.port),
        ).fetchone()
        return None if found is None else msgspec.json.decode(found[0], type=Rule)

    def _cluster_ips(self) -> frozenset[bytes]:
        return frozenset(address for (address,) in self._database.execute("SELECT address FROM cluster_ip"))

    def _node(self) -> Node:
        found = self._database.execute("SELECT text FROM node").fetchone()
        return Node() if found is None else msgspec.json.decode(found[0], type=Node)


def _rows(model: Model) -> dict[Row, bytes]:
    """The rows for everything that a node must do."""
    return {
        (frontend.match.address or _NODE_PORT, frontend.match.protocol, frontend.match.port): (
            msgspec.json.encode(rule_of(service, frontend))
        )
        for service, frontend in model.frontends()
    }
