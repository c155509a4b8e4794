"""Stopping and going on: pauses, Ctrl-C, lost connections, dry runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import ExitCode, InterruptedEarlyError, RefusedError, StoppedError, UnreachableError
from keyctl.kube.interface import ServerProbe
from keyctl.rotation.observe import require_access
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH
from tests.support.sim_texts import KEY_1, SECRETS, secret_of
from tests.support.simulator import MIXED, THREE_RELOADING, SimCluster
from tests.unit.rotation.scenes import (
    ENABLE,
    REMOVE_IDENTITY,
    ROTATE,
    SCENES,
    Agree,
    Scene,
    after,
    assert_done,
    before,
    begin,
    go_on,
    head,
    plans,
)

BY_RESTART = SCENES[2]


ON_THE_WAY = [state for state in State if state not in {State.ABORTING, State.ABORTED}]
TO_VERIFIED = [(SCENES[0], state) for state in ON_THE_WAY if state.position <= State.VERIFIED.position]
TO_RETIRED = [(SCENES[4], state) for state in ON_THE_WAY]


@pytest.mark.parametrize(
    ("scene", "state"), TO_VERIFIED + TO_RETIRED, ids=lambda one: one.name if isinstance(one, Scene) else one.value
)
def test_paused_after_any_state_it_stays_there_and_goes_on_when_asked(
    scene: Scene, state: State, tmp_path: Path
) -> None:
    cluster = scene.cluster(tmp_path)
    if (scene, state) in {(SCENES[0], State.VERIFIED), (SCENES[4], State.RETIRED)}:
        assert begin(cluster.session(pause_after=state), scene.wish).state is state, "the end is no pause"
    else:
        watcher = Watcher()
        with pytest.raises(StoppedError) as caught:
            begin(cluster.session(pause_after=state, watcher=watcher), scene.wish)
        assert watcher.states()[-1] == state.value
        assert f"paused in state {state.value}" in str(caught.value)
        assert ("--resume" in "".join(caught.value.hints)) is bool(cluster.journal().unfinished())
        assert cluster.lease_record.place is None
        cluster.clock.advance(600)
        go_on(cluster, scene.wish)
    assert_done(cluster, scene)


def test_paused_after_generated_the_rotation_is_one_that_can_be_gone_on_with(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(pause_after=State.GENERATED), ROTATE)
    assert "go on with: keyctl rotate --resume" in caught.value.hints
    (plan,) = plans(cluster)
    assert cluster.store_keys.get(plan.new) is not None
    assert [server.host.files[CONFIG_PATH].content for server in cluster.servers] == [SECRETS] * 3


def test_paused_after_verified_the_old_key_reads_everywhere_and_nothing_is_under_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.VERIFIED), ROTATE)
    (plan,) = plans(cluster)
    assert cluster.under("secrets") == {head(plan.new)}
    for server in cluster.servers:
        assert secret_of(KEY_1).encode() in server.host.files[CONFIG_PATH].content
    assert cluster.etcds["https://10.0.0.9:2379"].compacted == 0, "history goes when the key does"


def test_paused_before_a_state_is_proven_it_resumes_to_the_next_pause(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.ADDING), ROTATE)
    with pytest.raises(StoppedError) as caught:
        cluster.session(pause_after=State.READABLE).resume()
    assert "paused in state readable" in str(caught.value)
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


class Interrupt:
    """Ctrl-C at the `at`-th chance to stop."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.chances = 0

    def __call__(self) -> None:
        self.chances += 1
        if self.chances == self.left:
            raise KeyboardInterrupt


def test_interrupted_before_the_first_effect_nothing_was_changed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(InterruptedEarlyError) as caught:
        begin(cluster.session(pause=Interrupt(1)), ROTATE)
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    assert cluster.switch.labels == []
    assert cluster.lease_record.place is None


def test_interrupted_at_the_question_nothing_was_changed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)

    def interrupted(_: tuple[str, ...]) -> bool:
        raise KeyboardInterrupt

    for confirm in (interrupted, lambda _: False):
        with pytest.raises(InterruptedEarlyError):
            cluster.session().start(ROTATE, confirm=confirm)
    assert cluster.switch.labels == []


