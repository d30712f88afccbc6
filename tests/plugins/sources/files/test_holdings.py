"""What files hold: what is kept when they break, who wins where two hold the same, and what changes."""

from typing import Any

import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pointsman.core.apis import ApiObject, Service
from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection
from pointsman.plugins.sources.files.documents import read
from pointsman.plugins.sources.files.holdings import Changes, Holdings
from pointsman.plugins.sources.files.reading import Key, Reading, unreadable


def reading(*services: tuple[str, str], broken: str = "") -> Reading:
    """A file with Services and their cluster IPs, of which ``bad`` spoils one; ``broken`` adds a document."""
    documents = [
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"clusterIP": 5 if ip == "bad" else ip},
            }
        )
        for name, ip in services
    ]
    return read("---\n".join([*documents, broken or "# that is all"]).encode(), "x.yaml")


def key(name: str) -> Key:
    return Key(Service, NamespacedName("shop", name))


def shown(changes: Changes) -> tuple[dict[str, Any], list[str]]:
    """Names and cluster IPs of what was updated, and names of what was deleted."""
    updated = {o.metadata.name: ip(o) for o in changes.updated}
    return updated, sorted(deleted.name.name for deleted in changes.deleted)


def ip(service: ApiObject) -> str | None:
    assert isinstance(service, Service)
    return service.spec.cluster_ip


def reasons(changes: Changes) -> dict[str, list[str]]:
    return {path: [f"{r.origin}: {r.reason}" for r in found] for path, found in changes.rejected.items()}


def test_only_what_differs_is_reported() -> None:
    holdings = Holdings()
    assert shown(holdings.update({"/d/a.yaml": reading(("web", "1"), ("db", "2"))})) == (
        {"web": "1", "db": "2"},
        [],
    )
    assert shown(holdings.update({"/d/a.yaml": reading(("db", "2"), ("web", "1"))})) == ({}, [])
    assert shown(holdings.update({"/d/a.yaml": reading(("db", "3"), ("new", "4"))})) == (
        {"db": "3", "new": "4"},
        ["web"],
    )
    assert shown(holdings.update({"/d/a.yaml": None})) == ({}, ["db", "new"])
    assert not list(holdings.objects(Service))


def test_an_object_that_moves_to_another_file_is_not_gone_in_between() -> None:
    holdings = Holdings()
    holdings.update({"/d/a.yaml": reading(("web", "1"), ("db", "2"))})
    changes = holdings.update({"/d/a.yaml": reading(("db", "2")), "/d/b.yaml": reading(("web", "1"))})
    assert changes == Changes([], [], {})
    assert shown(holdings.update({"/d/b.yaml": None, "/d/c.yaml": reading(("web", "5"))})) == (
        {"web": "5"},
        [],
    )


def test_of_two_files_the_first_counts_and_the_other_takes_over() -> None:
    holdings = Holdings()
    holdings.update({"/d/b.yaml": reading(("web", "2"))})
    changes = holdings.update({"/d/a.yaml": reading(("db", "9"), ("web", "1"))})
    assert shown(changes) == ({"web": "1", "db": "9"}, [])
    lost = "b.yaml, document 1, line 1: a.yaml has it already; this one is skipped"
    assert reasons(changes) == {"/d/b.yaml": [lost]}
    # A loser's changes are nobody's business, a third file loses to the first as well.
    changes = holdings.update({"/d/b.yaml": reading(("web", "3")), "/d/c.yaml": reading(("web", "4"))})
    assert shown(changes) == ({}, [])
    assert reasons(changes) == {"/d/c.yaml": [lost.replace("b.yaml", "c.yaml")]}
    changes = holdings.update({"/d/a.yaml": reading(("db", "9"))})
    assert shown(changes) == ({"web": "3"}, [])
    lost = "c.yaml, document 1, line 1: b.yaml has it already; this one is skipped"
    assert reasons(changes) == {"/d/b.yaml": [], "/d/c.yaml": [lost]}
    changes = holdings.update({"/d/b.yaml": None, "/d/c.yaml": None})
    assert shown(changes) == ({}, ["web"])
    assert reasons(changes) == {"/d/c.yaml": []}


def test_a_bad_object_keeps_its_last_good_version_and_a_new_one_is_skipped() -> None:
    holdings = Holdings()
    holdings.update({"/d/a.yaml": reading(("web", "1"), ("db", "2"), ("old", "3"))})
    changes = holdings.update({"/d/a.yaml": reading(("web", "bad"), ("db", "5"), ("new", "bad"))})
    assert shown(changes) == ({"db": "5"}, ["old"])
    wrong = "Expected `str | null`, got `int`"
    assert reasons(changes) == {
        "/d/a.yaml": [
            f"a.yaml, document 1, line 1: {wrong}; its last good version stays",
            f"a.yaml, document 3, line 17: {wrong}; it is skipped",
        ]
    }
    assert shown(holdings.update({"/d/a.yaml": reading(("web", "bad"))})) == ({}, ["db"])
    changes = holdings.update({"/d/a.yaml": reading(("web", "1"))})
    assert changes == Changes([], [], {"/d/a.yaml": ()})


