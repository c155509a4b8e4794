"""R17: intent before effect, synced, nothing secret; and the lock beside it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.rotation.journal import Journal, LocalLock, Record
from keyctl.rotation.plan import Stage, State, plan_from_record
from tests.support.effects import noted
from tests.support.seal import secret
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import KEY_1, secret_of
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import SCENES, Agree, Scene, begin, plans

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)

# The step whose intent has to stand in the journal before an effect of that kind.
STEP_OF = {
    "store-put": {"keep-keys", "store-key"},
    "save-snapshot": {"save-snapshot"},
    "store-note-state": {"note-state"},
    "store-note-backup": {"save-snapshot", "note-history"},
    "compact": {"compact"},
    "create-canary": {"switch", "canary"},
    "delete-canary": {"switch", "canary"},
    "patch": {"switch", "canary", "rewrite"},
    f"write {CONFIG_PATH}": {"write-file"},
    "write": {"edit-manifest"},
    "restart": {"restart"},
}


def steps_for(effect: str) -> set[str]:
    """The steps that may have an effect with this label."""
    what = effect.rpartition(": ")[2]
    return STEP_OF.get(what) or STEP_OF[what.split()[0]]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_r17_the_last_record_before_every_effect_is_the_intent_of_its_step(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    begin(cluster.session(), scene.wish)
    last, effects = ["", ""], 0
    for label in cluster.switch.labels:
        if label.startswith("journal "):
            last = [*label.split()[1:], ""][:2]
            continue
        effects += 1
        assert last[0] == "intent", label
        assert last[1] in steps_for(label), label
    assert effects > 20


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_promise_4_neither_journal_nor_events_nor_plan_hold_a_key_or_a_secret(scene: Scene, tmp_path: Path) -> None:
    cluster, watcher = scene.cluster(tmp_path), Watcher()
    agree = Agree()
    finished = cluster.session(watcher=watcher).start(scene.wish, confirm=agree)
    written = cluster.journal().path.read_bytes()
    told = (
        written + repr((watcher.events, agree.shown, finished, cluster.world(), cluster.journal().records())).encode()
    )
    keys = [cluster.store_keys.get(record.ref) for record in cluster.store_keys.records()]
    assert keys
    for key in keys:
        assert key is not None
        for form in (key.material, secret_of(key).encode(), key.material.hex().encode(), repr(key.material).encode()):
            assert form not in told
    filler = secret("db-1", filler=b"x")[-60:-20]
    assert set(filler) == set(b"x")
    assert filler not in told
    assert base64.b64encode(filler)[:40] not in told
    assert stat.S_IMODE(cluster.journal().path.stat().st_mode) == 0o600


def test_a_plan_comes_back_from_the_journal_as_it_was(tmp_path: Path) -> None:
    cluster = SCENES[0].cluster(tmp_path)
    finished = begin(cluster.session(), SCENES[0].wish)
    assert plans(cluster) == [finished.plan]


def test_what_a_rotation_has_proven_stands_in_its_journal_in_the_order_of_the_rules(tmp_path: Path) -> None:
    cluster = SCENES[2].cluster(tmp_path)
    plan = begin(cluster.session(), SCENES[2].wish).plan
    records = cluster.journal().of(plan.rotation)
    kinds = [str(record["kind"]) for record in records if record["kind"] not in {"intent", "outcome", "proof", "state"}]
    assert kinds == ["attempt", "secured", "counts", "begin", "counts", "end"]
    assert (records[0]["goal"], records[0]["who"]) == ("rotate", "somebody at here")
    assert (records[-1]["state"], records[-1]["revision"]) == ("retired", proofs(records, "retired")[0]["revision"])
    told = [str(record["of"]) for record in records if record["kind"] == "proof"]
    assert [of for of, _ in itertools.groupby(told)] == [
        "server",
        "readable",
        "server",
        "switched",
        "verified",
        "history",
        "resecured",
        "server",
        "retired",
    ]


def test_counts_before_and_after_say_which_key_every_value_is_under(tmp_path: Path) -> None:
    cluster = SCENES[2].cluster(tmp_path)
    finished = begin(cluster.session(), SCENES[2].wish)
    before, after = [record for record in cluster.journal().records() if record["kind"] == "counts"]
    assert (before["of"], after["of"]) == ("before", "after")
    secrets = {"resource": "secrets", "provider": "aescbc", "values": 6}
    for record, key in ((before, "key1"), (after, finished.plan.new.name)):
        groups = record["groups"]
        assert isinstance(groups, list)
        assert [group for group in groups if group["resource"] == "secrets"] == [{**secrets, "key": key}]
        assert sum(group["values"] for group in groups) == len(cluster.objects), "infrastructure is counted too"
    assert after["revision"] == finished.scan.revision


@pytest.mark.parametrize("scene", [SCENES[3], SCENES[4]], ids=lambda scene: scene.name)
def test_the_proof_of_a_server_says_which_process_had_which_file_and_what_it_listed(
    scene: Scene, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    plan = begin(cluster.session(), scene.wish).plan
    found = proofs(cluster.journal().records(), "server")
    for proof in found:
        assert proof["loaded"] in plan.server(str(proof["server"])).hashes[Stage[str(proof["stage"])]]
        assert proof["listed"] == {"secrets": 6}
    for server in cluster.servers:
        own = [proof for proof in found if proof["server"] == server.name]
        assert [stage for stage, _ in itertools.groupby(own, key=lambda proof: proof["stage"])] == [
            "ADDED",
            "PROMOTED",
            "RETIRED",
        ]
        assert (own[-1]["startTime"], own[-1]["loaded"]) == (server.start_time, server.config.sha256)


def test_every_snapshot_is_recorded_with_its_hash_and_the_keys_that_it_needs(tmp_path: Path) -> None:
    cluster = SCENES[2].cluster(tmp_path)
    plan = begin(cluster.session(), SCENES[2].wish).plan
    (secured,) = [record for record in cluster.journal().records() if record["kind"] == "secured"]
    (resecured,) = proofs(cluster.journal().records(), "resecured")
    assert resecured["opened"] == {"aescbc/key1": 6}
    noted = {backup.location: backup for backup in cluster.store_keys.backups()}
    for record, ref in ((secured, KEY_1.ref), (resecured, plan.new)):
        assert isinstance(record["snapshots"], list)
        (kept,) = record["snapshots"]
        content = Path(kept["path"]).read_bytes()
        assert kept["sha256"] == hashlib.sha256(content).hexdigest()
        assert kept["size"] == len(content)
        assert kept["needs"] == [str(ref)]
        backup = noted[kept["path"]]
        assert (backup.needs, backup.sha256, backup.revision) == ((ref,), kept["sha256"], kept["revision"])


def test_the_proof_of_history_names_what_was_compacted_and_where(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, overrides=("configmaps",))
    begin(cluster.session(), SCENES[2].wish)
    (history,) = proofs(cluster.journal().records(), "history")
    assert history["mode"] == "compact"
    assert history["compacted"] == [
        {"etcd": name, "revision": etcd.compacted} for name, etcd in cluster.etcds.items() if etcd.compacted
    ]
    assert len(cluster.etcds) == 2
    assert all(etcd.compacted for etcd in cluster.etcds.values())


def proofs(records: Sequence[Record], of: str) -> list[Record]:
    return [record for record in records if record["kind"] == "proof" and record["of"] == of]


@pytest.mark.parametrize("record", [{}, {"rotation": 1}, {"rotation": "r", "goal": "win"}])
def test_a_record_that_is_no_plan_is_unusable(record: dict[str, object]) -> None:
    with pytest.raises(UnusableInputError):
        plan_from_record(record)


def test_a_plan_with_one_field_of_another_type_is_unusable(tmp_path: Path) -> None:
    cluster = SCENES[2].cluster(tmp_path)
    whole = begin(cluster.session(), SCENES[2].wish).plan.to_record()
    assert plan_from_record(whole).to_record() == whole
    for field in whole:
        with pytest.raises(UnusableInputError):
            plan_from_record({**whole, field: "soon" if field == "settle" else 1.5})


def test_a_record_is_synced_before_the_effect_may_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = noted(monkeypatch)
    Journal(tmp_path / "state").append("intent", NOW, {"step": "restart"})
    assert done[-3:] == ["write", "fsync file", "fsync directory"]


def test_a_torn_record_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("begin", NOW, {"plan": {}})
    journal.append("intent", NOW, {"step": "restart"})
    whole = journal.path.read_bytes()
    for size in range(len(whole) - 1, whole.index(b"\n") + 1, -7):
        journal.path.write_bytes(whole[:size])
        journal.append("state", NOW, {"state": "adding"})
        assert [record["kind"] for record in journal.records()] in (["begin", "state"], ["begin", "intent", "state"])


@pytest.mark.parametrize(
    "line", [b'{"kind": "end", "at": "\xff\xfe"}', b"[]", b'"end"', b"{}", b'{"kind": null}', b"\xc3\xa4", b"7"]
)
def test_a_line_that_no_crash_leaves_is_damage_and_not_left_out(line: bytes, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("begin", NOW, {"plan": {}})
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    for told in (journal.records, journal.unfinished):
        with pytest.raises(UnusableInputError) as caught:
            told()
        assert caught.value.cause == "line 2 is no record of keyctl's"


def test_what_a_power_cut_leaves_at_the_end_of_the_journal_is_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("begin", NOW, {"plan": {}})
    with journal.path.open("ab") as file:
        file.write(bytes(100))
    journal.append("intent", NOW, {"step": "restart"})
    assert [record["kind"] for record in journal.unfinished()] == ["begin", "intent"]


def test_a_journal_knows_the_rotation_that_was_begun_and_not_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.unfinished() == ()
    for kind in ("attempt", "begin", "intent"):
        journal.append(kind, NOW, {})
    assert [record["kind"] for record in journal.unfinished()] == ["begin", "intent"]
    journal.append("end", NOW, {})
    assert journal.unfinished() == ()


def test_a_journal_tells_the_records_of_one_rotation_from_before_its_plan_to_after_its_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for rotation in ("r1", "r2"):
        for kind in ("attempt", "begin", "intent", "end"):
            journal.append(kind, NOW, {"rotation": rotation})
    journal.append("attempt", NOW, {"rotation": "r1", "who": "again"})
    journal.append("attempt", NOW, {})
    assert [(record["kind"], record.get("who")) for record in journal.of("r1")] == [
        ("attempt", None),
        ("begin", None),
        ("intent", None),
        ("end", None),
        ("attempt", "again"),
    ]
    assert {record["rotation"] for record in journal.of("r2")} == {"r2"}
    assert journal.of("r3") == ()


def test_who_began_who_resumed_and_who_turned_around_is_recorded(tmp_path: Path) -> None:
    cluster = SCENES[2].cluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.ADDING), SCENES[2].wish)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=State.READABLE).resume()
    cluster.session().abort(confirm=Agree())
    who = [(record["kind"], record["who"]) for record in cluster.journal().records() if "who" in record]
    assert who == [(kind, "somebody at here") for kind in ("attempt", "resume", "abort")]


def test_a_journal_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Journal(tmp_path).append("begin", NOW, {})
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_is_had_by_one_at_a_time_and_given_back(tmp_path: Path) -> None:
    first, second = LocalLock(tmp_path), LocalLock(tmp_path)
    first.acquire()
    with pytest.raises(RefusedError) as caught:
        second.acquire()
    assert caught.value.rule == "R8"
    first.release()
    second.acquire()
    second.release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        LocalLock(tmp_path).acquire()
        os._exit(0)
    os.waitpid(child, 0)
    lock = LocalLock(tmp_path)
    lock.acquire()
    lock.release()
