"""No plaintext is read any more: taken away by the proofs of any key, and only where there is none left."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.errors import RefusedError, StoppedError
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyState
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from keyctl.rotation.stages import IDENTITY
from tests.support.sim_objects import SimObject, new_object
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, SECRETS, configuration
from tests.support.simulator import THREE_RELOADING, SimCluster
from tests.unit.rotation.refusals import refused
from tests.unit.rotation.scenes import (
    DISABLE,
    REMOVE_IDENTITY,
    ROTATE,
    SCENES,
    WITHOUT_IDENTITY,
    Agree,
    Scene,
    Was,
    after,
    assert_back,
    assert_done,
    begin,
    plans,
    proofs_of,
    skip_slow_parts,
    states_of_keys,
    stops,
)

BY_RESTART, BY_RELOAD, RENAME = SCENES[10:13]
EACH = pytest.mark.parametrize("scene", [BY_RESTART, BY_RELOAD], ids=lambda scene: scene.name)
TWO_WRITERS = configuration((("secrets",), KEY_1), (("configmaps",), KEY_0))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def in_plaintext(cluster: SimCluster, name: str, resource: str = "secrets") -> SimObject:
    """A value from before encryption was turned on."""
    found = new_object(resource, "default", name)
    cluster.store(found, found.plain)
    return found


def readers(cluster: SimCluster) -> list[list[KeyRef]]:
    """What each server's file reads Secrets with, in order."""
    files = [server.host.files[CONFIG_PATH].content for server in cluster.servers]
    entries = [decode(content, name="enc.yaml").config.entries[0] for content in files]
    return [[reader.ref for element in entry.providers for reader in element.readers] for entry in entries]


@EACH
def test_what_is_in_plaintext_is_encrypted_first_and_then_no_server_reads_plaintext(
    scene: Scene, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    in_plaintext(cluster, "old-one")
    in_plaintext(cluster, "another")
    assert begin(cluster.session(), REMOVE_IDENTITY).state is State.RETIRED
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    assert readers(cluster) == [[KEY_1.ref]] * 3
    assert proofs_of(cluster) == ["switched", "verified", "history", "resecured", "retired"]
    assert_done(cluster, scene)


def test_the_key_that_writes_stays_what_it_was(tmp_path: Path) -> None:
    cluster = BY_RESTART.cluster(tmp_path)
    begin(cluster.session(), REMOVE_IDENTITY)
    assert plans(cluster)[0].new == KEY_1.ref
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.ACTIVE}
    assert cluster.store_keys.get(KEY_1.ref) == KEY_1


def test_no_file_ever_writes_plaintext_on_the_way_there_or_back(tmp_path: Path) -> None:
    cluster = BY_RELOAD.cluster(tmp_path)
    seen: list[KeyRef] = []
    for label in (f"{server.name}: write {CONFIG_PATH}" for server in cluster.servers):
        for nth in (1, 2):
            after(cluster, label, lambda: seen.extend(refs[0] for refs in readers(cluster)), nth=nth)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.RETIRING), REMOVE_IDENTITY)
    cluster.session().abort(confirm=Agree())
    assert len(seen) == 6, "one file was written, and put back"
    assert set(seen) == {KEY_1.ref}


@EACH
@pytest.mark.parametrize("state", [State.VERIFIED, State.RETIRING])
def test_aborted_plaintext_is_read_again_and_the_key_is_still_in_use(
    scene: Scene, state: State, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    was = Was.of(cluster)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=state), REMOVE_IDENTITY)
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert_back(cluster, was)
    assert readers(cluster) == [[KEY_1.ref, IDENTITY]] * 3
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.ACTIVE}


def test_r3_plaintext_that_turns_up_when_servers_let_go_of_it_is_readable_again_and_encrypted(tmp_path: Path) -> None:
    cluster = BY_RESTART.cluster(tmp_path)
    found = new_object("secrets", "default", "late")

    def land() -> None:
        cluster._late[found.etcd_key, found.plain] = False
        cluster.store(found, found.plain)

    after(cluster, "cp2: restart", land)
    assert stops(cluster, REMOVE_IDENTITY).rule == "R3"
    assert readers(cluster) == [[KEY_1.ref, IDENTITY]] * 3
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    assert not cluster.still_excused()
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_plaintext_of_what_stays_readable_is_left_alone(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=configuration((("secrets",), KEY_1), (("configmaps",), KEY_1)))
    in_plaintext(cluster, "settings-2", "configmaps")
    begin(cluster.session(), Wish(Goal.REMOVE_IDENTITY, resources=("secrets",)))
    assert cluster.under("configmaps") == {b"plaintext", b"k8s:enc:aescbc:v1:key1"}
    config = decode(cluster.servers[0].host.files[CONFIG_PATH].content, name="enc.yaml").config
    assert [entry.providers[-1].provider for entry in config.entries] == [Provider.AESCBC, Provider.IDENTITY]


