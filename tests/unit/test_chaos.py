"""The long run among disruptions: what it may take away at once, and what it says when it is ended."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.chaos import __main__ as chaos
from tests.chaos.course import Course, Outcome
from tests.chaos.disruptions import Disruptions, Kind
from tests.museum.site import Site
from tests.support.seeded import Answered

SERVERS, MEMBERS = {"cp1", "cp2", "cp3"}, {"etcd1", "etcd2", "etcd3"}
WELL = Outcome("aescbc", 100.0, (6, 0), (), 9, 4000, 20, 2000, 0, 0)


def place() -> Site:
    made = SimpleNamespace(
        apiservers=("cp1", "cp2", "cp3"), members=("etcd1", "etcd2", "etcd3"), leader=lambda: "etcd2"
    )
    return cast("Site", made)


@pytest.mark.parametrize("seed", range(20))
def test_a_quorum_and_an_api_server_are_always_left(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 — which accident comes next, not a key
    disruptions = Disruptions(place(), chance)
    kinds = [kind for kind in Kind if kind is not Kind.KEYCTL_KILLED]
    picked = [disruptions._pick(chance.choice(kinds)) for _ in range(40)]
    away = [name for name in picked if name is not None]
    assert len(away) == len(set(away)) == 3
    assert len(SERVERS & set(away)) == 2
    assert len(MEMBERS & set(away)) == 1


def test_the_leader_is_the_one_that_leads() -> None:
    disruptions = Disruptions(place(), random.Random(1))  # noqa: S311 — as above
    assert disruptions._pick(Kind.LEADER_PAUSED) == "etcd2"


@pytest.mark.parametrize(
    ("then", "code", "last"),
    [
        pytest.param(KeyboardInterrupt(), 130, "interrupted", id="interrupted"),
        pytest.param(Outcome("aesgcm", 1.0, (0,), ("x is lost",), 0, 0, 0, 0, 0, 1), 1, "x is lost", id="lost"),
        pytest.param(WELL, 0, "rotation 2: aescbc", id="well"),
    ],
)
def test_however_it_ends_what_was_counted_is_told(
    then: Outcome | KeyboardInterrupt,
    code: int,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = iter([WELL, then])

    def rotate(course: Course) -> Outcome:
        found = next(outcomes)
        if isinstance(found, KeyboardInterrupt):
            raise found
        course.outcomes.append(found)
        return found

    @contextmanager
    def nowhere(_: Path) -> Iterator[object]:
        yield SimpleNamespace(seeded=SimpleNamespace(keyctl=lambda *_: Answered(0, "", "")))

    monkeypatch.setattr(chaos, "site", nowhere)
    monkeypatch.setattr(Course, "rotate", rotate)
    monkeypatch.setattr(chaos, "_versions", lambda: "these")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["chaos", "--rotations", "2", "--seed", "5"])
    assert chaos.main() == code
    said = capsys.readouterr().out
    assert last in said
    assert "| seed | 5 |" in said
    assert "| exit codes | 0: " in said
