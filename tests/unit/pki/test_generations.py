"""The next generation of a directory: made beside it, put in its place through any crash, or erased."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.errors import RefusedError
from keyctl.pki import authority, generations
from keyctl.pki.authority import Terms
from keyctl.pki.inspect import key_matches
from keyctl.pki.issue import KeyKind
from keyctl.pki.layout import Layout
from keyctl.pki.parties import Client, Member
from tests.support.kill_points import kill_points

DAY = timedelta(days=1)
TERMS = Terms(datetime.now(UTC), DAY)


def directory(place: Path, *, one_ca: bool = False, kind: KeyKind | None = None) -> Path:
    terms = Terms(TERMS.now, DAY, kind)
    authority.create(place, [Member("m1", ("10.0.0.1",))], [Client("c1")], terms, ca_lifetime=2 * DAY, one_ca=one_ca)
    return place


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("one_ca", [False, True])
def test_it_is_made_for_the_same_parties_with_keys_of_the_same_kind_and_nothing_else_changes(
    tmp_path: Path, one_ca: bool
) -> None:
    root = directory(tmp_path / "pki", one_ca=one_ca, kind=KeyKind.ED25519)
    before = content(root)
    made = generations.prepare(root, TERMS, ca_lifetime=2 * DAY)
    after = content(root)
    assert {name: after[name] for name in before} == before
    assert {f"next/{name}" for name in before} == set(after) - set(before)
    assert not set(before.values()) & set(content(made.root).values())
    assert key_matches(made.member("m1") / "server.crt", made.member("m1") / "server.key")
    generations.require_same_parties(root, TERMS.now)
    # What is there stays: hosts may have it.
    assert content(generations.prepare(root, TERMS, ca_lifetime=2 * DAY).root) == content(made.root)


def test_somebody_who_is_in_one_generation_alone_is_told(tmp_path: Path) -> None:
    root = directory(tmp_path / "pki")
    generations.prepare(root, TERMS, ca_lifetime=2 * DAY)
    authority.add(root, [], [Client("late")], TERMS)
    with pytest.raises(RefusedError, match="client late was issued or taken away"):
        generations.require_same_parties(root, TERMS.now)


def test_it_takes_the_place_of_the_present_one_killed_at_any_instant(tmp_path: Path) -> None:
    origin = directory(tmp_path / "origin")
    upcoming = content(generations.prepare(origin, TERMS, ca_lifetime=2 * DAY).root)
    root, points = tmp_path / "pki", 0
    shutil.copytree(origin, root)
    for _ in kill_points(lambda: generations.promote(root)):
        generations.promote(root)
        assert content(root) == upcoming
        assert not (root / "next").exists()
        shutil.rmtree(root)
        shutil.copytree(origin, root)
        points += 1
    assert points > 10
    assert content(root) == upcoming


def test_given_up_it_is_gone_and_the_present_one_is_as_it_was(tmp_path: Path) -> None:
    root = directory(tmp_path / "pki")
    before = content(root)
    generations.prepare(root, TERMS, ca_lifetime=2 * DAY)
    generations.discard(root)
    generations.discard(root)
    assert content(root) == before


def test_when_the_first_of_the_cas_ends(tmp_path: Path) -> None:
    assert generations.ends(Layout(directory(tmp_path / "pki"))) <= TERMS.now + 2 * DAY
