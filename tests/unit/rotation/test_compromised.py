"""A key has leaked: it leaves from wherever it is, and all that it ever sealed is listed by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyState
from keyctl.rotation.exposure import exposure
from keyctl.rotation.plan import Goal, State, plan_from_record
from keyctl.rotation.preflight import Wish
from keyctl.rotation.same_bytes import names_of
from keyctl.rotation.session import Finished
from keyctl.rotation.world import World
from keyctl.stored.source import Area, Coverage, Fragment, Remark, SourceInfo, Value
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import KEY_0, KEY_1, configuration, secret_of
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, Agree, begin, head, plans, skip_slow_parts, states_of_keys, stops

LEAKED = Wish(Goal.ROTATE, compromised=KEY_1.ref)
BOTH = configuration((("secrets",), KEY_1), (("configmaps",), KEY_1))
HEAD, OTHER = b"k8s:enc:aescbc:v1:key1:", b"k8s:enc:aescbc:v1:key11:"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def listed(finished: Finished) -> dict[str, object]:
    assert finished.exposed is not None
    assert finished.exposed.path.stat().st_mode & 0o777 == 0o600
    told = json.loads(finished.exposed.path.read_text())
    assert isinstance(told, dict)
    return told


def names(told: Mapping[str, object]) -> list[str]:
    objects = told["objects"]
    assert isinstance(objects, list)
    return [f"{one['resource']} {one['namespace']}/{one['name']}" for one in objects]


def test_it_leaves_every_entry_and_every_object_under_it_is_named(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    finished = begin(cluster.session(), LEAKED)
    assert finished.state is State.RETIRED
    for server in cluster.servers:
        assert secret_of(KEY_1).encode() not in server.host.files[CONFIG_PATH].content
    told = listed(finished)
    assert names(told) == [
        "configmaps kube-system/settings",
        *(f"secrets default/db-{number}" for number in range(5)),
        "secrets team-a/token",
    ]
    assert (told["key"], told["notLookedAt"], told["unnamedPieces"]) == ("aescbc/key1", [], 0)
    assert finished.exposed is not None
    assert finished.exposed.objects == 7


def test_it_is_compromised_for_ever_and_the_new_key_is_in_use(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    begin(cluster.session(), LEAKED)
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.COMPROMISED, plans(cluster)[0].new: KeyState.ACTIVE}


def test_it_is_compromised_from_the_beginning_and_after_an_abort_too(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), LEAKED)
    assert states_of_keys(cluster)[KEY_1.ref] == KeyState.COMPROMISED
    finished = cluster.session().abort(confirm=Agree())
    assert states_of_keys(cluster)[KEY_1.ref] == KeyState.COMPROMISED
    assert len(names(listed(finished))) == 7


def test_resumed_it_still_knows_why_and_lists_what_was_there_at_the_beginning(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.VERIFIED), LEAKED)
    assert len(names(listed(cluster.session().resume()))) == 7


def test_what_was_written_under_it_until_the_switch_is_named_too(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), LEAKED)
    cluster.create("secrets", "default", "came-while-it-was-paused")
    gone = cluster.create("secrets", "default", "gone-again")
    cluster.forget(gone.etcd_key)
    told = listed(cluster.session().resume())
    assert "secrets default/came-while-it-was-paused" in names(told)
    assert len(names(told)) == 8, "what was created and deleted is in the history, which these snapshots do not have"
    looked_at = told["lookedAt"]
    assert isinstance(looked_at, list)
    assert len(looked_at) == 2
    assert looked_at[1].endswith("-switched-0.db")


def test_that_snapshot_is_taken_once_before_the_first_value_is_rewritten_and_only_for_a_leak(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path / "leaked", config=BOTH)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.VERIFIED), LEAKED)
    cluster.session().resume()
    labels = cluster.switch.labels
    assert labels.count("journal exposing") == 1
    assert labels.index("journal proof switched") < labels.index("journal exposing")
    assert labels.index("journal exposing") < labels.index("journal intent rewrite")
    other = SimCluster(tmp_path / "other", config=BOTH)
    begin(other.session(), ROTATE)
    assert "journal exposing" not in other.switch.labels


def test_the_plan_says_so(tmp_path: Path) -> None:
    lines = SimCluster(tmp_path, config=BOTH).session().agree(LEAKED).lines
    assert any("a snapshot once more, before anything is rewritten" in line for line in lines)


# -- the same bytes under another name

ALIAS = Key(Provider.AESCBC, "main", KEY_1.material)
OTHER_PROVIDER = Key(Provider.SECRETBOX, "box", KEY_1.material)


@pytest.mark.parametrize("alias", [ALIAS, OTHER_PROVIDER], ids=["another name", "another provider"])
def test_the_same_bytes_under_another_name_have_leaked_with_it(alias: Key, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("configmaps",), alias)))
    finished = begin(cluster.session(), replace(LEAKED, provider=Provider.AESGCM))
    for server in cluster.servers:
        assert secret_of(KEY_1).encode() not in server.host.files[CONFIG_PATH].content
    assert cluster.under("secrets") == cluster.under("configmaps") == {head(finished.plan.new)}
    told = listed(finished)
    assert len(names(told)) == 7
    assert told["names"] == ["aescbc/key1", str(alias.ref)]
    states = states_of_keys(cluster)
    assert states[KEY_1.ref] == states[alias.ref] == KeyState.COMPROMISED


def test_a_name_that_the_bytes_had_before_is_found_by_the_ledger(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    begin(cluster.session(), Wish(Goal.ROTATE, new_name="main"))
    finished = begin(cluster.session(), replace(LEAKED, compromised=ALIAS.ref))
    assert names_of(cluster.world(), None, ALIAS.ref) == (ALIAS.ref, KEY_1.ref)
    told = listed(finished)
    assert told["names"] == ["aescbc/main", "aescbc/key1"]
    assert told["notLookedAt"] == []
    assert states_of_keys(cluster)[KEY_1.ref] == KeyState.COMPROMISED


def test_another_key_that_is_damaged_in_the_store_does_not_keep_a_leaked_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    cluster.store_keys.put(KEY_0, origin="imported")
    get = cluster.store_keys.get

    def damaged(ref: KeyRef) -> Key | None:
        if ref == KEY_0.ref:
            raise UnusableInputError("the key store's copy of aescbc/key0 is damaged")
        return get(ref)

    monkeypatch.setattr(cluster.store_keys, "get", damaged)
    assert begin(cluster.session(), LEAKED).state is State.RETIRED


def test_a_journal_from_before_knows_of_no_leak(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=BOTH)
    begin(cluster.session(), LEAKED)
    record = plans(cluster)[0].to_record()
    assert plan_from_record(record).compromised == KEY_1.ref
    del record["compromised"]
    assert plan_from_record(record).compromised is None


def test_a_key_that_no_file_has_is_not_taken_out(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    error = stops(cluster, replace(LEAKED, compromised=KEY_0.ref))
    assert isinstance(error, RefusedError)
    assert "no server's file has aescbc/key0" in str(error)
    assert cluster.switch.labels == []


def test_where_plaintext_writes_nothing_is_encrypted_behind_the_users_back(tmp_path: Path) -> None:
    lines = BOTH.decode().splitlines()
    at = next(number for number, line in enumerate(lines) if "identity" in line)
    start = next(number for number, line in enumerate(lines) if "providers" in line) + 1
    lines.insert(start, lines.pop(at))
    cluster = SimCluster(tmp_path, config="\n".join([*lines, ""]).encode())
    error = stops(cluster, LEAKED)
    assert "plaintext writes secrets" in str(error)
    assert error.hints == ("finish that first: keyctl disable --resources secrets",)


class Past:
    """A `FileSource` with a live value, an overwritten one, and two pieces of freed pages."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if "broken" in path.name:
            raise UnusableInputError(f"{path} is damaged")

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        yield [(prefix + b"secrets/a/live", HEAD + b"x", 9), (prefix + b"secrets/a/other", OTHER + b"x", 9)]

    def info(self) -> SourceInfo:
        return SourceInfo("snapshot", str(self._path), 9, "", 2)

    def history(self, prefix: bytes) -> Iterator[list[Value]]:
        yield [(prefix + b"secrets/a/gone", HEAD + b"x", 4), (prefix + b"secrets/a/live", HEAD + b"x", 5)]

    def fragments(self) -> Iterator[list[Fragment]]:
        yield [
            Fragment(Area.FREE_PAGES, "page 3", b"/registry/secrets/a/older", 2, HEAD + b"x", whole=True),
            Fragment(Area.FREE_PAGES, "page 4", None, None, HEAD + b"x", whole=False),
            Fragment(Area.FREE_PAGES, "page 5", None, None, OTHER + b"x", whole=False),
        ]

    def remarks(self) -> Sequence[Remark]:
        return ()

    def coverage(self) -> Mapping[Area, Coverage]:
        return {}


