"""The password of the way back: nobody else's to read, there before it is of use, gone when nothing needs it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_access.rope import RopeFile, left_for


def test_a_password_is_kept_for_its_owner_alone_until_it_is_forgotten(tmp_path: Path) -> None:
    passwords = iter(("first", "second"))
    rope = RopeFile(tmp_path / "state" / "way-back", lambda: next(passwords))
    assert rope.kept() is None
    rope.forget()
    assert (rope.renew(), rope.kept()) == ("first", "first")
    assert (rope.renew(), rope.kept()) == ("second", "second")
    assert stat.S_IMODE(Path(rope.place).stat().st_mode) == 0o600
    rope.forget()
    assert rope.kept() is None
    assert list((tmp_path / "state").iterdir()) == []


def test_a_password_that_others_could_read_is_not_used(tmp_path: Path) -> None:
    rope = RopeFile(tmp_path / "way-back", lambda: "secret")
    rope.renew()
    Path(rope.place).chmod(0o644)
    with pytest.raises(UnusableInputError) as refused:
        rope.kept()
    assert "secret" not in f"{refused.value} {refused.value.cause}"


def test_a_way_back_is_found_by_the_endpoints_of_its_etcd_and_by_no_others(tmp_path: Path) -> None:
    endpoints = {"etcd-1": ("https://m1:2379", "https://m2:2379"), "etcd-2": ("https://m9:2379",)}
    for name, urls in endpoints.items():
        RopeFile(tmp_path / name / "way-back", f"of {name}".lower, urls).renew()
    paths = sorted(tmp_path.glob("etcd-*/way-back"))
    assert left_for(("https://m2:2379",), paths) == tmp_path / "etcd-1" / "way-back"
    assert left_for(("https://m9:2379",), paths) == tmp_path / "etcd-2" / "way-back"
    assert left_for(("https://m3:2379", "of etcd-1"), paths) is None
    assert RopeFile(paths[0], str).kept() == "of etcd-1"
