"""`keyctl exporter`: what it refuses before anything is looked at, and what one look at everything prints."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

import keyctl
from keyctl.backup.register import note_deleted
from keyctl.cli import main, verification
from keyctl.cli.checkup import subject
from keyctl.cli.commands import exporter
from keyctl.cli.exporting import Looks
from keyctl.cli.options import Connection
from keyctl.errors import ExitCode, UnreachableError, UnusableInputError
from keyctl.exporter.catalogue import FAMILIES, INTERVALS, Source
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.file_store import FileKeyStore
from keyctl.kube.servers import HttpApiServer
from keyctl.pki.issue import Subject, Usage, issue, new_authority, write_pair
from tests.support.hints import wrong_hints
from tests.support.running_exporter import Served, running_exporter

# Nobody listens there: a look at this cluster ends at once, with nothing.
CLUSTER = """
apiVersion: keyctl/v1
kind: Cluster
name: nowhere
etcd: {endpoints: ["https://127.0.0.1:1"], cacert: ca.crt, cert: client.crt, key: client.key, timeout: 1s}
keys: {store: file, directory: keys}
apiServers:
- {name: cp1, url: "https://127.0.0.1:2", encryptionConfig: enc.yaml}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1", common_name="client")
    (tmp_path / "keyctl.yaml").write_text(CLUSTER)
    (tmp_path / "ca.crt").write_bytes(authority.cert_pem.bytes())
    (tmp_path / "client.crt").write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    (tmp_path / "client.key").write_bytes(pair.private_key_pem.bytes())
    (tmp_path / "keys").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("KUBECONFIG", "ETCDCTL_ENDPOINTS", "KEYCTL_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def looks(folder: Path, *certificates: Path) -> Looks:
    given = Connection(folder / "keyctl.yaml", None, None, None, None, None)
    return Looks(subject.find(given), given, certificates)


PAIR = ("--tls-cert", "client.crt", "--tls-key", "client.key")
REFUSED = [
    pytest.param(["--listen", "0.0.0.0:9553"], ExitCode.REFUSED, id="everybody, unasked"),
    pytest.param(
        ["--listen", "0.0.0.0:9553", "--tls-cert", "client.crt", "--tls-key", "client.key"],
        ExitCode.REFUSED,
        id="TLS alone",
    ),
    pytest.param(["--listen", "localhost:9553"], ExitCode.USAGE, id="a name"),
    pytest.param(["--listen", "127.0.0.1:99999"], ExitCode.USAGE, id="no port"),
    pytest.param(["--listen", "127.0.0.1"], ExitCode.USAGE, id="no port at all"),
    pytest.param(["--tls-cert", "client.crt"], ExitCode.USAGE, id="a certificate without a key"),
    pytest.param(["--client-ca", "ca.crt"], ExitCode.USAGE, id="client certificates without TLS"),
    pytest.param(["--tls-cert", "ca.crt", "--tls-key", "client.key"], ExitCode.UNUSABLE, id="a key of another one"),
    pytest.param(
        ["--tls-cert", "client.crt", "--tls-key", "client.key", "--client-ca", "client.key"],
        ExitCode.UNUSABLE,
        id="a CA that is none",
    ),
    pytest.param(["--interval", "values"], ExitCode.USAGE, id="an interval without a time"),
    pytest.param(["--interval", "weather=5m"], ExitCode.USAGE, id="a source that there is not"),
    pytest.param(["--interval", "values=0s"], ExitCode.USAGE, id="all the time"),
    pytest.param(["--interval", "keys=5m", "--without", "keys"], ExitCode.USAGE, id="an interval of nothing"),
    pytest.param(["--once", "--listen", "127.0.0.1:9553"], ExitCode.USAGE, id="nothing is served once"),
    pytest.param(["--once", "--interval", "keys=5m"], ExitCode.USAGE, id="once has no interval"),
    pytest.param(["--once", "--load", "5"], ExitCode.USAGE, id="once has no budget"),
    pytest.param([*PAIR, "--client-ca", "ca.crt", "--allow-unauthenticated"], ExitCode.USAGE, id="both"),
    pytest.param(["--load", "nan"], ExitCode.USAGE, id="a load that is no number"),
    pytest.param(["--load", "0"], ExitCode.USAGE, id="no load at all"),
    pytest.param(["--certificates", "nowhere"], ExitCode.USAGE, id="certificates that are not there"),
    pytest.param([word for one in Source for word in ("--without", one.value)], ExitCode.USAGE, id="nothing left"),
]


@pytest.mark.parametrize(("arguments", "code"), REFUSED)
def test_what_is_wrong_is_said_before_anything_is_looked_at(
    folder: Path,
    arguments: list[str],
    code: ExitCode,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keyctl.exporter.watch.Watch._turn", lambda *_: pytest.fail("it was looked at"))
    assert main.run(["exporter", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert wrong_hints([said.err]) == []


def test_one_look_at_a_cluster_that_is_away_says_so_and_calls_nothing_right(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["exporter", "--once"]) == ExitCode.UNREACHABLE
    said = capsys.readouterr()
    served = Served(said.out)
    assert {one for one in Source if served.value("keyctl_source_up", source=one) == 0} == {
        Source.VALUES,
        Source.ALARMS,
    }
    assert served.value("keyctl_exporter_info", cluster="nowhere", version=keyctl.__version__) == 1
    assert served.value("keyctl_etcd_endpoint_up", endpoint="https://127.0.0.1:1") == 0
    assert served.value("keyctl_apiserver_state", server="cp1", state="unknown") == 1
    assert not [
        name for name in served.names() if name.startswith(("keyctl_stored", "keyctl_verify", "keyctl_etcd_alarms"))
    ]
    assert "values: error: " in said.err
    assert wrong_hints([line.removeprefix("values: ") for line in said.err.splitlines()]) == []


def test_what_is_left_out_is_neither_looked_at_nor_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for one in Source if one is not Source.KEYS for word in ("--without", one.value)]
    assert main.run(["exporter", "--once", *words]) == ExitCode.OK
    served = Served(capsys.readouterr().out)
    assert served.values_of("keyctl_source_up", "source") == [Source.KEYS]
    assert served.value("keyctl_key_max_age_seconds") == 90 * 86_400


def test_without_a_cluster_file_there_are_no_keys_backups_and_rotations_to_look_at(folder: Path) -> None:
    found = looks(folder)
    everything = {one.source for one in found.watched({}, ())}
    assert everything == set(Source)
    bare = Looks(subject.Subject(found.subject.settings, "a manifest", described=False), found.given)
    assert everything - {one.source for one in bare.watched({}, ())} == {Source.KEYS, Source.BACKUPS, Source.ROTATION}


def test_each_source_has_its_usual_interval_or_the_one_that_was_said(folder: Path) -> None:
    watched = {one.source: one.interval for one in looks(folder).watched({Source.VALUES: 7.0}, ())}
    assert watched == {one: time.total_seconds() for one, time in INTERVALS.items()} | {Source.VALUES: 7.0}
    assert exporter._intervals(None, None, ("values=5m", "keys=90s", "etcd=1h")) == {  # type: ignore[arg-type]  # unused
        Source.VALUES: 300.0,
        Source.KEYS: 90.0,
        Source.ETCD: 3600.0,
    }


def test_certificates_are_those_of_the_cluster_file_those_presented_and_those_named(folder: Path) -> None:
    named = folder / "pki"
    named.mkdir()
    now = datetime.now(UTC)
    authority = new_authority("a", now=now, lifetime=timedelta(days=9))
    write_pair(named, "ca", authority)
    subject_of = Subject(common_name="b", usage=Usage.CLIENT)
    leaf = issue(authority, subject_of, now=now, lifetime=timedelta(days=2))
    (named / "bundle.crt").write_bytes(leaf.certificate + authority.certificate)
    (named / "broken.crt").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    found = {(one.place, one.name): one.not_after for one in looks(folder, named).all_certificates().certificates}
    ends = {name: None if end is None else round((end - now) / timedelta(days=1)) for (_, name), end in found.items()}
    assert ends[str(named / "ca.crt")] == 9
    assert (ends[str(named / "bundle.crt")], ends[f"{named / 'bundle.crt'} number 2"]) == (2, 9)
    assert ends[str(named / "broken.crt")] is None
    assert ends[str(folder / "client.crt")] is not None
    assert {name for place, name in found if place == "presented"} == {"https://127.0.0.1:1", "https://127.0.0.1:2"}
    assert ends["https://127.0.0.1:1"] is None


@contextmanager
def presenting(certificate: Path, key: Path, clients: Path | None = None) -> Iterator[str]:
    """A server on loopback that does one handshake with this certificate: its URL.

    With `clients` over TLS 1.2 and only with a client of that CA, after one that was none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED

    def answer() -> None:
        for _ in range(1 if clients is None else 2):
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_the_certificate_of_a_server_that_has_ended_is_seen_though_nobody_would_connect(folder: Path) -> None:
    now = datetime.now(UTC)
    authority = new_authority("a", now=now - timedelta(days=9), lifetime=timedelta(days=20))
    etcd = Subject(common_name="etcd", usage=Usage.SERVER, addresses=("127.0.0.1",))
    pair = issue(authority, etcd, now=now - timedelta(days=3), lifetime=timedelta(days=2))
    with presenting(*write_pair(folder, "etcd", pair)) as url:
        (folder / "keyctl.yaml").write_text(CLUSTER.replace("https://127.0.0.1:1", url))
        found = {one.name: one.not_after for one in looks(folder).all_certificates().certificates}
    ended = found[url]
    assert ended is not None
    assert timedelta(hours=23) < now - ended < timedelta(hours=25)


def test_the_certificate_of_an_etcd_that_ends_a_handshake_without_a_client_certificate_is_seen(folder: Path) -> None:
    pair = (folder / "client.crt", folder / "client.key")
    with presenting(*pair, clients=folder / "ca.crt") as url:
        (folder / "keyctl.yaml").write_text(CLUSTER.replace("https://127.0.0.1:1", url))
        found = {one.name: one.not_after for one in looks(folder).all_certificates().certificates}
    assert found[url] is not None


def test_our_certificate_goes_to_no_server_of_another_authority(folder: Path) -> None:
    stranger = trustme.CA()
    pair = stranger.issue_cert("127.0.0.1")
    (folder / "other.crt").write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    (folder / "other.key").write_bytes(pair.private_key_pem.bytes())
    with presenting(folder / "other.crt", folder / "other.key", clients=folder / "ca.crt") as url:
        (folder / "keyctl.yaml").write_text(CLUSTER.replace("https://127.0.0.1:1", url))
        found = {one.name: one.not_after for one in looks(folder).all_certificates().certificates}
    assert found[url] is None


def test_certificates_that_are_gone_hide_no_others(folder: Path) -> None:
    named = folder / "pki"
    named.mkdir()
    on = looks(folder, named)
    named.rmdir()
    found = {one.name: one.not_after for one in on.all_certificates().certificates}
    assert found[str(named)] is None
    assert found[str(folder / "client.crt")] is not None


def test_the_test_of_a_snapshot_that_a_policy_deleted_is_still_known(folder: Path) -> None:
    tested = Proven("2026-11-01T03:00:00+00:00", Proof.SERVED)
    deleted = Backup(BackupKind.SNAPSHOT, str(folder / "saved" / "1.db"), "2026-11-01T02:00:00+00:00", 5, (), "00")
    store = FileKeyStore(folder / "keys", cluster="nowhere", clock=lambda: datetime.now(UTC))
    store.note_backup(replace(deleted, location=str(folder / "saved" / "2.db")))
    note_deleted(store, folder / "saved", [replace(deleted, tested=tested)], at=datetime.now(UTC), copies=False)
    seen = looks(folder).backups()
    assert [Path(one.location).name for one in seen.snapshots] == ["2.db"]
    assert seen.tests == (tested,)


def test_an_api_server_that_is_added_to_the_cluster_file_is_looked_at(folder: Path) -> None:
    on = looks(folder)
    assert [one.name for one in on.servers().cluster.servers] == ["cp1"]
    more = '- {name: cp2, url: "https://127.0.0.1:3", encryptionConfig: enc.yaml}\n'
    (folder / "keyctl.yaml").write_text((CLUSTER + more).replace("127.0.0.1:1", "127.0.0.1:4"))
    assert [one.name for one in on.servers().cluster.servers] == ["cp1", "cp2"]
    assert [endpoint for endpoint, _ in on.etcd().endpoints] == ["https://127.0.0.1:4"]
    presented = {one.name for one in on.all_certificates().certificates if one.place == "presented"}
    assert presented == {f"https://127.0.0.1:{port}" for port in (2, 3, 4)}


def test_a_key_store_that_is_moved_is_looked_at_where_it_is_now(folder: Path) -> None:
    on = looks(folder)
    assert len(on.backups().snapshots) == 0
    (folder / "moved").mkdir(mode=0o700)
    store = FileKeyStore(folder / "moved", cluster="nowhere", clock=lambda: datetime.now(UTC))
    store.note_backup(Backup(BackupKind.SNAPSHOT, str(folder / "1.db"), "2026-11-01T02:00:00+00:00", 5, (), "00"))
    (folder / "keyctl.yaml").write_text(CLUSTER.replace("directory: keys", "directory: moved"))
    assert len(on.backups().snapshots) == 1


def test_a_cluster_file_that_is_of_another_cluster_now_is_not_taken_for_this_one(folder: Path) -> None:
    on = looks(folder)
    (folder / "keyctl.yaml").write_text(CLUSTER.replace("name: nowhere", "name: elsewhere"))
    with pytest.raises(UnusableInputError, match="another cluster"):
        on.servers()


def test_a_look_at_the_values_leaves_no_connection_to_an_api_server_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    class Asked(HttpApiServer):
        def __init__(self) -> None:
            """Has no connection."""

        def kube_system_uid(self) -> str:
            raise UnreachableError("it went away")

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(verification, "_api", lambda _: Asked())
    with pytest.raises(UnreachableError, match="went away"):
        looks(folder).values()
    assert closed == [True]


def test_a_damaged_journal_is_not_taken_for_no_rotation(folder: Path) -> None:
    state = folder / "state" / "keyctl" / "nowhere"
    state.mkdir(parents=True)
    assert looks(folder).rotation().began is None
    (state / "journal.jsonl").write_text('{"kind": 5}\n{]\n{"kind": "begin"}\n')
    with pytest.raises(Exception, match="journal"):
        looks(folder).rotation()


def test_it_serves_until_it_is_asked_to_end_and_ends_well(folder: Path, tmp_path: Path) -> None:
    words = ("--interval", "etcd=1s", "--without", "values", "--without", "servers")
    with running_exporter(tmp_path, os.environ, *words) as running:
        first = running.wait_for(
            lambda served: (served.value("keyctl_source_looks_total", source="etcd") or 0) >= 2, 60
        )
        assert running.stop() == ExitCode.OK
    assert first.value("keyctl_source_up", source="etcd") == 1
    known = {family.name for family in FAMILIES}
    assert {name for name in first.names() if not name.startswith("process_")} <= known
    said = running.log.read_text()
    assert "alarms: error: " in said
    assert said.count("alarms: error: ") == 1, "each trouble once"


def test_trouble_is_told_once_and_that_it_is_over() -> None:
    teller = exporter._Teller()
    assert exporter._lines(UnreachableError("away", cause="refused", hint="look")) == (
        "error: away",
        "cause: refused",
        "hint: look",
    )
    assert exporter._lines(OSError(24, "Too many open files")) == ("error: Too many open files",)
    teller.back(Source.VALUES)
