"""What a cluster file says, as values with the defaults filled in. Nothing is parsed, opened or tried here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from keyctl.keys.key import Provider
from keyctl.keys.vault.settings import VaultAuth

# The client that API servers are in the directory of `certs init`, unless the cluster file says otherwise.
API_SERVER = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class EtcdConnection:
    """How to reach one etcd; what is None or empty comes from flags or the environment."""

    endpoints: tuple[str, ...] = ()
    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    user: str | None = None
    password_file: Path | None = None
    timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class EtcdOverride:
    """Another etcd that holds `resources`; what its entry leaves out is inherited from the main one."""

    resources: tuple[str, ...]
    connection: EtcdConnection


@dataclass(frozen=True, slots=True)
class LocalHostSettings:
    """The files are on this machine."""


@dataclass(frozen=True, slots=True)
class SshHostSettings:
    """The files are reached by ssh; `config` is a file in place of the user's own ~/.ssh/config."""

    address: str
    user: str | None = None
    sudo: bool = False
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class CommandHostSettings:
    """The files are reached by the user's own commands; `wait` is how long a distribution may take."""

    read: tuple[str, ...]
    write: tuple[str, ...]
    remove: tuple[str, ...] | None = None
    wait: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class VaultKeySettings:
    """Keys in a KV v2 engine of Vault or OpenBao. `path` None is clusters/NAME; `address` may come from elsewhere."""

    address: str | None = None
    mount: str = "keyctl"
    path: str | None = None
    namespace: str | None = None
    cacert: Path | None = None
    server_name: str | None = None
    timeout: timedelta = timedelta(seconds=30)
    auth: VaultAuth = field(default_factory=VaultAuth)


@dataclass(frozen=True, slots=True)
class AgentHostSettings:
    """The files are fetched and reported by `keyctl agent` on the host itself, by way of the Vault of `keys`.

    `cluster` is whose files they are; `wait` is how long until the agent must have reported a new one. `servers` are
    the names of all API servers of the cluster file that have an agent.
    """

    keys: VaultKeySettings
    cluster: str
    wait: timedelta = timedelta(seconds=30)
    servers: tuple[str, ...] = ()


HostSettings = LocalHostSettings | SshHostSettings | CommandHostSettings | AgentHostSettings


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member of the main etcd."""

    name: str
    endpoint: str
    server_name: str | None = None
    data_dir: str | None = None
    host: HostSettings = LocalHostSettings()
    certificates: CertificateSettings | None = None


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """The main etcd, and what stands beside it."""

    connection: EtcdConnection
    prefix: str = "/registry"
    members: tuple[EtcdMember, ...] = ()
    overrides: tuple[EtcdOverride, ...] = ()

    @property
    def others(self) -> tuple[EtcdOverride, ...]:
        """The etcds beside the main one, each once: several resources may be kept in one, and some in the main one."""
        found: dict[frozenset[str], EtcdOverride] = {}
        for other in self.overrides:
            place = frozenset(other.connection.endpoints)
            known = found.get(place)
            found[place] = replace(known, resources=(*known.resources, *other.resources)) if known else other
        found.pop(frozenset(self.connection.endpoints), None)
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Where credentials for the API come from."""

    kubeconfig: Path | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What differs from the kubeconfig for one server's certificate."""

    cacert: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """The names under which a server shows up in its Lease and in Endpoints."""

    hostname: str | None = None
    advertise_address: str | None = None


@dataclass(frozen=True, slots=True)
class ReloadActivation:
    """The server polls its file; `wait` is the longest time until it must have loaded it."""

    wait: timedelta = timedelta(seconds=180)


@dataclass(frozen=True, slots=True)
class CommandActivation:
    """`command` restarts the server; `wait` bounds the command and the time until the server is ready."""

    command: tuple[str, ...]
    wait: timedelta = timedelta(seconds=180)


@dataclass(frozen=True, slots=True)
class StaticPodActivation:
    """The kubelet restarts the server when its manifest changes."""

    wait: timedelta = timedelta(seconds=180)


Activation = ReloadActivation | CommandActivation | StaticPodActivation


@dataclass(frozen=True, slots=True)
class CertificateSettings:
    """The files for etcd's mutual TLS of a member or an API server: `folder` on its host, as `certs init` fills it.

    `peer` is a member's address for peers, None where that is its endpoint's with port 2380; `manifest` is a member's.
    `client` is the folder of an API server in the directory of `certs init`.
    """

    folder: str
    restart: CommandActivation | StaticPodActivation
    manifest: str | None = None
    peer: str | None = None
    client: str = API_SERVER


@dataclass(frozen=True, slots=True)
class ApiServerSettings:
    """One kube-apiserver, by its own address. `encryption_config` and `manifest` are paths on its host."""

    name: str
    url: str
    encryption_config: str
    manifest: str | None = None
    tls: TlsSettings = TlsSettings()
    credentials: KubernetesSettings = KubernetesSettings()
    identity: IdentitySettings = IdentitySettings()
    host: HostSettings = LocalHostSettings()
    activation: Activation = ReloadActivation()
    certificates: CertificateSettings | None = None


@dataclass(frozen=True, slots=True)
class FileKeySettings:
    """Keys in a directory."""

    directory: Path


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """When scheduled rotations may change things: on `days` ("Mon", in the order of the week) from minute `opens`.

    `closes` up to `opens` is a minute of the next day; 1440 is the end of the day. `timezone` is a name such as
    "Europe/Berlin".
    """

    days: tuple[str, ...]
    opens: int
    closes: int
    timezone: str


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What the user wants. `history` is "compact", "wait" or "ignore" (rule R6). `window` None: any time will do."""

    provider: Provider = Provider.AESCBC
    resources: tuple[str, ...] = ("secrets",)
    key_max_age: timedelta = timedelta(days=90)
    settle: timedelta = timedelta(seconds=60)
    history: str = "compact"
    window: WindowSettings | None = None


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Where snapshots go, and how old the newest may be."""

    directory: Path | None = None
    max_age: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Everything a cluster file says, with the defaults filled in."""

    name: str
    etcd: EtcdSettings
    keys: FileKeySettings | VaultKeySettings
    distribution: str = "auto"
    kubernetes: KubernetesSettings = KubernetesSettings()
    api_servers: tuple[ApiServerSettings, ...] = ()
    policy: PolicySettings = PolicySettings()
    backups: BackupSettings = BackupSettings()
