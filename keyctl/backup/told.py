"""A source that tells how far reading it has come. Adds nothing to what it reads, and takes nothing away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import TypeVar

from keyctl.stored.source import Area, Batch, Coverage, FileSource, Fragment, Remark, SourceInfo

_Some = TypeVar("_Some", bound=Sized)


def told_as(part: str, say: Callable[[str], None]) -> Callable[[int, int], None]:
    """What takes (bytes so far, bytes in all) and says it of `part` in words."""
    return lambda done, total: say(f"{part}: {done / 1e6:.0f} of {total / 1e6:.0f} MB")


class Told:
    """The `FileSource` `source`; `say` gets the part that is being read, and how much of it was, after each batch."""

    def __init__(self, source: FileSource, say: Callable[[str], None]) -> None:
        self._source, self._say = source, say

    def batches(self, prefix: bytes) -> Iterator[Batch]:
        """See `ValueSource.batches`."""
        return self._counted("live values", self._source.batches(prefix))

    def history(self, prefix: bytes) -> Iterator[Batch]:
        """See `FileSource.history`."""
        return self._counted("history", self._source.history(prefix))

    def fragments(self) -> Iterator[list[Fragment]]:
        """See `FileSource.fragments`."""
        return self._counted("freed pages, found", self._source.fragments())

    def info(self) -> SourceInfo:
        """See `ValueSource.info`."""
        return self._source.info()

    def coverage(self) -> Mapping[Area, Coverage]:
        """See `FileSource.coverage`."""
        return self._source.coverage()

    def remarks(self) -> Sequence[Remark]:
        """See `FileSource.remarks`."""
        return self._source.remarks()

    def _counted(self, part: str, batches: Iterator[_Some]) -> Iterator[_Some]:
        count = 0
        self._say(part)
        for batch in batches:
            yield batch
            count += len(batch)
            self._say(f"{part}: {count}")
