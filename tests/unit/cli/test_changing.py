"""Consent, and what Ctrl-C does before and after it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from keyctl.cli import changing
from keyctl.cli.changing import Change, Stop
from keyctl.cli.commands.disable import disable
from keyctl.cli.commands.enable import enable
from keyctl.cli.commands.rotate import rotate
from keyctl.cli.last_words import last_words
from keyctl.cli.told import told
from keyctl.errors import KeyctlError, RefusedError, StoppedError, WrongUsageError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.agreed import AgreedPlan
from keyctl.rotation.evidence import Evidence
from keyctl.rotation.plan import FileChange, Goal, History, OldKey, Plan, State
from keyctl.rotation.preflight import Wish
from keyctl.rotation.scan import Scan
from keyctl.rotation.session import Finished
from keyctl.rotation.world import Event
from keyctl.stored.groups import Group, Role

LINES = ("Plan for x", "  1 do it")
GIVEN: dict[str, object] = {
    "dry_run": "none",
    "yes": False,
    "pause_after": None,
    "output": "text",
    "quiet": False,
    "allow_downtime": False,
    "template_updated": False,
    "engine": None,
    "second_pass": False,
}


class Noting:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def event(self, event: Event) -> None:
        self.messages.append(event.message)

    def close(self) -> None:
        self.messages.append("closed")


def change(**given: object) -> Change:
    return Change.from_options(GIVEN | given)


def stop() -> tuple[Stop, Noting]:
    noting = Noting()
    return Stop(noting), noting


def test_options_become_a_change() -> None:
    assert change(dry_run="client", pause_after="readable", history="wait") == Change(
        dry_run=True,
        yes=False,
        pause_after=State.READABLE,
        history=History.WAIT,
        output="text",
        quiet=False,
        allow_downtime=False,
        template_updated=False,
    )
    assert not change(dry_run="none").dry_run
    assert not change(dry_run="client").rehearsed
    server = change(dry_run="server")
    assert (server.dry_run, server.rehearsed) == (True, True)


def test_without_a_word_of_history_the_policy_of_the_cluster_file_stands() -> None:
    assert change().history is None, "enable has no such option"
    assert change(history=None).history is None


def pause_option(command: click.Command) -> tuple[list[str], str]:
    """What `--pause-after` takes, and its help."""
    (option,) = [option for option in command.params if option.name == "pause_after"]
    assert isinstance(option, click.Option)
    assert isinstance(option.type, click.Choice)
    return list(option.type.choices), option.help or ""


def test_enable_can_be_paused_up_to_its_last_state_and_no_further() -> None:
    choices, said = pause_option(enable)
    assert choices[0] == "preflight"
    assert choices[-2:] == ["rewriting", "verified"]
    assert said == "Stop once this state is reached (exit 6)."


@pytest.mark.parametrize("command", [rotate, disable], ids=lambda command: command.name)
def test_every_state_of_the_way_forward_can_be_paused_after_and_none_of_the_way_back(command: click.Command) -> None:
    choices, said = pause_option(command)
    assert said.endswith("In retiring the last proof is still to come.")
    assert choices == [
        "preflight",
        "secured",
        "generated",
        "adding",
        "readable",
        "promoting",
        "switched",
        "rewriting",
        "verified",
        "resecured",
        "retiring",
        "retired",
    ]


def test_before_the_work_an_interrupt_ends_the_command_at_once() -> None:
    early, noting = stop()
    with pytest.raises(KeyboardInterrupt):
        early.ask(signal.SIGINT, None)
    assert noting.messages == []


def test_in_the_work_an_interrupt_waits_for_the_end_of_the_act() -> None:
    working, noting = stop()
    working.working = True
    working.pause()
    working.ask(signal.SIGINT, None)
    assert noting.messages == ["stopping after the act under way; once more to stop now"]
    with pytest.raises(KeyboardInterrupt):
        working.pause()


def test_a_second_interrupt_does_not_wait() -> None:
    working, _ = stop()
    working.working = True
    working.ask(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        working.ask(signal.SIGINT, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_watching_the_signals_are_ours_and_given_back_after(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with changing._watching(change(quiet=True)) as (_, stop):
        stop.working = True
        os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            stop.pause()
    assert signal.getsignal(number) is before


def test_yes_is_consent_and_shows_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    asked, noting = stop()
    assert changing._confirm(LINES, change(yes=True), noting, asked)
    assert asked.working
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "Plan for x\n  1 do it\n")


def test_quiet_hides_the_plan_only_from_those_who_have_agreed_to_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, noting = stop()
    assert changing._confirm(LINES, change(quiet=True, yes=True), noting, asked)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert not changing._confirm(LINES, change(quiet=True), noting, asked)
    assert "Plan for x" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_as_text_or_as_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    changing._show_plan(LINES, change())
    assert capsys.readouterr().out == "Plan for x\n  1 do it\nNothing was changed.\n"
    changing._show_plan(LINES, change(output="json", quiet=True))
    assert json.loads(capsys.readouterr().out)["lines"] == list(LINES)


def test_a_plan_is_saved_for_its_owner_alone_and_only_by_a_dry_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "rotation.plan"
    changing._show_plan(LINES, change(dry_run="client", plan_file=saved))
    told = capsys.readouterr()
    assert "Nothing was changed." in told.out
    assert f"plan saved: {saved}" in told.err
    for command in (rotate, enable, disable):
        ran = CliRunner().invoke(command, ["--plan-file", str(saved)])
        assert isinstance(ran.exception, WrongUsageError)
        assert "--dry-run" in ran.exception.hints[0]
    assert not saved.exists()


def plan_to(goal: Goal) -> bytes:
    return AgreedPlan("prod", "2026-11-21T10:15:00+00:00", Wish(goal), LINES, {"a": "1"}).to_text().encode()


@pytest.mark.parametrize(
    "flags",
    [
        ("--dry-run",),
        ("--history", "wait"),
        ("--resources", "secrets"),
        ("--provider", "secretbox"),
        ("--allow-downtime",),
        ("--template-updated",),
        ("--resume",),
        ("--abort",),
    ],
    ids=lambda flags: flags[0],
)
def test_what_a_plan_says_is_not_said_again_beside_it(flags: tuple[str, ...], tmp_path: Path) -> None:
    plan = tmp_path / "rotation.plan"
    plan.write_bytes(plan_to(Goal.ROTATE))
    ran = CliRunner().invoke(rotate, ["--apply", str(plan), *flags])
    assert isinstance(ran.exception, WrongUsageError)


def test_a_plan_is_applied_by_the_command_that_made_it(tmp_path: Path) -> None:
    plan = tmp_path / "a.plan"
    plan.write_bytes(plan_to(Goal.DISABLE))
    ran = CliRunner().invoke(rotate, ["--apply", str(plan)])
    assert isinstance(ran.exception, WrongUsageError)
    assert (str(ran.exception), ran.exception.hints) == (
        f"{plan} is a plan to disable",
        ("keyctl disable --apply PLAN",),
    )


def test_off_a_terminal_silence_is_no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, noting = stop()
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(RefusedError, match="nobody is there to ask") as caught:
        changing._confirm(LINES, change(), noting, asked)
    assert "--yes" in caught.value.hints[0]
    assert not asked.working


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_the_user_is_asked_and_enter_means_no(
    monkeypatch: pytest.MonkeyPatch, answer: str, agreed: bool
) -> None:
    asked, noting = stop()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer)
    assert changing._confirm(LINES, change(), noting, asked) is agreed
    assert asked.working is agreed


def test_json_events_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = changing._watcher(change(output="json"))
    watcher.event(Event("state", "adding", {"state": "adding"}))
    line = json.loads(capsys.readouterr().out)
    assert line == {
        "apiVersion": "keyctl/v1",
        "kind": "RotationEvent",
        "event": "state",
        "message": "adding",
        "state": "adding",
    }


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    changing._watcher(change(quiet=True)).event(Event("state", "adding"))
    assert capsys.readouterr() == ("", "")


NEW, OLD = KeyRef(Provider.AESCBC, "key-2"), KeyRef(Provider.AESCBC, "key1")
PLAN = Plan(
    rotation="r1",
    goal=Goal.ROTATE,
    cluster="prod",
    cluster_uid="uid",
    new=NEW,
    fingerprint="fp",
    old=(OldKey(OLD, "fp1", (0,)),),
    change=FileChange(("secrets",), (0,), (0,)),
    history=History.COMPACT,
    settle=60.0,
    servers=(),
)
EVIDENCE = Evidence(Path("/state/prod/evidence/r1/evidence.jsonl"), 41, "sha256:abc")


def finished(state: State) -> Finished:
    """Two Secrets under the new key, and one value of the API server's own."""
    own = Group("secrets", NEW.provider, "v1", NEW.name, None, None, Role.WRITE, 2, 2, 0, 0, False, ())
    groups = (own, replace(own, infrastructure=True))
    return Finished(PLAN, state, Scan(7, 5, 99, groups, (), 0, (), 0), EVIDENCE)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            State.VERIFIED,
            "verified: 2 values under aescbc/key-2, none of secrets under another key; "
            "5 values read at etcd revision 7, every one opens",
        ),
        (
            State.RETIRED,
            "retired: aescbc/key1 is in no file and no value is under it; 2 values under aescbc/key-2, none of secrets "
            "under another key; 5 values read at etcd revision 7, every one opens",
        ),
        (
            State.ABORTED,
            "aborted: no value is under aescbc/key-2, which is in no file; "
            "5 values read at etcd revision 7, every one opens",
        ),
    ],
)
def test_the_last_words_say_what_was_proven_and_where_the_evidence_is(
    state: State, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    last_words(finished(state), output="text", quiet=False)
    assert capsys.readouterr().out.splitlines() == [
        sentence,
        "evidence: /state/prod/evidence/r1 (41 records, last hash sha256:abc)",
    ]


@pytest.mark.parametrize("state", [State.VERIFIED, State.RETIRED, State.ABORTED])
def test_the_last_event_says_the_same_to_a_program(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    last_words(finished(state), output="json", quiet=False)
    told = json.loads(capsys.readouterr().out)
    assert told.pop("message").startswith(f"{state.value}: ")
    assert told == {
        "apiVersion": "keyctl/v1",
        "kind": "RotationEvent",
        "event": state.value,
        "rotation": "r1",
        "key": "aescbc/key-2",
        "underKey": 2,
        "values": 5,
        "revision": 7,
        "evidence": "/state/prod/evidence/r1/evidence.jsonl",
        "evidenceHash": "sha256:abc",
    }


@pytest.mark.parametrize("output", ["text", "json"])
def test_quiet_keeps_the_last_words(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    last_words(finished(State.RETIRED), output=output, quiet=False)
    aloud = capsys.readouterr().out
    last_words(finished(State.RETIRED), output=output, quiet=True)
    assert capsys.readouterr().out == aloud
    assert "evidence" in aloud


def test_of_one_value_the_last_words_speak_in_the_singular(capsys: pytest.CaptureFixture[str]) -> None:
    many = finished(State.VERIFIED)
    (group,) = [group for group in many.scan.groups if not group.infrastructure]
    one = replace(many.scan, values=1, groups=(replace(group, values=1),))
    last_words(replace(many, scan=one), output="text", quiet=False)
    assert capsys.readouterr().out.startswith(
        "verified: 1 value under aescbc/key-2, none of secrets under another key; 1 value read at etcd revision 7"
    )


@pytest.mark.parametrize(
    ("error", "event"), [(RefusedError, "refused"), (StoppedError, "stopped")], ids=["refused", "stopped"]
)
def test_an_end_with_a_refusal_or_a_stop_is_told_to_a_program_too(
    error: type[KeyctlError], event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error), told("json"):
        raise error("no further", cause="so it is", hint=("do this", "or that"), rule="R8")
    assert json.loads(capsys.readouterr().out) == {
        "apiVersion": "keyctl/v1",
        "kind": "RotationEvent",
        "event": event,
        "message": "no further",
        "cause": "so it is",
        "rule": "R8",
        "hints": ["do this", "or that"],
    }
    with pytest.raises(error), told("text"):
        raise error("no further")
    assert capsys.readouterr() == ("", ""), "as text it is told once, on stderr, by whoever turns errors into codes"


def test_a_program_that_no_longer_reads_does_not_hide_why_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(click, "echo", gone)
    with pytest.raises(StoppedError, match="no further"), told("json"):
        raise StoppedError("no further")