def test_r18_infrastructure_under_a_wildcard_stays_plaintext_and_is_no_obstacle(tmp_path: Path) -> None:
    config = configuration((("secrets",), KEY_1), (("*.*",), KEY_1))
    cluster = SimCluster(tmp_path, THREE_RELOADING, config)
    in_plaintext(cluster, "settings-2", "configmaps")
    begin(cluster.session(), REMOVE_IDENTITY)
    for resource in ("secrets", "configmaps", "namespaces", "widgets.example.com"):
        assert cluster.under(resource) == {b"k8s:enc:aescbc:v1:key1"}
    assert b"identity" not in cluster.servers[0].host.files[CONFIG_PATH].content


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(WITHOUT_IDENTITY, "no plaintext is read there any more", id="gone already"),
        pytest.param(None, "encrypts nothing yet", id="never encrypted"),
        pytest.param(TWO_WRITERS, "are written under different keys: aescbc/key0 and aescbc/key1", id="two writers"),
    ],
)
def test_where_there_is_nothing_to_take_away_it_says_so(config: bytes | None, message: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=config)
    error = stops(cluster, REMOVE_IDENTITY)
    assert isinstance(error, RefusedError)
    assert message in str(error)
    assert cluster.switch.labels == []


def test_where_plaintext_writes_it_stays(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    begin(cluster.session(), DISABLE)
    files = [dict(server.host.files) for server in cluster.servers]
    error = stops(cluster, Wish(Goal.REMOVE_IDENTITY, resources=("secrets",)))
    assert "plaintext writes there" in str(error)
    assert [dict(server.host.files) for server in cluster.servers] == files


# -- the same bytes under another name


def test_renamed_the_values_carry_the_new_name_and_open_with_the_same_bytes(tmp_path: Path) -> None:
    cluster = RENAME.cluster(tmp_path)
    begin(cluster.session(), RENAME.wish)
    renamed = KeyRef(Provider.AESCBC, "main")
    kept = cluster.store_keys.get(renamed)
    assert kept is not None
    assert kept.material == KEY_1.material
    assert readers(cluster) == [[renamed, IDENTITY]] * 3
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:main"}
    assert states_of_keys(cluster) == {KEY_1.ref: KeyState.DEACTIVATED, renamed: KeyState.ACTIVE}


@pytest.mark.parametrize("name", ["key1", "key0"])
def test_r5_a_name_that_ever_stood_for_a_key_is_not_given_to_another(name: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=SECRETS if name == "key1" else EVERYTHING)
    cluster.store_keys.put(KEY_0 if name == "key0" else KEY_1, origin="imported")
    labels = list(cluster.switch.labels)
    error = stops(cluster, Wish(Goal.ROTATE, resources=("secrets",), new_name=name))
    assert error.rule == "R5"
    assert f"the name aescbc/{name} is taken" in str(error)
    assert cluster.switch.labels == labels


@pytest.mark.parametrize("name", ["key1", "key0"])
def test_r5_nor_one_that_a_file_has_which_the_key_store_has_not_seen(name: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=EVERYTHING)
    error = refused(cluster, Wish(Goal.ROTATE, resources=("secrets",), new_name=name))
    assert (str(error), error.rule) == (f"the name aescbc/{name} is taken", "R5")
    assert error.cause == "it is in the servers' files"


def test_r5_of_two_keys_that_write_none_is_renamed(tmp_path: Path) -> None:
    error = stops(SimCluster(tmp_path, config=TWO_WRITERS), Wish(Goal.ROTATE, new_name="main"))
    assert error.rule == "R5"
    assert "not one key writes all of this" in str(error)


def test_renamed_back_the_first_name_is_taken_for_ever(tmp_path: Path) -> None:
    cluster = RENAME.cluster(tmp_path)
    begin(cluster.session(), RENAME.wish)
    cluster.clock.advance(300)
    assert stops(cluster, Wish(Goal.ROTATE, new_name="key1")).rule == "R5"
    cluster.session().agree(ROTATE)
