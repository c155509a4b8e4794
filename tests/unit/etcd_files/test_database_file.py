from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.database_file import opened


def test_a_missing_an_empty_and_a_wrong_kind_of_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "absent": "cannot be read",
        "empty": "is empty",
        "folder": "is a directory",
        "pipe": "no regular file",
    }
    for name, words in cases.items():
        with pytest.raises(UnusableInputError, match=words), opened(tmp_path / name):
            pass


def test_holes_are_left_out_where_they_are_large_enough(tmp_path: Path) -> None:
    megabyte = 1 << 20
    with (tmp_path / "f").open("wb") as file:
        for at in (0, 3 * megabyte, 20 * megabyte):
            file.seek(at)
            file.write(b"x" * 4096)
        file.truncate(40 * megabyte)
    with opened(tmp_path / "f") as file:
        found = list(file.filled(0, 40 * megabyte, 8 * megabyte))
        assert found == [(0, 3 * megabyte + 4096), (20 * megabyte, 20 * megabyte + 4096)]
        assert list(file.filled(0, 40 * megabyte, 30 * megabyte)) == [(0, 40 * megabyte)]
        assert list(file.filled(20 * megabyte + 8192, 40 * megabyte, 8 * megabyte)) == []


def test_where_no_holes_are_known_nothing_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: int) -> int:
        raise OSError(22, "Invalid argument")

    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.setattr(os, "lseek", unknown)
    with opened(tmp_path / "f") as file:
        assert list(file.filled(0, 1 << 30, 1)) == [(0, 1 << 30)]


def test_every_slice_of_a_file_is_what_the_file_holds(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    (tmp_path / "f").write_bytes(content)
    slices = [
        (0, 16),
        (16, 32),
        (16, 300000),
        (300000, 300010),
        (300010, 512000),
        (511990, 600000),
        (5, 9),
        (600000, 600001),
    ]
    with opened(tmp_path / "f") as file:
        assert all(file[start:end] == content[start:end] for start, end in slices)


def test_what_becomes_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    with opened(path) as file:
        assert file.changed() is None
        os.utime(path, ns=(1, 1))
        assert file.changed() == "it was written to"
        with path.open("ab") as stream:
            stream.write(b"more")
        assert file.changed() == "it had 7 bytes, and has 11 now"
        path.with_suffix(".new").write_bytes(b"content")
    with opened(path) as file:
        path.with_suffix(".new").replace(path)
        assert file.changed() == file.moved() == "another file took its name"
    with opened(path) as file:
        path.unlink()
        assert file.changed() == "it was removed"
