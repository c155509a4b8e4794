"""The diagnosis on a cluster that really encrypts: accidents made there, and the advice followed until all is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.encryption_config.decode import hash_of
from keyctl.encryption_config.editing import edit
from keyctl.errors import StoppedError
from keyctl.findings import Status
from keyctl.keys.key import Key, Provider
from keyctl.rotation.diagnosis import advice
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.earlier import earlier
from keyctl.rotation.diagnosis.facts import ConfigText, Facts
from keyctl.rotation.diagnosis.look import Place, keys_in, keys_of, look_at
from keyctl.rotation.diagnosis.records import journal_seen
from keyctl.rotation.diagnosis.values import Trial
from keyctl.rotation.plan import Stage, State
from keyctl.rotation.stages import Files
from tests.support.sim_objects import PREFIX
from tests.support.sim_server import BOOT_SECONDS, CONFIG_PATH, MANIFEST_PATH, SimApi, Spec
from tests.support.sim_texts import KEY_1, SECRETS, manifest
from tests.support.simulator import THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import ROTATE

NEW = Key(Provider.AESCBC, "new", bytes(range(32, 64)))
ADDED = edit.add_reader(SECRETS, NEW, entries=(0,), name="enc")
PROMOTED = edit.promote(ADDED, NEW.ref, entries=(0,), name="enc")
ONLY_NEW = edit.remove_reader(PROMOTED, KEY_1.ref, entries=(0,), name="enc")


@pytest.fixture
def cluster(tmp_path: Path) -> SimCluster:
    found = SimCluster(tmp_path, THREE_RESTARTED)
    # What happens here breaks the promise; that it holds again is asked for at the end.
    found.clock.after_step = lambda: None
    return found


def see(cluster: SimCluster) -> Facts:
    """What doctor would see, through the same interfaces."""
    places = [
        Place(s.name, CONFIG_PATH, MANIFEST_PATH, s.spec.reloads, host=s.host, api=SimApi(s)) for s in cluster.servers
    ]
    looks = [look_at(place) for place in places]
    files = tuple(look.seen.file for look in looks if look.seen.file is not None)
    kept, problems = keys_in(cluster.store_keys)
    assert problems == ()
    keys = (*keys_of(files), *kept)
    journal = journal_seen(cluster.journal())
    texts = (*files, *earlier(journal.plan if journal else None, looks, (known.key for known in keys)))
    trial = Trial(PREFIX.encode(), keys, [text.config for text in texts])
    for batch in cluster.world().everything().batches(PREFIX.encode()):
        trial.add(batch)
    ready = [server for server in cluster.servers if server.ready]
    return Facts(
        cluster="prod",
        distribution="kubeadm",
        servers=tuple(look.seen for look in looks),
        texts=texts,
        keys=keys,
        values=trial.groups(),
        uid=SimApi(ready[0]).kube_system_uid() if ready else "",
        journal=journal,
    )


def load(cluster: SimCluster, name: str, content: bytes | None) -> None:
    """Somebody puts a file there, or leaves it, and restarts the server."""
    server = cluster.server(name)
    if content is not None:
        server.host.place(CONFIG_PATH, content)
    server.restart()
    cluster.clock.advance(BOOT_SECONDS + 1)


def follow(cluster: SimCluster) -> None:
    """Do what the advice says: the union on every server in its order, then one restart after the other."""
    seen = see(cluster)
    made = diagnose(seen).union
    assert made is not None
    content = made.text(as_json=False)
    for server in cluster.servers:
        server.host.place(CONFIG_PATH, content)
    for server in cluster.servers:
        load(cluster, server.name, None)


def ids(facts: Facts) -> set[str]:
    return {finding.id for finding in diagnose(facts).findings}


def assert_healed(cluster: SimCluster) -> None:
    cluster.check_promise()
    seen = see(cluster)
    assert not advice.needs_union(diagnose(seen))
    assert {group.lost for group in seen.values or ()} == {False}
    assert all(server.ready for server in cluster.servers)


def test_a_new_key_first_on_one_server_only(cluster: SimCluster) -> None:
    load(cluster, "cp1", PROMOTED)
    cluster.create("secrets", "default", "unseen", through="cp1")
    assert {"KC-ROT-002", "KC-ROT-003"} <= ids(see(cluster))
    follow(cluster)
    assert_healed(cluster)


def test_the_old_key_dropped_everywhere_comes_back_from_the_key_store(cluster: SimCluster) -> None:
    cluster.store_keys.put(KEY_1, origin="imported")
    for name in ("cp1", "cp2", "cp3"):
        load(cluster, name, ONLY_NEW)
    assert not any(server.ready for server in cluster.servers)
    seen = see(cluster)
    assert "KC-ROT-003" in ids(seen)
    assert any("aescbc/key1 from the key store" in step for step in advice.steps(seen, diagnose(seen)))
    follow(cluster)
    assert_healed(cluster)


def test_the_old_key_dropped_everywhere_and_gone_is_said_to_be_lost_and_nothing_is_made_up(cluster: SimCluster) -> None:
    for name in ("cp1", "cp2", "cp3"):
        load(cluster, name, ONLY_NEW)
    found = diagnose(see(cluster))
    assert found.lost == 6
    (lost,) = [one for one in found.findings if one.id == "KC-ROT-001"]
    assert lost.location.etcd_key is not None
    assert lost.location.etcd_key.startswith(f"{PREFIX}/secrets/default/")


def test_a_flag_lost_on_one_server(cluster: SimCluster) -> None:
    cluster.server("cp3").host.place(MANIFEST_PATH, manifest(Spec("cp3"), encrypts=False))
    load(cluster, "cp3", None)
    cluster.create("secrets", "default", "naked", through="cp3")
    assert {"KC-ROT-008", "KC-DAT-001"} <= ids(see(cluster))


@pytest.mark.parametrize("state", [State.ADDING, State.PROMOTING, State.REWRITING, State.RETIRING])
def test_a_rotation_of_ours_stopped_anywhere_is_no_accident(tmp_path: Path, state: State) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=state).start(ROTATE, confirm=lambda _: True)
    seen = see(cluster)
    found = diagnose(seen)
    decisive = [f for f in found.findings if f.severity in ("critical", "high") and f.status is Status.FAIL]
    assert decisive == []
    assert advice.steps(seen, found) == ("go on: keyctl rotate --resume; or go back: keyctl rotate --abort",)
    assert seen.journal is not None
    assert seen.journal.state == state.value


@pytest.mark.parametrize(
    ("state", "behind"),
    [(State.READABLE, 1), (State.SWITCHED, 1), (State.SWITCHED, 2)],
    ids=["the file from before", "the one that reads the new key", "two files behind"],
)
def test_a_server_that_lags_behind_in_our_own_rotation_is_known_by_the_file_it_had_before(
    tmp_path: Path, state: State, behind: int
) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED)
    with pytest.raises(StoppedError):
        cluster.session(pause_after=state).start(ROTATE, confirm=lambda _: True)
    cluster.clock.after_step = lambda: None
    host = cluster.server("cp2").host
    now = host.files[CONFIG_PATH].content
    seen = see(cluster)
    assert seen.journal is not None
    assert seen.journal.plan is not None
    plan = seen.journal.plan
    stage = plan.server("cp2").stage_of(hash_of(now))
    assert stage is not None
    new, old = cluster.store_keys.get(plan.new), cluster.store_keys.get(KEY_1.ref)
    assert new is not None
    assert old is not None
    content: bytes | None = now
    for step in range(behind):
        have = Stage(stage - step)
        content = Files(plan.change, plan.old, new, (old,)).step(content, have, Stage(have - 1), name="cp2")
    assert content is not None
    load(cluster, "cp2", content)
    host.place(CONFIG_PATH, now)

    seen = see(cluster)
    found = diagnose(seen)
    assert hash_of(content) == seen.servers[1].loaded_hash
    assert hash_of(content) not in {one.sha256 for one in texts_of_hosts(seen)}
    assert [one.id for one in found.findings if one.status is Status.UNKNOWN] == []
    assert found.not_loaded == ("cp2",)
    # Two files behind, it does not read what the others write; one behind, it does.
    assert bool(found.unwritable) == (behind == 2)
    assert advice.steps(seen, found)[-1].startswith("go on: keyctl rotate --resume")


def texts_of_hosts(seen: Facts) -> list[ConfigText]:
    return [server.file for server in seen.servers if server.file is not None]


def test_a_flag_lost_where_nobody_reads_plaintext_comes_back_with_the_union(cluster: SimCluster) -> None:
    sealed = SECRETS.replace(b"  - identity: {}\n", b"")
    assert sealed != SECRETS
    for name in ("cp1", "cp2", "cp3"):
        load(cluster, name, sealed)
    cluster.server("cp3").host.place(MANIFEST_PATH, manifest(Spec("cp3"), encrypts=False))
    load(cluster, "cp3", None)
    cluster.create("secrets", "default", "naked", through="cp3")
    seen = see(cluster)
    told = advice.steps(seen, diagnose(seen))
    placing, flag = (next(n for n, step in enumerate(told) if word in step) for word in ("in the place", "manifest of"))
    assert placing < flag
    cluster.server("cp3").host.place(MANIFEST_PATH, manifest(Spec("cp3"), encrypts=True))
    load(cluster, "cp3", None)
    # The flag alone does not bring it up: it cannot read what stands in plaintext.
    assert not cluster.server("cp3").ready
    follow(cluster)
    assert_healed(cluster)


def test_looking_changes_nothing(cluster: SimCluster) -> None:
    load(cluster, "cp1", PROMOTED)
    before = ({s.name: dict(s.host.files) for s in cluster.servers}, [e.revision for e in cluster.etcds.values()])
    effects = list(cluster.switch.labels)
    see(cluster)
    assert (
        {s.name: dict(s.host.files) for s in cluster.servers},
        [e.revision for e in cluster.etcds.values()],
    ) == before
    assert cluster.switch.labels == effects


def test_a_server_that_is_down_hides_no_other(cluster: SimCluster) -> None:
    cluster.server("cp2").stop()
    load(cluster, "cp1", PROMOTED)
    seen = see(cluster)
    assert [server.answers for server in seen.servers] == [True, False, True]
    assert {"KC-ROT-002", "KC-ROT-012"} <= ids(seen)


def test_a_file_that_no_server_takes_is_told_and_the_process_judged_by_what_it_has(cluster: SimCluster) -> None:
    cluster.server("cp2").host.place(CONFIG_PATH, b"kind: Nonsense\n")
    seen = see(cluster)
    assert "kube-apiserver refuses it" in seen.servers[1].file_problem
    # Its hash is that of the others' file, so what it has loaded is known all the same.
    assert "KC-ROT-012" not in ids(seen)
    assert ids(replace(seen, servers=seen.servers[1:2], texts=())) >= {"KC-ROT-012"}
