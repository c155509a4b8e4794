"""`keyctl certs` as a user calls it."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyctl.cli import main
from keyctl.errors import ExitCode
from keyctl.pki.issue import Subject, Usage, issue, new_authority, write_pair
from tests.support.hints import wrong_hints
from tests.support.kubeadm_pki import ADDRESS, KubeadmPki

MEMBERS = ("--member", "m1=10.0.0.1", "--member", "m2=10.0.0.2")


def keyctl(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = main.run([str(word) for word in words])
    told = capsys.readouterr()
    assert wrong_hints([told.out, told.err]) == []
    return code, told.out, told.err


def test_what_init_makes_is_right_by_what_check_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki = tmp_path / "pki"
    code, out, _ = keyctl(capsys, "certs", "init", pki, *MEMBERS, "--client", "kube-apiserver")
    assert (code, f"next: keyctl certs check {pki}" in out) == (ExitCode.OK, True)
    code, out, _ = keyctl(capsys, "certs", "issue", pki, "--member", "m3=10.0.0.3,etcd3.test", "-o", "json")
    assert code == ExitCode.OK
    assert [one["use"] for one in json.loads(out)["issued"]] == ["server", "peer"]
    code, out, _ = keyctl(capsys, "certs", "check", pki, "-o", "json")
    document = json.loads(out)
    assert code == document["exitCode"] == ExitCode.OK
    assert {one["role"] for one in document["certificates"]} == {None, "etcd's server", "etcd's peer", "etcd's client"}
    assert {one["keyMatches"] for one in document["certificates"]} == {True}
    assert {one["status"] for one in document["findings"]} == {"pass"}


def test_no_output_and_no_file_that_leaves_has_a_private_key_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pki = tmp_path / "pki"
    outputs = [keyctl(capsys, "certs", "init", pki, *MEMBERS, "--client", "a", "--print-flags")]
    outputs += [keyctl(capsys, "certs", "check", pki, "-o", form) for form in ("text", "wide", "json")]
    text = "".join(out + err for _, out, err in outputs)
    keys = {path: path.read_text().splitlines()[1:-1] for path in pki.rglob("*.key")}
    assert len(keys) == 7
    assert [line for lines in keys.values() for line in lines if line in text] == []
    assert len({line for lines in keys.values() for line in lines[1:2]}) == len(keys)


def test_flags_name_the_files_where_they_will_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("certs", "init", tmp_path / "pki", *MEMBERS, "--print-flags", "--member-folder", "/srv/etcd", "-o", "json")
    flags = json.loads(keyctl(capsys, *words)[1])["flags"]
    assert {flag.partition("=")[0] for flag in flags["etcd"]} == {
        *("--client-cert-auth", "--trusted-ca-file", "--cert-file", "--key-file"),
        *("--peer-client-cert-auth", "--peer-trusted-ca-file", "--peer-cert-file", "--peer-key-file"),
    }
    member = tmp_path / "pki" / "members" / "m1"
    files = {flag.partition("=")[2] for flag in flags["etcd"] if "file" in flag}
    assert files == {f"/srv/etcd/{path.name}" for path in member.iterdir()}
    assert flags["kube-apiserver"][0] == "--etcd-cafile=/etc/kubernetes/pki/etcd-client/ca.crt"


def test_with_one_ca_the_flags_name_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("certs", "init", tmp_path / "pki", *MEMBERS, "--one-ca", "--print-flags")
    _, out, _ = keyctl(capsys, *words)
    assert "--peer-trusted-ca-file=/etc/etcd/pki/ca.crt" in out.splitlines()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("init", "pki"), ExitCode.USAGE),
        (("init", "pki", "--member", "m1"), ExitCode.USAGE),
        (("init", "pki", "--client", "a/b"), ExitCode.USAGE),
        (("init", "pki", "--client", "a", "--days", "0"), ExitCode.USAGE),
        (("init", "pki", "--client", "a", "--member-folder", "here", "--print-flags"), ExitCode.USAGE),
        (("init", "pki", "--client", "a", "--days", "4000"), ExitCode.UNUSABLE),
        (("init", "absent/pki", "--client", "a"), ExitCode.UNUSABLE),
        (("init", ".", "--client", "a"), ExitCode.USAGE),
        (("init", "..", "--client", "a"), ExitCode.USAGE),
        (("renew", "absent"), ExitCode.UNUSABLE),
        (("flags", "absent"), ExitCode.USAGE),
        (("issue", "absent", "--client", "a"), ExitCode.UNUSABLE),
        (("check", "absent"), ExitCode.UNUSABLE),
        (("check",), ExitCode.USAGE),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: ExitCode,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert keyctl(capsys, "certs", *words)[0] == code
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki = tmp_path / "pki"
    keyctl(capsys, "certs", "init", pki, *MEMBERS)
    before = {path: path.read_bytes() for path in pki.rglob("*") if path.is_file()}
    for words in (("init", pki, *MEMBERS), ("issue", pki, "--member", "m2=10.0.0.9")):
        code, _, err = keyctl(capsys, "certs", *words)
        assert (code, "is not overwritten" in err) == (ExitCode.REFUSED, True)
    assert {path: path.read_bytes() for path in pki.rglob("*") if path.is_file()} == before


def test_ed25519_is_made_with_a_word_about_who_cannot_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = keyctl(capsys, "certs", "init", tmp_path / "pki", *MEMBERS, "--algorithm", "ed25519")
    assert (code, "gRPC in C" in err) == (ExitCode.OK, True)


TUTORIAL = """
openssl genrsa -out ca.key 2048
openssl req -x509 -new -nodes -key ca.key -subj /CN=my-ca -days 3650 -out ca.crt
openssl genrsa -out etcd.key 2048
openssl req -new -key etcd.key -subj /CN=10.0.0.1 -out etcd.csr
openssl x509 -req -in etcd.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out etcd.crt -days 365
"""


def test_what_tutorials_make_with_openssl_is_found_wrong_and_told_how_to_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shutil.which("openssl"), "this test makes its certificates as tutorials do: with the program openssl"
    for line in TUTORIAL.strip().splitlines():
        subprocess.run(line.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (tmp_path / "etcd.key").chmod(0o644)
    code, out, _ = keyctl(capsys, "certs", "check", tmp_path, "-o", "json")
    document = json.loads(out)
    failed = {one["id"]: one for one in document["findings"] if one["status"] == "fail"}
    assert code == ExitCode.FINDINGS
    assert set(failed) == {"KC-TLS-012", "KC-FS-004"}
    assert "says neither what it is for nor a name" in failed["KC-TLS-012"]["message"]
    assert "subjectAltName=" in failed["KC-TLS-012"]["fix"]
    assert failed["KC-FS-004"]["fix"] == f"chmod 600 {tmp_path}/etcd.key"
    served = next(one for one in document["certificates"] if one["file"].endswith("etcd.crt"))
    assert (served["use"], served["names"], served["signedBy"]) == ("anything", [], f"{tmp_path}/ca.crt")


def test_the_self_signed_certificate_of_one_command_is_a_ca_and_found_where_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "openssl req -x509 -newkey rsa:2048 -nodes -keyout etcd.key -out etcd.crt -subj /CN=etcd -days 365"
    subprocess.run(line.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (tmp_path / "etcd.key").chmod(0o600)
    code, out, _ = keyctl(capsys, "certs", "check", tmp_path, "-o", "json")
    failed = {one["id"]: one for one in json.loads(out)["findings"] if one["status"] == "fail"}
    assert (code, set(failed)) == (ExitCode.FINDINGS, {"KC-TLS-012"})
    assert "is a CA, and looks like a server's" in failed["KC-TLS-012"]["message"]
    assert "no alternative names" in failed["KC-TLS-012"]["message"]
    assert "keyctl certs init" in failed["KC-TLS-012"]["fix"]


def test_findings_below_the_bar_do_not_decide_and_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki = KubeadmPki(tmp_path)
    pki.write("etcd/server", pki.issue("etcd/ca", pki.subject("etcd/server"), days=20))
    assert keyctl(capsys, "certs", "check", tmp_path)[0] == ExitCode.FINDINGS
    for bar in ("high", "never"):
        code, out, _ = keyctl(capsys, "certs", "check", tmp_path, "--fail-on", bar)
        assert (code, "kubeadm certs renew etcd-server" in out) == (ExitCode.OK, True)


def test_a_finding_decides_before_what_could_not_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    ca = new_authority("ca", now=now, lifetime=timedelta(days=4000))
    write_pair(tmp_path, "a", issue(ca, Subject("a", Usage.CLIENT), now=now, lifetime=timedelta(days=300)))
    assert keyctl(capsys, "certs", "check", tmp_path)[0] == ExitCode.UNEVALUATED
    write_pair(tmp_path, "b", issue(ca, Subject("b", Usage.CLIENT), now=now, lifetime=timedelta(days=3)))
    assert keyctl(capsys, "certs", "check", tmp_path)[0] == ExitCode.FINDINGS


def test_a_static_pod_beside_it_says_which_ca_etcd_trusts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki = KubeadmPki(tmp_path / "pki").root
    (tmp_path / "manifests").mkdir()

    def manifest(program: str, *flags: str) -> None:
        words = "".join(f"    - --{flag}\n" for flag in flags)
        text = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n"
        text += f"  - name: {program}\n    command:\n    - {program}\n{words}"
        (tmp_path / "manifests" / f"{program}.yaml").write_text(text)

    manifest("kube-apiserver", f"client-ca-file={pki}/ca.crt")
    manifest("etcd", f"trusted-ca-file={pki}/etcd/ca.crt")
    assert keyctl(capsys, "certs", "check", tmp_path)[0] == ExitCode.OK
    manifest("etcd", f"trusted-ca-file={pki}/ca.crt")
    code, out, _ = keyctl(capsys, "certs", "check", tmp_path)
    assert (code, "KC-TLS-006" in out) == (ExitCode.FINDINGS, True)


def test_a_cluster_file_brings_its_own_pair_and_the_addresses_to_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    KubeadmPki(tmp_path / "pki")
    monkeypatch.chdir(tmp_path)

    def cluster(host: str, extra: str = "") -> None:
        (tmp_path / "c.yaml").write_text(
            "apiVersion: keyctl/v1\nkind: Cluster\nname: prod\netcd:\n"
            f"  endpoints: ['https://{host}:2379']\n  cacert: pki/etcd/ca.crt\n{extra}"
            "  cert: pki/apiserver-etcd-client.crt\n  key: pki/apiserver-etcd-client.key\n"
        )

    def check() -> tuple[int, str]:
        code, out, _ = keyctl(capsys, "certs", "check", "pki/etcd", "--cluster", "c.yaml", "-o", "wide")
        return code, out

    cluster(ADDRESS)
    code, out = check()
    assert (code, f"pki/etcd/server.crt names {ADDRESS}" in out) == (ExitCode.OK, True)
    assert "KC-TLS-008" in out
    cluster("10.0.0.9")
    code, out = check()
    assert (code, "no server's certificate of etcd names 10.0.0.9" in out) == (ExitCode.FINDINGS, True)
    cluster("10.0.0.9", "  serverName: cp1\n")
    assert check()[0] == ExitCode.OK


ETCD_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: etcd}
spec:
  containers:
  - name: etcd
    command:
    - etcd
    - --cert-file=/old/server.crt
    env:
    - {name: ETCD_PASSWORD, value: hunter2hunter2}
"""


