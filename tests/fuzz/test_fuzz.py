"""The fuzzer finds what it is for, and says nothing where there is nothing to find."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from tests.fuzz import __main__ as fuzzer
from tests.fuzz.findings import Mistake, Said, Target, leaked, refused, try_out
from tests.fuzz.mutations import LONGEST, mutate
from tests.fuzz.seeds import SECRETS, SEEDS
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import save

SEED = b"- a: b\n"


def crash(content: bytes) -> Said:
    if b"b: b" in content or b"::" in content:
        raise ZeroDivisionError
    return Said("fine")


def refuse(content: bytes) -> Said:
    raise UnusableInputError("the file is wrong", hint="put it right")


def die(content: bytes) -> Said:
    if content != SEED:
        os.kill(os.getpid(), signal.SIGKILL)
    return Said("fine")


def hang(content: bytes) -> Said:
    while content != SEED:
        pass
    return Said("fine")


def wait(content: bytes) -> Said:
    if content != SEED:
        time.sleep(600)
    return Said("fine")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fuzzer puts its folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run(target: Target, seconds: float) -> int:
    limits = fuzzer.Limits(processor=0.5, clock=2)
    return fuzzer.fuzz(seconds, seed=1, workers=1, seeds=(SEED,), targets=(target,), limits=limits)


def test_where_nothing_is_wrong_nothing_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(refuse, seconds=3) == 0
    assert list(folder.iterdir()) == []
    assert ": 0 mistakes found" in capsys.readouterr().out


def test_no_time_to_try_anything_is_no_success(folder: Path) -> None:
    assert run(refuse, seconds=0) == 1


@pytest.mark.parametrize(
    ("target", "place"),
    [
        pytest.param(crash, "crash crash ZeroDivisionError test_fuzz.py:", id="an exception that is none of ours"),
        pytest.param(die, "death -9", id="the death of the process"),
        pytest.param(hang, "hang", id="a loop without an end"),
        pytest.param(wait, "hang clock", id="a wait without an end"),
    ],
)
def test_what_is_wrong_is_saved_and_happens_again(
    target: Target, place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(target, seconds=6) == 1
    (told,) = folder.glob("*/*.txt")
    assert told.read_text().startswith(place)
    saved = told.with_suffix(".input")
    assert str(saved) in capsys.readouterr().out
    assert saved.read_bytes() != SEED
    if target is crash:
        assert fuzzer.replay([saved], [crash]) == 1
        assert fuzzer.replay([saved], [refuse]) == 0


@pytest.mark.parametrize("secret", SECRETS)
def test_a_part_of_a_key_is_seen_wherever_it_is_said(secret: str) -> None:
    def in_the_message(content: bytes) -> Said:
        raise UnusableInputError(f"no {secret[1:27]}", hint="-")

    def in_the_cause(content: bytes) -> Said:
        raise UnusableInputError("no", cause=f"{secret}", hint="-")

    def in_a_hint(content: bytes) -> Said:
        raise UnusableInputError("no", hint=("-", secret))

    def in_a_repr(content: bytes) -> Said:
        return Said("fine", shown=(f"Key(material={secret.encode()!r})",))

    def in_a_diff(content: bytes) -> Said:
        return Said("fine", diff=(f"+ {secret}",))

    for target in (in_the_message, in_the_cause, in_a_hint, in_a_repr, in_a_diff):
        _, mistake = try_out(target, SEED)
        assert mistake is not None
        assert mistake.place.startswith("leak ")


def test_what_is_no_part_of_a_key_is_none() -> None:
    assert leaked("resources[0].providers[0].aescbc.keys[0].secret: the secret is not standard base64") is None
    assert leaked(SECRETS[0][:23]) is None


def test_more_than_a_line_and_a_character_that_acts_are_seen() -> None:
    for text in ("a\nb", "a\x1b[2J", "a\u202e"):
        _, mistake = try_out(lambda content, text=text: Said("fine", (text,)), SEED)  # type: ignore[misc]
        assert mistake is not None
        assert mistake.place.startswith("line ")


def test_of_one_mistake_the_shortest_input_is_kept(tmp_path: Path) -> None:
    for content in (b"aaa", b"a", b"aa"):
        save(tmp_path, Mistake("crash here", "told"), content)
    save(tmp_path, Mistake("crash there", "told"), b"aaaa")
    assert sorted(file.read_bytes() for file in tmp_path.glob("*.input")) == [b"a", b"aaaa"]


def test_the_same_seed_makes_the_same_inputs_and_another_makes_others() -> None:
    def made(seed: str) -> list[bytes]:
        chance = random.Random(seed)  # noqa: S311 — to be repeated, not to be secret
        return [mutate(content, chance.choice(SEEDS), chance) for content in SEEDS * 20]

    assert made("1") == made("1")
    assert made("1") != made("2")
    assert max(map(len, made("1"))) <= LONGEST


def test_an_outcome_is_new_only_when_more_than_its_numbers_and_quotations_are() -> None:
    one, other = (Said("kind", (f'enc.yaml:{number}: no "{number}a"',)) for number in (1, 22))
    assert one.template == other.template
    assert one.template != Said("kind", ("enc.yaml:1: yes",)).template
    assert refused(UnusableInputError("no", hint="-", rule="R1")).template != refused(UnusableInputError("no")).template


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_what_the_fuzzer_starts_from_is_read_without_a_mistake_and_in_more_than_one_way(target: Target) -> None:
    outcomes = [try_out(target, content) for content in SEEDS]
    assert [mistake for _, mistake in outcomes if mistake is not None] == []
    assert len({outcome for outcome, _ in outcomes}) > 5
