"""Plan and result of a renewal on hosts and of a roll-over, as `Report`s. Values only."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from keyctl.errors import ExitCode
from keyctl.findings import Report, Table
from keyctl.renewing.plan import Step, named

_NOTES = (
    "an API server that is alone is away while it restarts; etcd answers as long as more than half of its members do",
    "a client that is on no host of the cluster file, this keyctl's own connection to etcd among them, is given its "
    "files by you",
)


def lines(steps: Sequence[Step]) -> tuple[str, ...]:
    """Each step, for a reader."""
    return tuple(f"{number}. {step}" for number, step in enumerate(steps, 1))


def plan_report(directory: str, steps: Sequence[Step], done: Collection[str] = ()) -> Report:
    """What would be done, or is still to be done where some of it is `done`, by their names in the journal."""
    left = [(number, step) for number, step in enumerate(steps) if named(number, step) not in done]
    rows = tuple((str(number + 1), str(step)) for number, step in left)
    data: dict[str, object] = {"directory": directory, "steps": [str(step) for _, step in left]}
    table = Table(("STEP", "WHAT"), rows, numeric=frozenset({0}))
    return Report("CertificatesRolloverPlan", ExitCode.OK, "nothing was changed", (), data, (table,), _NOTES)


def rolled_over(directory: str) -> Report:
    """The new CAs are the only ones."""
    verdict = "every port and every API server has a certificate of the new CA, and one of the old CA is refused"
    data: dict[str, object] = {"directory": directory, "generation": "new"}
    return Report("CertificatesRolledOver", ExitCode.OK, verdict, (), data)


def gone_back(directory: str) -> Report:
    """The old CAs are the only ones again."""
    verdict = "every port and every API server has a certificate of the old CA, and one of the new CA is refused"
    data: dict[str, object] = {"directory": directory, "generation": "old"}
    return Report("CertificatesRolledOver", ExitCode.OK, verdict, (), data)