def test_a_manifest_is_shown_with_the_flags_and_written_only_when_that_is_said_and_the_files_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pki, manifest = tmp_path / "pki", tmp_path / "etcd.yaml"
    keyctl(capsys, "certs", "init", pki, *MEMBERS)
    manifest.write_text(ETCD_POD)
    words = ["certs", "flags", str(pki), "--manifest", str(manifest)]
    code, out, err = keyctl(capsys, *words)
    assert (code, "+    - --cert-file=/etc/etcd/pki/server.crt" in out) == (ExitCode.OK, True)
    assert ("nothing was written" in err, "hunter2" in out) == (True, False)
    code, _, err = keyctl(capsys, *words, "--write", "--member-folder", str(tmp_path / "absent"))
    assert (code, "is not on this host" in err) == (ExitCode.REFUSED, True)
    assert manifest.read_text() == ETCD_POD
    words += ["--member-folder", str(pki / "members" / "m1"), "--write"]
    assert keyctl(capsys, *words)[0] == ExitCode.OK
    assert f"--peer-trusted-ca-file={pki}/members/m1/peer-ca.crt" in manifest.read_text()
    code, out, err = keyctl(capsys, *words)
    assert (code, out, "has these flags already" in err) == (ExitCode.OK, "", True)


def test_flags_alone_are_those_of_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki = tmp_path / "pki"
    _, made, _ = keyctl(capsys, "certs", "init", pki, *MEMBERS, "--print-flags")
    code, out, _ = keyctl(capsys, "certs", "flags", pki)
    assert (code, out.strip() in made) == (ExitCode.OK, True)


