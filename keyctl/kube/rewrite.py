"""Send empty merge patches, several at a time, over kept-alive connections (rule R15).

An empty patch of a stale object makes the server write it anew, under the key
that writes. Nothing here decides that a value is done: only raw etcd says so.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from keyctl.kube.answers import NoAnswerError
from keyctl.kube.client import Channel, Connection
from keyctl.kube.interface import ObjectRef, Outcome, Patched, Refusal
from keyctl.kube.outcomes import judge

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_MERGE_PATCH = "application/merge-patch+json"
_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Patcher:
    """Empty patches through one server. `path_of` gives the URL path of an object, None when no API serves it."""

    connection: Connection
    path_of: Callable[[ObjectRef], str | None]
    dry_run: bool = False

    def patch(self, channel: Channel, ref: ObjectRef) -> Patched:
        """The outcome for one object."""
        path = self.path_of(ref)
        if path is None:
            message = f"no API serves {ref.resource}"
            return Patched(ref, Outcome.REFUSED, message=message, refusal=Refusal.NOT_SERVED, by=ref.resource)
        begun = time.monotonic()
        answer = channel.request(
            "PATCH",
            # No fieldManager: an update that changes nothing leaves no entry in managedFields.
            f"{path}?dryRun=All" if self.dry_run else path,
            accept=METADATA,
            # NOTE: what only a KMS plugin opens tells no uid; then whatever has that name now is rewritten, as it is.
            body={"metadata": {"uid": ref.uid} if ref.uid else {}},
            content_type=_MERGE_PATCH,
        )
        took = time.monotonic() - begun
        return replace(judge(ref, answer, self.connection.url), seconds=took, retry_after=answer.retry_after or 0.0)


def patch_all(
    patcher: Patcher, refs: Iterable[ObjectRef], *, workers: int, on_result: Callable[[Patched], None] | None = None
) -> tuple[Patched, ...]:
    """Patch each of `refs`, `workers` at a time; one answer for each, in the order of arrival.

    `refs` is read as work goes on; `on_result` is called in the calling thread. A
    server that has stopped answering gets no more requests: the rest comes back
    as `SLOWER`. When interrupted, the requests under way are answered first and
    their results handed to `on_result`. Raises `UnreachableError` when the server
    does not accept our credentials.
    """
    if workers < 1:
        raise ValueError("at least one worker")
    crew = _Crew(patcher, iter(refs), workers)
    results: list[Patched] = []

    def deliver(result: Patched) -> None:
        results.append(result)
        if on_result:
            on_result(result)

    crew.start()
    try:
        for result in crew.results():
            deliver(result)
    except BaseException as error:
        crew.stop()
        for result in crew.results():
            if isinstance(error, KeyboardInterrupt):
                deliver(result)
        raise
    if crew.failure:
        raise crew.failure
    return tuple(results)


@dataclass(slots=True)
class _Crew:
    """The workers, what they share, and the queue of their results; None in it says that one has ended."""

    patcher: Patcher
    refs: Iterator[ObjectRef]
    workers: int
    failure: BaseException | None = None
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _queue: queue.SimpleQueue[Patched | None] = field(default_factory=queue.SimpleQueue)
    _resume_at: float = 0.0
    _unanswered: int = 0

    def start(self) -> None:
        for number in range(self.workers):
            # NOTE: a daemon, for a second Ctrl-C must end the process also while a request hangs.
            threading.Thread(target=self._work, name=f"patch-{number}", daemon=True).start()
            self._running += 1

    def stop(self) -> None:
        """Let each worker end after the request it is at."""
        self._stopped.set()

    def results(self) -> Iterator[Patched]:
        """Results until the last worker has ended; may be called again after an interruption."""
        while self._running:
            result = self._queue.get()
            if result is None:
                self._running -= 1
            else:
                yield result

    def _work(self) -> None:
        try:
            with self.patcher.connection.lent_channel() as channel:
                while not self._stopped.is_set() and (ref := self._next()):
                    self._queue.put(self._one(channel, ref))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller's thread must learn of it
            self.failure = error
            self.stop()
        finally:
            self._queue.put(None)

    def _next(self) -> ObjectRef | None:
        with self._lock:
            return next(self.refs, None)

    def _one(self, channel: Channel, ref: ObjectRef) -> Patched:
        if self._unanswered >= 2 * self.workers:
            return _unanswered(ref, "not sent: the server has stopped answering")
        self._stopped.wait(max(0.0, self._resume_at - time.monotonic()))
        try:
            result = self.patcher.patch(channel, ref)
        except NoAnswerError as error:
            self._unanswered += 1
            self._slow_down(0.0)
            return _unanswered(ref, error.cause or str(error))
        self._unanswered = 0
        if result.outcome is Outcome.SLOWER:
            self._slow_down(result.retry_after)
        return result

    def _slow_down(self, seconds: float) -> None:
        self._resume_at = time.monotonic() + min(seconds or _PAUSE, _LONGEST_PAUSE)


def _unanswered(ref: ObjectRef, message: str) -> Patched:
    return Patched(ref, Outcome.SLOWER, message=message, refusal=Refusal.BUSY)