def test_while_a_document_cannot_be_read_whatever_may_be_in_it_stays() -> None:
    holdings = Holdings()
    holdings.update({"/d/a.yaml": reading(("web", "1"), ("db", "2"))})
    changes = holdings.update({"/d/a.yaml": reading(("web", "3"), broken="a: [")})
    assert shown(changes) == ({"web": "3"}, [])
    [reason] = reasons(changes)["/d/a.yaml"]
    assert reason.startswith("a.yaml, document 2, line 10: did not find expected node content")
    assert reason.endswith("; what else the file held stays, 1 in number")
    assert shown(holdings.update({"/d/a.yaml": reading(("web", "3"))})) == ({}, ["db"])


def test_an_unreadable_file_keeps_everything_until_it_is_gone() -> None:
    holdings = Holdings()
    holdings.update({"/d/a.yaml": reading(("web", "1"), ("db", "2"))})
    changes = holdings.update({"/d/a.yaml": unreadable("/d/a.yaml", "Permission denied")})
    assert shown(changes) == ({}, [])
    assert reasons(changes) == {
        "/d/a.yaml": ["a.yaml: Permission denied; what else the file held stays, 2 in number"]
    }
    assert holdings.update({"/d/a.yaml": unreadable("/d/a.yaml", "Permission denied")}).rejected == {}
    assert holdings.update({"/d/a.yaml": None}).rejected == {"/d/a.yaml": ()}


def test_what_stays_may_lose_to_another_file_and_come_back() -> None:
    holdings = Holdings()
    holdings.update({"/d/b.yaml": reading(("web", "1"))})
    holdings.update({"/d/b.yaml": reading(broken="a: [")})
    assert shown(holdings.update({"/d/a.yaml": reading(("web", "2"))})) == ({"web": "2"}, [])
    assert shown(holdings.update({"/d/a.yaml": None})) == ({"web": "1"}, [])


names = st.sampled_from(["web", "db", "mail"])
ips = st.sampled_from(["1", "2", "bad"])
files = st.dictionaries(
    st.sampled_from(["/d/a.yaml", "/d/b.yaml", "/d/c.yaml"]),
    st.none() | st.tuples(st.dictionaries(names, ips), st.booleans()),
    min_size=1,
)


class Following(RuleBasedStateMachine):
    """Whoever applies the changes has what the files hold, by a plainer account of it."""

    def __init__(self) -> None:
        super().__init__()
        self.holdings = Holdings()
        self.followed: dict[Key, ApiObject] = {}
        self.wrong: dict[str, tuple[Rejection, ...]] = {}
        self.files: dict[str, dict[str, str]] = {}
        self.faults: dict[str, int] = {}

    @rule(changed=files)
    def change(self, changed: dict[str, tuple[dict[str, str], bool] | None]) -> None:
        readings: dict[str, Reading | None] = {}
        for path, content in changed.items():
            if content is None:
                readings[path] = None
                self.files.pop(path, None)
                self.faults.pop(path, None)
                continue
            services, is_broken = content
            readings[path] = reading(*services.items(), broken="a: [" if is_broken else "")
            before = self.files.get(path, {})
            kept = {name: old for name, old in before.items() if services.get(name) == "bad" or is_broken}
            good = {name: ip for name, ip in services.items() if ip != "bad"}
            self.files[path] = kept | good
            self.faults[path] = list(services.values()).count("bad") + is_broken
        changes = self.holdings.update(readings)
        for updated in changes.updated:
            name = Key(type(updated), NamespacedName("shop", updated.metadata.name))
            assert self.followed.get(name) != updated
            self.followed[name] = updated
        for name in changes.deleted:
            del self.followed[name]
        for path, found in changes.rejected.items():
            assert self.wrong.get(path, ()) != found
            self.wrong[path] = found

    @invariant()
    def followers_have_the_first_files_objects(self) -> None:
        expected: dict[str, str] = {}
        for path in sorted(self.files):
            expected = self.files[path] | expected
        assert {name.name.name: ip(found) for name, found in self.followed.items()} == expected
        assert sorted(map(repr, self.holdings.objects(Service))) == sorted(map(repr, self.followed.values()))

    @invariant()
    def every_fault_and_every_loser_is_reported(self) -> None:
        taken: set[str] = set()
        for path in sorted(self.files):
            losers = self.files[path].keys() & taken
            taken |= self.files[path].keys()
            assert len(self.wrong.get(path, ())) == self.faults[path] + len(losers)
        assert not any(self.wrong.get(path) for path in self.wrong.keys() - self.files.keys())


Following.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
test_following = Following.TestCase
