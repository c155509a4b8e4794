"""`keyctl etcd-access` as a user calls it, on an etcd in memory."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from keyctl.cli import main, wiring
from keyctl.cluster_file.settings import EtcdConnection
from keyctl.errors import ExitCode, UnreachableError
from keyctl.etcd.interface import EndpointStatus, Member
from keyctl.etcd_access.apply import Applier
from keyctl.etcd_access.wanted import WAY_BACK
from keyctl.pki.inventory import take
from keyctl.pki.issue import Subject, Usage, issue, new_authority, write_pair
from keyctl.rotation.journal import LocalLock
from tests.support.hints import wrong_hints
from tests.support.memory_users import MemoryAuth, MemoryUsers

URLS = ("https://m1:2379", "https://m2:2379")
SERVER = "kube-apiserver-etcd-client"
ONE_HOUR = timedelta(hours=1)


@dataclass
class Here:
    """A folder with certificates, and the etcd that every connection of keyctl leads to.

    `nobody` says that its members take no common name for a user; `down` are members that do not answer.
    """

    folder: Path
    capsys: pytest.CaptureFixture[str]
    auth: MemoryAuth = field(default_factory=MemoryAuth)
    members: tuple[str, ...] = URLS
    outside: int = 0
    nobody: bool = False
    down: tuple[str, ...] = ()
    opened: list[EtcdConnection] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)

    def keyctl(self, *words: str) -> tuple[int, str, str]:
        code = main.run(["etcd-access", *words])
        told = self.capsys.readouterr()
        assert wrong_hints([told.out, told.err]) == []
        assert [one for one in self.passwords if one in told.out + told.err] == []
        return code, told.out, told.err

    def as_(self, name: str, *words: str) -> tuple[int, str, str]:
        verb, *rest = words
        flags = ("--endpoints", ",".join(URLS), "--cacert", "ca.crt", "--cert", f"{name}.crt", "--key", f"{name}.key")
        return self.keyctl(verb, *flags, *rest)

    def as_root(self, *words: str) -> tuple[int, str, str]:
        return self.as_("root", *words, "--apiserver-cert", "server.crt", "--compaction", "etcd")


class FakeEtcd:
    """What a `GovernedEtcd` says of itself, as far as this command asks."""

    def __init__(self, here: Here, settings: EtcdConnection, login: tuple[str, str] | None) -> None:
        self._here, self._settings, self._login = here, settings, login

    def users(self) -> MemoryUsers:
        if self._login is not None:
            self._here.passwords.append(self._login[1])
            return MemoryUsers(self._here.auth, self._login[0], password=self._login[1])
        assert self._settings.cert is not None
        name = take((self._settings.cert,)).certificates[0].described.common_name
        return MemoryUsers(self._here.auth, name, names_count=not self._here.nobody)

    def status(self) -> tuple[EndpointStatus, ...]:
        urls = self._settings.endpoints
        if set(urls) & set(self._here.down):
            raise UnreachableError("etcd could not be reached")
        if self._here.nobody and self._here.auth.enabled:
            raise UnreachableError("etcd refused the request", cause="authorisation: user name is empty")
        return tuple(EndpointStatus(url, "3.7.3", "c1", url.removeprefix("https://")[:2], 1, 1, 0) for url in urls)

    def members(self) -> tuple[Member, ...]:
        return tuple(Member(url.removeprefix("https://")[:2], url, (url,), False) for url in self._here.members)

    def count_outside(self, prefix: bytes) -> int:
        return self._here.outside if prefix == b"/registry/" else 0

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    now = datetime.now(UTC)
    authority = new_authority("etcd", now=now, lifetime=ONE_HOUR)
    write_pair(tmp_path, "ca", authority)
    for stem, name in (("root", "root"), ("server", SERVER), ("auditor", "auditor"), ("backup", "backup")):
        subject = Subject(common_name=name, usage=Usage.CLIENT)
        write_pair(tmp_path, stem, issue(authority, subject, now=now, lifetime=ONE_HOUR))
    found = Here(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def etcd(settings: EtcdConnection, *, login: tuple[str, str] | None = None) -> FakeEtcd:
        found.opened.append(settings)
        return FakeEtcd(found, settings, login)

    monkeypatch.setattr(wiring, "etcd", etcd)
    return found


def test_the_next_step_of_a_plan_carries_it_out_and_a_check_then_passes(here: Here) -> None:
    parties = ("--auditor-cert", "auditor.crt", "--backup-cert", "backup.crt")
    code, out, _ = here.as_root("plan", *parties)
    assert (code, here.auth.changes) == (ExitCode.OK, [])
    (step,) = (line for line in out.splitlines() if line.startswith("next: "))
    code, _, err = here.keyctl(*shlex.split(step)[3:], "--yes")
    assert (code, here.auth.enabled) == (ExitCode.OK, True), err
    assert WAY_BACK not in here.auth.roles_of
    code, out, _ = here.as_root("check", *parties, "-o", "json")
    document = json.loads(out)
    assert (code, {one["status"] for one in document["findings"]}) == (ExitCode.OK, {"pass"})
    assert [path for path in here.folder.rglob("way-back") if path.exists()] == []


def test_a_dry_run_prints_the_plan_and_changes_nothing(here: Here) -> None:
    planned, rehearsed = here.as_root("plan"), here.as_root("apply", "--dry-run")
    assert planned == rehearsed
    assert here.auth.changes == []
    assert not (here.folder / "XDG_STATE_HOME").exists()


def test_off_a_terminal_nothing_is_changed_without_yes(here: Here) -> None:
    code, _, err = here.as_root("apply")
    assert (code, "say --yes" in err, here.auth.changes) == (ExitCode.REFUSED, True, [])
    here.auth.enabled = True
    here.auth.roles_of["root"] = ["root"]
    code, _, err = here.as_("root", "apply", "--disable")
    assert (code, "say --yes" in err, here.auth.enabled) == (ExitCode.REFUSED, True, True)


def test_turning_off_asks_for_nobodys_certificate_and_is_done_once(here: Here) -> None:
    assert here.as_root("apply", "--yes")[0] == ExitCode.OK
    code, out, _ = here.as_("root", "apply", "--disable", "--dry-run")
    assert (code, "nothing was changed" in out, here.auth.enabled) == (ExitCode.OK, True, True)
    assert here.as_("root", "apply", "--disable", "--yes")[0] == ExitCode.OK
    assert not here.auth.enabled
    code, out, _ = here.as_("root", "apply", "--disable", "--yes")
    assert (code, "were off already" in out) == (ExitCode.OK, True)


@pytest.mark.parametrize("flag", ["--apiserver-cert", "--auditor-key", "--compaction"])
def test_turning_off_takes_no_flag_that_it_would_not_honour(here: Here, flag: str) -> None:
    value = "etcd" if flag == "--compaction" else "server.crt"
    code, _, err = here.as_("root", "apply", "--disable", "--yes", flag, value)
    assert (code, flag in err, here.opened) == (ExitCode.USAGE, True, [])


def test_who_compacts_must_be_said_and_both_answers_are_told(here: Here) -> None:
    code, _, err = here.as_("root", "plan", "--apiserver-cert", "server.crt")
    assert code == ExitCode.USAGE
    assert ("--compaction apiserver" in err, "--compaction etcd" in err, here.opened) == (True, True, [])


def test_the_administrators_own_certificate_is_not_taken_for_the_api_servers(here: Here) -> None:
    code, _, err = here.as_("root", "plan", "--compaction", "etcd")
    assert (code, "--apiserver-cert FILE" in err) == (ExitCode.REFUSED, True)


def test_without_another_certificate_the_connections_is_the_api_servers(here: Here) -> None:
    code, _, err = here.as_("server", "plan", "--compaction", "etcd")
    assert (code, "could not" in err) == (ExitCode.REFUSED, True)
    code, out, _ = here.as_("server", "plan", "--compaction", "apiserver")
    assert (code, f"give the role root to the user {SERVER}" in out) == (ExitCode.OK, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--apiserver-key", "a.key", "--apiserver-key", "b.key"), ExitCode.USAGE, "once for each --apiserver-cert"),
        (("--auditor-key", "auditor.key"), ExitCode.USAGE, "a private key of the auditor, and no certificate"),
        (("--backup-cert", "ca.key"), ExitCode.UNUSABLE, "no certificate can be read from ca.key"),
        (("--backup-cert", "absent.crt"), ExitCode.UNUSABLE, "there is no absent.crt"),
        (("--auditor-cert", "server.crt"), ExitCode.REFUSED, "two users of etcd in one"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_opened(
    here: Here, words: tuple[str, ...], code: int, said: str
) -> None:
    found, _, err = here.as_root("plan", *words)
    assert (found, said in err, here.opened) == (code, True, []), err


def test_an_apply_needs_the_key_of_every_certificate_and_a_check_says_what_it_did_not_try(here: Here) -> None:
    (here.folder / "server.key").rename(here.folder / "elsewhere.key")
    code, _, err = here.as_root("apply", "--yes")
    assert (code, "no private key for server.crt" in err, here.auth.changes) == (ExitCode.USAGE, True, [])
    assert here.as_root("apply", "--yes", "--apiserver-key", "elsewhere.key")[0] == ExitCode.OK
    code, out, _ = here.as_root("check")
    assert (code, "was not tried: no private key for server.crt" in out) == (ExitCode.UNEVALUATED, True)
    code, _, err = here.as_root("apply", "--yes", "--apiserver-key", "elsewhere.key")
    assert code == ExitCode.OK, err


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_every_guard_holds_for_plan_and_apply(here: Here, verb: str) -> None:
    yes = ("--yes",) if verb == "apply" else ()
    here.outside = 2
    assert here.as_root(verb, *yes)[0] == ExitCode.REFUSED
    assert here.as_root(verb, *yes, "--etcd-prefix", "other/")[0] == ExitCode.OK
    here.outside, here.members = 0, (*URLS, "https://m3:2379")
    code, _, err = here.as_root(verb, *yes)
    assert (code, "m3" in err) == (ExitCode.REFUSED, True)


def test_a_login_with_a_password_is_refused(here: Here) -> None:
    (here.folder / "password").write_text("secret")
    _cluster_file(here, "  user: root\n  passwordFile: password\n")
    words = ("--apiserver-cert", "server.crt", "--compaction", "etcd")
    code, _, err = here.keyctl("apply", "--yes", *words)
    assert (code, "with a password" in err, here.auth.changes) == (ExitCode.REFUSED, True, [])


@pytest.mark.parametrize("distribution", ["k3s", "rke2"])
def test_a_distribution_that_administers_etcd_itself_is_not_locked_out_of_it(here: Here, distribution: str) -> None:
    _cluster_file(here, "", distribution)
    words = ("--apiserver-cert", "server.crt", "--compaction", "etcd")
    code, _, err = here.keyctl("apply", "--yes", *words)
    assert (code, distribution in err, here.opened) == (ExitCode.REFUSED, True, [])
    here.auth.enabled = True
    here.auth.roles_of["root"] = ["root"]
    assert here.keyctl("apply", "--disable", "--yes")[0] == ExitCode.OK


def test_an_etcd_beside_the_main_one_is_not_passed_over(here: Here) -> None:
    _cluster_file(here, "  overrides:\n  - {resources: [events], endpoints: ['https://events:2379']}\n")
    words = ("--apiserver-cert", "server.crt", "--compaction", "etcd")
    code, out, err = here.keyctl("apply", "--yes", *words)
    assert (code, "run it again with --endpoints https://events:2379" in out) == (ExitCode.OK, True), err
    code, out, _ = here.keyctl("check", *words)
    assert (code, "https://events:2379 was not looked at" in out) == (ExitCode.UNEVALUATED, True)
    assert here.as_root("check")[0] == ExitCode.OK
    _, out, _ = here.keyctl("apply", "--disable", "--yes")
    assert "run it again with --endpoints https://events:2379" in out


def test_an_etcd_beside_the_main_one_is_reached_with_its_own_files(here: Here) -> None:
    of_events = "cacert: events-ca.crt, cert: root.crt, key: root.key"
    _cluster_file(here, f"  overrides:\n  - {{resources: [events], endpoints: ['https://e1:2379'], {of_events}}}\n")
    here.members = ("https://e1:2379",)
    words = ("--endpoints", "https://e1:2379", "--apiserver-cert", "server.crt", "--compaction", "etcd")
    code, out, err = here.keyctl("apply", "--yes", *words)
    assert (code, "users and roles of its own" in out) == (ExitCode.OK, False), err
    assert {(one.endpoints, one.cacert) for one in here.opened} == {
        (("https://e1:2379",), here.folder / "events-ca.crt")
    }


def test_each_member_of_the_cluster_file_is_tried_by_its_own_name(here: Here) -> None:
    members = "".join(f"  - {{name: m{n}, endpoint: 'https://m{n}:2379', serverName: etcd-{n}}}\n" for n in (1, 2))
    _cluster_file(here, f"  members:\n{members}")
    code, _, err = here.keyctl("apply", "--yes", "--apiserver-cert", "server.crt", "--compaction", "etcd")
    assert code == ExitCode.OK, err
    names = {(one.endpoints, one.server_name) for one in here.opened if len(one.endpoints) == 1}
    assert names == {((url,), f"etcd-{number}") for number, url in enumerate(URLS, 1)}


def test_two_at_once_do_not_change_one_etcd(here: Here) -> None:
    lock = LocalLock(wiring.state_directory("etcd-c1"))
    lock.acquire()
    code, _, err = here.as_root("apply", "--yes")
    lock.release()
    assert (code, "another keyctl is at work" in err, here.auth.changes) == (ExitCode.REFUSED, True, [])


def test_killed_before_the_proof_where_nobody_is_anybody_they_are_turned_off_with_the_kept_password(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Applier) -> NoReturn:
        raise _KilledError

    here.nobody = True
    prove = Applier._prove
    monkeypatch.setattr(Applier, "_prove", die)
    with pytest.raises(_KilledError):
        here.as_root("apply", "--yes")
    monkeypatch.setattr(Applier, "_prove", prove)
    here.capsys.readouterr()
    assert here.auth.enabled
    for verb, *more in (("plan",), ("check",), ("apply", "--yes")):
        code, _, err = here.as_root(verb, *more)
        assert (code, "keyctl etcd-access apply --disable" in err) == (ExitCode.REFUSED, True), err
    code, _, err = here.as_("root", "apply", "--disable", "--yes")
    assert (code, here.auth.enabled, here.auth.passwords) == (ExitCode.OK, False, {}), err
    assert [path for path in here.folder.rglob("way-back") if path.exists()] == []


class _KilledError(BaseException):
    """Nothing in the program catches it."""


def test_one_member_that_is_down_does_not_keep_users_on(here: Here) -> None:
    assert here.as_root("apply", "--yes")[0] == ExitCode.OK
    here.down = URLS[:1]
    assert here.as_root("plan")[0] == ExitCode.UNREACHABLE
    code, _, err = here.as_("root", "apply", "--disable", "--yes")
    assert (code, here.auth.enabled) == (ExitCode.OK, False), err


def test_with_no_member_up_nothing_is_called_off(here: Here) -> None:
    here.down = URLS
    assert here.as_("root", "apply", "--disable", "--yes")[0] == ExitCode.UNREACHABLE


def _cluster_file(here: Here, etcd: str, distribution: str = "other") -> None:
    (here.folder / "keyctl.yaml").write_text(
        f"apiVersion: keyctl/v1\nkind: Cluster\nname: here\ndistribution: {distribution}\n"
        f"etcd:\n  endpoints: [{', '.join(URLS)}]\n  cacert: ca.crt\n  cert: root.crt\n  key: root.key\n{etcd}"
        "apiServers:\n- {name: cp1, url: 'https://cp1:6443', encryptionConfig: /enc.yaml}\n"
    )