@pytest.mark.parametrize("words", [("--write",), ("--manifest", "absent.yaml"), ()])
def test_flags_without_what_they_are_for_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    if words:
        keyctl(capsys, "certs", "init", tmp_path / "pki", *MEMBERS)
    else:
        (tmp_path / "pki").mkdir()
    code = keyctl(capsys, "certs", "flags", tmp_path / "pki", *words)[0]
    assert code == (ExitCode.UNUSABLE if "--manifest" in words else ExitCode.USAGE)


def test_renewal_says_what_it_would_do_asks_and_does_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pki = tmp_path / "pki"
    keyctl(capsys, "certs", "init", pki, *MEMBERS, "--client", "a", "--days", "20")
    before = {path: path.read_bytes() for path in pki.rglob("*") if path.is_file()}
    code, out, _ = keyctl(capsys, "certs", "renew", pki, "--dry-run", "-o", "json")
    would = [(one["use"], one["name"]) for one in json.loads(out)["renewed"]]
    assert (code, would) == (ExitCode.OK, [("member", "m1"), ("member", "m2"), ("client", "a")])
    code, _, err = keyctl(capsys, "certs", "renew", pki)
    assert (code, "nobody is there to ask" in err) == (ExitCode.REFUSED, True)
    assert {path: path.read_bytes() for path in pki.rglob("*") if path.is_file()} == before
    assert keyctl(capsys, "certs", "check", pki)[0] == ExitCode.FINDINGS
    code, out, _ = keyctl(capsys, "certs", "renew", pki, "--yes", "-o", "json")
    document = json.loads(out)
    assert (code, [(one["use"], one["name"]) for one in document["renewed"]]) == (ExitCode.OK, would)
    assert keyctl(capsys, "certs", "check", pki)[0] == ExitCode.OK
    code, out, _ = keyctl(capsys, "certs", "renew", pki, "--yes")
    assert (code, "nothing is to be renewed" in out) == (ExitCode.OK, True)
