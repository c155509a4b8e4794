"""Read what one endpoint has of a range at one revision: in a stream where it has that, else in pages.

Goes to no other endpoint and repeats nothing: whoever reads knows the last key and can go on behind it. At one
revision every member has the same, so each is asked for what it has itself, without the others' agreement.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from keyctl.errors import UnreachableError
from keyctl.etcd.connections import Connections, Endpoint
from keyctl.etcd.rpc import CallError, RangeAnswer, Session
from keyctl.stored.source import Value

# Every page makes etcd count all that is left of the range, so pages are large; their bytes bound memory.
_PAGE_VALUES = 5000
_FIRST_PAGE_VALUES = 500
_PAGE_BYTES = 8 << 20
# etcd < 3.7 does not stream; what is too large in a stream may fit into pages, which can be made smaller.
_READ_IN_PAGES = frozenset({"UNIMPLEMENTED", "RESOURCE_EXHAUSTED"})


@dataclass(frozen=True, slots=True)
class Pin:
    """The end of a range, the revision at which it is read, whose it is, and how many values it holds in all."""

    end: bytes
    revision: int
    cluster_id: int
    count: int


def read(connections: Connections, endpoint: Endpoint, start: bytes, pin: Pin) -> Generator[list[Value]]:
    """Yield the values from `start` to the end of `pin`, in key order; no batch is empty or has more than 5000.

    Raises `CallError`, at any item, when the endpoint fails, and `UnreachableError` when it breaks off as if it had
    come to the end, or is of another cluster.
    """
    try:
        with closing(_stream(connections, endpoint, start, pin)) as reading:
            for batch in reading:
                start = following(batch)
                yield batch
        return
    except CallError as error:
        if error.code not in _READ_IN_PAGES:
            raise
    yield from _pages(connections, endpoint, start, pin)


def following(batch: list[Value]) -> bytes:
    """The first key that can come after `batch`."""
    return batch[-1][0] + b"\0"


def truncated(place: str, cause: str) -> UnreachableError:
    """The error for an answer that ended normally and is not whole."""
    return UnreachableError(f"etcd at {place} gave a truncated answer", cause=cause, hint="run it again")


def _stream(connections: Connections, endpoint: Endpoint, start: bytes, pin: Pin) -> Generator[list[Value]]:
    chunks, stream = connections.ask(endpoint, lambda session: _open_stream(session, start, pin))
    ended = False
    with closing(stream):
        for chunk in chunks:
            # The header comes with the last chunk only.
            if chunk.HasField("header"):
                _require_cluster(endpoint, chunk, pin)
                ended = True
            batch = _values(chunk)
            # A chunk is large: it does not stay while its values are worked on and the next one arrives.
            del chunk
            if batch:
                yield batch
    if not ended:
        raise truncated(str(endpoint), "its stream ended without the last chunk")


def _open_stream(session: Session, start: bytes, pin: Pin) -> tuple[Iterator[RangeAnswer], Generator[RangeAnswer]]:
    """All chunks, and the stream to be closed: only when something arrived an endpoint has answered."""
    stream = session.range_stream(start, pin.end, revision=pin.revision)
    chunk = next(stream, None)
    # NOTE: unlike what it came from, an iterator that is at its end holds nothing any more.
    return chain(iter(() if chunk is None else (chunk,)), stream), stream


def _pages(connections: Connections, endpoint: Endpoint, start: bytes, pin: Pin) -> Generator[list[Value]]:
    limit = _FIRST_PAGE_VALUES
    while True:
        answer, limit = _page(connections, endpoint, start, pin, limit)
        _require_cluster(endpoint, answer, pin)
        batch, more = _values(answer), answer.more
        # An answer is large: it does not stay while its values are worked on and the next one arrives.
        del answer
        if batch:
            yield batch
        if not more or not batch:
            return
        start = following(batch)
        size = sum(len(key) + len(value) for key, value, _ in batch)
        limit = max(1, min(_PAGE_VALUES, len(batch) * _PAGE_BYTES // size))


def _page(connections: Connections, endpoint: Endpoint, start: bytes, pin: Pin, limit: int) -> tuple[RangeAnswer, int]:
    """A page of at most `limit` values, and the limit at which it could be received."""

    def ask(session: Session) -> RangeAnswer:
        return session.range(start, pin.end, limit=limit, revision=pin.revision, serializable=True)

    try:
        return connections.ask(endpoint, ask), limit
    except CallError as error:
        if error.code != "RESOURCE_EXHAUSTED" or limit == 1:
            raise
    return _page(connections, endpoint, start, pin, limit // 2)


def _values(answer: RangeAnswer) -> list[Value]:
    return [(kv.key, kv.value, kv.mod_revision) for kv in answer.kvs]


def _require_cluster(endpoint: Endpoint, answer: RangeAnswer, pin: Pin) -> None:
    if answer.header.cluster_id != pin.cluster_id:
        raise UnreachableError(
            f"etcd at {endpoint} belongs to another cluster than the endpoint that was read before it",
            cause=f"cluster {answer.header.cluster_id:x}, not {pin.cluster_id:x}",
            hint="name the members of one cluster only; 127.0.0.1 is another machine on every host",
        )
