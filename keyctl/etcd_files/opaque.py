"""Files that hold what no search can find: compressed or encrypted in a way that their beginning does not tell.

Judges no value.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.etcd_files.markers import Span, spans
from keyctl.etcd_files.open_file import OpenFile
from keyctl.etcd_files.tails import is_like_ciphertext
from keyctl.stored.envelope import MARKER

_WINDOW, _ENOUGH = 4096, 128


def is_understood(file: OpenFile) -> bool:
    """Whether beside its values nothing in `file` looks compressed or encrypted."""
    return not any(is_like_ciphertext(window) for window in _beside_values(file))


def not_understood(name: str) -> str:
    """What there is to say of one that is not."""
    return f"{name} is not understood, it looks compressed or encrypted: not looked at"


def _beside_values(file: OpenFile) -> Iterator[bytes]:
    at = 0
    for span in spans(file, 0, file.size):
        yield from _windows(file, at, span.start)
        at = max(at, _explained_to(span))
    yield from _windows(file, at, file.size)


def _explained_to(span: Span) -> int:
    """Where what `span` accounts for ends: a plaintext value that does not say where it ends is looked at itself."""
    if span.sized:
        return span.end
    return span.start + (len(span.content) if span.content.startswith(MARKER) else 0)


def _windows(file: OpenFile, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _WINDOW):
        window = file[at : min(at + _WINDOW, end)].strip(b"\0")
        if len(window) >= _ENOUGH:
            yield window
