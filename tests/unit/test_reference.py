"""The reference that is generated from the commands: nothing of a command is missing in it, and readers take it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import jsonschema
import pytest

from keyctl.cli import progress
from keyctl.cli.key_documents import backup_document
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Severity, Status
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import KeyRef, Provider
from keyctl.reports import json as json_report
from keyctl.rotation.world import Event
from tests.support.debian import debian_packages, do_without
from tests.support.generated import ROOT
from tests.support.manual import command_tree, files, man, markdown, schemas
from tests.unit.cli.test_main import ALL

# Documents that are no `Report`.
OTHER_KINDS = {"KeyList", "KeyShow", "RotationEvent"}


def documented_options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from parameter.opts


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_is_in_the_reference_and_has_a_man_page(path: tuple[str, ...]) -> None:
    section = markdown.page().partition(f"\n## keyctl {' '.join(path)}\n")[2].partition("\n## ")[0]
    manual = man.pages()["-".join((man.PROGRAM, *path)) + ".1"]
    assert section
    for option in documented_options(ALL[path]):
        assert re.search(rf"^\| `.*{re.escape(option)}\b", section, re.MULTILINE), option
        assert man.escaped(option, command=True) in manual


def test_examples_environment_and_exit_codes_are_in_the_man_pages() -> None:
    pages = man.pages()
    assert "keyctl verify\\-secrets \\-\\-snapshot backup.db \\-\\-residue" in pages["kube-keyctl-verify-secrets.1"]
    assert "ETCDCTL_ENDPOINTS" in pages["kube-keyctl-verify-secrets.1"]
    assert "verify: plaintext where encryption is required" in pages["kube-keyctl.1"]


def test_no_man_page_has_the_name_of_that_of_the_kernels_keyring_tool() -> None:
    assert not [name for name in man.pages() if name.startswith("keyctl")]


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        (".nf at the start", r"\&.nf at the start"),
        ("'quoted", r"\&'quoted"),
        (r"C:\path", r"C:\epath"),
        ("R1 … R18", r"R1 \[u2026] R18"),
    ],
)
def test_text_is_shown_as_it_is(text: str, roff: str) -> None:
    assert man.escaped(text) == roff


def test_hyphens_of_a_command_can_be_copied_from_a_terminal() -> None:
    assert man.escaped("keyctl rotate --dry-run", command=True) == r"keyctl rotate \-\-dry\-run"


def test_mandoc_takes_every_page_and_shows_its_options(tmp_path: Path) -> None:
    for name, text in man.pages().items():
        (tmp_path / name).write_text(text)
    named = sorted(path.name for path in tmp_path.iterdir() if path.name != man.PLUGIN_PAGE[0])
    lint = run_mandoc(tmp_path, "-T", "lint", "-W", "warning", *named)
    assert len(lint.splitlines()) == len(named)
    # A date would change with nothing else; it is the one thing that is missing, once a page.
    assert [line for line in lint.splitlines() if "missing date" not in line] == []
    shown = run_mandoc(tmp_path, "-T", "utf8", "-O", "width=78", "kube-keyctl-verify-secrets.1")
    bare = re.sub(".\b", "", shown)
    assert re.search(r"^ +--encryption-config FILE$", bare, re.MULTILINE)
    assert re.search(r"^ +keyctl verify-secrets --data-dir /var/lib/etcd --residue$", bare, re.MULTILINE)


def run_mandoc(directory: Path, *arguments: str) -> str:
    program = shutil.which("mandoc")
    if program is None:
        root = debian_packages("mandoc", ("mandoc",))
        if root is None:
            do_without("mandoc is not here and cannot be fetched")
        program = str(next(root.rglob("bin/mandoc")))
    command = [program, *arguments]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=60
    ).stdout


def test_what_is_installed_beside_the_package_is_what_is_generated() -> None:
    flit = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flit"]
    assert Path(flit["external-data"]["directory"]) == files.INSTALLED.parent


def test_a_file_of_a_command_that_is_no_more_is_found(tmp_path: Path) -> None:
    known = files.expected(tmp_path)
    left = tmp_path / files.MAN / "kube-keyctl-gone.1"
    for path in (*known, left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert files.superfluous(tmp_path, known) == [left]


def test_every_link_of_the_reference_leads_somewhere() -> None:
    for page in (ROOT / "docs" / "reference").rglob("*.md"):
        text = page.read_text()
        anchors = {f"#{title.lower().replace(' ', '-')}" for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert target in anchors or (page.parent / target.partition("#")[0]).is_file(), (page, target)


def test_each_schema_is_one_and_is_closed_by_the_test_that_holds_reports_against_it() -> None:
    for name in schemas.KINDS:
        jsonschema.Draft202012Validator.check_schema(schemas.schema(name))
    assert errors("EtcdAccessDisabled", {"enabled": True}) == []
    assert errors("EtcdAccessDisabled", {"enabled": "yes"}) == ["'yes' is not of type 'boolean'"]
    assert errors("EtcdAccessDisabled", {}) == ["'enabled' is a required property"]
    (message,) = errors("EtcdAccessDisabled", {"enabled": True, "since": 1})
    assert message.startswith("Additional properties are not allowed")


def test_a_schema_that_is_published_lets_fields_be_added() -> None:
    document = json.loads(json_report.render(Report("EtcdAccessDisabled", ExitCode.OK, "")))
    added = document | {"enabled": True, "since": 1}
    jsonschema.Draft202012Validator(schemas.schema("EtcdAccessDisabled")).validate(added)


def errors(kind: str, data: dict[str, object]) -> list[str]:
    finding = Finding("KC-DAT-001", Severity.LOW, Status.FAIL, "m", Location(etcd_key="/k"), fix="f", counts=False)
    report = Report(kind, ExitCode.FINDINGS, "", (finding,), data)
    return refused(kind, json.loads(json_report.render(report)))


def refused(kind: str, document: object) -> list[str]:
    shown = schemas.closed(schemas.schema(kind))
    assert isinstance(shown, dict)
    return [error.message for error in jsonschema.Draft202012Validator(shown).iter_errors(document)]


def test_every_kind_of_document_in_the_code_has_a_schema() -> None:
    found = {kind for path in (ROOT / "keyctl").rglob("*.py") for kind in kinds_in(ast.parse(path.read_text()))}
    assert len(found) > 20
    assert found | OTHER_KINDS == set(schemas.KINDS)


def kinds_in(tree: ast.AST) -> Iterator[str]:
    """The kind of each `Report` that is made there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Report":
            named = [keyword.value for keyword in node.keywords if keyword.arg == "kind"]
            for value in (*node.args[:1], *named):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def test_the_commands_that_print_a_kind_are_commands() -> None:
    known = {entry.name for entry in command_tree.entries()}
    for kind in schemas.KINDS.values():
        assert {re.sub(r" --.*", "", command) for command in kind.by} <= known


def test_a_backup_of_the_register_is_as_its_schema_says() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC).isoformat()
    ref = KeyRef(Provider.AESCBC, "key1")
    backup = Backup(BackupKind.SNAPSHOT, "/backup/a.db", at, 7, (ref,), fingerprints=((ref, "f" * 32),))
    document = {"apiVersion": "keyctl/v1", "kind": "KeyList", "store": "keys", "keys": [], "escrows": []}
    assert refused("KeyList", document | {"backups": [backup_document(backup)]}) == []


def test_an_event_of_a_rotation_is_as_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    progress.JsonLines().event(Event("step", "the key is added"))
    assert refused("RotationEvent", json.loads(capsys.readouterr().out)) == []
