"""A KMS v2 plugin as an encryption configuration names it: how to reach it. No key is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keyctl.encryption_config.model import KmsReader
from keyctl.keys.key import Key, KeyRef, Provider


@dataclass(frozen=True, slots=True)
class Plugin:
    """A `kms` provider of version v2. `timeout` is as the file has it, None where it has none (3 s then)."""

    name: str
    endpoint: str
    timeout: str | None = None

    @property
    def provider(self) -> Provider:
        """Always KMS."""
        return Provider.KMS

    @property
    def ref(self) -> KeyRef:
        """Provider and name."""
        return self.reader.ref

    @property
    def reader(self) -> KmsReader:
        """What a configuration with it reads with."""
        return KmsReader(self.name, "v2")

    def to_record(self) -> dict[str, str | None]:
        """As JSON-ready fields."""
        return {"name": self.name, "endpoint": self.endpoint, "timeout": self.timeout}


# What can be made to write: a key whose bytes are at hand, or a plugin that has its own.
Writer = Key | Plugin


def plugin_from_record(record: object) -> Plugin:
    """The inverse of `Plugin.to_record`. Raises `KeyError`, `TypeError` for anything else."""
    if not isinstance(record, Mapping):
        raise TypeError("not a mapping")
    name, endpoint, timeout = record["name"], record["endpoint"], record["timeout"]
    if not isinstance(name, str) or not isinstance(endpoint, str) or not isinstance(timeout, str | None):
        raise TypeError("not a text")
    return Plugin(name, endpoint, timeout)
