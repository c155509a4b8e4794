"""Read every value under a prefix of live etcd, at one revision, in bounded memory. Judges none of them.

A linearizable read pins the revision and says how many values there are; as many must arrive. At a revision that is
pinned every member has the same, so a reading that breaks off goes on behind the last key that arrived, at whichever
endpoint answers. One range is read at a time: two halves of 200,000 values in parallel took 0.98 of the time of one
stream when counted and 0.94 when opened (medians of nine pairs, two cores), for etcd is the slower side.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from keyctl.errors import KeyctlError, RevisionLostError, UnreachableError, WrongUsageError
from keyctl.etcd.connections import Connections, Endpoint, is_authorisation
from keyctl.etcd.pinned import Pin, following, read, truncated
from keyctl.etcd.rpc import CallError
from keyctl.stored.source import SourceInfo, Value

_logger = logging.getLogger(__name__)

# How long nothing may arrive, in timeouts of a call; how often a scan may break; the waits between, in seconds.
_PATIENCE = 3
_MOST_BREAKS = 100
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 2.0


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """The first key that starts with `prefix`, and the first one after all of them.

    etcd writes "from the first key" and "without end" as a zero byte.
    """
    stem = prefix.rstrip(b"\xff")
    return prefix or b"\0", stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


class LiveSource:
    """A `ValueSource` over etcd, at `revision` or, when that is 0, at the one of the first read."""

    def __init__(self, connections: Connections, revision: int = 0) -> None:
        self._connections = connections
        self._revision = revision
        self._info: SourceInfo | None = None

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield the values whose key starts with `prefix`, in key order; a batch has at most 5000 of them.

        Raises `RevisionLostError` when its own revision is compacted away meanwhile.
        """
        try:
            yield from self._batches(prefix)
        except RevisionLostError as error:
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
        reading = self._pinned(start, end)
        yield from reading.batches(start)
        self._info = reading.info()

    def info(self) -> SourceInfo:
        """What the last complete run of `batches` read. `RuntimeError` before that."""
        if self._info is None:
            raise RuntimeError("nothing was read to its end yet")
        return self._info

    def _pinned(self, start: bytes, end: bytes) -> _Reading:
        # NOTE: linearizable, so that nothing which was acknowledged before is missing, and no member can lag here.
        endpoint, answer = self._connections.ask_any(
            lambda session: session.range(start, end, revision=self._revision, count_only=True)
        )
        revision = self._revision or answer.header.revision
        return _Reading(self._connections, endpoint, Pin(end, revision, answer.header.cluster_id, answer.count))


class _Reading:
    """One range at one revision, read to its end at whichever endpoint answers."""

    def __init__(self, connections: Connections, endpoint: Endpoint, pin: Pin) -> None:
        self._connections, self._endpoint, self._pin = connections, endpoint, pin
        # An endpoint that is given twice would hide those behind it.
        self._endpoints = tuple(dict.fromkeys(connections.endpoints))
        self._patience = _Patience(_PATIENCE * connections.timeout, len(self._endpoints))
        self._failures: dict[Endpoint, CallError] = {}
        self._places = {endpoint.url: None}
        self._delivered = 0

    def batches(self, start: bytes) -> Generator[list[Value]]:
        """Yield all from `start` on."""
        while True:
            try:
                with closing(read(self._connections, self._endpoint, start, self._pin)) as reading:
                    for batch in reading:
                        start = following(batch)
                        self._note_progress(len(batch))
                        yield batch
                return
            except CallError as error:
                self._go_on_elsewhere(error)

    def info(self) -> SourceInfo:
        """What was read. Raises `UnreachableError` when it is not as much as there is."""
        places = ", ".join(self._places)
        if self._delivered != self._pin.count:
            raise truncated(places, f"it delivered {self._delivered} of {self._pin.count} values")
        return SourceInfo("etcd", places, self._pin.revision, f"{self._pin.cluster_id:x}", self._pin.count)

    def _note_progress(self, values: int) -> None:
        self._delivered += values
        self._places[self._endpoint.url] = None
        self._patience.renew()

    def _go_on_elsewhere(self, error: CallError) -> None:
        """Turn to the next endpoint after `error`, or raise what it means when that would not help."""
        lags = error.code == "OUT_OF_RANGE" and "compacted" not in error.detail
        if is_authorisation(error) or error.code == "RESOURCE_EXHAUSTED" or (error.code == "OUT_OF_RANGE" and not lags):
            raise self._connections.failure(self._endpoint, error) from error
        if lags:
            error = CallError("UNAVAILABLE", f"it lags behind and has not reached revision {self._pin.revision} yet")
        self._failures[self._endpoint] = error
        _logger.info("etcd at %s broke off after %d values: %s", self._endpoint, self._delivered, error)
        if not self._patience.lasts():
            raise self._given_up() from error
        # A connection on which nothing arrives may be dead without being closed.
        self._connections.forget(self._endpoint)
        at = self._endpoints.index(self._endpoint)
        self._endpoint = self._endpoints[(at + 1) % len(self._endpoints)]

    def _given_up(self) -> KeyctlError:
        failed = self._connections.no_answer(tuple(self._failures.items()))
        return UnreachableError(
            f"{failed}, after {self._delivered} of {self._pin.count} values", cause=failed.cause, hint=failed.hints
        )


@dataclass(slots=True)
class _Patience:
    """How often, and for how many `seconds` in which nothing arrives, a reading over `places` is taken up again."""

    seconds: float
    places: int
    breaks: int = 0
    fruitless: int = 0
    since: float = 0.0

    def renew(self) -> None:
        """Something arrived."""
        self.fruitless = 0

    def lasts(self) -> bool:
        """Whether to try once more after a break. Waits when every place was tried since something arrived."""
        now = time.monotonic()
        # The time that the consumer took before does not count.
        if not self.fruitless:
            self.since = now
        self.breaks += 1
        self.fruitless += 1
        if self.breaks >= _MOST_BREAKS or now - self.since > self.seconds:
            return False
        rounds, others = divmod(self.fruitless, self.places)
        if not others:
            time.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (rounds - 1)))
        return True
