"""Commands that a hint names, with the cluster file that the user named: without it they would take another one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from keyctl.errors import KeyctlError

# Those of them that hints name and that take --cluster.
COMMANDS = (
    *("disable", "doctor", "enable", "keys destroy", "keys list", "rotate", "sanitize", "snapshot forget"),
    *("snapshot save", "status", "verify-secrets"),
)
_OPTION = "--cluster"
_MENTION = re.compile(rf"\bkeyctl (?:{'|'.join(COMMANDS)})(?![\w-])")


@contextlib.contextmanager
def naming(cluster: Path | None) -> Iterator[None]:
    """Let what is raised here name `cluster` in the commands of its hints, where the user has."""
    try:
        yield
    except KeyctlError as error:
        if cluster is not None:
            error.hints = tuple(with_cluster(hint, cluster) for hint in error.hints)
        raise


def with_cluster(hint: str, cluster: Path) -> str:
    """`hint`, with the option in each command that lacks it."""
    if _OPTION in hint:
        return hint
    return _MENTION.sub(lambda found: f"{found[0]} {_OPTION} {quote(str(cluster))}", hint)
