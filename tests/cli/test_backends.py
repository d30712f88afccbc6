"""``pointsman backends``: what there is, where it comes from, and whether it works here."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pointsman.cli.backends import _remarks
from pointsman.core.addresses import IPFamily
from pointsman.core.features import Capabilities, Feature

from .paper import Paper
from .processes import distribution, pointsman


def listed(path: Path | None = None) -> Mapping[str, Any]:
    """What ``--json`` prints, by name."""
    done = pointsman("backends", "--json", path=path)
    assert done.returncode == 0, done.stderr
    return {backend["name"]: backend for backend in json.loads(done.stdout)}


def test_our_own_are_listed_with_their_features() -> None:
    found = listed()
    assert {"memory", "nftables"} <= found.keys()
    memory = found["memory"]
    assert (memory["distribution"], memory["version"]) == ("pointsman", version("pointsman"))
    for family in ("IPv4", "IPv6"):
        assert memory["families"][family]["works"] is True
        features = memory["families"][family]["features"]
        assert features.pop("schedulers")["level"] == "unsupported"
        assert features == {
            feature.value: {"level": "supported", "reason": ""}
            for feature in Feature
            if feature is not Feature.SCHEDULERS
        }


def test_others_are_listed_with_their_distribution(tmp_path: Path) -> None:
    paper = Paper(tmp_path, unavailable=("IPv6",), missing=("sctp",))
    found = listed(paper.path)["paper"]
    assert (found["distribution"], found["version"]) == ("paper-backend", "2.1")
    assert found["families"]["IPv6"] == {"works": False, "reason": "there is no paper", "remedy": "buy some"}
    features = found["families"]["IPv4"]["features"]
    assert features["sctp"] == {"level": "not-implemented", "reason": "comes with paper 2"}
    assert features["cluster-ip"]["level"] == "supported"
    assert list(paper.folder.iterdir()) == []


def test_the_tables_say_the_same(tmp_path: Path) -> None:
    paper = Paper(tmp_path, unavailable=("IPv6",), missing=("sctp",))
    done = pointsman("backends", path=paper.path)
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    assert "paper paper-backend 2.1 works no: there is no paper; buy some writes everything down" in text
    assert "IPv4: not-implemented: comes with paper 2" in text


def test_remarks_are_told_by_family_where_only_some_have_them() -> None:
    outcomes = {
        IPFamily.IPV4: Capabilities({}, remarks=("works by pigeon", "has no ink")),
        IPFamily.IPV6: Capabilities({}, remarks=("works by pigeon",)),
    }

    assert _remarks(outcomes) == ("works by pigeon", "IPv4: has no ink")


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_broken_one_hides_no_other(tmp_path: Path, arguments: list[str]) -> None:
    done = pointsman("backends", *arguments, path=Paper(tmp_path, broken=("probe",)).path)
    assert done.returncode == 0
    assert "no pencil" in done.stdout
    assert "memory" in done.stdout


def test_one_that_cannot_even_be_made_is_listed_with_the_reason(tmp_path: Path) -> None:
    source = """
        from functools import partial
        from pointsman.core.backend import BackendSpec
        from pointsman.core.hookspecs import hookimpl

        def make(settings, reason):
            raise ValueError(reason)

        @hookimpl
        def pointsman_register_backends(registry):
            registry.add(BackendSpec("un[bold]made[/]", "", partial(make, reason="no [red]wood[/]")))
    """
    site = distribution(tmp_path / "site", "unmade", source)
    found = listed(site)["un[bold]made[/]"]
    assert (found["distribution"], found["version"]) == ("example", "1.2")
    assert "no [red]wood[/]" in found["families"]["IPv4"]["reason"]
    done = pointsman("backends", path=site)
    assert done.returncode == 0
    assert "un[bold]made[/]" in done.stdout
