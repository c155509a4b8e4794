"""The reports of `keyctl audit` as files: valid in every format, of one mind with the exit code, and without names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from keyctl.cli.main import run
from keyctl.errors import ExitCode
from keyctl.findings import Severity
from keyctl.reports.formats import FORMATS
from tests.unit.audit.given import ETCD_FLAGS
from tests.unit.cli.test_audit import IDENTITY_FIRST, audited, good, pod, written
from tests.unit.reports.published import require_junit, require_oscal, require_sarif

SCHEMAS: dict[str, Callable[[str], object]] = {
    "sarif": require_sarif,
    "sarif-github": require_sarif,
    "oscal": require_oscal,
    "junit": require_junit,
    "json": json.loads,
    "gitlab": json.loads,
}
# Fails high and critical, and low by its literal wording alone.
BAD_ETCD = [*(flag for flag in ETCD_FLAGS if "listen-client" not in flag), "--listen-client-urls=http://10.77.0.1:2379"]


def bad(root: Path) -> Path:
    good(root)
    return written(root, enc=IDENTITY_FIRST, goldmine__etcd=pod("etcd", BAD_ETCD))


def targets(folder: Path) -> list[str]:
    return [part for name in FORMATS for part in ("--report", f"{name}={folder / name}")]


def keys(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys(value)
    elif isinstance(node, list):
        for one in node:
            yield from keys(one)


@pytest.mark.parametrize("make", [good, bad])
def test_every_format_is_written_and_valid(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "tree")
    shown = audited(tmp_path / "tree", *targets(tmp_path))
    assert shown.exit_code == (ExitCode.OK if make is good else ExitCode.FINDINGS)
    for name in FORMATS:
        text = (tmp_path / name).read_text()
        SCHEMAS.get(name, len)(text)
    assert audited(tmp_path / "tree", *targets(tmp_path)).exit_code == shown.exit_code, "earlier ones are replaced"


@pytest.mark.parametrize("bar", [*map(str, Severity), "never"])
@pytest.mark.parametrize("make", [good, bad])
def test_the_threshold_holds_in_what_a_build_goes_by(tmp_path: Path, make: Any, bar: str) -> None:
    """No output ignores --fail-on: a JUnit file fails exactly when the exit code says so, and all have that code."""
    make(tmp_path / "tree")
    code = audited(tmp_path / "tree", "--fail-on", bar, *targets(tmp_path)).exit_code
    root = ElementTree.parse(tmp_path / "junit").getroot()  # noqa: S314 — our own output
    assert (root.get("failures") != "0") == (code == ExitCode.FINDINGS)
    assert code != ExitCode.FINDINGS or bar != "never"
    for name in set(FORMATS) - {"gitlab"}:
        assert re.search(rf"\b{code}\b", (tmp_path / name).read_text()), name


def test_a_failure_that_is_known_does_not_count_in_the_reports_either(tmp_path: Path) -> None:
    bad(tmp_path / "tree")
    audited(tmp_path / "tree", "--report", f"json={tmp_path / 'before.json'}")
    shown = audited(tmp_path / "tree", "--baseline", str(tmp_path / "before.json"), *targets(tmp_path))
    assert shown.exit_code == ExitCode.OK
    assert ElementTree.parse(tmp_path / "junit").getroot().get("failures") == "0"  # noqa: S314 — our own output
    failed = [one for one in json.loads((tmp_path / "json").read_text())["findings"] if one["status"] == "fail"]
    assert failed
    assert not any(one["counts"] for one in failed)


def test_redacted_reports_have_no_names_and_the_same_findings(tmp_path: Path) -> None:
    bad(tmp_path / "tree")
    plain = json.loads(audited(tmp_path / "tree", "-o", "json").stdout)
    shown = audited(tmp_path / "tree", "--redact", *targets(tmp_path))
    assert shown.exit_code == plain["exitCode"]
    for text in (shown.stdout, *((tmp_path / name).read_text() for name in FORMATS)):
        assert not re.search(f"goldmine|10\\.77|{re.escape(str(tmp_path))}", text)
    redacted = json.loads((tmp_path / "json").read_text())
    assert [(one["id"], one["status"]) for one in redacted["findings"]] == [
        (one["id"], one["status"]) for one in plain["findings"]
    ]
    # A field that redaction does not know would have lost its name.
    known = plain.pop("knownAs", {}), redacted.pop("knownAs", {})
    assert set(keys(redacted)) == set(keys(plain))
    assert len(known[0]) == len(known[1])


def test_pseudonyms_change_from_run_to_run_unless_a_salt_is_given(tmp_path: Path) -> None:
    bad(tmp_path / "tree")
    salt = tmp_path / "salt"
    salt.write_bytes(bytes(range(32)))
    runs = [audited(tmp_path / "tree", "--redact", "-o", "json").stdout for _ in range(2)]
    assert runs[0] != runs[1]
    runs = [audited(tmp_path / "tree", "--redact-salt", str(salt), "-o", "json").stdout for _ in range(2)]
    assert runs[0] == runs[1]
    assert "goldmine" not in runs[0]


@pytest.mark.parametrize(("content", "says"), [(b"x" * 15, "fewer than 16 bytes"), (None, "salt")])
def test_a_salt_that_is_short_or_missing_is_refused_before_anything_is_read(
    tmp_path: Path,
    content: bytes | None,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr("keyctl.audit.collect.collect", read)
    if content is not None:
        (tmp_path / "salt").write_bytes(content)
    assert run(["audit", str(tmp_path), "--redact-salt", str(tmp_path / "salt")]) == ExitCode.UNUSABLE
    told = capsys.readouterr()
    assert (told.out, says in told.err) == ("", True)


def test_the_salt_is_not_written_over_by_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "salt").touch()
    arguments = ["--redact-salt", str(tmp_path / "salt"), "--report", f"json={tmp_path / 'salt'}"]
    assert run(["audit", str(tmp_path), *arguments]) == ExitCode.USAGE
    assert "works on it itself" in capsys.readouterr().err
