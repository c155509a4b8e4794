"""What a snapshot holds: the live values by resource and key, what is left behind, and what lies outside the prefix.

Reads a source to its end and counts. Judges nothing: who asks says what must be encrypted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.errors import UnusableInputError
from keyctl.stored.census import Census, CensusResult
from keyctl.stored.display import display
from keyctl.stored.groups import Group
from keyctl.stored.paths import root_of
from keyctl.stored.source import Batch, FileSource, SourceInfo, ValueSource
from keyctl.verify.leftovers import Leftovers, Sought, look_behind

_MOST_OTHERS = 20


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file holds. `others` counts keys outside the prefix by their first part, fit for display, most first.

    `left` is what lies behind the live values, None where only these were asked for.
    """

    info: SourceInfo
    live: CensusResult
    others: tuple[tuple[str, int], ...]
    left: Leftovers | None = None


def read_live(source: ValueSource, *, prefix: str, config: EncryptionConfig | None) -> Contents:
    """The live values of `source`. `prefix` is kube-apiserver's `--etcd-prefix`; `config` None: it is not known.

    Raises what `source` raises, and `UnusableInputError` when it delivered other than it holds.
    """
    live, others, info = _live(source, root_of(prefix.encode()), config)
    return Contents(info, live, others)


def read_all(source: FileSource, *, prefix: str, config: EncryptionConfig | None) -> Contents:
    """The live values, their history, and what lies in pages that nothing refers to. Raises what `read_live` raises."""
    root = root_of(prefix.encode())
    live, others, info = _live(source, root, config)
    required = frozenset(effective.required_resources(config)) if config else frozenset({effective.SECRETS})
    seen = {group.resource for group in live.groups if must_be_encrypted(config, group.resource)}
    return Contents(info, live, others, look_behind(source, root, config, Sought(required | seen)))


def must_be_encrypted(config: EncryptionConfig | None, resource: str) -> bool:
    """Whether `resource` should hold no plaintext: `secrets`, and what `config` encrypts."""
    if resource == effective.SECRETS:
        return True
    return config is not None and not isinstance(effective.writer(config, resource), IdentityReader)


def plaintext(groups: Iterable[Group], config: EncryptionConfig | None) -> Counter[str]:
    """How many live values stand in plaintext that should not, by resource."""
    found: Counter[str] = Counter()
    for group in groups:
        if group.encoding is not None and not group.infrastructure and must_be_encrypted(config, group.resource):
            found[group.resource] += group.values
    return found


def _live(
    source: ValueSource, root: bytes, config: EncryptionConfig | None
) -> tuple[CensusResult, tuple[tuple[str, int], ...], SourceInfo]:
    census, outside, delivered = Census(root, config), Counter[bytes](), 0
    for batch in source.batches(b""):
        delivered += len(batch)
        census.add(batch)
        outside.update(_heads(batch, root))
    info = source.info()
    if delivered != info.count:
        raise UnusableInputError(
            f"{info.location} was not read to its end",
            cause=f"it delivered {delivered} of {info.count} values",
            hint="run the same command again",
        )
    others = tuple((display(head), count) for head, count in outside.most_common(_MOST_OTHERS))
    return census.result(), others, info


def _heads(batch: Batch, root: bytes) -> Iterable[bytes]:
    """The first part of each key outside of `root`."""
    return (b"/".join(key.split(b"/", 2)[:2]) for key, _, _ in batch if not key.startswith(root))
