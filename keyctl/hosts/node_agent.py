"""What `keyctl agent` does on a control-plane node: bring one file to what is wanted of its server, and report it.

Never decides what the file should hold, and restarts nothing. What it cannot
prove to be the next file of this node it leaves alone, with the reason in its
report; the last good file stays where it is, whatever Vault does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.hosts.agent import Openers
from keyctl.hosts.interface import Host, HostFile
from keyctl.hosts.node_memory import GoneBackError, NodeMemory, Seen
from keyctl.hosts.refusals import changed, other_than
from keyctl.keys.distribution import Distribution, Rendition, Report, ReportedFile, Wanted

_AGAIN = timedelta(minutes=10)


class Done(Enum):
    """What a turn came to."""

    APPLIED = "has the new file"
    EQUAL = "has the file that is wanted"
    NOTHING = "keeps its file: nothing is wanted of it yet"


@dataclass(frozen=True, slots=True)
class Turn:
    """One look at what is wanted: `done`, of rendition `seq` (0: none was ever published)."""

    done: Done
    seq: int


class NodeAgent:
    """Keeps `config_path` on `host` as `distribution` wants it of `server`; `manifest_path` is reported and left alone.

    `digest_of` tells one rendition from another. `allow_rollback` takes an older one than this node has seen, and
    puts one in place of a file that is gone, whichever that was.
    """

    def __init__(
        self,
        server: str,
        distribution: Distribution,
        host: Host,
        *,
        cluster: str,
        config_path: str,
        manifest_path: str | None,
        openers: Openers,
        digest_of: Callable[[Rendition], str],
        now: Callable[[], datetime],
        allow_rollback: bool = False,
    ) -> None:
        self._server = server
        self._distribution = distribution
        self._host = host
        self._config_path = config_path
        self._paths = (config_path, *((manifest_path,) if manifest_path else ()))
        self._openers = openers
        self._digest_of = digest_of
        self._now = now
        self._allow_rollback = allow_rollback
        self._memory = NodeMemory(host, config_path, cluster=cluster)
        self._last: Report | None = None
        self._swept = False

    def turn(self) -> Turn:
        """Look once at what is wanted, follow it, and report what is there then.

        Raises `UnreachableError` while the place where it stands cannot be asked, `RefusedError` for what a guard
        refuses, `UnusableInputError` for what is damaged; the file is as it was then.
        """
        rendition: Rendition | None = None
        refused: KeyctlError | None = None
        done = Done.NOTHING
        try:
            rendition = self._distribution.current()
        except UnusableInputError as error:
            refused = error
        else:
            done, refused = self._attempt(rendition)
        report, unread = self._found(rendition.seq if rendition else 0)
        refused = refused or unread
        seen = refused.seen if isinstance(refused, GoneBackError) else 0
        passing = isinstance(refused, UnreachableError)
        self._tell(replace(report, refused=_sentence(refused), seen=seen, passing=passing))
        if refused is not None:
            raise refused
        return Turn(done, report.seq)

    def _attempt(self, rendition: Rendition | None) -> tuple[Done, KeyctlError | None]:
        """Follow `rendition`, or why not: whatever fails here is about this node."""
        try:
            return self._follow(rendition), None
        except KeyctlError as error:
            # NOTE: a write that failed may have left its temporary.
            self._swept = False
            return Done.NOTHING, error

    def _follow(self, rendition: Rendition | None) -> Done:
        if not self._swept:
            for path in (self._config_path, self._memory.path):
                self._host.sweep(path)
            self._swept = True
        seen = self._remember(rendition)
        wanted = rendition.files.get(self._server) if rendition else None
        if wanted is None:
            return Done.NOTHING
        present = self._host.read(self._config_path)
        if present is not None:
            self._memory.keep(replace(seen, file=present.sha256))
        if present is not None and present.sha256 == wanted.sha256:
            return Done.EQUAL
        self._check(wanted, present, had=seen.file)
        self._host.write(
            self._config_path,
            wanted.text.encode(),
            expected=present.sha256 if present else None,
            in_place=wanted.in_place and present is not None,
        )
        self._memory.keep(replace(seen, file=wanted.sha256))
        return Done.APPLIED

    def _check(self, wanted: Wanted, present: HostFile | None, *, had: str) -> None:
        """Refuse whatever is not the next file of this node, or, where it is gone, the file that it `had`."""
        if present is None:
            self._check_back(wanted, had)
        elif present.sha256 != wanted.replaces:
            raise changed(self._server, self._config_path, other_than(wanted.replaces, present.sha256))
        opens = self._openers(wanted.text.encode(), name=f"what is wanted of {self._server}")
        opened = {} if present is None else self._openers(present.content, name=self._config_path)
        lost = sorted(name for one, name in opened.items() if one not in opens and one not in wanted.lets_go)
        if lost:
            raise RefusedError(
                f"the file that is wanted of {self._server} lacks {lost[0]}, which the one on this node has",
                cause="no rotation let go of it",
                hint=f"find out who wrote that to {self._distribution.location}; nothing was changed here",
                rule="R3",
            )

    def _check_back(self, wanted: Wanted, had: str) -> None:
        """Where there is no file: refuse what is neither the first one ever nor the very one that was here."""
        first = not had and wanted.replaces is None
        # NOTE: what is wanted may be of a year ago, when the file came here in another way since.
        if not first and had != wanted.sha256 and not self._allow_rollback:
            raise RefusedError(
                f"host {self._server}: {self._config_path} is gone, and what is wanted is not the file that was here",
                cause=f"wanted is {wanted.sha256}, and here was {had or 'none that this node remembers'}",
                hint=(
                    "put the file back that the other servers have, or the one of a backup",
                    f"if what is wanted is right: keyctl agent --server {self._server} --once --allow-rollback",
                ),
                rule="R8",
            )

    def _remember(self, rendition: Rendition | None) -> Seen:
        """Note how far renditions have gone. Raises `GoneBackError` for an older one than was seen here."""
        seen = self._memory.seen()
        seq, digest = (rendition.seq, self._digest_of(rendition)) if rendition else (0, "")
        if (seq, digest) == (seen.seq, seen.digest):
            return seen
        if seq <= seen.seq and not self._allow_rollback:
            raise GoneBackError(
                f"{self._distribution.location} has gone back: it wants rendition {seq}, "
                f"and this node has seen {seen.seq}",
                seen=seen.seq,
                cause="Vault was restored to an earlier day, or somebody else writes there",
                hint=(
                    "restore a newer Vault; the file on this node stays as it is",
                    f"if the older one is right: keyctl agent --server {self._server} --once --allow-rollback",
                ),
            )
        found = replace(seen, seq=seq, digest=digest)
        self._memory.keep(found)
        return found

    def _found(self, seq: int) -> tuple[Report, KeyctlError | None]:
        """What is on the disk now, or why that cannot be told."""
        report = Report(self._server, seq, (), "", self._now().astimezone(UTC).isoformat())
        try:
            files = tuple(_reported(path, self._host.read(path)) for path in self._paths)
            return replace(report, files=files, free=self._host.free_bytes(self._config_path)), None
        except KeyctlError as error:
            return report, error

    def _tell(self, report: Report) -> None:
        """Report what is new; and what is not, now and then: somebody may have lost it."""
        known = self._last
        if known != report or datetime.fromisoformat(report.at) - datetime.fromisoformat(known.at) >= _AGAIN:
            self._distribution.report(report)
            self._last = report


def _reported(path: str, file: HostFile | None) -> ReportedFile:
    return ReportedFile(path, file.content if file else None, file.mode if file else None)


def _sentence(error: KeyctlError | None) -> str:
    if error is None:
        return ""
    return f"{error} ({error.cause})" if error.cause else str(error)
