"""The password of the way back: nobody else's to read, there before it is of use, gone when nothing needs it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_access.rope import RopeFile


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
