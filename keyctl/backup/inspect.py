"""What is in a snapshot: keys it needs, resources, plaintext, what was left behind, users, members, compaction.

Reads one file and judges nothing: `keyctl verify-secrets --snapshot` does. Password hashes are not read out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keyctl.backup.contents import Contents, plaintext, read_all
from keyctl.backup.interface import OpenSnapshot
from keyctl.backup.key_needs import KeyNeed, key_needs
from keyctl.backup.told import Told
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.etcd_files.auth import ClusterFacts, cluster_facts


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything that was read out of one file. `configured`: an encryption configuration was there to open values.

    `prefix` is where Kubernetes' values were looked for; `plaintext` counts live values that should be encrypted.
    """

    path: Path
    prefix: str
    size: int
    contents: Contents
    facts: ClusterFacts
    keys: tuple[KeyNeed, ...]
    plaintext: int
    configured: bool


def inspect(
    path: Path,
    *,
    prefix: str,
    config: EncryptionConfig | None,
    open_snapshot: OpenSnapshot,
    progress: Callable[[str], None] = lambda _: None,
) -> Inspection:
    """Read the snapshot at `path` to its end. Raises `UnusableInputError` for a file that is damaged or no snapshot.

    `progress` gets the part that is being read, and how much of it was.
    """
    progress("members and users")
    facts = cluster_facts(path)
    contents = read_all(Told(open_snapshot(path), progress), prefix=prefix, config=config)
    return Inspection(
        path=path,
        prefix=prefix,
        size=path.stat().st_size,
        contents=contents,
        facts=facts,
        keys=key_needs(contents, config),
        plaintext=plaintext(contents.live.groups, config).total(),
        configured=config is not None,
    )
