"""The generated files of this repository: what they must hold, and a command that compares or writes them.

`python -m tests.support.generated` exits 1 and names each file that differs from its source; with `--write` it
writes them. Sources: `keyctl.errors.ExitCode` for the exit-code tables, `tests.mutants.table` for the page of
guards, `keyctl.exporter.catalogue` for the tables of metrics, `keyctl.cli.catalogue` and `keyctl.cli.audit_page` for
the pages of findings and checks, the commands themselves for their reference, man pages, completions and schemas
(`tests.support.manual`), the pinned Go modules for the APIs of etcd and of KMS plugins.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from keyctl.cli import audit_page, catalogue
from keyctl.errors import ExitCode
from keyctl.exporter import catalogue as metrics
from keyctl.lab.build import cache_root
from keyctl.lab.toolchain import find_go, go_environment
from keyctl.lab.versions import DEFAULT_KUBERNETES, ETCD, Recipe, kubernetes
from tests.mutants import table
from tests.support.manual import files as manual

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "exit-codes.md", ROOT / "README.md")
FINDINGS = ROOT / "docs" / "findings.md"
AUDIT_CHECKS = ROOT / "docs" / "audit-checks.md"
API = ROOT / "keyctl" / "etcd" / "api.binpb"
KMS_API = ROOT / "keyctl" / "kms" / "api.binpb"
BEGIN = "<!-- exit codes, generated: make generate -->\n"
END = "<!-- end of exit codes -->\n"
MONITORING = ROOT / "docs" / "monitoring.md"
METRICS_BEGIN = "<!-- sources and metrics, generated: make generate -->\n"
METRICS_END = "<!-- end of sources and metrics -->\n"


def exit_code_table() -> str:
    """The table of all exit codes, as Markdown."""
    rows = "".join(f"| {code.value} | {code.meaning} |\n" for code in ExitCode)
    return f"| code | meaning |\n|---|---|\n{rows}"


def with_table(page: str) -> str:
    """The page with today's table between the two markers. `ValueError` unless each marker is there once."""
    return _between(page, BEGIN, END, exit_code_table())


def with_metrics(page: str) -> str:
    """The page of metrics with today's tables between its two markers. `ValueError` as above."""
    return _between(page, METRICS_BEGIN, METRICS_END, metrics.table())


def _between(page: str, first: str, last: str, content: str) -> str:
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in after:
        raise ValueError(f"the page must hold {first.strip()} and then {last.strip()}, each once")
    return f"{before}{first}\n{content}\n{last}{after}"


def exported_api(recipe: Recipe = ETCD, program: str = "apiexport") -> bytes:
    """An API as a pinned module says it, etcd's unless told otherwise: a serialized FileDescriptorSet."""
    go = find_go(recipe.go_version(), cache_root(), _say)
    command = [str(go.go), "run", "-C", str(recipe.directory), "-mod=readonly", f"./{program}"]
    return subprocess.run(command, env=go_environment(), stdout=subprocess.PIPE, check=True, timeout=1800).stdout


def main(arguments: list[str]) -> int:
    """Compare, or write with `--write`; returns the exit code."""
    if arguments not in ([], ["--write"]):
        _say("usage: python -m tests.support.generated [--write]")
        return 2
    expected = {page: with_table(page.read_text(encoding="utf-8")).encode() for page in PAGES}
    expected[MONITORING] = with_metrics(MONITORING.read_text(encoding="utf-8")).encode()
    expected[table.PAGE] = table.page().encode()
    expected[FINDINGS] = catalogue.page().encode()
    expected[AUDIT_CHECKS] = audit_page.page().encode()
    expected[API] = exported_api()
    expected[KMS_API] = exported_api(kubernetes(DEFAULT_KUBERNETES), "kmsexport")
    expected |= manual.expected(ROOT)
    stale = [path for path, content in expected.items() if not path.exists() or path.read_bytes() != content]
    for path in stale:
        if arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(expected[path])
        _say(f"{path.relative_to(ROOT)}: {'written' if arguments else 'differs from its source; run: make generate'}")
    superfluous = manual.superfluous(ROOT, expected)
    for path in superfluous:
        if arguments:
            path.unlink()
        _say(f"{path.relative_to(ROOT)}: {'removed' if arguments else 'of nothing that is there; run: make generate'}")
    stale += superfluous
    if not stale:
        _say(f"{len(expected)} generated files are as their sources say")
    return 1 if stale and not arguments else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