def test_interrupted_before_the_plan_is_in_the_journal_it_says_to_begin_again(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(pause=Interrupt(2)), ROTATE)
    assert "begin again" in "".join(caught.value.hints)
    assert [server.host.files[CONFIG_PATH].content for server in cluster.servers] == [SECRETS] * 3
    begin(cluster.session(), ROTATE)
    assert_done(cluster, BY_RESTART)


def test_interrupted_at_any_later_chance_it_stops_in_a_safe_state_and_resumes(tmp_path: Path) -> None:
    whole = Interrupt(-1)
    begin(SimCluster(tmp_path / "whole", MIXED).session(pause=whole), ROTATE)
    assert whole.chances > 100
    for at in range(3, whole.chances, 13):
        cluster = SimCluster(tmp_path / str(at), MIXED)
        with pytest.raises(StoppedError) as caught:
            begin(cluster.session(pause=Interrupt(at)), ROTATE)
        assert caught.value.exit_code is ExitCode.STOPPED
        assert "--resume" in "".join(caught.value.hints)
        assert cluster.lease_record.place is None
        cluster.session().resume()
        assert_done(cluster, SCENES[4])


def test_ctrl_c_that_ends_a_restart_command_stops_like_any_other_and_the_server_is_restarted_on_resume(
    tmp_path: Path,
) -> None:
    cluster = SimCluster(tmp_path)
    host = cluster.server("cp2").host

    def interrupted() -> None:
        raise KeyboardInterrupt

    real, host.do_restart = host.do_restart, interrupted
    with pytest.raises(StoppedError, match="interrupted part-way") as caught:
        begin(cluster.session(), ROTATE)
    assert caught.value.exit_code is ExitCode.STOPPED
    assert "--resume" in "".join(caught.value.hints)
    assert cluster.journal().records()[-1] | {"at": "", "rotation": ""} == {
        "at": "",
        "kind": "intent",
        "rotation": "",
        "step": "restart",
        "server": "cp2",
        "stage": "ADDED",
    }, "what was not seen to the end has no outcome"
    assert cluster.server("cp3").host.restarts == 0
    assert cluster.lease_record.place is None
    host.do_restart = real
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


@pytest.mark.parametrize(
    "label", ["cp2: restart", "journal outcome switch", "journal outcome rewrite", "journal proof resecured"]
)
def test_a_connection_lost_part_way_stops_and_resumes(label: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    etcd = cluster.etcds["https://10.0.0.9:2379"]
    after(cluster, label, lambda: setattr(etcd, "down", True))
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(), ROTATE)
    assert "connection refused" in (caught.value.cause or "")
    assert "--resume" in "".join(caught.value.hints)
    with pytest.raises(UnreachableError):
        cluster.session().resume()
    etcd.down = False
    cluster.session().resume()
    assert_done(cluster, BY_RESTART)


def test_without_a_rotation_there_is_nothing_to_resume(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(RefusedError):
        cluster.session().resume()
    begin(cluster.session(), ROTATE)
    with pytest.raises(RefusedError) as caught:
        cluster.session().resume()
    assert "under way" in str(caught.value)


def other_servers(cluster: SimCluster) -> None:
    cluster.servers.pop()


def no_key(cluster: SimCluster) -> None:
    cluster.store_keys.forgets = True


def other_cluster(cluster: SimCluster) -> None:
    found = cluster.object_at(b"/registry/namespaces/kube-system")
    assert found is not None
    cluster.forget(found.etcd_key)
    cluster.create("namespaces", None, "kube-system")


@pytest.mark.parametrize(
    ("arrange", "error", "message"),
    [
        (other_servers, RefusedError, "other API servers"),
        (no_key, StoppedError, "does not give"),
        (other_cluster, UnreachableError, "not the cluster"),
    ],
)
def test_resuming_with_another_world_than_it_began_with_is_refused(
    arrange: Callable[[SimCluster], None], error: type[Exception], message: str, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.ADDING), ROTATE)
    files = [dict(server.host.files) for server in cluster.servers]
    arrange(cluster)
    with pytest.raises(error, match=message):
        cluster.session().resume()
    assert [dict(server.host.files) for server in cluster.servers] == files[: len(cluster.servers)]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_dry_run_has_no_effect_and_shows_the_plan_that_the_real_run_confirms(scene: Scene, tmp_path: Path) -> None:
    cluster = scene.cluster(tmp_path)
    lines = cluster.session().agree(scene.wish).lines
    assert cluster.switch.labels == []
    agree = Agree()
    cluster.session().start(scene.wish, confirm=agree)
    assert agree.shown == [lines]
    assert_done(cluster, scene)


