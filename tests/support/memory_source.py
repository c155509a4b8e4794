"""A `ValueSource` over a dict, which can also be cut short, fail, or claim more than it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keyctl.errors import KeyctlError
from keyctl.stored.source import SourceInfo, Value


class MemorySource:
    """Delivers `values` in key order, `batch` at a time.

    `claimed` is the count that the source pretends to hold; `fails` is raised
    instead of the second batch.
    """

    def __init__(
        self,
        values: Mapping[bytes, bytes],
        *,
        revision: int = 1000,
        batch: int = 100,
        claimed: int | None = None,
        fails: KeyctlError | None = None,
    ) -> None:
        self._values = dict(values)
        self._revision, self._batch, self._claimed, self._fails = revision, batch, claimed, fails
        self._info: SourceInfo | None = None

    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        """Yield the values under `prefix`; the mod revision of each is its place in key order."""
        self._info = None
        keys = sorted(key for key in self._values if key.startswith(prefix))
        values: list[Value] = [(key, self._values[key], place) for place, key in enumerate(keys, start=1)]
        for number, start in enumerate(range(0, len(values), self._batch)):
            if number == 1 and self._fails is not None:
                raise self._fails
            yield values[start : start + self._batch]
        count = len(values) if self._claimed is None else self._claimed
        self._info = SourceInfo("etcd", "https://127.0.0.1:2379", self._revision, "cdf818194e3a8c32", count)

    def info(self) -> SourceInfo:
        """What the last complete run read."""
        if self._info is None:
            raise RuntimeError("nothing was read to its end yet")
        return self._info
