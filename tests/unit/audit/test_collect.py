"""Reading files and directories: each once, in a fixed order, with modes, and with what could not be read."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.audit import walk, work_trees
from keyctl.audit.checks import files
from keyctl.audit.collect import collect
from keyctl.audit.facts import About, Facts, Git
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
    # It may have been anything.
    assert {About.CERTIFICATE, About.FILE, About.CONFIGURATION} <= found.unread[0].about


def test_a_file_too_large_for_a_configuration_is_told_when_it_looks_like_one(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(GOOD_CONFIG + "#" * 1024 * 1024)
    (tmp_path / "dashboard.json").write_text("{}" + " " * 1024 * 1024 * 2)
    found = collected(tmp_path)
    assert [one.location.file for one in found.unread] == [str(tmp_path / "large.yaml")]


def test_certificates_behind_what_is_read_of_a_file_are_not_taken_for_none(tmp_path: Path) -> None:
    authority = new_authority("etcd-ca", now=datetime.now(UTC), lifetime=timedelta(days=3650))
    (tmp_path / "bundle.pem").write_bytes(authority.certificate + b"#\n" * 1024 * 1024)
    found = collected(tmp_path)
    assert [one.path for one in found.certificates] == [str(tmp_path / "bundle.pem")]
    assert [About.CERTIFICATE in one.about for one in found.unread] == [True]


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


def test_a_directory_that_may_not_be_looked_at_is_told_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "enc.yaml").write_text(GOOD_CONFIG)
    looked = walk.identity

    def refuse(directory: Path) -> tuple[int, int]:
        if directory.name == "closed":
            raise PermissionError(13, "Permission denied", str(directory))
        return looked(directory)

    monkeypatch.setattr(walk, "identity", refuse)
    found = collected(tmp_path)
    assert [one.location.file for one in found.unread] == [str(tmp_path / "closed")]
    assert [one.location.file for one in found.configurations] == [str(tmp_path / "open" / "enc.yaml")]


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


def test_a_directory_behind_a_link_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "conf").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "given" / "again").symlink_to(tmp_path / "elsewhere" / "deep")
    found = collected(tmp_path / "given")
    assert [one.location.file for one in found.configurations] == [str(tmp_path / "given" / "again" / "enc.yaml")]
    both = collected(tmp_path)
    assert [one.location.file for one in both.configurations] == [str(tmp_path / "elsewhere" / "deep" / "enc.yaml")]


def test_a_link_upwards_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "given" / "deep").mkdir(parents=True)
    (tmp_path / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "given" / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "given" / "deep" / "self").symlink_to(tmp_path / "given")
    assert collected(tmp_path / "given").found == ()


def test_a_link_into_the_kernel_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "kernel").symlink_to("/proc/sys/kernel")
    assert (collected(tmp_path).looked, collected(tmp_path).unread) == (0, ())


def test_the_kubelets_directory_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "pod").write_text(STATIC_POD)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "manifests").symlink_to(tmp_path / "static")
    assert [one.role for one in collected(tmp_path / "etc").files] == [files.MANIFEST]


def test_what_a_link_leads_to_is_as_committed_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "prod").mkdir()
    (tmp_path / "prod" / "conf").symlink_to("../keys")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes(index("keys/enc.yaml", "prod/conf"))
    assert [one.git for one in collected(tmp_path / "prod").files] == [Git.TRACKED]


def test_modes_count_in_a_hosts_own_directory_that_is_kept_in_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc" / "kubernetes").mkdir(parents=True)
    (tmp_path / "etc" / "kubernetes" / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "etc" / ".git").mkdir()
    (tmp_path / "etc" / ".git" / "index").write_bytes(index("kubernetes/enc.yaml"))
    assert [(one.git, one.checkout) for one in collected(tmp_path).files] == [(Git.TRACKED, True)]
    assert set(work_trees.HOSTS_OWN) == {Path("/"), Path("/etc")}
    monkeypatch.setattr(work_trees, "HOSTS_OWN", (tmp_path / "etc",))
    assert [(one.git, one.checkout) for one in collected(tmp_path).files] == [(Git.TRACKED, False)]


def test_a_private_key_may_stand_behind_text_but_not_inside_a_document(tmp_path: Path) -> None:
    key = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    (tmp_path / "bag.key").write_bytes(b"Bag Attributes\n    friendlyName: x\n" + key)
    (tmp_path / "kubeconfig").write_bytes(b"data: |\n  " + key)
    assert [(one.role, Path(one.path).name) for one in collected(tmp_path).files] == [(files.PRIVATE_KEY, "bag.key")]


def test_the_directories_above_a_file_are_told_with_their_modes(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real").chmod(0o777)
    (tmp_path / "real" / "enc.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "conf").mkdir(mode=0o750)
    (tmp_path / "conf" / "enc.yaml").symlink_to(tmp_path / "real" / "enc.yaml")
    (one,) = collected(tmp_path / "conf").files
    modes = {path: mode for path, mode, _ in one.above}
    assert one.above[0][0] == str(tmp_path / "real")
    assert (modes[str(tmp_path / "real")], modes[str(tmp_path / "conf")]) == (0o777, 0o750)
    assert "/" in modes


def test_a_link_to_nothing_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "enc.yaml").symlink_to("nowhere")
    assert collected(tmp_path).found == ()
