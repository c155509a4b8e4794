"""What a configuration can open: each key, plugin or identity in it, by an id that can be compared with another file's.

Pure: text in, ids out. An id says nothing of the bytes of a key, and the same name over other bytes has another one.
"""

from __future__ import annotations

import hashlib

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import StaticReader
from keyctl.keys.shown import shown_ref


def openers(content: bytes, *, name: str) -> dict[str, str]:
    """Id → name fit to be shown, for all that opens values in `content`; `name` is the file as the reader knows it.

    Raises `UnusableInputError` for a file that kube-apiserver would refuse.
    """
    config = decode(content, name=name).config
    found = {}
    for reader in (one for entry in config.entries for element in entry.providers for one in element.readers):
        bytes_of = reader.key.fingerprint if isinstance(reader, StaticReader) else ""
        text = "\0".join((reader.ref.provider, reader.ref.name, bytes_of))
        found[hashlib.sha256(text.encode()).hexdigest()[:32]] = shown_ref(reader.ref)
    return found
