"""The entries that a rotation and the agents of nodes share: one that says what is wanted, and a report of each agent.

What is wanted changes under check-and-set, and its `seq` only ever grows, so that
a node can tell an older one of a Vault that was restored. Of each entry the newest
version alone is kept, for older ones hold keys that somebody may want destroyed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.distribution import Rendition, Report, Trace, Wanted
from keyctl.keys.vault import faults, rendition
from keyctl.keys.vault.client import UNCERTAIN, CasMismatchError, Deleted, Destroyed, Found, KeyValues
from keyctl.keys.vault.settings import VaultPlace

_WANTED = "what nodes are to load"


class VaultDistribution:
    """The `Distribution` of `cluster` at `place`, for the agents of `servers`, of which an agent itself needs none.

    An agent's policy permits `current` and `report` alone.
    """

    def __init__(self, vault: KeyValues, place: VaultPlace, *, cluster: str, servers: Collection[str]) -> None:
        self._vault = vault
        self._place = place
        self._cluster = cluster
        self._servers = servers
        self._kept_short: set[str] = set()

    @property
    def location(self) -> str:
        """See `Distribution.location`."""
        return f"{self._vault.location}/{self._place.path}"

    def current(self) -> Rendition | None:
        """See `Distribution.current`."""
        return self._current()[1]

    def want(self, server: str, wanted: Wanted | None) -> int:
        """See `Distribution.want`."""
        version, known = self._current()
        before = known or Rendition(0, {})
        # NOTE: a file of a server that has left holds keys for nobody.
        others = {name: file for name, file in before.files.items() if name != server and name in self._servers}
        files = others if wanted is None else {**others, server: wanted}
        if files == before.files:
            return before.seq
        self._require_newest(before.seq)
        after = Rendition(before.seq + 1, files)
        path = self._place.current
        for one in (path, self._place.applied(server)):
            self._keep_short(one)
        try:
            self._vault.write(path, rendition.rendition_fields(after, cluster=self._cluster), cas=version)
        except CasMismatchError:
            raise faults.conflict(path) from None
        except UNCERTAIN:
            if self.current() != after:
                raise
        return after.seq

    def reported(self, server: str) -> Report | None:
        """See `Distribution.reported`. One that somebody deleted counts as none: its agent writes another."""
        path = self._place.applied(server)
        reading = self._vault.read(path)
        if not isinstance(reading, Found):
            return None
        try:
            return rendition.decode_report(reading.fields, cluster=self._cluster, server=server)
        except rendition.OtherClusterError as error:
            raise self._other_cluster(path, error) from None
        except ValueError:
            raise self._damaged(f"the report of the agent of {server}", path) from None

    def traces(self) -> tuple[Trace, ...]:
        """See `Distribution.traces`. Raises `UnusableInputError` for a report that is damaged."""
        return tuple(self._traces())

    def report(self, report: Report) -> None:
        """See `Distribution.report`."""
        fields = rendition.report_fields(report, cluster=self._cluster)
        path = self._place.applied(report.server)
        self._keep_short(path)
        # NOTE: no check-and-set: an agent may not read, and of its own statements the last one counts.
        self._vault.write(path, fields, cas=None)

    def _traces(self) -> Iterator[Trace]:
        path, rendition = self._place.current, self.current()
        for server, wanted in rendition.files.items() if rendition else ():
            yield Trace(server, True, wanted.text.encode(), path, self._erasing(path))
        for server in self._vault.names(self._place.reports):
            path, report = self._place.applied(server), self.reported(server)
            for file in report.files if report else ():
                if file.content is not None:
                    yield Trace(server, False, file.content, path, self._erasing(path))

    def _erasing(self, path: str) -> str:
        return f"bao kv metadata delete -mount={self._vault.mount} {path}"

    def _require_newest(self, seq: int) -> None:
        """Raise `RefusedError` when a node refuses what is wanted as older than what it has seen.

        Numbers would else grow with each attempt until they pass what the nodes have seen, and nobody would notice.
        """
        for server in self._servers:
            report = self.reported(server)
            if report is not None and report.seen and report.seen >= seq:
                raise RefusedError(
                    f"{self.location} has gone back: it stands at rendition {seq}, "
                    f"and the node of {server} has seen {report.seen}",
                    cause="Vault was restored to an earlier day, or somebody else writes there",
                    hint=(
                        "restore a newer Vault, then: keyctl rotate --resume",
                        f"if the older one is right, on that node: keyctl agent --server {server} --once "
                        "--allow-rollback",
                    ),
                    rule="R8",
                )

    def _keep_short(self, path: str) -> None:
        if path not in self._kept_short:
            self._vault.keep_newest(path)
            self._kept_short.add(path)

    def _current(self) -> tuple[int, Rendition | None]:
        path = self._place.current
        reading = self._vault.read(path)
        match reading:
            case Found(version, fields):
                try:
                    return version, rendition.decode_rendition(fields, cluster=self._cluster)
                except rendition.OtherClusterError as error:
                    raise self._other_cluster(path, error) from None
                except ValueError:
                    raise self._damaged(_WANTED, path) from None
            case Deleted(version, at):
                message = f"{_WANTED} is deleted: {path}"
                raise faults.deleted(message, path, mount=self._vault.mount, version=version, at=at)
            case Destroyed():
                raise UnusableInputError(
                    f"{_WANTED} is destroyed: {path}",
                    hint=f"erase what is left of it: {self._erasing(path)}",
                )
        return 0, None

    def _other_cluster(self, path: str, error: rendition.OtherClusterError) -> UnusableInputError:
        return UnusableInputError(
            f'{path} belongs to cluster "{error.args[0]}", not "{self._cluster}"',
            hint="give each cluster its own keys.path",
        )

    def _damaged(self, what: str, path: str) -> UnusableInputError:
        return UnusableInputError(
            f"{what} is damaged: {path}",
            cause="it is not of keyctl's making",
            hint=f"find out who wrote it: bao kv metadata get -mount={self._vault.mount} {path}",
        )
