"""Files, processes and stored values that contradict each other: the higher evidence counts, and the lower is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.audit.engine import Audit
from keyctl.audit.facts import Placed, Program
from keyctl.audit.live import processes
from keyctl.findings import Evidence, Severity, Status
from tests.support.host_files import CONFIG, ETCD, SERVER, HostFiles
from tests.unit.audit import given
from tests.unit.audit.given import GOOD_CONFIG
from tests.unit.audit.right_host import Bench, audited, right_bench, statuses, told
from tests.unit.audit.stored_and_running import secret, stored
from tests.unit.audit.test_processes import process

F, U, N = Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
IDENTITY_FIRST = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return right_bench(tmp_path_factory.mktemp("kubeadm"))


def changed(before: Audit, after: Audit) -> dict[str, Status]:
    old = statuses(before)
    return {id: status for id, status in statuses(after).items() if status is not old[id]}


def reds(done: Audit, id: str) -> list[tuple[Evidence, Severity]]:
    """The evidence and the severity of each failure of a check."""
    return [
        (one.verdict.evidence, one.severity)
        for check in done.checks
        for one in check.results
        if one.rule.id == id and one.status is F
    ]


def test_a_plaintext_secret_contradicts_a_right_file(bench: Bench, tmp_path: Path) -> None:
    before = audited(bench.host, tmp_path, "all", stored(secret("a")))
    after = audited(bench.host, tmp_path, "all", stored(secret("a") | secret("b", None)))
    # The file itself is right: what has to be mended is what is stored.
    assert changed(before, after) == {"KC-DAT-101": F, "KC-ENC-010": F, "KC-ENC-014": F}
    assert reds(after, "KC-ENC-014") == [(Evidence.E3, Severity.CRITICAL)]
    assert any(f"{CONFIG} writes secrets with secretbox" in words for _, words in told(after, F))


def test_stored_values_that_are_encrypted_contradict_a_file_that_is_not(bench: Bench, tmp_path: Path) -> None:
    seen = stored(secret("a"))
    after = audited(bench.host.holding(CONFIG, IDENTITY_FIRST), tmp_path / "after", "all", seen)
    before = audited(bench.host, tmp_path / "before", "all", seen)
    assert changed(before, after) == {"KC-ENC-007": F, "KC-ENC-009": N, "KC-ENC-010": N, "KC-ENC-014": F}
    assert reds(after, "KC-ENC-014") == [(Evidence.E3, Severity.HIGH)]
    # What stored values show does not make a wrong file right: it is what the next start reads.
    assert reds(after, "KC-ENC-007") == [(Evidence.E1, Severity.CRITICAL)]


def running(host: HostFiles, root: Path, tmp_path: Path) -> list[Placed]:
    """Processes that were started with the commands of `host`, whose files stand below `root`."""
    proc = tmp_path / "proc"
    proc.mkdir()
    process(proc, 1, "systemd", ["/sbin/init"])
    for number, program in enumerate((SERVER, ETCD), 10):
        process(proc, number, program, list(host.words(program, root)))
    return list(processes.running(proc))


@pytest.mark.parametrize(
    ("started", "id", "expected"),
    [
        (lambda host: host, "", {}),
        (
            lambda host: host.untold(SERVER, "encryption-provider-config"),
            "KC-ENC-001",
            {"KC-ENC-001": F, "KC-ENC-004": U},
        ),
        (
            lambda host: host.untold(ETCD, "trusted-ca-file", "client-cert-auth"),
            "KC-TLS-002",
            {"KC-TLS-002": F, "KC-TLS-006": U, "KC-AUTH-003": U},
        ),
        (
            lambda host: host.told(ETCD, "listen-client-urls", "https://10.0.0.1:2379,http://127.0.0.1:2379"),
            "KC-TLS-007",
            {"KC-TLS-007": F},
        ),
        # Another etcd than that of the manifest: of which version is not told.
        (lambda host: host.told(ETCD, "name", "events"), "", {"KC-VER-001": U, "KC-VER-002": U}),
    ],
    ids=["as its manifest says", "without encryption", "without authentication", "with plain http", "by another name"],
)
def test_a_process_that_was_started_otherwise_than_its_manifest_says_is_red_by_itself(
    started: Callable[[HostFiles], HostFiles], id: str, expected: dict[str, Status], bench: Bench, tmp_path: Path
) -> None:
    root = tmp_path / "host"
    before = audited(bench.host, root)
    after = audited(bench.host, root, "all", *running(started(bench.host), root, tmp_path))
    assert changed(before, after) == expected
    assert {evidence for evidence, _ in reds(after, id)} == ({Evidence.E2} if id else set())


def test_a_process_that_is_right_hides_no_manifest_that_is_wrong(bench: Bench, tmp_path: Path) -> None:
    root = tmp_path / "host"
    wrong = bench.host.untold(SERVER, "encryption-provider-config")
    after = audited(wrong, root, "all", *running(bench.host, root, tmp_path))
    assert reds(after, "KC-ENC-001") == [(Evidence.E1, Severity.CRITICAL)]


@pytest.mark.parametrize(
    "silent",
    [given.etcd(version="", evidence=Evidence.E2), given.etcd("--name=cp1", version="")],
    ids=["a process without a name", "a second file of the same name"],
)
def test_only_the_process_of_a_manifest_is_of_the_version_of_its_image(silent: Program) -> None:
    versions = given.verdicts("KC-VER-001", given.etcd("--name=cp1"), given.etcd(), silent)
    assert [one.status for one in versions] == [Status.PASS, Status.PASS, U]
