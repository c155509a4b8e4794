"""What `config validate` says of mending a configuration: exactly what `config fix` and `config migrate` would do.

Writes nothing, and names no command that would do nothing.
"""

from __future__ import annotations

from dataclasses import replace

from keyctl.cli.files import STDIN, name_of
from keyctl.encryption_config.checks.advice import LEGACY_KIND
from keyctl.encryption_config.judge import Judged
from keyctl.encryption_config.repair.repairs import repairs
from keyctl.encryption_config.server import Server
from keyctl.file_argument import file_argument
from keyctl.findings import Finding


def mending(path: str, content: bytes, judged: Judged, server: Server) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """The findings of `judged`, `server`'s verdict on `content`, with the exact way out of each; and the next steps."""
    file = file_argument(name_of(path))
    if judged.accepted:
        legacy = any(one.id == LEGACY_KIND.id for one in judged.findings)
        return judged.findings, (f"keyctl config migrate {file}",) if legacy and path != STDIN else ()
    repaired = repairs(content, name=name_of(path), server=server)
    ways = {(one.id, one.message): one.fix for one in repaired.left}
    findings = tuple(replace(one, fix=ways.get((one.id, one.message), one.fix)) for one in judged.findings)
    if repaired.content == content:
        return findings, ()
    first, others = repaired.done[0], len(repaired.done) - 1
    more = f"; and {others} more" if others else ""
    # What stands behind the sign is a comment to a shell too.
    step = f"keyctl config fix {file}  # line {first.line}: {first.sentence}{more}"
    return findings, (step,) if path != STDIN else ()
