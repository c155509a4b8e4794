"""What is known of a control plane: its programs and their settings, its files, and what could not be read.

Values only, each with the place it was read at and how good the evidence is. Judges nothing and opens nothing. What is
not known raises `UndecidedError` where it is asked for, so that no check can take it for an absence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from keyctl.audit.alerts import AlertRule
from keyctl.audit.operated import ManagedPlane, OperatorEncryption
from keyctl.audit.private_keys import PrivateKeyFact
from keyctl.audit.revocation import RevocationList
from keyctl.encryption_config.judge import Judged
from keyctl.findings import Evidence, Location

# strconv.ParseBool.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# Jinja, Helm, Terraform, shell and Kubernetes: what is put in later.
TEMPLATE = re.compile(r"\{\{|\{%|%\{|<%|\$\(|\$\{|\$[A-Za-z_]")
_ONLY_TEMPLATE = re.compile(r"(?:\{\{.*\}\}|<%.*%>|\$\([^)]*\)|\$\{[^}]*\}|\$[A-Za-z_]\w*)+")
# What stands between two of these may be left out.
_CONDITION = re.compile(r"\{%|%\{|\{\{-?\s*(?:if|with|range)\b")
# What kube-apiserver reads as pflag's StringSlice: each occurrence adds to those before.
_LISTS = frozenset({"authorization-mode", "etcd-servers", "etcd-servers-overrides", "tls-cipher-suites"})


class About(StrEnum):
    """What a check is about: it has one verdict or more for each such thing that was found."""

    API_SERVER = "kube-apiserver"
    ETCD = "etcd"
    PROGRAM = "the control plane"
    CONFIGURATION = "EncryptionConfiguration"
    AUDIT_POLICY = "audit policy"
    CERTIFICATE = "certificate"
    FILE = "file"
    STORED_VALUES = "stored values"
    RUNNING_SERVER = "running kube-apiserver"
    MEMBER = "running etcd member"
    BACKUP = "backup"
    KEY = "key"
    ALERT_RULE = "alert rule"
    AUDIT_LOG = "audit log"
    CLUSTER = "the cluster"


class Git(StrEnum):
    """What Git has to do with a file."""

    OUTSIDE = "in no work tree"
    TRACKED = "tracked"
    UNTRACKED = "not tracked"
    UNTOLD = "not known"


class Placed(Protocol):
    """Something that stands somewhere."""

    @property
    def location(self) -> Location:
        """Where."""

    @property
    def evidence(self) -> Evidence:
        """How it is known."""


T = TypeVar("T", bound=Placed)


class UndecidedError(Exception):
    """What is asked for is not known. The engine makes UNKNOWN of it, with this reason."""

    def __init__(self, reason: str, at: Placed) -> None:
        super().__init__(reason)
        self.at = at


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing a program is told: `name` as of its flag, `written` as it stands there, flag, variable or field."""

    name: str
    value: str = field(repr=False)
    location: Location
    written: str
    evidence: Evidence = Evidence.E1

    @property
    def known(self) -> str:
        """The value. Raises `UndecidedError` for a template."""
        if TEMPLATE.search(self.value):
            raise UndecidedError(f"the value of {self.written} is put in later", self)
        return self.value

    @property
    def is_empty(self) -> bool:
        """Whether nothing is given by it. Raises `UndecidedError` for what may become nothing."""
        if _ONLY_TEMPLATE.fullmatch(self.value) or _CONDITION.search(self.value):
            raise UndecidedError(f"the value of {self.written} is put in later", self)
        return not self.value


