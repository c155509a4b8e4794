"""Read every value under a prefix of live etcd, at one revision, in bounded memory. Judges none of them.

etcd 3.7 streams a range; below it the range is read in pages. Either way the
first read is linearizable and pins the revision, and as many values must
arrive as etcd says it holds.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from keyctl.errors import StoppedError, UnreachableError, WrongUsageError
from keyctl.etcd.connections import Connections, Endpoint
from keyctl.etcd.rpc import CallError, RangeAnswer, Session
from keyctl.stored.source import SourceInfo, Value

# Every page makes etcd count all that is left of the range, so pages are large; their bytes bound memory.
_PAGE_VALUES = 5000
_FIRST_PAGE_VALUES = 500
_PAGE_BYTES = 8 << 20


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """The first key that starts with `prefix`, and the first one after all of them.

    etcd writes "from the first key" and "without end" as a zero byte.
    """
    stem = prefix.rstrip(b"\xff")
    return prefix or b"\0", stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


@dataclass(slots=True)
class _Tally:
    """What one scan has seen, and what etcd said about it once it said so."""

    delivered: int = 0
    count: int = -1
    revision: int = 0
    cluster_id: str = ""

    def take(self, answer: RangeAnswer) -> list[Value]:
        values = [(kv.key, kv.value, kv.mod_revision) for kv in answer.kvs]
        self.delivered += len(values)
        return values

    def note(self, answer: RangeAnswer) -> None:
        self.count = answer.count
        self.revision = answer.header.revision
        self.cluster_id = f"{answer.header.cluster_id:x}"

    def require_complete(self, endpoint: Endpoint) -> None:
        if self.delivered == self.count:
            return
        held = "without saying how many it holds" if self.count < 0 else f"of {self.count}"
        raise UnreachableError(
            f"etcd at {endpoint} gave a truncated answer",
            cause=f"it delivered {self.delivered} values {held}",
            hint="run it again",
        )


class LiveSource:
    """A `ValueSource` over etcd, at `revision` or, when that is 0, at the one of the first read."""

    def __init__(self, connections: Connections, revision: int = 0) -> None:
        self._connections = connections
        self._revision = revision
        self._info: SourceInfo | None = None

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield the values whose key starts with `prefix`, in key order; a batch has at most 5000 of them."""
        try:
            yield from self._batches(prefix)
        except StoppedError as error:
            if not self._revision:
                raise
            raise WrongUsageError(
                f"etcd no longer has revision {self._revision}",
                cause="it was compacted away; kube-apiserver compacts what is older than 5 to 10 minutes",
                hint="leave the revision out to read what is there now",
            ) from error

    def _batches(self, prefix: bytes) -> Iterator[list[Value]]:
        self._info = None
        start, end = prefix_range(prefix)
        endpoint, stream = self._connections.ask_any(lambda session: self._open_stream(session, start, end))
        tally = _Tally()
        reading = self._pages(endpoint, start, end, tally) if stream is None else _chunks(stream, tally)
        try:
            with closing(reading):
                for batch in reading:
                    if batch:
                        yield batch
        except CallError as error:
            raise self._connections.failure(endpoint, error) from error
        tally.require_complete(endpoint)
        self._info = SourceInfo(
            type="etcd",
            location=endpoint.url,
            revision=self._revision or tally.revision,
            cluster_id=tally.cluster_id,
            count=tally.count,
        )

    def info(self) -> SourceInfo:
        """What the last complete run of `batches` read. `RuntimeError` before that."""
        if self._info is None:
            raise RuntimeError("nothing was read to its end yet")
        return self._info

    def _open_stream(
        self, session: Session, start: bytes, end: bytes
    ) -> tuple[RangeAnswer | None, Generator[RangeAnswer]] | None:
        """Wait for the first chunk, since only then an endpoint has answered; None when it cannot stream."""
        stream = session.range_stream(start, end, revision=self._revision)
        try:
            return next(stream, None), stream
        except CallError as error:
            if error.code == "UNIMPLEMENTED":
                return None
            raise

    def _pages(self, endpoint: Endpoint, start: bytes, end: bytes, tally: _Tally) -> Generator[list[Value]]:
        limit, revision = _FIRST_PAGE_VALUES, self._revision
        while True:
            # A pinned revision reads the same everywhere; only what is read at "now" must be agreed upon.
            answer, limit = self._page(endpoint, start, end, limit=limit, revision=revision, first=tally.count < 0)
            if tally.count < 0:
                tally.note(answer)
                revision = revision or tally.revision
            batch = tally.take(answer)
            yield batch
            if not answer.more or not batch:
                return
            start = batch[-1][0] + b"\0"
            size = sum(len(key) + len(value) for key, value, _ in batch)
            limit = max(1, min(_PAGE_VALUES, len(batch) * _PAGE_BYTES // size))

    def _page(
        self, endpoint: Endpoint, start: bytes, end: bytes, *, limit: int, revision: int, first: bool
    ) -> tuple[RangeAnswer, int]:
        try:
            answer = self._connections.ask(
                endpoint,
                lambda session: session.range(start, end, limit=limit, revision=revision, serializable=not first),
            )
        except CallError as error:
            if error.code != "RESOURCE_EXHAUSTED" or limit == 1:
                raise
            return self._page(endpoint, start, end, limit=limit // 2, revision=revision, first=first)
        return answer, limit


def _chunks(opened: tuple[RangeAnswer | None, Generator[RangeAnswer]], tally: _Tally) -> Generator[list[Value]]:
    chunk, rest = opened
    with closing(rest):
        while chunk is not None:
            if chunk.HasField("header"):
                tally.note(chunk)
            yield tally.take(chunk)
            chunk = next(rest, None)