def past_world(cluster: SimCluster, *locations: str, ref: KeyRef = KEY_1.ref) -> World:
    for location in locations:
        cluster.store_keys.note_backup(Backup(BackupKind.SNAPSHOT, location, "2026-11-21T10:00:00Z", 9, (ref,)))
    return replace(cluster.world(), open_snapshot=Past)


def test_history_and_freed_pages_count_and_a_longer_name_does_not(tmp_path: Path) -> None:
    found = exposure(past_world(SimCluster(tmp_path)), (KEY_1.ref,), [tmp_path / "first.db"])
    told = found.to_record(b"/registry/", rotation="r1")
    assert told["objects"] == [
        {"resource": "secrets", "namespace": "a", "name": "gone", "firstRevision": 4, "lastRevision": 4, "live": False},
        {"resource": "secrets", "namespace": "a", "name": "live", "firstRevision": 5, "lastRevision": 9, "live": True},
        {
            "resource": "secrets",
            "namespace": "a",
            "name": "older",
            "firstRevision": 2,
            "lastRevision": 2,
            "live": False,
        },
    ]
    assert told["unnamedPieces"] == 1


def test_registered_snapshots_that_need_it_are_looked_at_and_others_are_not(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    world = past_world(cluster, "/backup/old.db", "/backup/broken.db")
    past_world(cluster, "/backup/another.db", ref=KeyRef(Provider.AESCBC, "key11"))
    found = exposure(world, (KEY_1.ref,), [])
    assert found.looked_at == ["/backup/old.db"]
    assert found.missed == {"/backup/broken.db": "/backup/broken.db is damaged"}
    assert not any(seen.live for seen in found.objects.values()), "what an old snapshot holds need not be there now"