@dataclass(frozen=True, slots=True)
class Url:
    """One URL of a setting. `host` is "" where it is put in later; `scheme` is always known."""

    scheme: str
    host: str
    text: str
    location: Location
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Program:
    """One process as it is to be started, or runs: a kube-apiserver, an etcd, or another one of the control plane.

    `settings` are in the order in which the program takes them: the last one of a name counts, also over those of an
    environment, which stand before; of a list of kube-apiserver all count. `hidden` says why what is not among them may
    be set all the same; "" means that what is not there is not set. `version` is that of the image. `mounts` are the
    directories and files of the host that it sees, None where it sees all of it or where that is not known.
    """

    about: About
    name: str
    location: Location
    settings: tuple[Setting, ...]
    evidence: Evidence = Evidence.E1
    hidden: str = ""
    version: str = ""
    mounts: tuple[Mount, ...] | None = None

    def all(self, name: str) -> tuple[Setting, ...]:
        """Each setting of this name, in order. Raises `UndecidedError` where there is none and there may be one."""
        found = tuple(one for one in self.settings if one.name == name)
        if not found and self.hidden:
            raise UndecidedError(f"whether {self.name} is given --{name} is not known: {self.hidden}", self)
        return found

    def counting(self, name: str) -> tuple[Setting, ...]:
        """Those that count: the last one; of a list each that is written, or else each that an installer sets."""
        found = self.all(name)
        if self.about is not About.API_SERVER or name not in _LISTS:
            return found[-1:]
        return tuple(one for one in found if one.evidence is not Evidence.E0) or found

    def setting(self, name: str) -> Setting | None:
        """The one that counts; a list that is given in parts as a whole, at the place of its last part."""
        found = self.counting(name)
        if len(found) < 2:
            return next(iter(found), None)
        return replace(found[-1], value=",".join(one.value for one in found if one.value))

    def text(self, name: str) -> str:
        """Its value, "" where it is not given."""
        found = self.setting(name)
        return found.known if found else ""

    def given(self, name: str) -> Setting | None:
        """The setting where it has a value, whichever; None where it is not given or empty."""
        found = self.setting(name)
        return found if found is not None and not found.is_empty else None

    def switched(self, name: str) -> Setting | None:
        """The setting where it switches something on. Raises `UndecidedError` for what is no boolean."""
        found = self.setting(name)
        if found is None or found.known in _FALSE:
            return None
        if found.known not in _TRUE:
            raise UndecidedError(f"{found.written} is neither true nor false", found)
        return found

    def urls(self, name: str) -> tuple[Url, ...]:
        """The URLs of a setting that lists them. Raises `UndecidedError` where a scheme is put in later."""
        return tuple(_url(text, one) for one in self.counting(name) for text in _listed(name, one.value))


@dataclass(frozen=True, slots=True)
class Mount:
    """What of the host a container sees: `inside` its own path, `outside` the host's, "" where it is not the host's."""

    inside: str
    outside: str
    read_only: bool
    location: Location
    evidence: Evidence = Evidence.E1


