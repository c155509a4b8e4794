"""Values that are still packed, beside the same ones taken out."""

from __future__ import annotations

from keyctl.stored.source import Batch, Packed, keys_outside
from tests.support.packed import packed

VALUES = [(b"/a", b"one", 7), (b"", b"", 0), (b"/b", b"two", 2**63)]


def test_packed_values_are_counted_and_come_out_in_order() -> None:
    batch = packed(VALUES)
    assert len(batch) == 3
    assert list(batch) == VALUES
    assert list(batch) == VALUES


def test_stretches_follow_on_one_another() -> None:
    batch = Packed(packed(VALUES).stretches + packed(VALUES[:1]).stretches)
    assert len(batch) == 4
    assert list(batch) == [*VALUES, VALUES[0]]


def test_what_packed_values_hold_is_not_shown() -> None:
    assert "one" not in repr(packed(VALUES))


def test_the_keys_outside_of_a_prefix_are_told_wherever_their_values_lie() -> None:
    values = [(b"/registry/a", b"/registry/", 1), (b"/reg", b"istry/", 2), (b"/registry", b"/b", 3), (b"x", b"", 4)]
    batches: tuple[Batch, ...] = (values, packed(values))
    for batch in batches:
        assert list(keys_outside(batch, b"/registry/")) == [b"/reg", b"/registry", b"x"]
