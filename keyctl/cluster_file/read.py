"""The cluster file, `keyctl.yaml`, as settings: where everything is, and what the user wants.

Only `load` opens a file, and only this one: nothing that is named in it is
opened, resolved or tried here. It holds no secret, and a field that would hold
one is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from keyctl import documents
from keyctl.cluster_file import certificates
from keyctl.cluster_file.fields import Fields
from keyctl.cluster_file.key_settings import read_keys
from keyctl.cluster_file.settings import (
    Activation,
    AgentHostSettings,
    ApiServerSettings,
    BackupSettings,
    ClusterSettings,
    CommandActivation,
    CommandHostSettings,
    EtcdConnection,
    EtcdMember,
    EtcdOverride,
    EtcdSettings,
    HostSettings,
    IdentitySettings,
    KubernetesSettings,
    LocalHostSettings,
    PolicySettings,
    ReloadActivation,
    SshHostSettings,
    StaticPodActivation,
    TlsSettings,
    VaultKeySettings,
)
from keyctl.cluster_file.window import read_window
from keyctl.documents import Span
from keyctl.errors import UnusableInputError
from keyctl.keys.key import STATIC_PROVIDERS, Provider

_DISTRIBUTIONS = (
    "auto",
    "kubeadm",
    "k3s",
    "rke2",
    "openshift",
    "talos",
    "eks",
    "gke",
    "aks",
    "kubespray",
    "kops",
    "cluster-api",
    "other",
)
_HISTORIES = ("compact", "wait", "ignore")
_CONNECTION = ("endpoints", "cacert", "cert", "key", "serverName", "user", "passwordFile", "timeout")
_API_SERVER = (
    "name", "url", "tls", "credentials", "identity", "encryptionConfig", "manifest", "host", "activation",
    "certificates",
)  # fmt: skip
_MEMBER = ("name", "endpoint", "serverName", "dataDir", "host", "certificates")
_HOST_FIELDS: dict[str, tuple[str, ...]] = {
    "local": (),
    "ssh": ("address", "user", "sudo", "config"),
    "command": ("read", "write", "remove", "wait"),
    "agent": ("wait",),
}
# Neither may look like a flag of ssh, nor hold both a user and a host.
_LOGIN_NAME = re.compile(r"[A-Za-z0-9_:.][A-Za-z0-9_:.%+-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# The Vault that keys are in, and the name of the cluster.
# The Lease of a rotation is not renewed while an agent is waited for.
_LONGEST_AGENT_WAIT = timedelta(seconds=45)
_Vault = tuple[VaultKeySettings, str]
_URL_HINT = "write it like https://10.0.0.1:2379"
_ACTIVATIONS = "write activation: reload, {restart: {command: [...]}} or {restart: {staticPod: true}}"
_TOP = (
    "apiVersion", "kind", "name", "distribution", "etcd", "kubernetes", "apiServers", "keys", "policy", "backups",
)  # fmt: skip


def load(path: Path) -> ClusterSettings:
    """The settings in the file `path`. Raises `UnusableInputError` when it cannot be read or used."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableInputError(
            f"the cluster file {path} cannot be read", cause=error.strerror, hint="name another one with --cluster"
        ) from None
    return parse(content, name=str(path), directory=path.absolute().parent)


def parse(content: bytes, *, name: str, directory: Path) -> ClusterSettings:
    """The settings in `content`; relative paths are relative to `directory`, `name` is the file's for messages.

    Raises `UnusableInputError`, with the line, for anything that is unknown, of a wrong type, or said twice.
    """
    document = documents.parse(content, name=name)
    fields = Fields.of(document, _TOP)
    if document.others:
        fields.refuse("a cluster file holds one document", hint="delete everything from the second --- on")
    if fields.need("apiVersion") != "keyctl/v1" or fields.need("kind") != "Cluster":
        fields.refuse("this is no cluster file", hint="start it with apiVersion: keyctl/v1 and kind: Cluster")
    return _Decoder(directory).cluster(fields)