@dataclass(frozen=True, slots=True)
class Configuration:
    """An EncryptionConfiguration, judged; `template` says that parts of it are put in later.

    `holder` is what it stands in when that is no file of its own: "ConfigMap"; `inner` is its name there. `before`
    lines of the file stand before it, or all of it is on `line`.
    """

    location: Location
    judged: Judged
    holder: str = ""
    template: bool = False
    before: int = 0
    line: int | None = None
    evidence: Evidence = Evidence.E1
    inner: str = ""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of an audit policy. An empty tuple stands for all, as it does there.

    `groups` are (API group, resources); `narrowed` says that it is for some users, namespaces or names only.
    """

    level: str
    verbs: tuple[str, ...]
    narrowed: bool
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    non_resource: bool
    location: Location
    evidence: Evidence = Evidence.E1


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """An audit policy: the first rule that matches a request decides. `inner` is its name inside another document."""

    location: Location
    rules: tuple[PolicyRule, ...]
    evidence: Evidence = Evidence.E1
    inner: str = ""


@dataclass(frozen=True, slots=True)
class FileFact:
    """A file or directory of a host. `role` is what it is; `mode` holds the permission bits; owners are numbers.

    `above` are the directories that it lies in, nearest first: (path, permission bits, group). `checkout` says that it
    lies in a Git work tree, which gives files modes of its own.
    """

    path: str
    role: str
    mode: int
    uid: int
    gid: int
    location: Location
    git: Git = Git.OUTSIDE
    evidence: Evidence = Evidence.E1
    above: tuple[tuple[str, int, int], ...] = ()
    checkout: bool = False


@dataclass(frozen=True, slots=True)
class CertificateFact:
    """One certificate of a file. `spki` is the SHA-256 of its public key; `key_bits` of the key, RSA or curve.

    `is_server` says that its extended key usage lets it stand for a server, `for_anything` that it has none;
    `is_client` that it may stand for a client, by either.
    """

    path: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    is_ca: bool
    is_server: bool
    spki: str
    key_type: str
    key_bits: int
    location: Location
    evidence: Evidence = Evidence.E1
    for_anything: bool = False
    signature_hash: str = "sha256"
    is_client: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """Something that is not there to be judged, and why; `reason` is a word that programs read: "external-etcd"."""

    about: About
    reason: str
    message: str
    location: Location
    evidence: Evidence = Evidence.E1


@dataclass(frozen=True, slots=True)
class Unread:
    """A place that may hold what is in `about`, and was not read."""

    reason: str
    about: frozenset[About]
    location: Location
    evidence: Evidence = Evidence.E0


# What files tell. What is observed of a running cluster are types of the modules that observe it.
_Certified = FileFact | CertificateFact | PrivateKeyFact | RevocationList
_OfFiles = Configuration | AuditPolicy | AlertRule | ManagedPlane | OperatorEncryption | _Certified
Fact = Program | _OfFiles | Absent | Unread


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found. `today` is the day of the audit; `looked` how many files were looked into.

    `names` are what files are called in waivers and baselines, where that is not how they were found.
    """

    today: date
    found: tuple[Placed, ...] = field(repr=False, default=())
    looked: int = 0
    names: Mapping[str, str] = field(repr=False, default_factory=dict)

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """Every fact of this type: also those of modules that this one does not know."""
        return tuple(one for one in self.found if isinstance(one, kind))

    @property
    def programs(self) -> tuple[Program, ...]:
        """Every program of the control plane."""
        return self.of(Program)

    @property
    def api_servers(self) -> tuple[Program, ...]:
        """The kube-apiservers."""
        return tuple(one for one in self.programs if one.about is About.API_SERVER)

    @property
    def etcds(self) -> tuple[Program, ...]:
        """The etcds."""
        return tuple(one for one in self.programs if one.about is About.ETCD)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """The EncryptionConfigurations."""
        return self.of(Configuration)

    @property
    def audit_policies(self) -> tuple[AuditPolicy, ...]:
        """The audit policies."""
        return self.of(AuditPolicy)

    @property
    def files(self) -> tuple[FileFact, ...]:
        """Files and directories of hosts."""
        return self.of(FileFact)

    @property
    def certificates(self) -> tuple[CertificateFact, ...]:
        """Every certificate of every file."""
        return self.of(CertificateFact)

    @property
    def absent(self) -> tuple[Absent, ...]:
        """What is not there to be judged."""
        return self.of(Absent)

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What was not read."""
        return self.of(Unread)


def _listed(name: str, value: str) -> Iterator[str]:
    """The URLs as they stand in the value: some settings have a name or a resource before each."""
    for part in value.split(","):
        text = part
        if name == "etcd-servers-overrides":
            text = part.rpartition("#")[2]
        elif name == "initial-cluster" and "=" in part.partition("://")[0]:
            text = part.partition("=")[2]
        yield from (one.strip() for one in text.split(";") if one.strip())


def _url(text: str, setting: Setting) -> Url:
    scheme, colon, rest = text.partition("://")
    if not colon or TEMPLATE.search(scheme):
        raise UndecidedError(f"the scheme of a URL of {setting.written} is not known", setting)
    before, _, authority = rest.partition("/")[0].rpartition("@")
    if before:
        # A password may stand there; nothing needs it.
        text = f"{scheme}://{rest[len(before) + 1 :]}"
    host = authority.partition("]")[0].removeprefix("[") if authority.startswith("[") else authority.partition(":")[0]
    return Url(scheme.lower(), "" if TEMPLATE.search(authority) else host, text, setting.location, setting.evidence)
