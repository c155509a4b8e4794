"""What `certs rollover` and `certs renew --cluster` refuse before they reach anybody, and how they say to go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.cli import main, renewing, rolling, wiring
from keyctl.cli.renewed_hosts import RenewedHosts
from keyctl.cluster_file.read import load
from keyctl.errors import ExitCode, KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.findings import Report
from keyctl.kube.interface import Census
from keyctl.pki.authority import Terms, add, create
from keyctl.pki.generation import Generation
from keyctl.pki.generations import prepare
from keyctl.pki.layout import Layout
from keyctl.pki.parties import Client, Member
from keyctl.renewing.carry_out import closed
from keyctl.renewing.interface import Site
from keyctl.renewing.plan import Gate, GiveLeaves, Handing, Kind, Party, Settle
from keyctl.rotation.journal import LocalLock
from tests.support.memory_host import MemoryHost
from tests.support.tls_site import FOLDER, FakeSite

DAY = timedelta(days=1)
TERMS = Terms(datetime.now(UTC), DAY)
M1, CP1 = Party(Kind.MEMBER, "m1"), Party(Kind.API_SERVER, "cp1")
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "keyctl" / "small"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    members = [Member("m1", ("10.0.0.1",))]
    create(tmp_path / "pki", members, [Client("kube-apiserver")], TERMS, ca_lifetime=2 * DAY, one_ca=False)
    return tmp_path / "pki"


RESTART = "restart: {command: [restart]}"


def cluster_file(
    place: Path, *, top: str = "", members: tuple[str, ...] = ("m1",), server: str = "certificates", host: str = "local"
) -> Path:
    """A cluster file; `server` is what the section of its API server is called, if it has one."""
    lines = [
        "apiVersion: keyctl/v1",
        "kind: Cluster",
        "name: small",
        top,
        "etcd:",
        "  endpoints: ['https://127.0.0.1:1']",
    ]
    if members:
        lines.append("  members:")
    for number, name in enumerate(members, 1):
        endpoint = f"https://127.0.0.1:{number}"
        told = f"{{folder: {place / name}, {RESTART}}}"
        lines.append(f"  - {{name: {name}, endpoint: '{endpoint}', certificates: {told}}}")
    lines += ["apiServers:", "- name: cp1", "  url: https://127.0.0.1:9", "  encryptionConfig: /enc.yaml"]
    if server:
        lines.append(f"  {server}: {{folder: {place / 'cp1'}, {RESTART}}}")
    if host != "local":
        lines += [f"  host: {{type: {host}}}", "keys: {store: vault, mount: kv}"]
    path = place / "keyctl.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    code = main.run([str(word) for word in ("certs", *words)])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("more", [("--resume", "--abort"), ("--clients-done",), ("--abort", "--clients-done")])
def test_flags_that_do_not_go_together_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    code, _ = run(capsys, "rollover", tmp_path, "--cluster", cluster_file(tmp_path), *more)
    assert code == ExitCode.USAGE


def test_a_cluster_file_that_does_not_say_where_everybody_has_its_certificates_is_not_begun_with(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("rollover", directory, "--yes"), ("renew", directory, "--yes")):
        code, err = run(capsys, *command, "--cluster", cluster_file(tmp_path, server=""))
        assert (code, "where the certificates of cp1 are" in err) == (ExitCode.USAGE, True)
        code, err = run(capsys, *command, "--cluster", cluster_file(tmp_path, members=()))
        assert (code, "lists no members of etcd" in err) == (ExitCode.USAGE, True)
        code, err = run(capsys, *command, "--cluster", cluster_file(tmp_path, top="distribution: k3s"))
        assert (code, "k3s makes and renews the certificates of its etcd itself" in err) == (ExitCode.REFUSED, True)
        code, err = run(capsys, *command, "--cluster", cluster_file(tmp_path, host="agent"))
        assert (code, "cp1 has an agent, which brings no certificates" in err) == (ExitCode.REFUSED, True)


def test_a_member_that_only_one_of_cluster_file_and_directory_knows_is_refused(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ("rollover", directory, "--yes"),
        ("rollover", directory, "--dry-run"),
        ("renew", directory, "--yes"),
    ):
        code, err = run(capsys, *command, "--cluster", cluster_file(tmp_path, members=("m1", "m2")))
        assert (code, "member m2 is named in the cluster file only" in err) == (ExitCode.REFUSED, True)


def test_nothing_is_resumed_or_gone_back_from_where_nothing_is_under_way(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("--resume", "--abort"):
        code, err = run(capsys, "rollover", directory, "--cluster", cluster_file(tmp_path), "--yes", flag)
        assert (code, "no roll-over is under way" in err) == (ExitCode.REFUSED, True)


def test_two_do_not_run_and_a_rotation_of_the_key_counts(
    tmp_path: Path, directory: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = LocalLock(state)
    lock.acquire()
    for command in (("rollover", directory, "--yes"), ("renew", directory, "--yes")):
        code, err = run(capsys, *command, "--cluster", cluster_file(tmp_path))
        assert (code, "another keyctl is changing this cluster" in err) == (ExitCode.REFUSED, True)
    lock.release()


def under_way(directory: Path, state: Path, *more: dict[str, object]) -> Path:
    """A journal of a roll-over of `directory`, with `more` records; returns where it is."""
    journal = state / "certificates" / "journal.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    begin: dict[str, object] = {"kind": "begin", "directory": str(directory), "others": [], "steps": []}
    records = [{"at": TERMS.now.isoformat(), **record} for record in (begin, *more)]
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    return journal


def test_while_a_roll_over_is_under_way_no_other_is_begun_and_no_leaf_is_renewed_on_a_host(
    tmp_path: Path, directory: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    under_way(directory, state)
    code, err = run(capsys, "rollover", directory, "--cluster", cluster_file(tmp_path), "--yes")
    assert (code, "a roll-over is under way" in err) == (ExitCode.REFUSED, True)
    code, err = run(capsys, "rollover", tmp_path, "--cluster", cluster_file(tmp_path), "--yes", "--resume")
    assert (code, f"is that of {directory}" in err) == (ExitCode.REFUSED, True)
    code, err = run(capsys, "renew", directory, "--cluster", cluster_file(tmp_path), "--yes")
    assert (code, "a roll-over of the CAs is under way" in err) == (ExitCode.REFUSED, True)


def test_other_clients_are_those_that_no_api_server_is(tmp_path: Path, directory: Path) -> None:
    add(directory, [], [Client("backup")], TERMS)
    assert renewing.others(load(cluster_file(tmp_path)), directory) == ("backup",)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (None, "which files cp1 reads for etcd cannot be seen"),
        (MANIFEST, "which files cp1 reads for etcd cannot be seen"),
    ],
)
def test_an_api_server_whose_flags_cannot_be_seen_is_refused(tmp_path: Path, manifest: str | None, says: str) -> None:
    (server,) = load(cluster_file(tmp_path)).api_servers
    with pytest.raises(RefusedError, match=says):
        renewing.require_flags(replace(server, manifest=manifest), MemoryHost("cp1"), "/pki")


def test_an_api_server_that_reads_other_files_is_refused(tmp_path: Path) -> None:
    (server,) = load(cluster_file(tmp_path)).api_servers
    host = MemoryHost("cp1")
    host.place(MANIFEST, b"kind: Pod\nspec:\n  containers:\n  - {name: kube-apiserver, command: [kube-apiserver]}\n")
    with pytest.raises(RefusedError, match="cp1 does not read the files of /pki"):
        renewing.require_flags(replace(server, manifest=MANIFEST), host, "/pki")


def hints(error: KeyctlError, command: str = "keyctl certs rollover DIR --resume") -> tuple[str, ...]:
    with pytest.raises(KeyctlError) as caught, renewing.again(lambda: command):
        raise error
    return caught.value.hints


def test_what_stops_says_the_command_that_goes_on() -> None:
    assert hints(StoppedError("stopped", hint="mend that")) == (
        "mend that",
        "then go on: keyctl certs rollover DIR --resume",
    )
    gate = closed(Gate(("backup",), Handing.TRUST), "here it is")
    assert hints(gate)[-1] == "then go on: keyctl certs rollover DIR --resume --clients-done"
    of_a_host = UnreachableError("host m1: gone", hint="mend it, then: keyctl rotate --resume")
    assert hints(of_a_host) == ("mend it, then: keyctl certs rollover DIR --resume",)


def test_a_folder_in_the_directory_takes_the_place_or_is_given_up(directory: Path) -> None:
    folder = renewing.Folder(directory)
    for generation in (Generation.OLD, Generation.NEW):
        upcoming = prepare(directory, TERMS, ca_lifetime=2 * DAY)
        new = upcoming.certificate("ca").read_bytes()
        assert str(upcoming.root) in folder.told(Handing.LEAVES) + folder.told(Handing.TRUST)
        folder.require_same_parties()
        folder.settle(generation)
        assert not upcoming.root.exists()
        assert (Layout(directory).certificate("ca").read_bytes() == new) is (generation is Generation.NEW)


def test_killed_in_its_last_step_it_needs_no_host_to_come_to_its_end(
    tmp_path: Path, directory: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("rollover", directory, "--cluster", cluster_file(tmp_path))
    for generation in Generation:
        upcoming = prepare(directory, TERMS, ca_lifetime=2 * DAY)
        new = upcoming.certificate("ca").read_bytes()
        journal = under_way(directory, state, {"kind": "intent", "step": f"7 {Settle(generation)}"})
        if generation is Generation.NEW:
            code, err = run(capsys, *words, "--abort")
            assert (code, "no way back any more" in err) == (ExitCode.REFUSED, True)
        code, err = run(capsys, *words, "--abort" if generation is Generation.OLD else "--resume")
        assert code == ExitCode.OK, err
        assert not upcoming.root.exists()
        assert (Layout(directory).certificate("ca").read_bytes() == new) is (generation is Generation.NEW)
        assert json.loads(journal.read_text().splitlines()[-1])["kind"] == "end"


@pytest.fixture
def hosts(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RenewedHosts, FakeSite]:
    """Hosts in memory that have what the directory has; a next generation stands for what they had before."""
    upcoming = prepare(directory, TERMS, ca_lifetime=2 * DAY)
    fake = FakeSite.of(Layout(directory), upcoming, ["m1"], ["cp1"])

    @contextmanager
    def site(*_: object) -> Iterator[Site]:
        yield fake.site(frozenset({Generation.OLD}))

    monkeypatch.setattr(renewing, "site", site)
    return RenewedHosts(load(cluster_file(tmp_path)), directory), fake


def former(fake: FakeSite, party: Party, *names: str) -> None:
    """Let the host of `party` have other files of these names than the directory."""
    one = fake.parties[party]
    for name in names:
        one.host.place(f"{FOLDER}/{name}", one.files[Generation.NEW][name])


def test_what_a_killed_renewal_left_half_done_is_mended_first_and_asked_for(
    hosts: tuple[RenewedHosts, FakeSite],
) -> None:
    found, fake = hosts
    said: list[str] = []
    found.mend(said.append, lambda: said.append("agreed"))
    assert said == []
    former(fake, M1, "server.crt")
    with pytest.raises(StoppedError):
        found.require_start()
    found.mend(said.append, lambda: said.append("agreed"))
    assert said[1] == "agreed"
    found.require_start()
    assert fake.parties[M1].shows("server") is Generation.OLD
    assert fake.parties[M1].starts == 1


def test_hosts_are_brought_what_was_renewed_and_what_they_lack_but_only_those_that_were_named(
    hosts: tuple[RenewedHosts, FakeSite],
) -> None:
    found, fake = hosts

    def parties(*, members: tuple[str, ...] = (), clients: tuple[str, ...] = (), named: bool = False) -> list[str]:
        steps = found.steps(members, clients, named=named)
        return [str(step.party) for step in steps if isinstance(step, GiveLeaves)]

    assert parties() == []
    assert parties(members=("m1",)) == ["member m1"]
    assert parties(clients=("kube-apiserver",), named=True) == ["API server cp1"]
    former(fake, CP1, "client.crt", "client.key")
    assert parties(members=("m1",)) == ["member m1", "API server cp1"]
    assert parties(members=("m1",), named=True) == ["member m1"]
    found.bring(found.steps((), (), named=False), lambda _: None)
    assert parties() == []
    assert fake.parties[CP1].starts == 2


def test_nothing_is_issued_by_cas_that_are_about_to_leave(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(directory, TERMS, ca_lifetime=2 * DAY)
    code, err = run(capsys, "issue", directory, "--client", "late")
    assert (code, "a roll-over of the CAs in" in err) == (ExitCode.REFUSED, True)
    assert not (directory / "clients" / "late").exists()


def test_a_folder_that_a_killed_renewal_took_out_of_the_way_is_put_back_before_anybody_is_counted(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = directory / "members" / "m1"
    for command in ("renew", "rollover"):
        place.rename(place.with_name(f".m1.former-{'0' * 16}"))
        code, err = run(capsys, command, directory, "--cluster", cluster_file(tmp_path), "--yes")
        # It comes to what nobody answers; it knows m1.
        assert code != ExitCode.OK
        assert "member m1 is named in" not in err
        assert (place / "server.key").is_file()


def test_a_dry_run_refuses_what_the_run_refuses(
    tmp_path: Path, directory: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--cluster", cluster_file(tmp_path), "--dry-run")
    for flag in ("--resume", "--abort"):
        code, err = run(capsys, "rollover", directory, *words, flag)
        assert (code, "no roll-over is under way" in err) == (ExitCode.REFUSED, True)
    under_way(directory, state)
    code, err = run(capsys, "rollover", tmp_path, *words)
    assert (code, f"is that of {directory}" in err) == (ExitCode.REFUSED, True)


def test_a_dry_run_of_giving_up_what_was_never_begun_shows_that(
    tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(directory, TERMS, ca_lifetime=2 * DAY)
    words = ("rollover", directory, "--cluster", cluster_file(tmp_path), "--dry-run", "--abort", "-o", "json")
    assert main.run(["certs", *map(str, words)]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["steps"] == [str(Settle(Generation.OLD))]


def test_a_client_that_is_renewed_and_on_no_host_is_not_told_as_brought(
    tmp_path: Path,
    directory: Path,
    hosts: tuple[RenewedHosts, FakeSite],
    capsys: pytest.CaptureFixture[str],
) -> None:
    add(directory, [], [Client("backup")], TERMS)
    words = ("renew", directory, "--cluster", cluster_file(tmp_path), "--client", "backup", "--days", "1", "--yes")
    assert main.run(["certs", *map(str, words)]) == ExitCode.OK
    assert f"put {directory / 'clients' / 'backup'} on its host yourself" in capsys.readouterr().out


@pytest.mark.parametrize("unlisted", [(), ("10.0.0.2",)], ids=["all are named", "one is not"])
def test_an_api_server_that_the_cluster_file_does_not_name_is_not_left_behind(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, unlisted: tuple[str, ...]
) -> None:
    class Api:
        closed = 0

        def census(self) -> Census:
            return Census(frozenset(), frozenset({"10.0.0.1", *unlisted}), frozenset())

        def close(self) -> None:
            self.closed += 1

    api, settings = Api(), load(cluster_file(tmp_path))
    monkeypatch.setattr(wiring, "api_server", lambda *_: api)
    monkeypatch.setattr(renewing, "require_listed", lambda _: None)
    act = rolling.Act(settings, directory, yes=True, output="json", quiet=True)
    journal = renewing.read_journal(settings)
    both: tuple[Callable[[], Report], ...] = (
        lambda: act.show(journal, resume=False, abort=False),
        lambda: act.begin(journal, DAY, 2 * DAY),
    )
    for go in both:
        # With everybody named it goes on, to a manifest that nobody gave.
        with pytest.raises(RefusedError, match="more API servers than" if unlisted else "which files cp1 reads"):
            go()
    assert not (directory / "next").exists()
