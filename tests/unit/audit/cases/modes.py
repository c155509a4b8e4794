"""Files that others may put away by the directories above them."""

from __future__ import annotations

from dataclasses import replace

from keyctl.audit.checks.files import DATA_DIRECTORY, ENCRYPTION_CONFIG, MANIFEST, PRIVATE_KEY, SNAPSHOT
from keyctl.audit.facts import FileFact, Git
from keyctl.findings import Status
from tests.unit.audit.cases import Case
from tests.unit.audit.given import file

P, F, N = Status.PASS, Status.FAIL, Status.NOT_APPLICABLE


def below(role: str, *above: tuple[str, int, int], mode: int = 0o600, git: Git = Git.OUTSIDE) -> FileFact:
    return replace(file(role, mode, git=git), above=above)


CASES: list[Case] = [
    ("KC-FS-001", P, (below(ENCRYPTION_CONFIG, ("/a", 0o755, 0), ("/", 0o755, 0)),)),
    ("KC-FS-001", F, (below(ENCRYPTION_CONFIG, ("/a", 0o755, 0), ("/", 0o777, 0)),)),
    ("KC-FS-001", F, (below(ENCRYPTION_CONFIG, ("/a", 0o775, 50)),)),
    # The group root holds nobody else.
    ("KC-FS-001", P, (below(ENCRYPTION_CONFIG, ("/a", 0o775, 0)),)),
    ("KC-FS-001", P, (below(ENCRYPTION_CONFIG, ("/a", 0o755, 0), ("/tmp", 0o1777, 0)),)),  # noqa: S108
    ("KC-FS-001", N, (below(ENCRYPTION_CONFIG, ("/a", 0o777, 0), git=Git.TRACKED),)),
    # Some keep a host's own /etc in Git as it stands there.
    ("KC-FS-001", F, (replace(file(ENCRYPTION_CONFIG, 0o644, git=Git.TRACKED), checkout=False),)),
    ("KC-FS-001", P, (replace(file(ENCRYPTION_CONFIG, git=Git.TRACKED), checkout=False),)),
    ("KC-FS-002", F, (below(DATA_DIRECTORY, ("/a", 0o777, 0), mode=0o700),)),
    ("KC-FS-003", F, (below(MANIFEST, ("/a", 0o777, 0)),)),
    ("KC-FS-004", F, (below(PRIVATE_KEY, ("/a", 0o777, 0)),)),
    ("KC-FS-005", F, (below(SNAPSHOT, ("/a", 0o777, 0)),)),
    ("KC-FS-005", F, (below(SNAPSHOT, ("/tmp", 0o1777, 0)),)),  # noqa: S108
    ("KC-FS-005", P, (below(SNAPSHOT, ("/backup", 0o700, 0), ("/tmp", 0o1777, 0)),)),  # noqa: S108
    ("KC-FS-005", N, (below(SNAPSHOT, ("/tmp", 0o1777, 0), git=Git.UNTRACKED),)),  # noqa: S108
]
