"""What keyctl's own journal says of a rotation that was begun and not ended. Reads records, opens no file itself."""

from __future__ import annotations

from collections.abc import Sequence

from keyctl.errors import KeyctlError
from keyctl.rotation.diagnosis.facts import JournalSeen
from keyctl.rotation.joining import plan_of
from keyctl.rotation.journal import Journal, Record
from keyctl.rotation.moments import moments
from keyctl.rotation.plan import Plan


def journal_seen(journal: Journal) -> JournalSeen | None:
    """The rotation that `journal` has as unfinished; None when there is none."""
    path = str(journal.path)
    try:
        records = journal.unfinished()
    except KeyctlError as error:
        return JournalSeen(path, problem=f"{error}{f' ({error.cause})' if error.cause else ''}")
    except (OSError, KeyError, ValueError):
        # NOTE: a line without its kind, or bytes that are no text.
        return JournalSeen(path, problem="the journal is damaged: it holds what keyctl never writes")
    return _seen(path, records) if records else None


def _seen(path: str, records: Sequence[Record]) -> JournalSeen:
    first = records[0]
    plan: Plan | None = None
    problem = ""
    try:
        plan = plan_of(records)
    except KeyctlError as error:
        problem = str(error)
    states = [str(record["state"]) for record in records if record.get("kind") == "state" and "state" in record]
    return JournalSeen(
        path=path,
        rotation=plan.rotation if plan else str(first.get("rotation", "")),
        began=str(first.get("at", "")),
        last=str(records[-1].get("at", "")),
        state=states[-1] if states else "",
        back=any(record.get("kind") == "abort" for record in records),
        plan=plan,
        waits=_waits(records),
        problem=problem,
        moments=tuple(moments(records)),
    )


def _waits(records: Sequence[Record]) -> dict[str, str]:
    """Since when each server has had a file that it was not yet proven to have loaded."""
    found: dict[str, str] = {}
    for record in records:
        server = str(record.get("server", ""))
        if record.get("kind") == "outcome" and record.get("step") == "write-file":
            found[server] = str(record.get("at", ""))
        elif record.get("kind") == "proof" and record.get("of") == "server":
            found.pop(server, None)
    return found
