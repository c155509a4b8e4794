"""`keyctl etcd-access` on a real control plane: with roles on everybody has what is theirs, no more."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
import trustme

from keyctl.cli import main
from keyctl.errors import ExitCode, RefusedError
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.tls import MutualTls
from keyctl.etcd_access.apply import Applier
from keyctl.lab.plane import Lab, running_lab
from keyctl.lab.topology import Settings
from keyctl.pki.issue import Issued, Subject, Usage, issue, write_pair
from tests.support.binaries import servers
from tests.support.etcd_process import running_etcd, write_client
from tests.support.hints import wrong_hints
from tests.support.real_kube import ask, create_secret
from tests.support.seeded import Answered
from tests.support.shell import Shell

pytestmark = pytest.mark.live

_LIFETIME = timedelta(hours=1)
PREFIX = b"/registry/"
SERVER = "kube-apiserver-etcd-client"


@dataclass(frozen=True)
class Scene:
    """A control plane with an etcd of its own, certificates of that etcd's CA by common name, and a shell."""

    lab: Lab
    shell: Shell
    pki: Path

    def access(self, verb: str, *words: str | Path, compaction: str = "etcd") -> Answered:
        """`keyctl etcd-access` as root, about everybody."""
        parties = (
            *("--apiserver-cert", self.lab.layout.pki / "etcd-client.crt"),
            *("--auditor-cert", self.pki / "auditor.crt", "--backup-cert", self.pki / "backup.crt"),
        )
        answered = self.as_("root", "etcd-access", verb, *parties, "--compaction", compaction, *words)
        assert wrong_hints([answered.stdout, answered.stderr]) == []
        return answered

    def as_(self, name: str, *words: str | Path) -> Answered:
        """keyctl with the certificate of `name`."""
        cert, key = self.pki / f"{name}.crt", self.pki / f"{name}.key"
        return self.shell.keyctl(*words, ETCDCTL_CERT=str(cert), ETCDCTL_KEY=str(key))

    def client(self, name: str, *urls: str) -> EtcdClient:
        """etcd with the certificate of `name`, over all endpoints or those of `urls`."""
        tls = MutualTls(
            Path(self.shell.variables["ETCDCTL_CACERT"]), self.pki / f"{name}.crt", self.pki / f"{name}.key"
        )
        return EtcdClient(urls or tuple(self.shell.variables["ETCDCTL_ENDPOINTS"].split(",")), tls)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("access")
    settings = Settings(name=f"test-access-{os.getpid()}", members=3, apiservers=1)
    with running_lab(settings, directory=folder / "lab", programs=servers(), progress=lambda _: None) as lab:
        pki = folder / "pki"
        pki.mkdir(mode=0o700)
        authority = Issued((lab.layout.pki / "etcd-ca.crt").read_bytes(), (lab.layout.pki / "etcd-ca.key").read_bytes())
        for name in ("root", "auditor", "backup", "stranger"):
            subject = Subject(common_name=name, usage=Usage.CLIENT)
            write_pair(pki, name, issue(authority, subject, now=datetime.now(UTC), lifetime=_LIFETIME))
        (pki / f"{SERVER}.crt").symlink_to(lab.layout.pki / "etcd-client.crt")
        (pki / f"{SERVER}.key").symlink_to(lab.layout.pki / "etcd-client.key")
        variables = {
            "ETCDCTL_ENDPOINTS": ",".join(member.client_url for member in lab.topology.members),
            "ETCDCTL_CACERT": str(lab.layout.pki / "etcd-ca.crt"),
        }
        yield Scene(lab, Shell(folder, variables), pki)


def may(scene: Scene, name: str) -> str:
    """What every member lets a certificate do: r(ead), w(rite), s(napshot), c(ompact), u(sers). All say the same."""
    urls = scene.shell.variables["ETCDCTL_ENDPOINTS"].split(",")
    (found,) = {_may(scene.client(name, url)) for url in urls}
    return found


def _may(reached: EtcdClient) -> str:
    with contextlib.closing(reached) as client:
        users = client.users()
        found = "r" if users.refusal_to_read(PREFIX) is None else ""
        found += "w" if users.refusal_to_write(PREFIX + b"x") is None else ""
        found += "s" if users.refusal_of_snapshot() is None else ""
        for letter, act in (("c", lambda: client.compact(2)), ("u", users.users)):
            with contextlib.suppress(RefusedError):
                act()
                found += letter
        return found


def kubernetes_works(scene: Scene, name: str) -> bool:
    """Whether the API server stores what it is given, reads it, and deletes it."""
    create_secret(scene.lab, "default", name)
    path = f"/api/v1/namespaces/default/secrets/{name}"
    return ask(scene.lab, "GET", path)[0] == 200 and ask(scene.lab, "DELETE", path)[0] == 200


@pytest.fixture
def turned_on(scene: Scene) -> Iterator[Answered]:
    answered = scene.access("apply", "--yes")
    assert answered.code == ExitCode.OK, answered.stderr
    yield answered
    assert scene.as_("root", "etcd-access", "apply", "--disable", "--yes").code == ExitCode.OK


