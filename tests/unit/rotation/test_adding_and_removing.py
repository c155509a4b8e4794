"""One resource more, or one less: only what was spoken of changes, and wildcards stand for what they cover."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.errors import KeyctlError
from keyctl.keys.key import Provider
from keyctl.keys.ledger import KeyState
from keyctl.rotation.plan import Engine, Goal, State
from keyctl.rotation.preflight import Wish
from tests.support.hints import wrong_commands
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import KEY_0, KEY_1, SECRETS, configuration
from tests.support.simulator import SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import Was, begin, head, plans, skip_slow_parts, states_of_keys

SHARED = configuration((("secrets", "configmaps"), KEY_1))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def enable(*resources: str) -> Wish:
    return Wish(Goal.ENABLE, Provider.AESCBC, resources)


def said(error: KeyctlError, command: str) -> tuple[str, ...]:
    """The resources of the hint that names `command`."""
    (hint,) = (hint for hint in error.hints if f"keyctl {command} " in hint)
    assert wrong_commands(hint) == []
    return tuple(re.findall(r"--resources (\S+)", hint))


# -- one more


def test_a_resource_more_gets_a_key_of_its_own_and_what_is_encrypted_stays_as_it_is(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before = {key: cluster.raw("secrets", key) for key in cluster.objects if b"/secrets/" in key}
    finished = begin(cluster.session(), enable("configmaps"))
    assert finished.state is State.VERIFIED
    assert cluster.under("configmaps") == {head(finished.plan.new)}
    assert {key: cluster.raw("secrets", key) for key in before} == before
    entries = decode(cluster.server("cp1").host.files[CONFIG_PATH].content, name="enc").config.entries
    assert [entry.resources for entry in entries] == [("secrets",), ("configmaps",)]
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.ACTIVE, finished.plan.new: KeyState.ACTIVE}


def test_beside_what_is_encrypted_already_the_rest_is_named_and_that_works(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    error = refused(cluster, enable("secrets", "configmaps"))
    assert str(error) == "secrets is encrypted already: aescbc/key1 writes it"
    assert error.rule == "preflight"
    assert said(error, "rotate") == ("secrets",)
    begin(cluster.session(), enable(*said(error, "enable")))
    assert cluster.under("configmaps") == {head(plans(cluster)[0].new)}


# -- one less


@pytest.mark.parametrize("asked", ["configmaps", "secrets", "configmaps."])
def test_no_resource_becomes_plaintext_because_another_one_of_its_entry_does(asked: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=SHARED)
    error = refused(cluster, Wish(Goal.DISABLE, resources=(asked,)))
    other = "secrets" if asked.startswith("configmaps") else "configmaps"
    assert str(error) == f"{other} would become plaintext, too"
    assert error.rule == "preflight"
    assert error.cause == "resources[0] of the file is one entry for secrets, configmaps"
    begin(cluster.session(), Wish(Goal.DISABLE, resources=said(error, "disable")))
    assert cluster.under("secrets") == cluster.under("configmaps") == {b"plaintext"}


def test_a_resource_with_an_entry_of_its_own_is_taken_out_alone(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("configmaps",), KEY_0)))
    begin(cluster.session(), Wish(Goal.DISABLE, resources=("configmaps",)))
    assert (cluster.under("secrets"), cluster.under("configmaps")) == ({head(KEY_1.ref)}, {b"plaintext"})


def test_a_resource_that_stands_in_two_entries_takes_neither_of_them_along(tmp_path: Path) -> None:
    twice = configuration((("configmaps",), KEY_0), (("secrets", "configmaps"), KEY_1))
    error = refused(SimCluster(tmp_path, config=twice), Wish(Goal.DISABLE, resources=("configmaps",)))
    assert "secrets would become plaintext" in str(error)
    assert said(error, "disable") == ("configmaps", "secrets")


# -- wildcards


EVERYTHING = enable("*.*")


@pytest.mark.parametrize("config", [None, SECRETS], ids=["no flag", "beside an entry"])
def test_what_a_new_wildcard_stands_for_is_counted_and_rehearsed(config: bytes | None, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=config)
    others = [one for one in cluster.objects.values() if one.resource and one.resource != "secrets"]
    objects = len(others) + (6 if config is None else 0)
    lines = "\n".join(cluster.session().agree(EVERYTHING, rehearsed=True).lines)
    assert f"({objects} now)" in lines
    assert f"Rehearsed: {objects} objects sent as a dry run" in lines
    assert ("by a canary" in lines) is (config is None)


@pytest.mark.parametrize("config", [None, SECRETS], ids=["no flag", "beside an entry"])
def test_rights_to_all_that_a_new_wildcard_stands_for_are_needed(config: bytes | None, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=config)
    cluster.forbidden.add(("patch", "widgets.example.com"))
    assert str(refused(cluster, EVERYTHING)) == "you may not patch widgets.example.com in all namespaces"


def test_one_wildcard_of_a_group_reaches_that_group_and_no_other(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.forbidden.add(("patch", "leases.coordination.k8s.io"))
    lines = cluster.session().agree(enable("*.example.com"), rehearsed=True).lines
    assert "Rehearsed: 1 object sent" in "\n".join(lines)
    begin(cluster.session(), enable("*.example.com"))
    assert cluster.under("widgets.example.com") == {head(plans(cluster)[0].new)}
    assert cluster.under("configmaps") == {b"plaintext"}


def test_an_engine_is_judged_by_what_changes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        "keyctl.rotation.preflight.check_engine", lambda _engine, _api, _served, names: reached.append(tuple(names))
    )
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("*.*",), KEY_0)))
    cluster.session().agree(Wish(Goal.ROTATE, resources=("secrets",), engine=Engine.SVM))
    SimCluster(tmp_path / "new", config=None).session().agree(EVERYTHING)
    assert reached[0] == ("secrets",)
    assert "widgets.example.com" in reached[1]


def test_everything_is_encrypted_under_one_wildcard_and_taken_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=SECRETS)
    was = Was.of(cluster)
    begin(cluster.session(), EVERYTHING)
    new = head(plans(cluster)[0].new)
    assert cluster.under("configmaps") == cluster.under("widgets.example.com") == cluster.under("namespaces") == {new}
    assert cluster.under("secrets") == was.heads["secrets"]