class _Decoder:
    """Turns fields into settings. It holds the directory that relative paths start from."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def cluster(self, fields: Fields) -> ClusterSettings:
        etcd = fields.section("etcd", (*_CONNECTION, "prefix", "members", "overrides"))
        if etcd is None:
            fields.refuse("the file has no etcd", hint="add etcd: {endpoints: [https://...:2379], ...}")
        servers = fields.sections("apiServers", _API_SERVER)
        for index, server in enumerate(servers):
            server.refuse_repeated("name", servers[:index])
            _refuse_repeated_url(server, servers[:index])
        name, keys = _name(fields), read_keys(fields, self._directory, self._path, _url)
        vault = (keys, name) if isinstance(keys, VaultKeySettings) else None
        return ClusterSettings(
            name=name,
            distribution=fields.choice("distribution", _DISTRIBUTIONS, "auto"),
            etcd=self._etcd(etcd),
            kubernetes=self._kubernetes(fields, "kubernetes"),
            api_servers=_with_agents_known(tuple(self._api_server(server, vault) for server in servers)),
            keys=keys,
            policy=_policy(fields),
            backups=self._backups(fields),
        )

    def _etcd(self, fields: Fields) -> EtcdSettings:
        connection = self._connection(fields, EtcdConnection())
        members = fields.sections("members", _MEMBER)
        for index, member in enumerate(members):
            member.refuse_repeated("name", members[:index])
        overrides = fields.sections("overrides", ("resources", *_CONNECTION))
        return EtcdSettings(
            connection=connection,
            prefix=_prefix(fields),
            members=tuple(self._member(member) for member in members),
            overrides=tuple(self._override(override, connection) for override in overrides),
        )

    def _connection(self, fields: Fields, inherited: EtcdConnection) -> EtcdConnection:
        endpoints = fields.scalars("endpoints")
        for index, endpoint in enumerate(endpoints):
            _check_url(fields, endpoint.text, endpoint.span)
            if endpoint.text in [earlier.text for earlier in endpoints[:index]]:
                fields.refuse(f"an endpoint in {fields.where} stands twice", at=endpoint.span, hint="list it once")
        return EtcdConnection(
            endpoints=tuple(endpoint.text for endpoint in endpoints) or inherited.endpoints,
            cacert=self._path(fields, "cacert") or inherited.cacert,
            cert=self._path(fields, "cert") or inherited.cert,
            key=self._path(fields, "key") or inherited.key,
            server_name=fields.text("serverName") or inherited.server_name,
            user=fields.text("user") or inherited.user,
            password_file=self._path(fields, "passwordFile") or inherited.password_file,
            timeout=fields.duration("timeout", inherited.timeout),
        )

    def _override(self, fields: Fields, inherited: EtcdConnection) -> EtcdOverride:
        resources = fields.texts("resources")
        if not resources or "endpoints" not in fields:
            fields.refuse(f"{fields.where} needs resources and endpoints", hint="name what is kept where")
        return EtcdOverride(resources, self._connection(fields, inherited))

    def _kubernetes(self, fields: Fields, name: str) -> KubernetesSettings:
        section = fields.section(name, ("kubeconfig", "context"))
        if section is None:
            return KubernetesSettings()
        return KubernetesSettings(self._path(section, "kubeconfig"), section.text("context"))

    def _api_server(self, fields: Fields, vault: _Vault | None) -> ApiServerSettings:
        host = self._host(fields, vault)
        config = self._host_path(fields, "encryptionConfig", host)
        if config is None:
            fields.refuse(f"{fields.where} has no encryptionConfig", hint="add the file's path on its host")
        activation = _activation(fields)
        if isinstance(host, AgentHostSettings) and not isinstance(activation, ReloadActivation):
            hint = "write activation: reload; for the first keyctl enable, reach this server as type local or ssh"
            fields.refuse(f"{fields.where} has an agent, which restarts nothing", at="activation", hint=hint)
        if isinstance(activation, StaticPodActivation) and "manifest" not in fields:
            fields.refuse(
                f"{fields.where} restarts a static pod and has no manifest", hint="add the manifest's path on its host"
            )
        tls = fields.section("tls", ("cacert", "serverName"))
        identity = fields.section("identity", ("hostname", "advertiseAddress"))
        return ApiServerSettings(
            name=_name(fields),
            url=_url(fields, "url"),
            encryption_config=config,
            manifest=self._host_path(fields, "manifest", host),
            tls=TlsSettings(self._path(tls, "cacert"), tls.text("serverName")) if tls else TlsSettings(),
            credentials=self._kubernetes(fields, "credentials"),
            identity=IdentitySettings(identity.text("hostname"), identity.text("advertiseAddress"))
            if identity
            else IdentitySettings(),
            host=host,
            activation=activation,
            certificates=certificates.of_api_server(fields, host, self._host_path, activation, _restart),
        )

    def _member(self, fields: Fields) -> EtcdMember:
        host = self._host(fields, None)
        return EtcdMember(
            name=fields.need("name"),
            endpoint=_url(fields, "endpoint"),
            server_name=fields.text("serverName"),
            data_dir=fields.text("dataDir"),
            host=host,
            certificates=certificates.of_member(fields, host, self._host_path, _url, _restart),
        )

    def _host(self, fields: Fields, vault: _Vault | None) -> HostSettings:
        """The host; one with an agent is of an API server whose keys are in a `vault`."""
        section = fields.section("host", ("type", *_HOST_FIELDS["ssh"], *_HOST_FIELDS["command"]))
        if section is None:
            return LocalHostSettings()
        kind = section.choice("type", _HOST_FIELDS, "local")
        for name in (name for names in _HOST_FIELDS.values() for name in names):
            if name in section and name not in _HOST_FIELDS[kind]:
                place = f"{name} in {section.where}"
                section.refuse(f"{place} does not go with type: {kind}", at=name, hint=f"delete {name}")
        if kind == "ssh":
            user = _login_name(section, "user") if "user" in section else None
            return SshHostSettings(
                _login_name(section, "address"), user, section.flag("sudo"), self._path(section, "config")
            )
        if kind == "command":
            return CommandHostSettings(
                read=_command(section, "read"),
                write=_command(section, "write"),
                remove=_command(section, "remove") if "remove" in section else None,
                wait=section.duration("wait", CommandHostSettings((), ()).wait),
            )
        if kind == "agent":
            if vault is None:
                hint = "set keys.store to vault; a member of etcd has no agent"
                section.refuse(f"{section.where} has an agent, and no Vault to fetch from", at="type", hint=hint)
            wait = section.duration("wait", AgentHostSettings(*vault).wait)
            if wait > _LONGEST_AGENT_WAIT:
                section.refuse(
                    f"wait in {section.where} is longer than the Lease of a rotation stands unrenewed",
                    at="wait",
                    hint="write 45s or less; an agent that takes longer is waited for again by keyctl rotate --resume",
                )
            return AgentHostSettings(*vault, wait)
        return LocalHostSettings()

    def _backups(self, fields: Fields) -> BackupSettings:
        section = fields.section("backups", ("directory", "maxAge"))
        if section is None:
            return BackupSettings()
        return BackupSettings(self._path(section, "directory"), section.duration("maxAge", BackupSettings().max_age))

    def _path(self, fields: Fields, name: str) -> Path | None:
        text = fields.text(name)
        if text is not None and text.startswith("~"):
            fields.refuse(
                f"{name} in {fields.where} starts with ~, which only a shell expands", at=name, hint="write it out"
            )
        return self._directory / text if text else None

    def _host_path(self, fields: Fields, name: str, host: HostSettings) -> str | None:
        path = self._path(fields, name)
        if path is None:
            return None
        if not isinstance(host, LocalHostSettings) and not str(fields.text(name)).startswith("/"):
            fields.refuse(f"{name} in {fields.where} is a path on another host", at=name, hint="start it with a slash")
        return str(path)


def _with_agents_known(servers: tuple[ApiServerSettings, ...]) -> tuple[ApiServerSettings, ...]:
    """Tell each server with an agent which others have one."""
    names = tuple(server.name for server in servers if isinstance(server.host, AgentHostSettings))
    return tuple(
        replace(server, host=replace(server.host, servers=names))
        if isinstance(server.host, AgentHostSettings)
        else server
        for server in servers
    )


def _name(fields: Fields) -> str:
    name = fields.need("name")
    # Names become parts of file names.
    if not _NAME.fullmatch(name):
        fields.refuse(
            f"name in {fields.where} is no plain name", at="name", hint="use letters, digits, '.', '-' and '_'"
        )
    return name


def _login_name(fields: Fields, name: str) -> str:
    text = fields.need(name)
    if not _LOGIN_NAME.fullmatch(text):
        hint = "write a plain name or address; what else ssh needs to know goes into its own configuration"
        fields.refuse(f"{name} in {fields.where} is no plain name", at=name, hint=hint)
    return text


def _prefix(fields: Fields) -> str:
    prefix = fields.text("prefix") or EtcdSettings(EtcdConnection()).prefix
    # As kube-apiserver reads --etcd-prefix: a leading slash is added, a trailing one means nothing.
    return "/" + prefix.strip("/")


def _activation(fields: Fields) -> Activation:
    if "activation" not in fields or (fields.is_text("activation") and fields.text("activation") == "reload"):
        return ReloadActivation()
    if fields.is_text("activation"):
        fields.refuse(f"activation in {fields.where} is unknown", at="activation", hint=_ACTIVATIONS)
    section = fields.section("activation", ("reload", "restart"))
    reload = section.section("reload", ("wait",)) if section else None
    restart = section.section("restart", ("command", "staticPod", "wait")) if section else None
    if reload and not restart:
        return ReloadActivation(reload.duration("wait", ReloadActivation().wait))
    if not restart or reload:
        fields.refuse(f"activation in {fields.where} is neither reload nor restart", at="activation", hint=_ACTIVATIONS)
    return _restart(restart)


def _restart(fields: Fields) -> CommandActivation | StaticPodActivation:
    wait = fields.duration("wait", StaticPodActivation().wait)
    if fields.flag("staticPod") == ("command" in fields):
        fields.refuse(f"{fields.where} needs either a command or staticPod: true", hint=_ACTIVATIONS)
    return (
        StaticPodActivation(wait) if fields.flag("staticPod") else CommandActivation(_command(fields, "command"), wait)
    )


def _command(fields: Fields, name: str) -> tuple[str, ...]:
    words = fields.texts(name)
    if not words:
        fields.refuse(f"{fields.where} has no {name}", hint=f"write {name}: [program, argument]")
    return words


def _policy(fields: Fields) -> PolicySettings:
    default = PolicySettings()
    section = fields.section("policy", ("provider", "resources", "keyMaxAge", "settle", "history", "window"))
    if section is None:
        return default
    return PolicySettings(
        provider=Provider(section.choice("provider", STATIC_PROVIDERS, default.provider)),
        resources=section.texts("resources") or default.resources,
        key_max_age=section.duration("keyMaxAge", default.key_max_age),
        settle=section.duration("settle", default.settle),
        history=section.choice("history", _HISTORIES, default.history),
        window=read_window(section),
    )


def _url(fields: Fields, name: str) -> str:
    url = fields.need(name)
    _check_url(fields, url, name)
    return url


def _check_url(fields: Fields, url: str, at: str | Span) -> None:
    """Refuse what is no https address, or would carry a password. The text is not repeated: it may hold one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        fields.refuse(f"an address in {fields.where} is not a URL", at=at, hint=_URL_HINT)
    if parts.scheme != "https":
        fields.refuse(f"an address in {fields.where} is not https", at=at, hint=_URL_HINT)
    if "@" in parts.netloc:
        fields.refuse(f"an address in {fields.where} holds a user or password", at=at, hint=_URL_HINT)
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        fields.refuse(f"an address in {fields.where} is not https://host:port", at=at, hint=_URL_HINT)


def _refuse_repeated_url(fields: Fields, others: tuple[Fields, ...]) -> None:
    def place(server: Fields) -> tuple[str | None, int]:
        parts = urlsplit(_url(server, "url"))
        return parts.hostname, parts.port or 443

    if place(fields) in [place(other) for other in others]:
        fields.refuse(
            f"{fields.where} has the url of an entry before it", at="url", hint="give each server its own address"
        )
