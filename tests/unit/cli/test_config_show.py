"""`keyctl config show`: the effective view of a file, of the API servers' files, and of this machine's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from keyctl.cli import wiring
from keyctl.cli.commands.config_show import show
from keyctl.errors import ExitCode, UnusableInputError, WrongUsageError
from tests.support.encryption_file import key_texts, leaks
from tests.unit.cli.test_wiring import settings
from tests.unit.encryption_config.configs import entry, file, key, static

_ID = "{identity: {}}"
A, B = static("a", 1), static("b", 2)
FP_A, FP_B = key("a", 1).fingerprint, key("b", 2).fingerprint
MANIFEST = (
    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, {}]\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a cluster file and without a manifest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KEYCTL_CLUSTER", raising=False)
    monkeypatch.setattr(wiring, "MANIFEST", tmp_path / "manifest.yaml")
    return tmp_path


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(show, arguments, input=stdin)


def rows(result: Result) -> list[list[str]]:
    """The lines of the output as cells."""
    lines = (line for line in result.stdout.splitlines() if line)
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def servers(folder: Path, *contents: bytes, names: tuple[str, ...] = ("cp1", "cp2", "cp3")) -> None:
    """A cluster file whose servers, all on this machine, have these files."""
    listed = []
    for number, content in enumerate(contents):
        path = folder / f"enc{number}.yaml"
        path.write_bytes(content)
        url = f"https://127.0.0.{number + 1}:6443"
        listed.append({"name": names[number], "url": url, "encryptionConfig": str(path)})
    settings(folder, apiServers=listed)


def test_a_file_is_shown_with_its_writer_its_readers_and_its_entries() -> None:
    Path("enc.yaml").write_bytes(
        file(entry("pods", A), entry("secrets", A, B, A, _ID), entry("pods", B), entry("'*.'", _ID))
    )
    result = run("enc.yaml")
    assert result.exit_code == ExitCode.OK
    assert rows(result) == [
        ["enc.yaml:"],
        ["RESOURCE", "WRITTEN WITH", "FINGERPRINT", "ALSO READ WITH", "ENTRY"],
        ["pods", "aescbc/a", FP_A, f"aescbc/b ({FP_B[:8]})", "resources[0] line 4, resources[2] line 8"],
        ["secrets", "aescbc/a", FP_A, f"aescbc/b ({FP_B[:8]}), plaintext", "resources[1] line 6"],
        ["*.", "plaintext", "-", "-", "resources[3] line 10"],
        ["everything else (*.*)", "plaintext", "-", "-", "none"],
        ["✓ ok: shown as kube-apiserver looks it up, not judged"],
    ]


def test_secrets_are_shown_also_when_only_a_wildcard_covers_them() -> None:
    Path("enc.yaml").write_bytes(file(entry("'*.'", A)))
    assert ["secrets", "aescbc/a", FP_A, "-", "resources[0] line 4, as *."] in rows(run("enc.yaml"))


def test_json_has_all_readers_in_order_with_their_fingerprints() -> None:
    result = run("-", "-o", "json", stdin=file(entry("secrets", A, B, _ID)))
    told = json.loads(result.stdout)
    assert (told["apiVersion"], told["kind"], told["exitCode"]) == ("keyctl/v1", "ConfigView", 0)
    (shown,) = told["configurations"]
    assert (shown["servers"], shown["file"], shown["configured"]) == ([], "<stdin>", True)
    secrets = shown["effective"][0]
    assert (secrets["resource"], secrets["coveredBy"], secrets["entries"]) == ("secrets", "secrets", [0])
    assert [(one["provider"], one["key"], one["fingerprint"]) for one in secrets["read"]] == [
        ("aescbc", "a", FP_A),
        ("aescbc", "b", FP_B),
        ("identity", None, None),
    ]
    assert secrets["write"] == secrets["read"][0]


def test_a_plugin_is_shown_with_its_version() -> None:
    plugin = "{kms: {apiVersion: v2, name: p, endpoint: 'unix:///p.sock'}}"
    assert ["secrets", "kms/p (v2)", "-", "-", "resources[0] line 4"] in rows(
        run("-", stdin=file(entry("secrets", plugin)))
    )


def test_servers_that_agree_are_shown_together_and_others_each_with_its_name(folder: Path) -> None:
    same = file(entry("secrets", A, _ID))
    servers(folder, same, same, file(entry("secrets", B, _ID)))
    for name in ("enc1.yaml",):  # the same path, as on hosts of their own
        text = Path("trial.yaml").read_text().replace(name, "enc0.yaml")
        Path("trial.yaml").write_text(text)
    result = run("--cluster", "trial.yaml")
    assert f"cp1, cp2: {folder}/enc0.yaml:" in result.stdout
    assert f"cp3: {folder}/enc2.yaml:" in result.stdout
    assert "the API servers differ: each must be able to read what any other writes" in result.stdout
    assert [row[1] for row in rows(result) if row[0] == "secrets"] == ["aescbc/a", "aescbc/b"]


def test_servers_that_mean_the_same_are_said_to_differ_in_layout_only(folder: Path) -> None:
    servers(folder, file(entry("secrets", A)), b"# another line\n" + file(entry("secrets", A)))
    result = run("--cluster", "trial.yaml")
    assert "these files differ in layout only" in result.stdout
    assert "the API servers differ" not in result.stdout
    assert [row[-1] for row in rows(result) if row[0] == "secrets"] == ["resources[0] line 4", "resources[0] line 5"]


def test_the_cluster_file_that_was_found_is_named(folder: Path) -> None:
    servers(folder, file(entry("secrets", A)))
    Path("trial.yaml").rename("keyctl.yaml")
    assert "the cluster is that of keyctl.yaml" in run().stdout


def test_a_server_whose_host_is_out_of_reach_is_told_and_the_others_are_shown(folder: Path) -> None:
    servers(folder, file(entry("secrets", A)), file(entry("secrets", A)))
    text = Path("trial.yaml").read_text()
    Path("trial.yaml").write_text(
        text.replace("  name: cp2\n", "  name: cp2\n  host: {type: ssh, address: h.invalid}\n")
    )
    assert text != Path("trial.yaml").read_text()
    result = run("--cluster", "trial.yaml")
    assert "the configuration of cp2 was not read: host cp2: it cannot be reached" in result.stdout
    assert f"cp1: {folder}/enc0.yaml:" in result.stdout
    Path("trial.yaml").write_text(
        text.replace("  name: cp2\n", "  name: cp2\n  host: {type: ssh, address: h.invalid}\n").replace(
            "  name: cp1\n", "  name: cp1\n  host: {type: ssh, address: h.invalid}\n"
        )
    )
    assert isinstance(run("--cluster", "trial.yaml").exception, WrongUsageError)


def test_a_server_without_the_flag_or_the_file_stores_plaintext(folder: Path) -> None:
    (folder / "kube-apiserver.yaml").write_text(MANIFEST.format("--secure-port=6443"))
    settings(folder, server={"manifest": str(folder / "kube-apiserver.yaml")})
    result = run("--cluster", "trial.yaml")
    assert "cp1: no configuration (its manifest has no --encryption-provider-config):" in result.stdout
    assert ["secrets", "plaintext", "-", "-", "none"] in rows(result)
    cluster = yaml.safe_load((folder / "trial.yaml").read_text())
    del cluster["apiServers"][0]["manifest"]
    (folder / "trial.yaml").write_text(yaml.safe_dump(cluster))
    result = run("--cluster", "trial.yaml")
    assert f"cp1: no configuration ({folder}/enc.yaml does not exist):" in result.stdout
    assert json.loads(run("--cluster", "trial.yaml", "-o", "json").stdout)["configurations"][0]["configured"] is False


def test_a_file_that_the_manifest_names_and_that_is_gone_is_unusable(folder: Path) -> None:
    flag = f"--encryption-provider-config={folder}/enc.yaml"
    (folder / "kube-apiserver.yaml").write_text(MANIFEST.format(flag))
    settings(folder, server={"manifest": str(folder / "kube-apiserver.yaml")})
    error = run("--cluster", "trial.yaml").exception
    assert isinstance(error, UnusableInputError)
    assert str(error) == f"{folder}/enc.yaml is missing on cp1"


def test_on_a_control_plane_node_nothing_need_be_named(folder: Path) -> None:
    (folder / "enc.yaml").write_bytes(file(entry("secrets", A)))
    (folder / "manifest.yaml").write_text(MANIFEST.format(f"--encryption-provider-config={folder}/enc.yaml"))
    result = run()
    assert f"taken from {folder}/manifest.yaml" in result.stdout
    assert ["secrets", "aescbc/a", FP_A, "-", "resources[0] line 4"] in rows(result)
    (folder / "manifest.yaml").write_text(MANIFEST.format("--v=2"))
    assert "no configuration (" in run().stdout


def test_without_file_cluster_or_manifest_the_user_is_asked_for_one() -> None:
    assert isinstance(run().exception, WrongUsageError)


def test_a_manifest_that_cannot_even_be_looked_for_is_unusable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "MANIFEST", folder / ("x" * 300))
    error = run().exception
    assert isinstance(error, UnusableInputError)
    assert str(error).startswith("cannot read the API server's manifest")


def test_a_file_beside_a_cluster_file_is_a_contradiction_unless_it_comes_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers(folder, file(entry("secrets", B)))
    error = run("enc0.yaml", "--cluster", "trial.yaml").exception
    assert isinstance(error, WrongUsageError)
    assert str(error) == "FILE and --cluster exclude each other"
    monkeypatch.setenv("KEYCTL_CLUSTER", "trial.yaml")
    assert run("enc0.yaml").exit_code == ExitCode.OK


def test_no_key_shows_in_any_form(folder: Path) -> None:
    Path("enc.yaml").write_bytes(file(entry("secrets", A, B, static("a", 9))))
    outputs = [run("enc.yaml").stdout, run("enc.yaml", "-o", "json").stdout]
    assert leaks(key_texts([folder / "enc.yaml"]), outputs) == []
