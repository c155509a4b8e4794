"""Rules about the servers' files and restarts. The simulator objects to a breach; here the breach is provoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.errors import ExitCode, KeyctlError, RefusedError, StoppedError
from keyctl.rotation.plan import Stage, State
from tests.support.sim_parts import Watcher
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH, Spec
from tests.support.sim_texts import SECRETS
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster, void
from tests.unit.rotation.scenes import ENABLE, ROTATE, SCENES, after, assert_done, before, begin, comments, head, plans

BY_RESTART, BY_RELOAD = SCENES[2], SCENES[3]


def positions(cluster: SimCluster, label: str) -> list[int]:
    return [place for place, found in enumerate(cluster.switch.labels) if found == label]


def stops(cluster: SimCluster) -> KeyctlError:
    with pytest.raises(KeyctlError) as caught:
        begin(cluster.session(), ROTATE)
    return caught.value


def resumed(cluster: SimCluster) -> None:
    cluster.session().resume()


# -- R2


@pytest.mark.parametrize("specs", [THREE_RESTARTED, THREE_RELOADING, MIXED], ids=["restart", "reload", "mixed"])
def test_r2_no_file_that_writes_with_the_new_key_before_every_server_is_proven_twice_to_read_it(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)
    begin(cluster.session(), ROTATE)
    (plan,) = plans(cluster)
    writes = [positions(cluster, f"{spec.name}: write {CONFIG_PATH}") for spec in specs]
    first_promoted = min(second for _, second, _ in writes)
    proofs = positions(cluster, "journal proof readable")
    assert max(first for first, _, _ in writes) < proofs[0] < proofs[1] < first_promoted
    assert cluster.under("secrets") == {head(plan.new)}


def test_r2_a_server_that_never_loads_the_new_key_keeps_the_others_from_writing_with_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    cluster.server("cp2").lagging = True
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert "cp2 has not loaded" in str(error)
    assert [len(positions(cluster, f"cp{number}: write {CONFIG_PATH}")) for number in (1, 2, 3)] == [1, 1, 1]
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}
    cluster.server("cp2").lagging = False
    resumed(cluster)
    assert_done(cluster, BY_RELOAD)


def test_r2_a_server_that_is_put_back_to_the_file_without_the_key_stops_the_promotion(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RESTARTED)

    def put_back() -> None:
        cluster.change_file("cp3", SECRETS)
        cluster.server("cp3").boot()

    after(cluster, "cp1: restart", put_back, nth=2)
    error = stops(cluster)
    assert error.rule == "R2"
    assert "cp1 has a file that writes with the new key, but cp3 cannot read that key" in str(error)
    assert len(positions(cluster, f"cp2: write {CONFIG_PATH}")) == 1
    assert cluster.under("secrets") == {b"k8s:enc:aescbc:v1:key1"}


def test_r2_a_server_that_loaded_the_key_but_cannot_list_what_is_encrypted_is_not_proven(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.server("cp2").list_problems["secrets"] = "500 InternalError"
    error = stops(cluster)
    assert "cp2 cannot list secrets" in str(error)
    assert cluster.server("cp3").host.restarts == 0
    cluster.server("cp2").list_problems.clear()
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


# -- R1, R10


@pytest.mark.parametrize("label", [f"cp1: write {CONFIG_PATH}", "journal state adding", f"cp2: write {CONFIG_PATH}"])
def test_r1_no_server_is_restarted_into_a_value_that_it_could_not_read(label: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    after(cluster, label, lambda: void(cluster.put_undecryptable("configmaps", "default", "late")))
    error = stops(cluster)
    assert error.rule == "R1"
    assert "late" in (error.cause or "")
    assert all(server.ready for server in cluster.servers), "a server was restarted and does not come up"


# -- R8


def test_r8_a_file_that_somebody_else_changes_freezes_the_run(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "cp2: restart", lambda: cluster.change_file("cp3", SECRETS + b"# by kubespray\n"))
    error = stops(cluster)
    assert isinstance(error, RefusedError)
    assert error.rule == "R8"
    assert "cp3" in str(error)
    assert cluster.server("cp3").host.files[CONFIG_PATH].content == SECRETS + b"# by kubespray\n"
    cluster.server("cp3").host.place(CONFIG_PATH, SECRETS)
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


@pytest.mark.parametrize("content", [b"not a configuration", SECRETS + b"# by kubespray\n"], ids=["garbage", "valid"])
def test_r8_a_file_changed_right_before_it_is_written_is_not_overwritten(content: bytes, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal intent write-file", lambda: cluster.change_file("cp1", content))
    error = stops(cluster)
    assert error.rule == "R8"
    assert cluster.server("cp1").host.files[CONFIG_PATH].content == content


def test_r8_no_server_is_restarted_into_a_file_that_somebody_else_has_just_written(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "journal intent restart", lambda: cluster.change_file("cp1", SECRETS + b"# by kubespray\n"))
    assert stops(cluster).rule == "R8"
    assert cluster.server("cp1").host.restarts == 0


def test_r8_a_file_that_would_not_be_the_one_of_the_plan_is_not_written(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), ROTATE)
    path, (plan,) = cluster.journal().path, plans(cluster)
    for promoted in plan.server("cp1").hashes[Stage.PROMOTED]:
        assert promoted is not None
        path.write_text(path.read_text().replace(promoted, "sha256:" + "0" * 64))
    files = [dict(server.host.files) for server in cluster.servers]
    with pytest.raises(RefusedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R8"
    assert [dict(server.host.files) for server in cluster.servers] == files


def test_r8_an_old_file_put_back_is_seen_before_it_is_loaded(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, "cp3: restart", lambda: cluster.change_file("cp1", SECRETS), nth=2)
    error = stops(cluster)
    assert error.rule == "R8"
    assert "older encryption configuration was put back on cp1" in str(error)


def test_r8_a_file_changed_while_the_user_was_asked_is_not_overwritten(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)

    def confirm(_: tuple[str, ...]) -> bool:
        cluster.change_file("cp2", SECRETS + b"# by hand\n")
        return True

    with pytest.raises(RefusedError) as caught:
        cluster.session().start(ROTATE, confirm=confirm)
    assert caught.value.rule == "R8"
    assert cluster.switch.labels == []
    assert not cluster.journal().unfinished()


def test_r8_a_second_run_on_the_same_machine_is_refused_while_one_runs(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    errors = []

    def second() -> None:
        with pytest.raises(RefusedError) as caught:
            begin(cluster.session(), ROTATE)
        errors.append(caught.value.rule)
        with pytest.raises(RefusedError) as caught:
            cluster.session().resume()
        errors.append(caught.value.rule)

    before(cluster, "cp2: restart", second)
    begin(cluster.session(), ROTATE)
    assert errors == ["R8", "R8"]
    assert_done(cluster, BY_RESTART)


def test_r8_a_second_run_from_another_machine_is_refused_while_one_runs(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    errors = []

    def second() -> None:
        count = len(cluster.switch.labels)
        with pytest.raises(RefusedError) as caught:
            begin(cluster.session(place="there"), ROTATE)
        errors.append(caught.value.rule)
        assert cluster.switch.labels[count:] == []

    before(cluster, "patch", second, nth=5)
    begin(cluster.session(), ROTATE)
    assert errors == ["R8"]
    assert_done(cluster, BY_RESTART)


def test_r8_after_a_stop_a_new_rotation_is_refused_until_the_old_one_has_ended(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.READABLE), ROTATE)
    with pytest.raises(RefusedError) as caught:
        begin(cluster.session(), ROTATE)
    assert caught.value.rule == "R8"
    assert "--resume" in caught.value.hints[0]


def test_r8_a_lease_that_was_taken_away_stops_the_run_before_its_next_act(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)

    def take() -> None:
        cluster.lease_record.place = "there"

    after(cluster, "journal state readable", take)
    error = stops(cluster)
    assert error.exit_code is ExitCode.STOPPED
    assert error.rule == "R8"
    assert len(positions(cluster, f"cp1: write {CONFIG_PATH}")) == 1


def test_r8_the_lease_is_kept_while_a_server_is_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, THREE_RELOADING)
    cluster.server("cp2").lagging = True
    ran_out = []
    cluster.clock.every(
        1.0,
        lambda: (
            ran_out.append(not cluster.lease_record.held(cluster.clock.monotonic()))
            if cluster.lease_record.place
            else None
        ),
        first=1.0,
    )
    stops(cluster)
    assert len(ran_out) > 150
    assert not any(ran_out)


# -- R9


def test_r9_servers_are_restarted_one_at_a_time_each_proven_before_the_next(tmp_path: Path) -> None:
    cluster, watcher = SimCluster(tmp_path), Watcher()
    begin(cluster.session(watcher=watcher), ROTATE)
    restarts = [label for label in cluster.switch.labels if label.endswith(": restart")]
    assert restarts == [f"cp{number}: restart" for number in (1, 2, 3) * 3]
    for number in (1, 2):
        restarted = positions(cluster, f"cp{number}: restart")
        next_written = positions(cluster, f"cp{number + 1}: write {CONFIG_PATH}")
        assert len(restarted) == len(next_written) == 3
        for restart, write in zip(restarted, next_written, strict=True):
            proven = positions(cluster, "journal proof server")
            assert any(restart < proof < write for proof in proven), "the next one was touched before this one's proof"


def test_r9_a_server_that_does_not_come_up_stops_the_phase(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    host = cluster.server("cp2").host
    real, host.do_restart = host.do_restart, cluster.server("cp2").stop
    error = stops(cluster)
    assert isinstance(error, StoppedError)
    assert "cp2 has not loaded" in str(error)
    assert "connection refused" in (error.cause or "")
    assert cluster.server("cp3").host.files[CONFIG_PATH].content == SECRETS
    assert cluster.server("cp3").host.restarts == 0
    host.do_restart = real
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


def test_r9_a_restart_command_that_fails_stops_the_phase(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.server("cp2").host.fails = True
    assert isinstance(stops(cluster), StoppedError)
    assert cluster.server("cp3").host.restarts == 0
    cluster.server("cp2").host.fails = False
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


def test_r9_while_another_server_is_down_none_is_restarted(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    before(cluster, f"cp2: write {CONFIG_PATH}", cluster.server("cp3").stop)
    error = stops(cluster)
    assert "cp3" in str(error)
    assert cluster.server("cp2").host.restarts == 0
    cluster.server("cp3").boot()
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


@pytest.mark.parametrize("nth", [1, 2, 3], ids=["adding", "promoting", "retiring"])
def test_a_server_that_gave_no_answer_for_a_moment_with_its_new_file_placed_is_restarted_once_it_is_back(
    nth: int, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path)
    server = cluster.server("cp2")

    def stand_still() -> None:
        server.frozen = True
        cluster.clock.at(12, go_on)

    def go_on() -> None:
        server.frozen = False

    after(cluster, f"cp2: write {CONFIG_PATH}", stand_still, nth=nth)
    begin(cluster.session(), ROTATE)
    assert_done(cluster, BY_RESTART)
    assert server.host.restarts == 3


def test_the_only_server_killed_in_mid_restart_is_started_again_without_a_lease(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, (Spec("cp1"),))
    host = cluster.server("cp1").host
    real, host.do_restart = host.do_restart, cluster.server("cp1").stop
    with pytest.raises(StoppedError):
        begin(cluster.session(), ROTATE.__class__(ROTATE.goal, allow_downtime=True))
    assert not cluster.server("cp1").running
    host.do_restart = real
    resumed(cluster)
    assert_done(cluster, BY_RESTART)


# -- R11, while it runs


@pytest.mark.parametrize("label", ["cp2: restart", "journal outcome switch", "journal outcome rewrite"])
def test_r11_a_server_that_joins_in_the_middle_blocks_the_next_edge(label: str, tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)

    def join() -> None:
        cluster.excused.add("cp9")
        cluster.add_unlisted(cluster.server("cp3").host.files[CONFIG_PATH].content)

    before(cluster, label, join)
    error = stops(cluster)
    assert error.rule == "R11"
    assert "cp9" in str(error)
    assert not any(record["kind"] == "end" for record in cluster.journal().records())


# -- R13


def test_r13_a_single_mounted_file_is_written_in_place_and_all_others_beside_and_renamed(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, (Spec("cp1", reloads=True, single_file=True), Spec("cp2", reloads=True)))
    begin(cluster.session(), ROTATE)
    assert cluster.server("cp1").host.ways == [(CONFIG_PATH, True)] * 3
    assert cluster.server("cp2").host.ways == [(CONFIG_PATH, False)] * 3
    assert_done(cluster, BY_RELOAD)


def test_r13_comments_stay_and_leftovers_are_swept_on_resume(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.ADDING), ROTATE)
    resumed(cluster)
    for server in cluster.servers:
        assert comments(server.host.files[CONFIG_PATH].content) == comments(SECRETS)
        assert server.host.swept == [CONFIG_PATH, MANIFEST_PATH]


def test_r13_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    cluster.clock.after_step = lambda: None
    cluster.server("cp2").host.links.add(CONFIG_PATH)
    assert stops(cluster).rule == "R13"
    assert cluster.switch.labels == []


# -- enable


def test_enable_edits_one_manifest_at_a_time_and_keeps_a_copy_outside_the_manifests_directory(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=None)
    before = cluster.server("cp1").host.files[MANIFEST_PATH].content
    begin(cluster.session(), ENABLE)
    files = cluster.server("cp1").host.files
    assert files["/etc/kubernetes/enc/kube-apiserver.yaml.before-keyctl"].content == before
    assert b"--encryption-provider-config=" in files[MANIFEST_PATH].content
    assert [path for path in files if path.startswith("/etc/kubernetes/manifests")] == [MANIFEST_PATH]


def test_enable_ends_with_identity_last_so_that_plaintext_still_reads(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, config=None)
    begin(cluster.session(), ENABLE)
    text = cluster.server("cp1").host.files[CONFIG_PATH].content.decode()
    assert text.index("aescbc") < text.index("identity")
    assert cluster.under("secrets") == {head(plans(cluster)[0].new)}
    assert cluster.under("configmaps") == {b"plaintext"}
