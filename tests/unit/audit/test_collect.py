"""Reading files and directories: each once, in a fixed order, with modes, and with what could not be read."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.audit.checks import files
from keyctl.audit.collect import collect
from keyctl.audit.facts import Facts, Git
from keyctl.audit.sources.git_index import is_tracked
from keyctl.errors import UnusableInputError
from keyctl.pki.issue import new_authority
from tests.unit.audit.given import GOOD_CONFIG, TODAY
from tests.unit.audit.test_sources import STATIC_POD


def collected(*paths: Path) -> Facts:
    return collect(paths, today=TODAY)


def test_a_directory_is_read_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "manifests").mkdir(parents=True)
    (tmp_path / "a" / "manifests" / "pod.yaml").write_text(STATIC_POD)
    (tmp_path / "enc.json").write_text(GOOD_CONFIG)
    (tmp_path / "README.md").write_text(STATIC_POD)
    (tmp_path / "other.yaml").write_text("nothing: here\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "enc.yaml").write_text(GOOD_CONFIG)
    found = collected(tmp_path)
    assert (len(found.api_servers), len(found.etcds), len(found.configurations), found.looked) == (1, 1, 1, 3)
    assert {one.role for one in found.files} == {files.MANIFEST, files.ENCRYPTION_CONFIG}


def test_a_file_is_looked_at_once_whatever_its_names(tmp_path: Path) -> None:
    (tmp_path / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "link.yaml").symlink_to("enc.yaml")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(collected(tmp_path, tmp_path / "enc.yaml").configurations) == 1


def test_names_are_as_the_user_gave_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "enc.yaml").write_text(GOOD_CONFIG)
    monkeypatch.chdir(tmp_path)
    assert collected(Path()).configurations[0].location.file == "enc.yaml"


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="there is no"):
        collected(tmp_path / "nothing")


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "enc.yaml").write_text(GOOD_CONFIG)

    def refuse(path: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    found = collected(tmp_path)
    assert found.configurations == ()
    assert [(one.reason, one.location.file) for one in found.unread] == [
        ("permission denied", str(tmp_path / "enc.yaml"))
    ]


def test_a_file_too_large_for_a_configuration_is_told_when_it_looks_like_one(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(GOOD_CONFIG + "#" * 1024 * 1024)
    (tmp_path / "dashboard.json").write_text("{}" + " " * 1024 * 1024 * 2)
    found = collected(tmp_path)
    assert [one.location.file for one in found.unread] == [str(tmp_path / "large.yaml")]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert collected(tmp_path).looked == 0
    with pytest.raises(UnusableInputError, match="neither a file nor a directory"):
        collected(tmp_path / "pipe.yaml")


def test_a_directory_that_may_not_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [one.location.file for one in collected(tmp_path).unread] == [str(tmp_path / "closed")]


def test_certificates_keys_snapshots_and_data_directories_are_known_by_what_they_hold(tmp_path: Path) -> None:
    ca = new_authority("etcd-ca", now=datetime.now(UTC), lifetime=timedelta(days=3650))
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    (tmp_path / "ca.key").write_bytes(ca.private_key)
    (tmp_path / "ca.key").chmod(0o640)
    database = bytes(16) + b"\xed\xda\x0c\xed" + bytes(100)
    (tmp_path / "backup.db").write_bytes(database)
    (tmp_path / "etcd" / "member" / "snap").mkdir(parents=True)
    (tmp_path / "etcd" / "member" / "snap" / "db").write_bytes(database)
    (tmp_path / "etcd").chmod(0o755)
    found = collected(tmp_path)
    modes = {one.role: (one.mode, one.path) for one in found.files}
    assert modes[files.PRIVATE_KEY] == (0o640, str(tmp_path / "ca.key"))
    assert modes[files.DATA_DIRECTORY] == (0o755, str(tmp_path / "etcd"))
    assert modes[files.SNAPSHOT][1] == str(tmp_path / "backup.db")
    (certificate,) = found.certificates
    assert (certificate.is_ca, certificate.key_type) == (True, "EC")
    assert certificate.not_after.date() > TODAY


def test_git_says_which_files_it_tracks(tmp_path: Path) -> None:
    for name in ("enc.yaml", "other.yaml"):
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "conf" / name).write_text(GOOD_CONFIG)
    (tmp_path / ".git").mkdir()
    assert {one.git for one in collected(tmp_path).files} == {Git.UNTRACKED}
    (tmp_path / ".git" / "index").write_bytes(index("conf/enc.yaml"))
    assert {Path(one.path).name: one.git for one in collected(tmp_path).files} == {
        "enc.yaml": Git.TRACKED,
        "other.yaml": Git.UNTRACKED,
    }
    (tmp_path / ".git" / "index").write_bytes(index("conf/enc.yaml", version=4))
    assert {one.git for one in collected(tmp_path).files} == {Git.UNTOLD}


def index(*paths: str, version: int = 2) -> bytes:
    """An index of Git with these paths, of which nothing else is known."""
    entries = b"".join(bytes(60) + len(path).to_bytes(2, "big") + path.encode() + b"\0" * 4 for path in paths)
    return b"DIRC" + version.to_bytes(4, "big") + len(paths).to_bytes(4, "big") + entries


def test_a_path_that_only_ends_alike_is_not_tracked() -> None:
    assert is_tracked(index("b/a/enc.yaml"), b"a/enc.yaml") is False
    assert is_tracked(index("b/a/enc.yaml", "a/enc.yaml"), b"a/enc.yaml") is True
    assert is_tracked(b"nothing", b"a") is None


def test_gits_own_index_is_understood(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "init.defaultBranch=main"]
    (tmp_path / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "later.yaml").write_text(GOOD_CONFIG)
    subprocess.run([*git, "init", "-q"], check=True, capture_output=True, timeout=30)
    subprocess.run([*git, "add", "enc.yaml"], check=True, capture_output=True, timeout=30)
    assert {Path(one.path).name: one.git for one in collected(tmp_path).files} == {
        "enc.yaml": Git.TRACKED,
        "later.yaml": Git.UNTRACKED,
    }


def test_the_kubelet_reads_every_file_of_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "pod.yaml.bak").write_text(STATIC_POD)
    (tmp_path / "manifests" / ".pod.swp").write_text(STATIC_POD)
    assert len(collected(tmp_path).api_servers) == 1
    monkeypatch.chdir(tmp_path / "manifests")
    found = collected(Path())
    assert ([one.role for one in found.files], len(found.api_servers)) == ([files.MANIFEST], 1)


def test_a_snapshot_may_have_a_date_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "snapshot-2026.10.01").write_bytes(bytes(16) + b"\xed\xda\x0c\xed" + bytes(100))
    assert [one.role for one in collected(tmp_path).files] == [files.SNAPSHOT]


def test_a_link_to_nothing_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "enc.yaml").symlink_to("nowhere")
    assert collected(tmp_path).found == ()
