"""`keyctl rotate --if-due` on a simulated cluster: due or not, what is under way already, and its flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.errors import ExitCode
from keyctl.keys.key import Key, Provider
from keyctl.keys.ledger import KeyState
from keyctl.rotation.journal import LocalLock
from keyctl.rotation.plan import State
from tests.support.hints import wrong_hints
from tests.support.scheduled_site import Site, age, if_due, site_of
from tests.support.sim_texts import EVERYTHING, KEY_0, KEY_1, KMS_CONFIGMAPS, SECRETS, secret_of
from tests.support.simulator import THREE_RELOADING, SimCluster
from tests.unit.rotation.scenes import (
    KEY_2,
    ROTATE,
    SCENES,
    TWO_KEYS,
    assert_done,
    begin,
    plans,
    skip_slow_parts,
)

PLAINTEXT_WRITES = SECRETS.replace(b"      - identity: {}\n", b"").replace(
    b"      - aescbc:", b"      - identity: {}\n      - aescbc:"
)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A cluster whose key was first seen at the beginning of time."""
    return site_of(SimCluster(tmp_path), monkeypatch)


def test_a_young_key_is_not_due_and_nothing_is_changed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    age(site, 0.5)
    assert if_due() == ExitCode.OK
    told = capsys.readouterr()
    assert told.out == ("not due: aescbc/key1 is at least 12 h old (first seen 2026-11-21), due in 1 d (2026-11-23)\n")
    assert told.err == ""
    assert site.cluster.switch.labels == ["store-put"], "which is the test's own"
    assert site.cluster.journal().records() == ()