def test_the_plan_says_what_will_happen(tmp_path: Path) -> None:
    lines = "\n".join(SimCluster(tmp_path, config=None).session().agree(ENABLE).lines)
    assert "3 API servers, 13 values" in lines
    assert "add the encryption flag and its mount to the manifest of cp1, cp2, cp3" in lines
    assert "rewrite the values of secrets through the API (6 now)" in lines
    assert "identity stays" in lines


def test_the_plan_says_what_becomes_of_the_old_key(tmp_path: Path) -> None:
    lines = "\n".join(SimCluster(tmp_path).session().agree(ROTATE).lines)
    assert "compact every etcd at the revision of that proof" in lines
    assert "the key store's copy of aescbc/key1 opens what stood under it; save a second snapshot" in lines
    assert "- aescbc/key1 on cp1, cp2, cp3: restarting one at a time" in lines
    assert "scan every etcd again with aescbc/key1 in hand" in lines
    assert "Until the end: keyctl rotate --abort" in lines


def test_the_plan_to_remove_identity_speaks_of_plaintext(tmp_path: Path) -> None:
    lines = "\n".join(SimCluster(tmp_path).session().agree(REMOVE_IDENTITY).lines)
    assert "rewrite what is in plaintext of secrets through the API (6 values in all)" in lines
    assert "nothing in plaintext, every value opens" in lines
    assert "revisions that show values in plaintext cannot be listed" in lines
    assert "- identity on cp1, cp2, cp3: restarting one at a time" in lines
    assert "new key" not in lines


def test_the_plan_to_rename_names_both(tmp_path: Path) -> None:
    lines = "\n".join(SimCluster(tmp_path).session().agree(Wish(Goal.ROTATE, new_name="main")).lines)
    assert "keep the bytes that write now as aescbc/main, too" in lines
    assert "~ aescbc/main first on cp1, cp2, cp3" in lines
    assert "- aescbc/key1 on cp1, cp2, cp3" in lines


def test_the_plan_counts_what_a_wildcard_covers(tmp_path: Path) -> None:
    lines = "\n".join(SCENES[6].cluster(tmp_path).session().agree(ROTATE).lines)
    assert "(11 now)" in lines


def test_a_reload_that_a_server_refuses_is_told(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    cluster.server("cp2").lagging = True
    before(cluster, "journal state adding", lambda: setattr(cluster.server("cp2"), "reload_failures", 3))
    with pytest.raises(StoppedError) as caught:
        begin(cluster.session(), ROTATE)
    assert "refused 3 reloads" in (caught.value.cause or "")
    assert len(plans(cluster)) == 1


def test_r8_files_that_all_were_changed_meanwhile_are_named_as_such_and_no_value_is_blamed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), ROTATE)
    for server in cluster.servers:
        server.host.place(CONFIG_PATH, server.host.files[CONFIG_PATH].content + b"# touched\n")
    with pytest.raises(RefusedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R8"
    assert "decrypt" not in str(caught.value)


def test_a_server_that_refuses_our_credentials_is_not_taken_for_one_that_is_down() -> None:
    probe = ServerProbe("cp1", ready=False, problem="401 Unauthorized", refuses_us=True)
    with pytest.raises(UnreachableError, match="refuses our credentials"):
        require_access(probe)


def test_a_second_interrupt_while_the_lease_is_given_back_still_tells_how_things_stand(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    session = cluster.session(pause=Interrupt(5))

    def impatient() -> None:
        raise KeyboardInterrupt

    session._world.lease.release = impatient  # type: ignore[method-assign]  # the user, not the cluster
    with pytest.raises(StoppedError, match="interrupted part-way"):
        begin(session, ROTATE)
