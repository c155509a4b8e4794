"""What a configuration does to each resource, as values to show: readers by name and fingerprint, never by bytes.

Looks up, as `effective` does; judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.encryption_config.effective import (
    ANYTHING,
    SECRETS,
    GroupResource,
    covering_entries,
    named_resources,
    readers,
)
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.keys.shown import shortened, shown_name, shown_ref

EVERYTHING_ELSE = str(ANYTHING)
_SHORT = 8


@dataclass(frozen=True, slots=True)
class ResourceView:
    """Who writes and reads one resource.

    `covered_by` is the name that an entry has for it: its own, a wildcard, or None where nothing covers it, which is
    plaintext. `entries` are the indexes of the entries, whose providers are joined; `readers` are in the server's
    order.
    """

    resource: str
    covered_by: str | None
    entries: tuple[int, ...]
    readers: tuple[Reader, ...]

    @property
    def writer(self) -> Reader:
        """The reader under which new values are stored."""
        return self.readers[0]

    @property
    def distinct(self) -> tuple[Reader, ...]:
        """The readers in order, each where it stands first."""
        return tuple(dict.fromkeys(self.readers))


def view(config: EncryptionConfig | None, resource: str) -> ResourceView:
    """What `config` does to `resource`; None is an API server without a configuration."""
    entries = covering_entries(config, resource) if config is not None else ()
    covered_by = None
    if config is not None and entries:
        wanted = GroupResource.parse(resource)
        lookup = (wanted, GroupResource("*", wanted.group), ANYTHING)
        covered_by = next(str(name) for name in lookup if name in config.named)
    return ResourceView(resource, covered_by, entries, readers(config, resource))


def probes(*configs: EncryptionConfig | None) -> tuple[str, ...]:
    """Resources whose views say all that `configs` do: every one named, `secrets`, and `EVERYTHING_ELSE`, in order.

    Whatever is not named in any of them is looked up as one of the wildcards here is.
    """
    named = [GroupResource.parse(text) for config in configs if config is not None for text in named_resources(config)]
    # An entry may name an empty resource; no value has one.
    texts = [str(one) for one in named if one.resource and one != ANYTHING]
    return tuple(dict.fromkeys((*texts, SECRETS, EVERYTHING_ELSE)))


def resource_name(resource: str) -> str:
    """`resource` for a reader, on one line."""
    return "everything else (*.*)" if resource == EVERYTHING_ELSE else shown_name(resource)


def reader_name(reader: Reader) -> str:
    """The reader by name alone: aescbc/key1, kms/plugin, plaintext."""
    return "plaintext" if isinstance(reader, IdentityReader) else shown_ref(reader.ref)


def reader_mark(reader: Reader) -> str:
    """The reader by name and the first digits of its fingerprint, for tables."""
    if isinstance(reader, StaticReader):
        return f"{reader_name(reader)} ({reader.key.fingerprint[:_SHORT]})"
    return reader_in_full(reader)


def reader_in_full(reader: Reader) -> str:
    """The reader by name and its whole fingerprint."""
    if isinstance(reader, StaticReader):
        return f"{reader_name(reader)} (fingerprint {reader.key.fingerprint})"
    return f"{reader_name(reader)} ({reader.version})" if isinstance(reader, KmsReader) else reader_name(reader)


def reader_fields(reader: Reader) -> dict[str, object]:
    """The reader for JSON. What it does not have is None."""
    return {
        "provider": reader.ref.provider.value,
        "key": shortened(reader.ref.name) or None,
        "fingerprint": reader.key.fingerprint if isinstance(reader, StaticReader) else None,
        "kmsVersion": reader.version if isinstance(reader, KmsReader) else None,
    }


def view_fields(shown: ResourceView) -> dict[str, object]:
    """A view for JSON. `read` holds all readers in the server's order, the writing one first."""
    return {
        "resource": shortened(shown.resource),
        "coveredBy": None if shown.covered_by is None else shortened(shown.covered_by),
        "entries": list(shown.entries),
        "write": reader_fields(shown.writer),
        "read": [reader_fields(reader) for reader in shown.readers],
    }
