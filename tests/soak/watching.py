"""What is noted of an exporter while it runs: its memory, its open files, and whether it answers a stranger."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.support.running_exporter import RunningExporter, Served

_EVERY = 2.0
# Every so many scrapes somebody without a certificate tries, too.
_STRANGER_EVERY = 15
# What comes and goes with single scans and handshakes is no growth.
_GROWTH = 0.05


@dataclass
class Notes:
    """`memory` in bytes, by when it was noted in seconds since the beginning; `longest` look of each source."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    scrapes: int = 0
    refused: int = 0
    served_to_strangers: int = 0
    failed: list[str] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)

    def growth(self) -> float:
        """How much more memory there is in the last quarter than in the second one, as a share of that."""
        end = self.memory[-1][0]

        def typical(first: float, last: float) -> float:
            return median(size for at, size in self.memory if first * end <= at <= last * end)

        return typical(0.75, 1) / typical(0.25, 0.5) - 1

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow."""
        return self.growth() <= _GROWTH


@contextmanager
def watched(exporter: RunningExporter, stranger: ssl.SSLContext) -> Iterator[Notes]:
    """Scrape again and again until the block ends; `stranger` trusts the exporter, and is nobody to it."""
    notes, over = Notes(), threading.Event()
    thread = threading.Thread(target=_watch, args=(exporter, stranger, notes, over))
    thread.start()
    try:
        yield notes
    finally:
        over.set()
        thread.join()


def _watch(exporter: RunningExporter, stranger: ssl.SSLContext, notes: Notes, over: threading.Event) -> None:
    began = time.monotonic()
    while not over.wait(_EVERY):
        try:
            served = exporter.scrape()
        except (OSError, AssertionError) as error:
            notes.failed.append(f"{time.monotonic() - began:.0f} s: {error}")
            continue
        notes.scrapes += 1
        _note_looks(served, notes)
        with contextlib.suppress(OSError):
            notes.memory.append((time.monotonic() - began, exporter.resident()))
            notes.files.append(exporter.files())
        if notes.scrapes % _STRANGER_EVERY == 0:
            _try_as_stranger(exporter.url, stranger, notes)


def _note_looks(served: Served, notes: Notes) -> None:
    for source in sources(served):
        took = served.value("keyctl_source_duration_seconds", source=source) or 0.0
        notes.longest[source] = max(took, notes.longest.get(source, 0.0))


def sources(served: Served) -> list[str]:
    """What the exporter looks at."""
    return served.values_of("keyctl_source_up", "source")


def _try_as_stranger(url: str, stranger: ssl.SSLContext, notes: Notes) -> None:
    tries: list[Callable[[], object]] = [
        lambda: urllib.request.urlopen(url, timeout=20, context=stranger).read(),  # noqa: S310 — on loopback
        lambda: urllib.request.urlopen(url.replace("https:", "http:"), timeout=20).read(),  # noqa: S310 — as above
    ]
    for attempt in tries:
        try:
            attempt()
        except (OSError, urllib.error.URLError):
            notes.refused += 1
        except Exception:  # noqa: BLE001 — whatever a client makes of an answer in another protocol
            notes.refused += 1
        else:
            notes.served_to_strangers += 1