EVERYBODY = ("root", SERVER, "auditor", "backup", "stranger")
EVERYTHING = "rwscu"


def test_with_roles_on_everybody_may_do_what_is_theirs_and_a_stranger_nothing(
    scene: Scene, turned_on: Answered
) -> None:
    allowed = {name: may(scene, name) for name in EVERYBODY}
    assert allowed == {"root": EVERYTHING, SERVER: "rw", "auditor": "r", "backup": EVERYTHING, "stranger": ""}
    assert kubernetes_works(scene, "with-roles")
    with contextlib.closing(scene.client("root")) as root:
        assert root.count(b"/registry/keyctl") == 0


def test_an_api_server_that_starts_with_roles_on_becomes_ready_and_works(scene: Scene, turned_on: Answered) -> None:
    scene.lab.restart("cp1")
    assert kubernetes_works(scene, "started-with-roles")


def test_the_auditor_runs_verify_secrets_and_nothing_else(scene: Scene, turned_on: Answered, tmp_path: Path) -> None:
    create_secret(scene.lab, "default", "seen-by-the-auditor")
    by_root, by_auditor = (scene.as_(name, "verify-secrets", "-o", "json") for name in ("root", "auditor"))
    assert by_auditor.code == by_root.code == ExitCode.PLAINTEXT
    summaries = [json.loads(one.stdout)["summary"] for one in (by_root, by_auditor)]
    assert summaries[0] == summaries[1]
    assert summaries[0]["plaintext"] > 0
    snapshot = scene.as_("auditor", "snapshot", "save", tmp_path / "auditor.db")
    assert (snapshot.code, (tmp_path / "auditor.db").exists()) == (ExitCode.UNREACHABLE, False)
    assert scene.as_("auditor", "sanitize", "--yes").code in (ExitCode.REFUSED, ExitCode.UNREACHABLE)
    assert scene.as_("auditor", "etcd-access", "apply", "--disable", "--yes").code == ExitCode.UNREACHABLE
    assert may(scene, "auditor") == "r"
    nobody = scene.as_("stranger", "verify-secrets")
    assert (nobody.code, "refused the request" in nobody.stderr) == (ExitCode.UNREACHABLE, True)


def test_the_backup_takes_a_snapshot(scene: Scene, turned_on: Answered, tmp_path: Path) -> None:
    with contextlib.closing(scene.client("backup")) as backup:
        assert backup.save_snapshot(tmp_path / "backup.db").size > 0


def test_check_says_off_then_right_then_what_somebody_else_changed(scene: Scene) -> None:
    off = scene.access("check", "-o", "json")
    assert off.code == ExitCode.FINDINGS
    assert failed(off) >= {"KC-ACC-001"}
    assert scene.access("apply", "--yes").code == ExitCode.OK
    right = scene.access("check", "-o", "json")
    assert (right.code, failed(right)) == (ExitCode.OK, set())
    with contextlib.closing(scene.client("root")) as root:
        root.users().add_user("stranger")
        root.users().give_role("stranger", "root")
        root.users().take_role("auditor", "keyctl-auditor")
        changed = scene.access("check", "-o", "json")
        assert failed(changed) == {"KC-ACC-002", "KC-ACC-004", "KC-ACC-006"}
        root.users().delete_user("stranger")
    assert scene.access("apply", "--yes").code == ExitCode.OK
    assert scene.access("check").code == ExitCode.OK
    assert scene.as_("root", "etcd-access", "apply", "--disable", "--yes").code == ExitCode.OK


