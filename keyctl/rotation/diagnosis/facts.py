"""What was seen of a cluster's encryption: files, processes, stored values, records.

Values only: nothing here looks or concludes. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyctl.encryption_config.model import EncryptionConfig
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.rotation.plan import Plan


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that is at hand. `origin` says where it was found.

    `changed` is empty for the key as it stands there; else it says what was done to its bytes to get this one.
    """

    key: Key
    origin: str
    changed: str = ""


@dataclass(frozen=True, slots=True)
class KmsSettings:
    """How a file says that a KMS plugin is reached; None where it leaves a field out."""

    name: str
    version: str
    endpoint: str
    timeout: str | None = None
    cachesize: int | None = None


@dataclass(frozen=True, slots=True)
class ConfigText:
    """A configuration that is at hand: whose it is, the hash that a server reports of it, and what it means."""

    origin: str
    sha256: str
    config: EncryptionConfig = field(repr=False)
    kms: tuple[KmsSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """One API server, as far as it could be seen.

    `file` is None where there is none, or where `file_problem` says why it could not be read. `flag` is whether its
    manifest names the file, None when that is not known. `loaded_hash` is the file that it has loaded, None for none
    or an unknown one; `loaded_by` is what shows that (see `LoadedBy`), "" where nothing does: then `doubt` says why.
    `asked` is False where there was no way to ask the process anything.
    """

    name: str
    path: str
    file: ConfigText | None = None
    file_problem: str = ""
    flag: bool | None = None
    reloads: bool | None = None
    asked: bool = True
    answers: bool = False
    ready: bool = False
    problem: str = ""
    loaded_hash: str | None = None
    loaded_by: str = ""
    doubt: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ValueGroup:
    """Stored values of one resource under one key.

    `ref` is what their heads name: the identity provider for plaintext, None for what was not recognised. `opened`
    is the key that opened them all; None for plaintext, for a KMS plugin's, and for those that no key opened:
    `lost`. `first` names some of them, fit for display. `why` says why nothing opened them.
    """

    resource: str
    ref: KeyRef | None
    values: int
    opened: KnownKey | None = None
    lost: bool = False
    version: str = "v1"
    first: tuple[str, ...] = ()
    why: str = ""

    @property
    def plain(self) -> bool:
        """Whether these stand in plaintext."""
        return self.ref is not None and self.ref.provider is Provider.IDENTITY


@dataclass(frozen=True, slots=True)
class JournalSeen:
    """A rotation that keyctl's journal at `path` has as begun and not ended. `state` is where it was last seen.

    `waits` says since when a server has had a file that was not yet seen loaded, in ISO 8601, by its name.
    `moments` are what happened, for whoever draws it (`keyctl.rotation.moments`).
    `problem` is a sentence, where the record cannot be read as a plan.
    """

    path: str
    rotation: str = ""
    began: str = ""
    last: str = ""
    state: str = ""
    back: bool = False
    plan: Plan | None = None
    waits: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    moments: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class StageSeen:
    """What k3s or RKE2 wrote down of a server's rotation: on its Node, or in a file beside the configuration."""

    node: str
    tool: str
    stage: str
    hash: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was seen.

    `texts` holds every configuration at hand, those of the servers too. `values` is None where they were not read;
    `unread` says why. `uid` is that of the namespace kube-system, "" where nobody told it. `required` are the
    resources that should hold no plaintext.
    """

    cluster: str
    distribution: str
    servers: tuple[ServerSeen, ...]
    texts: tuple[ConfigText, ...] = ()
    keys: tuple[KnownKey, ...] = ()
    values: tuple[ValueGroup, ...] | None = None
    unread: str = ""
    revision: int = 0
    uid: str = ""
    required: tuple[str, ...] = ("secrets",)
    journal: JournalSeen | None = None
    stages: tuple[StageSeen, ...] = ()
