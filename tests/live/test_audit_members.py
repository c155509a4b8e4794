"""`keyctl audit` beside real etcds: what it tries at their ports, and what they say of themselves."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from keyctl.audit.checks.catalogue import CHECKS
from keyctl.audit.facts import Facts, Placed, Program
from keyctl.audit.live import processes
from keyctl.audit.live.members import EtcdState
from keyctl.audit.verdicts import Verdict
from keyctl.cli import audited_members
from keyctl.cluster_file.settings import ClusterSettings, EtcdConnection, EtcdSettings, FileKeySettings
from keyctl.findings import Evidence, Status
from keyctl.pki import refusals
from keyctl.pki.issue import Issued
from keyctl.pki.probe import Target
from keyctl.pki.survey import Attempt, Outcome
from tests.support import etcd_process
from tests.support.etcd_process import RunningEtcd, free_port, running_etcd, write_secret

pytestmark = pytest.mark.live

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.contextmanager
def started(folder: Path, authority: trustme.CA, *flags: str) -> Generator[RunningEtcd]:
    """An etcd that is set up right, its peer port too, but for `flags`."""
    peer = authority.issue_cert("127.0.0.1", common_name="peer")
    url = f"https://127.0.0.1:{free_port()}"
    (folder / "peer").mkdir()
    right = {
        "listen-peer-urls": url,
        "initial-advertise-peer-urls": url,
        "initial-cluster": f"one={url}",
        "peer-cert-file": write_secret(folder / "peer" / "peer.crt", *peer.cert_chain_pems),
        "peer-key-file": write_secret(folder / "peer" / "peer.key", peer.private_key_pem),
        "peer-trusted-ca-file": write_secret(folder / "peer" / "ca.crt", authority.cert_pem),
        "peer-client-cert-auth": "true",
        "feature-gates": "InitialCorruptCheck=true",
    }
    with running_etcd(folder, authority, *(f"--{name}={value}" for name, value in right.items()), *flags) as etcd:
        yield etcd


def seen(etcd: RunningEtcd) -> Facts:
    """Everything that the audit of a cluster with this etcd collects about it, its process included."""
    connection = EtcdConnection((etcd.url,), etcd.tls.ca, etcd.tls.cert, etcd.tls.key)
    settings = ClusterSettings("live", EtcdSettings(connection), FileKeySettings(Path("/nowhere")))
    of_process = (one for one in processes.running() if isinstance(one, Program) and _is_of(one, etcd))
    found: tuple[Placed, ...] = (*audited_members.look(settings), *of_process)
    return Facts(datetime.now(UTC).date(), found)


def _is_of(program: Program, etcd: RunningEtcd) -> bool:
    return any(one.name == "data-dir" and one.value == str(etcd.data) for one in program.settings)


def said(id: str, facts: Facts) -> list[Verdict]:
    check = next(one for one in CHECKS if one.rule.id == id)
    return list(check.judge(facts))


def statuses(id: str, facts: Facts) -> list[Status]:
    return [one.status for one in said(id, facts)]


def test_an_etcd_that_is_set_up_right_is_right_at_every_port(tmp_path: Path, authority: trustme.CA) -> None:
    with started(tmp_path, authority) as etcd:
        etcd.etcdctl("put", "/registry/secrets/a", "1")
        etcd.etcdctl("put", "compact_rev_key", "1")
        facts = seen(etcd)
        at_hand = Issued(authority.cert_pem.bytes(), authority.private_key_pem.bytes())
        us = Target("", 0, etcd.tls.ca, etcd.tls.cert, etcd.tls.key)
        with refusals.surveyor(us, 3, now=datetime.now(UTC), authority=at_hand) as prober:
            expired = prober.survey("127.0.0.1", etcd.port, own=True).answer(Attempt.EXPIRED)
    assert expired.outcome is Outcome.REFUSED, expired
    ports = said("KC-TLS-009", facts)
    assert [(one.status, one.evidence) for one in ports] == [(P, Evidence.E3)] * 2, ports
    assert {one.message.split(" refuses")[0] for one in ports} == {"the client port of one", "the peer port of one"}
    strong = [one for one in said("KC-TLS-010", facts) if one.evidence is Evidence.E3]
    assert [one.status for one in strong] == [P, P], strong
    assert statuses("KC-TLS-011", facts) == [P, P]
    assert statuses("KC-AUTH-002", facts) == [N]
    assert statuses("KC-LOG-005", facts) == [P]
    assert [(one.status, one.evidence) for one in said("KC-VER-001", facts)] == [(P, Evidence.E2)]
    assert statuses("KC-VER-002", facts) == [P]
    assert [(one.status, one.evidence) for one in said("KC-TLS-002", facts)] == [(P, Evidence.E2)]


def test_an_etcd_that_asks_for_no_certificates_lets_strangers_in(tmp_path: Path, authority: trustme.CA) -> None:
    with started(tmp_path, authority, "--client-cert-auth=false", "--trusted-ca-file=") as etcd:
        facts = seen(etcd)
    failed = [one.message for one in said("KC-TLS-009", facts) if one.status is F]
    assert len(failed) == 2, failed
    assert "the client port of one lets in who comes without a certificate" in failed[0]
    assert "the client port of one lets in who comes with a certificate of another CA" in failed[1]
    assert statuses("KC-TLS-002", facts) == [F]


def test_plain_http_is_found_between_peers_beside_https_and_on_the_port_of_https(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, beside = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    for name, plain in (("beside", beside), ("same", tls)):
        # The first port that it asks for is that of clients.
        monkeypatch.setattr(etcd_process, "free_port", iter((int(tls.rpartition(":")[2]), free_port())).__next__)
        urls = f"https://{tls},http://{plain}"
        (tmp_path / name).mkdir()
        flags = (f"--listen-client-urls={urls}", f"--advertise-client-urls={urls}")
        with running_etcd(tmp_path / name, authority, *flags) as etcd:
            failed = [one for one in said("KC-TLS-009", seen(etcd)) if one.status is F]
        assert [(one.location.endpoint or "").partition("://")[2] == plain for one in failed] == [True, False]
        assert "the client port of one lets in who comes without TLS: it answered in plaintext" in failed[0].message
        assert "the peer port of one lets in who comes without TLS: it answered in plaintext" in failed[1].message


def test_keys_of_others_need_users_and_roles(tmp_path: Path, authority: trustme.CA) -> None:
    with started(tmp_path, authority) as etcd:
        etcd.etcdctl("put", "/calico/a", "1")
        etcd.etcdctl("put", "zzz", "1")
        (without,) = said("KC-AUTH-002", seen(etcd))
        etcd.etcdctl("user", "add", "root:root-pass")
        etcd.etcdctl("user", "grant-role", "root", "root")
        etcd.etcdctl("user", "add", "client", "--no-password")
        etcd.etcdctl("user", "grant-role", "client", "root")
        etcd.etcdctl("auth", "enable")
        (with_users,) = said("KC-AUTH-002", seen(etcd))
        etcd.etcdctl("user", "revoke-role", "client", "root", user="root:root-pass")
        unprivileged = seen(etcd)
    assert (without.status, "holds 2 keys that are not Kubernetes'" in without.message) == (F, True)
    assert with_users.status is P
    # Who may read nothing learns all the same that users and roles are on.
    (state,) = unprivileged.of(EtcdState)
    assert (state.auth, state.others, "permission denied" in state.untold) == (True, None, True)
    assert statuses("KC-AUTH-002", unprivileged) == [P]


def test_an_alarm_that_stands_is_told(tmp_path: Path, authority: trustme.CA) -> None:
    with started(tmp_path, authority, "--quota-backend-bytes=65536") as etcd:
        for number in range(4):
            with contextlib.suppress(subprocess.CalledProcessError):
                etcd.etcdctl("put", f"/registry/{number}", "x" * 50_000)
        facts = seen(etcd)
    (alarm,) = said("KC-LOG-005", facts)
    assert (alarm.status, "alarm NOSPACE stands against member" in alarm.message) == (F, True)


def test_an_etcd_that_is_down_is_unknown_and_never_right(tmp_path: Path, authority: trustme.CA) -> None:
    with started(tmp_path, authority) as etcd:
        pass
    facts = seen(etcd)
    assert statuses("KC-TLS-009", facts) == [U]
    assert statuses("KC-TLS-010", facts) == [U, U, U]
    assert statuses("KC-TLS-011", facts) == [U]
    assert [one.about for one in facts.unread] == [frozenset({"running etcd member"})]
    assert statuses("KC-VER-001", facts) == [U]