def test_who_gets_at_secrets_by_way_of_the_api_is_listed(scene: Scene) -> None:
    def listed() -> dict[str, str]:
        words = ("--apiserver-cert", scene.pki / f"{SERVER}.crt", "--compaction", "etcd", "-o", "json")
        etcd = ("--cluster", scene.lab.cluster_file, "--cert", scene.pki / "root.crt", "--key", scene.pki / "root.key")
        # The endpoints of the environment would be about an etcd alone.
        shell = Shell(scene.shell.folder)
        document = json.loads(shell.keyctl("etcd-access", "check", *etcd, *words).stdout)
        return {one["message"]: one["status"] for one in document["findings"] if one["id"] == "KC-ACC-008"}

    assert set(listed().values()) == {"pass"}
    binding = {
        "metadata": {"name": "snoop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "snoop"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert ask(scene.lab, "POST", path, binding)[0] == 201
    ((message, status),) = listed().items()
    assert ask(scene.lab, "DELETE", f"{path}/snoop")[0] == 200
    assert status == "manual"
    assert "ServiceAccount default/snoop may read every Secret" in message
    assert "run commands in the Pods of kube-system" in message


def failed(answered: Answered) -> set[str]:
    """The ids of what a check found."""
    return {one["id"] for one in json.loads(answered.stdout)["findings"] if one["status"] == "fail"}


def test_a_plan_and_a_dry_run_change_nothing(scene: Scene) -> None:
    with contextlib.closing(scene.client("root")) as root:
        before = root.users().users(), root.users().roles()
        plan, rehearsed = scene.access("plan"), scene.access("apply", "--dry-run")
        assert (plan.code, rehearsed.code) == (ExitCode.OK, ExitCode.OK)
        assert "turn users and roles on" in plan.stdout
        assert rehearsed.stdout == plan.stdout
        assert ((root.users().users(), root.users().roles()), root.users().enabled()) == (before, False)
    assert scene.access("apply").code == ExitCode.REFUSED


def test_off_again_every_certificate_may_do_everything(scene: Scene, turned_on: Answered) -> None:
    assert may(scene, "stranger") == ""
    assert scene.as_("root", "etcd-access", "apply", "--disable", "--yes").code == ExitCode.OK
    assert may(scene, "stranger") == EVERYTHING
    assert kubernetes_works(scene, "off-again")


def test_only_as_root_does_an_api_server_compact(scene: Scene, turned_on: Answered) -> None:
    assert may(scene, SERVER) == "rw"
    widened = scene.access("apply", "--yes", compaction="apiserver")
    assert widened.code == ExitCode.OK, widened.stderr
    assert may(scene, SERVER) == EVERYTHING
    narrowed = scene.access("apply", "--yes")
    assert narrowed.code == ExitCode.OK, narrowed.stderr
    assert may(scene, SERVER) == "rw"
    assert kubernetes_works(scene, "narrowed")


def test_an_etcd_that_takes_no_common_name_for_a_user_is_left_as_it_was(tmp_path: Path) -> None:
    authority = trustme.CA()
    with running_etcd(tmp_path, authority, "--client-cert-auth=false") as etcd:
        for name in ("root", "api"):
            write_client(tmp_path, authority, authority, name)
        access = {"ENDPOINTS": etcd.url, "CACERT": str(etcd.tls.ca), "CERT": "root.crt", "KEY": "root.key"}
        shell = Shell(tmp_path, {f"ETCDCTL_{name}": value for name, value in access.items()})
        words = ("etcd-access", "apply", "--apiserver-cert", "api.crt", "--compaction", "etcd", "--yes")
        answered = shell.keyctl(*words)
        assert answered.code == ExitCode.STOPPED
        assert "user name is empty" in answered.stderr
        with contextlib.closing(EtcdClient((etcd.url,), etcd.tls)) as client:
            assert not client.auth_enabled()
            assert "keyctl-way-back" not in {user.name for user in client.users().users()}
        assert [path for path in shell.state.rglob("way-back*") if path.is_file()] == []


def test_killed_before_the_proof_where_nobody_is_anybody_the_kept_password_turns_users_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    with running_etcd(tmp_path, authority, "--client-cert-auth=false") as etcd:
        for name in ("root", "api"):
            write_client(tmp_path, authority, authority, name)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        access = ("--endpoints", etcd.url, "--cacert", str(etcd.tls.ca), "--cert", "root.crt", "--key", "root.key")
        words = ("etcd-access", "apply", "--yes", *access)
        parties = ("--apiserver-cert", "api.crt", "--compaction", "etcd")
        prove = Applier._prove
        monkeypatch.setattr(Applier, "_prove", _die)
        with pytest.raises(_KilledError):
            main.run([*words, *parties])
        monkeypatch.setattr(Applier, "_prove", prove)
        capsys.readouterr()
        # etcd tells nobody who is nobody even its id.
        assert main.run([*words, *parties]) == ExitCode.REFUSED
        assert "keyctl etcd-access apply --disable" in capsys.readouterr().err
        assert main.run([*words, "--disable"]) == ExitCode.OK
        with contextlib.closing(EtcdClient((etcd.url,), etcd.tls)) as client:
            assert not client.auth_enabled()
            assert "keyctl-way-back" not in {user.name for user in client.users().users()}
        assert [path for path in (tmp_path / "state").rglob("way-back*") if path.is_file()] == []


def _die(_: Applier) -> NoReturn:
    raise _KilledError


class _KilledError(BaseException):
    """Nothing in the program catches it."""


def test_etcds_own_compaction_asks_for_no_user(tmp_path: Path) -> None:
    authority = trustme.CA()
    retention = ("--auto-compaction-mode=periodic", "--auto-compaction-retention=1s")
    with running_etcd(tmp_path, authority, *retention) as etcd:
        tls = write_client(tmp_path, authority, authority, "root")
        with contextlib.closing(EtcdClient((etcd.url,), tls)) as root:
            root.users().add_user("root")
            root.users().give_role("root", "root")
            root.users().enable()
            assert not root.is_compacted(1)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not root.is_compacted(1):
                replace(etcd, tls=tls).etcdctl("put", "/registry/x", "1")
                time.sleep(0.5)
            assert root.users().enabled()
            assert root.is_compacted(1)
