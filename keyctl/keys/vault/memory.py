"""How far this machine has seen the ledger of a Vault go, in a file: a Vault may be restored to an earlier day.

Holds a number and a digest, no key. It is a hint of this machine and no truth:
where it is lost, it begins anew.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnreachableError


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest write of a ledger that was seen."""

    seq: int
    digest: str


class LedgerMemory:
    """What was seen of the ledger at `location`, kept in `path`."""

    def __init__(self, path: Path, *, location: str) -> None:
        self._path = path
        self._location = location

    @property
    def path(self) -> Path:
        """The file, for messages."""
        return self._path

    def seen(self) -> Seen | None:
        """The newest write seen; None where none was, or the file is of another place, or damaged."""
        try:
            fields = json.loads(self._path.read_bytes())
            if fields["location"] != self._location:
                return None
            return Seen(int(fields["seq"]), str(fields["digest"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def note(self, seen: Seen) -> None:
        """Remember `seen`, unless something newer is. Raises `UnreachableError` when it cannot be written."""
        known = self.seen()
        # NOTE: another run on this machine may have seen more while we waited for an answer.
        if known == seen or (known is not None and known.seq > seen.seq):
            return
        content = {"location": self._location, "seq": seen.seq, "digest": seen.digest}
        temporary = self._path.with_name(f".{self._path.name}-{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content) + "\n")
            temporary.replace(self._path)
        except OSError as exc:
            raise UnreachableError(
                f"{self._path} cannot be written", cause=exc.strerror, hint="set XDG_STATE_HOME to a folder of yours"
            ) from exc
