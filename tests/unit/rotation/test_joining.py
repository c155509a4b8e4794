"""R11: a server that joins in the middle blocks every edge, until it has a file of the rotation and is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyctl.errors import ExitCode, RefusedError, StoppedError
from keyctl.rotation.joining import plan_of
from keyctl.rotation.plan import State
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, SimServer, Spec
from tests.support.sim_texts import KEY_1, SECRETS, manifest, secret_of
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import (
    ENABLE,
    ROTATE,
    SCENES,
    Agree,
    Was,
    assert_back,
    assert_done,
    before,
    begin,
    skip_slow_parts,
)

BY_RESTART = SCENES[2]
MIDDLE = [State.ADDING, State.READABLE, State.PROMOTING, State.SWITCHED, State.VERIFIED, State.RETIRING]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def paused(tmp_path: Path, state: State) -> SimCluster:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=state), ROTATE)
    return cluster


def join(cluster: SimCluster, config: bytes = SECRETS) -> SimServer:
    """A fourth server comes up with a file from before."""
    cluster.excused.add("cp9")
    joined = cluster.add_unlisted(config)
    cluster.clock.advance(30)
    return joined


def resumed(cluster: SimCluster) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R11"
    assert caught.value.exit_code is ExitCode.REFUSED
    return caught.value


def give_file(cluster: SimCluster, joined: SimServer, like: str = "cp1") -> None:
    """What the refusal says: the file of another server, loaded."""
    joined.host.place(CONFIG_PATH, cluster.server(like).host.files[CONFIG_PATH].content)
    joined.restart()
    cluster.clock.advance(30)
    assert joined.ready


def put_on_the_list(cluster: SimCluster, joined: SimServer) -> None:
    cluster.unlisted.remove(joined)
    cluster.servers.append(joined)
    cluster.excused.discard(joined.name)


def placed(cluster: SimCluster) -> list[bytes]:
    return [server.host.files[CONFIG_PATH].content for server in cluster.servers]


@pytest.mark.parametrize("state", MIDDLE, ids=lambda state: state.value)
def test_one_that_joins_in_the_middle_stops_everything_and_is_taken_in_once_it_has_the_others_file(
    state: State, tmp_path: Path
) -> None:
    cluster = paused(tmp_path, state)
    files = placed(cluster)
    joined = join(cluster)
    error = resumed(cluster)
    assert "identity Leases name an API server that is not in the cluster file: cp9" in str(error)
    assert f"copy {CONFIG_PATH} of cp1 there (mode 600)" in error.hints[0]
    assert "list it by its own address" in error.hints[1]
    assert error.hints[-1] == "then: keyctl rotate --resume"
    assert placed(cluster) == files, "nothing moves meanwhile"
    give_file(cluster, joined)
    put_on_the_list(cluster, joined)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)
    assert secret_of(KEY_1).encode() not in joined.host.files[CONFIG_PATH].content
    (record,) = [record for record in cluster.journal().records() if record["kind"] == "joined"]
    assert (record["server"], record["like"]) == ("cp9", "cp1")


def test_one_that_joins_while_it_runs_stops_it_before_its_next_act(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal proof switched", lambda: appear(cluster))
    with pytest.raises(RefusedError, match="cp9") as caught:
        begin(cluster.session(), ROTATE)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "journal intent rewrite" not in cluster.switch.labels


def appear(cluster: SimCluster) -> None:
    cluster.excused.add("cp9")
    cluster.add_unlisted(SECRETS)


def test_listed_with_its_old_file_it_is_still_refused_and_the_file_to_give_it_is_named(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.READABLE)
    joined = join(cluster, SECRETS + b"# another comment\n")
    put_on_the_list(cluster, joined)
    error = resumed(cluster)
    assert "cp9 has joined with an encryption configuration that is none of this rotation's" in str(error)
    assert error.hints[0] == f"copy {CONFIG_PATH} of cp1 to {CONFIG_PATH} of cp9 (mode 600)"
    assert not [record for record in cluster.journal().records() if record["kind"] == "joined"]


def test_with_the_file_that_all_began_with_it_catches_up_while_nothing_writes_with_the_new_key(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.READABLE)
    joined = join(cluster)
    put_on_the_list(cluster, joined)
    with pytest.raises(StoppedError, match="paused"):
        cluster.session(pause_after=State.READABLE).resume()
    assert b"name: key-" in joined.host.files[CONFIG_PATH].content


def test_with_that_file_it_does_not_come_up_any_more_once_something_is_under_the_new_key(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.VERIFIED)
    joined = join(cluster)
    put_on_the_list(cluster, joined)
    cluster.excused.add("cp9")
    error = resumed(cluster)
    assert "cp9 has joined, and is not ready" in str(error)
    assert "informer-sync" in (error.cause or "")


def test_one_whose_process_has_not_loaded_that_file_yet_is_not_taken_in(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.SWITCHED)
    joined = join(cluster, placed(cluster)[0])
    joined.host.place(CONFIG_PATH, SECRETS)
    put_on_the_list(cluster, joined)
    cluster.excused.add("cp9")
    with pytest.raises(RefusedError, match="cp9 has not loaded the file"):
        cluster.session().resume()
    assert not [record for record in cluster.journal().records() if record["kind"] == "joined"]


def test_one_that_is_down_is_not_taken_in(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.SWITCHED)
    joined = join(cluster, placed(cluster)[0])
    put_on_the_list(cluster, joined)
    joined.stop()
    assert "cp9 has joined, and is not ready" in str(resumed(cluster))


def test_one_whose_flags_say_other_than_the_cluster_file_is_not_taken_in(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.SWITCHED)
    joined = join(cluster, placed(cluster)[0])
    text = manifest(Spec("cp9"), encrypts=True, overrides=()).replace(CONFIG_PATH.encode(), b"/etc/other.yaml")
    joined.host.place(MANIFEST_PATH, text)
    put_on_the_list(cluster, joined)
    cluster.excused.add("cp9")
    with pytest.raises(RefusedError, match=r"cp9 reads /etc/other\.yaml"):
        cluster.session().resume()


def test_what_was_taken_in_goes_back_with_the_others(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    was = Was.of(cluster)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.SWITCHED), ROTATE)
    joined = join(cluster)
    give_file(cluster, joined)
    put_on_the_list(cluster, joined)
    with pytest.raises(StoppedError, match="paused"):
        cluster.session(pause_after=State.SWITCHED).resume()
    cluster.session().abort(confirm=Agree())
    assert joined.host.files[CONFIG_PATH].content == SECRETS
    cluster.servers.remove(joined)
    cluster.unlisted.append(joined)
    assert_back(cluster, was)


def test_it_is_known_in_the_journal_and_in_every_later_run(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.SWITCHED)
    joined = join(cluster)
    give_file(cluster, joined)
    put_on_the_list(cluster, joined)
    for _ in range(2):
        with pytest.raises(StoppedError, match="paused"):
            cluster.session(pause_after=State.VERIFIED).resume()
    assert len([record for record in cluster.journal().records() if record["kind"] == "joined"]) == 1
    plan = plan_of(json.loads(json.dumps(cluster.journal().unfinished())))
    assert [server.name for server in plan.servers] == ["cp1", "cp2", "cp3", "cp9"]
    assert plan.server("cp9").hashes == plan.server("cp1").hashes


def test_one_that_joins_a_first_enabling_gets_file_and_flag_like_the_others(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=None)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.GENERATED), ENABLE)
    joined = cluster._start(Spec("cp9"), 9, None)
    cluster.servers.append(joined)
    cluster.clock.advance(30)
    cluster.session().resume()
    assert_done(cluster, SCENES[0])


def test_one_that_is_not_listed_any_more_has_to_come_back(tmp_path: Path) -> None:
    cluster = paused(tmp_path, State.SWITCHED)
    cluster.servers.pop()
    error = resumed(cluster)
    assert "cp3 is missing" in str(error)
    assert "list cp3 again, and bring it up if it is down" in error.hints[0]
