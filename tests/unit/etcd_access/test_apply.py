"""Turning etcd's users and roles on: nobody who needs etcd is locked out, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.etcd_access.apply import is_on, observe, turn_off
from keyctl.etcd_access.steps import additions, narrowings
from keyctl.etcd_access.wanted import WAY_BACK, Compactor
from keyctl.stored.rights import Permission
from tests.support.hints import wrong_commands
from tests.support.memory_users import MemoryUsers
from tests.unit.etcd_access.scene import AUDITOR, PREFIX, SERVER, MemoryRope, Scene


def test_users_and_roles_come_first_and_everybody_is_tried_at_every_member_in_the_end() -> None:
    scene = Scene()
    trials = scene.applier().apply()
    assert all(trial.holds for trial in trials)
    assert {(trial.party.name, trial.endpoint) for trial in trials} == {
        (name, member) for name in (SERVER.name, AUDITOR.name, "backup") for member in scene.members
    }
    changes = scene.auth.changes
    assert changes[-2:] == ["enable", f"delete-user {WAY_BACK}"]
    assert changes.index(f"give-role {SERVER.name} kube-apiserver") < changes.index("enable")
    assert (scene.auth.enabled, scene.rope.kept(), scene.auth.passwords) == (True, None, {})
    assert MemoryUsers(scene.auth, AUDITOR.name).refusal_to_write(PREFIX + b"x") is not None


def test_done_twice_it_changes_nothing_and_proves_it_again() -> None:
    scene = Scene()
    first = scene.applier().apply()
    scene.auth.changes.clear()
    assert scene.applier().apply() == first
    assert (scene.auth.changes, scene.rope.given) == ([], 1)


@pytest.mark.parametrize("deaf", [("m2",), ("m1", "m2")])
def test_a_member_that_takes_no_common_name_for_a_user_turns_it_all_off_again(deaf: tuple[str, ...]) -> None:
    scene = Scene(deaf=deaf)
    with pytest.raises(StoppedError, match="off again"):
        scene.applier().apply()
    assert "enable" in scene.auth.changes
    assert (scene.auth.enabled, scene.rope.kept()) == (False, None)
    assert WAY_BACK not in scene.auth.roles_of


@pytest.mark.parametrize(
    ("name", "taken_for"),
    [
        pytest.param(SERVER.name, "somebody", id="an API server that is nobody"),
        pytest.param(SERVER.name, AUDITOR.name, id="an API server that only reads"),
        pytest.param(AUDITOR.name, "root", id="an auditor that writes"),
        pytest.param("backup", AUDITOR.name, id="a backup that takes no snapshot"),
        pytest.param("root", AUDITOR.name, id="an administrator who could not turn it off there"),
    ],
)
def test_one_member_that_takes_a_certificate_for_somebody_else_turns_it_all_off_again(
    name: str, taken_for: str
) -> None:
    scene = Scene(taken_for={(name, "m2"): taken_for})
    with pytest.raises(StoppedError, match="off again"):
        scene.applier().apply()
    assert (scene.auth.enabled, scene.rope.kept()) == (False, None)


def test_what_was_tried_while_somebody_else_had_turned_users_off_proves_nothing() -> None:
    scene = Scene()

    def meddle(line: str) -> None:
        if line.startswith("try every certificate"):
            scene.auth.enabled = False

    scene.said = _Lines(meddle)
    with pytest.raises(StoppedError, match="off again") as stopped:
        scene.applier().apply()
    assert "says that users and roles are off" in (stopped.value.cause or "")


def test_users_that_are_still_on_are_not_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.applier().apply()
    monkeypatch.setattr(MemoryUsers, "disable", lambda _self: None)
    with pytest.raises(UnreachableError, match="could not be turned off"):
        turn_off(scene.site())


def test_an_api_server_that_is_cut_off_once_users_count_turns_it_all_off_again() -> None:
    scene = Scene(cut=(SERVER.name,))
    with pytest.raises(StoppedError, match="off again") as stopped:
        scene.applier().apply()
    assert "could not be reached" in (stopped.value.cause or "")
    assert (scene.auth.enabled, scene.rope.kept()) == (False, None)


def test_a_certificate_that_does_not_work_now_is_told_before_anything_is_changed() -> None:
    scene = Scene(down=(SERVER.name,))
    with pytest.raises(UnreachableError):
        scene.applier().apply()
    assert scene.auth.changes == []


EVERY_CHANGE = (
    "add-role kube-apiserver",
    f"give-role {SERVER.name} kube-apiserver",
    "give-role root root",
    f"add-user {WAY_BACK}",
    f"give-role {WAY_BACK} root",
    "enable",
    f"delete-user {WAY_BACK}",
)


@pytest.mark.parametrize("change", EVERY_CHANGE)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_change_the_next_run_comes_to_the_end(change: str, after: bool) -> None:
    scene = Scene()

    def die(name: str) -> None:
        if name == change and not after:
            raise _KilledError
        if after and scene.auth.changes and scene.auth.changes[-1] == change:
            raise _KilledError

    scene.auth.alive = die
    # What follows the last change is no change.
    if (change, after) != (EVERY_CHANGE[-1], True):
        with pytest.raises(_KilledError):
            scene.applier().apply()
        assert scene.auth.enabled <= (SERVER.name in scene.auth.roles_of)
    scene.auth.alive = lambda _name: None
    scene.applier().apply()
    assert (scene.auth.enabled, scene.rope.kept(), scene.auth.passwords) == (True, None, {})
    assert WAY_BACK not in scene.auth.roles_of


class _KilledError(BaseException):
    """Nothing in the program catches it."""


def test_a_run_that_was_killed_before_the_proof_is_turned_off_where_the_proof_then_fails() -> None:
    scene = Scene()
    _killed_after_enable(scene)
    scene.deaf = ("m2",)
    with pytest.raises(StoppedError, match="off again"):
        scene.applier().apply()
    assert not scene.auth.enabled


def test_where_our_own_certificate_is_nobody_the_kept_password_turns_it_off() -> None:
    scene = Scene()
    _killed_after_enable(scene)
    scene.deaf = scene.members
    with pytest.raises(RefusedError):
        scene.applier().apply()
    turn_off(scene.site())
    assert (scene.auth.enabled, scene.rope.kept()) == (False, None)


def _killed_after_enable(scene: Scene) -> None:
    def die(name: str) -> None:
        if name == f"delete-user {WAY_BACK}":
            raise _KilledError

    scene.auth.alive = die
    with pytest.raises(_KilledError):
        scene.applier().apply()
    scene.auth.alive = lambda _name: None
    assert scene.auth.enabled


def test_where_neither_we_nor_the_way_back_may_it_is_said_how() -> None:
    scene = Scene()
    _killed_after_enable(scene)
    scene.deaf, scene.rope = scene.members, MemoryRope("another")
    with pytest.raises(UnreachableError, match="could not be turned off") as stopped:
        turn_off(scene.site(), because="what was before")
    assert "what was before" in (stopped.value.cause or "")
    (hint,) = stopped.value.hints
    assert "memory" in hint
    assert "another" not in f"{stopped.value} {stopped.value.cause} {hint}"
    assert wrong_commands(hint) == []
    assert scene.rope.kept() == "another"


def test_an_interruption_while_they_are_tried_turns_it_all_off_again() -> None:
    scene = Scene()

    def interrupt(line: str) -> None:
        if line.startswith("try every certificate"):
            raise KeyboardInterrupt

    scene.said = _Lines(interrupt)
    with pytest.raises(StoppedError, match="off again"):
        scene.applier().apply()
    assert not scene.auth.enabled


def test_an_interruption_before_they_count_is_told_and_leaves_them_off() -> None:
    scene = Scene()

    def interrupt(line: str) -> None:
        if line.startswith("add the user"):
            raise KeyboardInterrupt

    scene.said = _Lines(interrupt)
    with pytest.raises(StoppedError, match="interrupted"):
        scene.applier().apply()
    assert not scene.auth.enabled


class _Lines(list[str]):
    def __init__(self, act: Callable[[str], None]) -> None:
        super().__init__()
        self._act = act

    def append(self, line: str) -> None:
        super().append(line)
        self._act(line)


def test_what_is_too_much_is_taken_before_users_count() -> None:
    scene = Scene()
    root = MemoryUsers(scene.auth, "root")
    root.add_user(SERVER.name)
    root.give_role(SERVER.name, "root")
    root.add_role("keyctl-auditor")
    root.allow("keyctl-auditor", Permission("read", b"\0", b"\0"))
    scene.applier().apply()
    assert scene.auth.roles_of[SERVER.name] == ["kube-apiserver"]
    assert list(scene.auth.permissions["keyctl-auditor"]) == [(PREFIX, b"/registry0")]
    changes = scene.auth.changes
    taken = changes.index(f"take-role {SERVER.name} root")
    assert changes.index(f"give-role {SERVER.name} kube-apiserver") < taken < changes.index("enable")


def test_what_was_taken_while_users_count_is_given_back_where_somebody_needs_it() -> None:
    scene = Scene()
    scene.applier(Compactor.API_SERVER).apply()
    assert scene.auth.roles_of[SERVER.name] == ["root"]
    scene.down = ("backup",)
    with pytest.raises(StoppedError, match="given back"):
        scene.applier(Compactor.ETCD).apply()
    assert scene.auth.enabled
    assert sorted(scene.auth.roles_of[SERVER.name]) == ["kube-apiserver", "root"]
    scene.down = ()
    scene.applier(Compactor.ETCD).apply()
    assert scene.auth.roles_of[SERVER.name] == ["kube-apiserver"]


def test_what_cannot_be_given_back_is_said_and_the_rest_is_given_back() -> None:
    scene = Scene()
    scene.applier(Compactor.API_SERVER).apply()
    scene.auth.roles_of[AUDITOR.name].append("kube-apiserver")
    scene.down = ("backup",)

    def fail(change: str) -> None:
        if change == f"give-role {AUDITOR.name} kube-apiserver":
            raise UnreachableError("etcd could not be reached")

    scene.auth.alive = fail
    with pytest.raises(StoppedError, match="not all that was taken could be given back") as stopped:
        scene.applier(Compactor.ETCD).apply()
    assert f"not done: give the role kube-apiserver to the user {AUDITOR.name}" in (stopped.value.cause or "")
    assert wrong_commands(" ".join(stopped.value.hints)) == []
    assert sorted(scene.auth.roles_of[SERVER.name]) == ["kube-apiserver", "root"]


def test_turning_off_keeps_users_and_roles_and_turning_on_again_needs_no_new_ones() -> None:
    scene = Scene()
    scene.applier().apply()
    turn_off(scene.site())
    assert not scene.auth.enabled
    seen = observe(scene.site().users)
    assert (additions(seen, scene.wanted()), narrowings(seen, scene.wanted())) == ((), ())
    scene.applier().apply()
    assert scene.auth.enabled


def test_an_etcd_that_tells_us_nothing_has_users_on_where_there_is_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: MemoryUsers) -> bool:
        raise UnreachableError("etcd refused the request", cause="authorisation: user name is empty")

    scene = Scene()
    monkeypatch.setattr(MemoryUsers, "enabled", refuse)
    with pytest.raises(UnreachableError):
        is_on(scene.site())
    scene.rope.password = "kept"
    assert is_on(scene.site())


def test_turning_off_needs_root() -> None:
    scene = Scene()
    scene.applier().apply()
    scene.administrator = AUDITOR.name
    with pytest.raises(UnreachableError):
        turn_off(scene.site())
    assert scene.auth.enabled


def test_the_password_of_a_way_back_that_is_gone_is_forgotten() -> None:
    scene = Scene()
    scene.applier().apply()
    scene.rope.password = "of nobody"
    scene.applier().apply()
    assert scene.rope.kept() is None


@pytest.mark.parametrize("meddled", ["give-role", "take-role"])
def test_users_are_not_turned_on_where_what_was_made_is_not_there_when_read_back(meddled: str) -> None:
    scene = Scene()
    MemoryUsers(scene.auth, "root").add_user(SERVER.name)
    MemoryUsers(scene.auth, "root").give_role(SERVER.name, "root")

    def meddle(change: str) -> None:
        roles = scene.auth.roles_of[SERVER.name]
        if meddled == "give-role" and change == f"give-role {AUDITOR.name} keyctl-auditor":
            roles.remove("kube-apiserver")
        if meddled == "take-role" and change == f"take-role {SERVER.name} root":
            scene.auth.permissions["another"] = {}
            roles.append("another")

    scene.auth.alive = meddle
    with pytest.raises(StoppedError, match="by what etcd says"):
        scene.applier().apply()
    assert "enable" not in scene.auth.changes


def test_users_are_not_turned_on_without_the_way_back() -> None:
    scene = Scene()

    def meddle(change: str) -> None:
        if change == "add-user kube-apiserver-etcd-client":
            scene.auth.permissions["x"] = {}
        if change == f"give-role {WAY_BACK} root":
            scene.auth.roles_of[WAY_BACK].append("x")

    scene.auth.alive = meddle
    with pytest.raises(StoppedError, match="way back is not there"):
        scene.applier().apply()
    assert "enable" not in scene.auth.changes