def test_the_same_is_one_event_for_a_program(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert if_due("-o", "json") == ExitCode.OK
    event = json.loads(capsys.readouterr().out)
    assert event.pop("message").startswith("not due: aescbc/key1")
    assert event == {
        "apiVersion": "keyctl/v1",
        "kind": "RotationEvent",
        "event": "not-due",
        "key": "aescbc/key1",
        "since": "2026-11-21T10:00:00+00:00",
        "dueAt": "2026-11-23T10:00:00+00:00",
    }


def test_quiet_hides_no_answer(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert if_due("-q") == ExitCode.OK
    assert capsys.readouterr().out.startswith("not due: ")


def test_a_key_that_is_due_is_rotated_to_the_end_and_the_next_one_is_young(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    age(site, 2)
    assert if_due("--yes") == ExitCode.OK
    told = capsys.readouterr()
    assert told.err.startswith(
        "due: aescbc/key1 is at least 2 d old (first seen 2026-11-21), 0 min past policy.keyMaxAge"
    )
    assert told.out.startswith("retired: aescbc/key1 is in no file")
    (plan,) = plans(site.cluster)
    assert if_due("--yes") == ExitCode.OK
    assert capsys.readouterr().out.startswith(f"not due: {plan.new} is ")
    assert_done(site.cluster, SCENES[2])


def test_off_a_terminal_a_rotation_that_is_due_needs_yes(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    age(site, 2)
    assert if_due() == ExitCode.REFUSED
    assert "nobody is there to ask" in capsys.readouterr().err
    assert site.cluster.journal().records() == ()


def test_a_dry_run_says_whether_it_is_due_and_shows_the_plan_only_then(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert if_due("--dry-run") == ExitCode.OK
    assert "Plan for" not in capsys.readouterr().out
    age(site, 2)
    assert if_due("--dry-run") == ExitCode.OK
    told = capsys.readouterr()
    assert told.err.startswith("due: ")
    assert told.out.startswith("Plan for prod")
    assert site.cluster.journal().records() == ()


def test_a_key_noted_as_compromised_is_due_whatever_its_age(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.cluster.store_keys.note_state(KEY_1.ref, KeyState.COMPROMISED)
    assert if_due("--yes") == ExitCode.OK
    assert "due: aescbc/key1 is compromised, since 2026-11-21" in capsys.readouterr().err


def test_of_several_keys_the_oldest_decides_and_resources_narrow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(SimCluster(tmp_path, THREE_RELOADING, EVERYTHING))
    site.use(monkeypatch)
    site.cluster.store_keys.put(KEY_0, origin="imported")
    site.cluster.clock.advance(3_600)
    site.cluster.store_keys.put(KEY_1, origin="imported")
    assert if_due() == ExitCode.OK
    assert capsys.readouterr().out.startswith("not due: aescbc/key0 is at least 1 h old")
    assert if_due("--resources", "secrets") == ExitCode.OK
    assert capsys.readouterr().out.startswith("not due: aescbc/key1 is at least 0 min old")


def test_a_key_that_writes_on_any_server_is_judged_as_one_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = site_of(SimCluster(tmp_path, config=TWO_KEYS), monkeypatch)
    age(site, 2)
    site.cluster.store_keys.put(KEY_2, origin="imported")
    young, old = ((f"name: {key.ref.name}\n", f"secret: {secret_of(key)}\n") for key in (KEY_2, KEY_1))
    swapped = TWO_KEYS.decode()
    for one, other in zip(young, old, strict=True):
        swapped = swapped.replace(one, "@").replace(other, one).replace("@", other)
    site.cluster.change_file("cp1", swapped.encode())
    assert if_due("--dry-run") == ExitCode.REFUSED, "the files differ"
    assert "due: aescbc/key1 is at least 2 d old" in capsys.readouterr().err


@pytest.mark.parametrize("known", [None, Key(Provider.AESCBC, "key1", bytes(32))], ids=["nothing", "other bytes"])
def test_a_cluster_whose_key_was_never_seen_is_neither_rotated_nor_called_not_due(
    known: Key | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(SimCluster(tmp_path))
    site.use(monkeypatch)
    if known is not None:
        site.cluster.store_keys.put(known, origin="imported")
    assert if_due("--yes") == ExitCode.REFUSED
    told = capsys.readouterr()
    assert "due: how long aescbc/key1 has been in use is not known" in told.err
    assert "then rotate once by hand" in told.err
    assert wrong_hints([told.err]) == []
    assert site.cluster.journal().records() == ()


@pytest.mark.parametrize(
    ("config", "flags", "said"),
    [
        (None, (), "this cluster encrypts nothing yet"),
        (
            PLAINTEXT_WRITES,
            (),
            "no entry is written with a",
        ),
        (KMS_CONFIGMAPS, ("--resources", "configmaps"), "a KMS plugin writes these values"),
        (
            PLAINTEXT_WRITES,
            ("--resources", "secrets"),
            "plaintext writes these values",
        ),
    ],
)
def test_where_no_static_key_writes_there_is_none_to_judge(
    config: bytes | None,
    flags: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = Site(SimCluster(tmp_path, config=config))
    site.use(monkeypatch)
    assert if_due("--yes", *flags) == ExitCode.REFUSED
    assert said in capsys.readouterr().err


# -- what is under way already


def test_a_rotation_that_somebody_paused_is_not_gone_on_with_and_no_other_begins(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match="paused"):
        begin(site.cluster.session(pause_after=State.READABLE), ROTATE)
    before = site.cluster.journal().records()
    age(site, 3)
    assert if_due("--yes") == ExitCode.STOPPED
    told = capsys.readouterr()
    assert "a rotation of this cluster is under way, and no other is begun" in told.err
    assert "hint: go on with: keyctl rotate --resume" in told.err
    assert "hint: or go back: keyctl rotate --abort" in told.err
    assert wrong_hints([told.err]) == []
    assert site.cluster.journal().records() == before


def test_a_program_is_told_so_too(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="paused"):
        begin(site.cluster.session(pause_after=State.READABLE), ROTATE)
    assert if_due("--yes", "-o", "json") == ExitCode.STOPPED
    event = json.loads(capsys.readouterr().out)
    assert event["event"] == "stopped"
    assert "go on with: keyctl rotate --resume" in event["hints"]


def test_one_on_the_way_back_is_not_offered_the_way_back_again(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="paused"):
        begin(site.cluster.session(pause_after=State.READABLE), ROTATE)
    calls = iter(range(3))

    def interrupt() -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="interrupted"):
        site.cluster.session(pause=interrupt).abort(confirm=lambda _: True)
    assert if_due("--yes") == ExitCode.STOPPED
    assert "--abort" not in capsys.readouterr().err


def test_while_another_process_here_is_at_work_it_is_left_alone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    age(site, 2)
    lock = LocalLock(site.parts().state_directory)
    lock.acquire()
    try:
        assert if_due("--yes") == ExitCode.REFUSED
    finally:
        lock.release()
    assert "another keyctl is changing this cluster's key" in capsys.readouterr().err


def test_while_another_machine_holds_the_lease_nothing_is_begun(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    age(site, 2)
    site.cluster.world(place="elsewhere").lease.acquire()
    assert if_due("--yes") == ExitCode.REFUSED
    assert "another rotation of this cluster is under way" in capsys.readouterr().err
    assert site.cluster.journal().records() == ()


# -- flags


@pytest.mark.parametrize(
    "flags",
    [
        ("--if-due", "--resume"),
        ("--if-due", "--abort"),
        ("--if-due", "--verify-evidence", "."),
        ("--if-due", "--apply", "x.plan"),
        ("--if-due", "--dry-run", "--plan-file", "x.plan"),
        ("--if-due", "--rename-to", "other"),
        ("--if-due", "--remove-identity"),
        ("--if-due", "--compromised", "aescbc:key1"),
        ("--ignore-window",),
        ("--ignore-window", "--resume"),
    ],
    ids=" ".join,
)
def test_flags_that_do_not_go_together_are_wrong_usage(flags: tuple[str, ...], site: Site) -> None:
    assert main.run(["rotate", *flags]) == ExitCode.USAGE


def test_what_a_rotation_may_be_given_a_scheduled_one_may_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr("keyctl.cli.changing.start", lambda cluster, change, wish: begun.append(wish))
    age(site, 2)
    flags = ("--provider", "secretbox", "--resources", "secrets", "--allow-downtime", "--second-pass")
    assert if_due("--yes", *flags) == ExitCode.OK
    (wish,) = begun
    assert (wish.provider, wish.resources, wish.allow_downtime, wish.second_pass) == (
        Provider.SECRETBOX,
        ("secrets",),
        True,
        True,
    )
