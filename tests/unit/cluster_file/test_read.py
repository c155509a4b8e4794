from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.cluster_file.read import load, parse
from keyctl.cluster_file.settings import (
    AgentHostSettings,
    ApiServerSettings,
    ClusterSettings,
    CommandActivation,
    CommandHostSettings,
    FileKeySettings,
    LocalHostSettings,
    ReloadActivation,
    SshHostSettings,
    StaticPodActivation,
    VaultKeySettings,
)
from keyctl.errors import UnusableInputError
from keyctl.keys.key import Provider
from keyctl.keys.vault.settings import AuthMethod, VaultAuth

_HOME = Path("/clusters/prod")

_FULL = """\
apiVersion: keyctl/v1
kind: Cluster
name: prod-eu1
distribution: kubeadm
etcd:
  endpoints: [https://10.0.0.1:2379, "https://[fd00::1]:2379"]
  cacert: pki/ca.crt
  cert: /etc/client.crt
  key: pki/client.key
  serverName: etcd.example
  user: root
  passwordFile: etcd.password
  prefix: kubernetes.io/
  timeout: 3s
  members:
  - {name: m1, endpoint: "https://10.0.0.1:2379", serverName: m1, dataDir: /var/lib/etcd, host: {type: local}}
  overrides:
  - {resources: [events], endpoints: ["https://10.0.0.9:2379"], cert: events.crt}
kubernetes: {kubeconfig: admin.conf, context: prod}
apiServers:
- name: cp1
  url: https://10.0.0.1:6443
  tls: {cacert: other-ca.crt, serverName: kubernetes}
  credentials: {kubeconfig: cp1.conf, context: cp1}
  identity: {hostname: cp1, advertiseAddress: 10.0.0.1}
  encryptionConfig: /etc/kubernetes/enc/enc.yaml
  manifest: /etc/kubernetes/manifests/kube-apiserver.yaml
  host: {type: local}
  activation: {restart: {command: [systemctl, restart, kube-apiserver], wait: 2m}}
keys: {store: file, directory: /var/lib/keyctl/keys}
policy: {provider: secretbox, resources: [secrets, configmaps], keyMaxAge: 30d, settle: 90s, history: wait}
backups: {directory: backup, maxAge: 12h}
"""

_SMALL = """\
apiVersion: keyctl/v1
kind: Cluster
name: small
etcd: {}
apiServers:
- name: cp1
  url: https://10.0.0.1:6443
  encryptionConfig: enc.yaml
"""


def _parse(text: str) -> ClusterSettings:
    return parse(text.encode(), name="keyctl.yaml", directory=_HOME)


def _server(**lines: str) -> ApiServerSettings:
    text = _SMALL + "".join(f"  {name}: {value}\n" for name, value in lines.items())
    return _parse(text).api_servers[0]


def test_a_full_file_says_all_it_says() -> None:
    settings = _parse(_FULL)
    etcd, (server,) = settings.etcd, settings.api_servers
    assert (settings.name, settings.distribution) == ("prod-eu1", "kubeadm")
    assert etcd.connection.endpoints == ("https://10.0.0.1:2379", "https://[fd00::1]:2379")
    assert etcd.connection.cacert == _HOME / "pki/ca.crt"
    assert etcd.connection.cert == Path("/etc/client.crt")
    assert etcd.connection.key == _HOME / "pki/client.key"
    assert (etcd.connection.server_name, etcd.connection.user) == ("etcd.example", "root")
    assert etcd.connection.password_file == _HOME / "etcd.password"
    assert (etcd.prefix, etcd.connection.timeout) == ("/kubernetes.io", timedelta(seconds=3))
    assert [(member.name, member.endpoint, member.data_dir) for member in etcd.members] == [
        ("m1", "https://10.0.0.1:2379", "/var/lib/etcd")
    ]
    assert (settings.kubernetes.kubeconfig, settings.kubernetes.context) == (_HOME / "admin.conf", "prod")
    assert (server.name, server.url) == ("cp1", "https://10.0.0.1:6443")
    assert (server.tls.cacert, server.tls.server_name) == (_HOME / "other-ca.crt", "kubernetes")
    assert (server.credentials.kubeconfig, server.credentials.context) == (_HOME / "cp1.conf", "cp1")
    assert (server.identity.hostname, server.identity.advertise_address) == ("cp1", "10.0.0.1")
    assert server.encryption_config == "/etc/kubernetes/enc/enc.yaml"
    assert server.manifest == "/etc/kubernetes/manifests/kube-apiserver.yaml"
    assert server.activation == CommandActivation(("systemctl", "restart", "kube-apiserver"), timedelta(minutes=2))
    assert settings.keys == FileKeySettings(Path("/var/lib/keyctl/keys"))
    policy = settings.policy
    assert (policy.provider, policy.resources) == (Provider.SECRETBOX, ("secrets", "configmaps"))
    assert (policy.key_max_age, policy.settle, policy.history) == (timedelta(days=30), timedelta(seconds=90), "wait")
    assert (settings.backups.directory, settings.backups.max_age) == (_HOME / "backup", timedelta(hours=12))


def test_a_small_file_gets_the_defaults() -> None:
    settings = _parse(_SMALL)
    (server,) = settings.api_servers
    assert settings.distribution == "auto"
    assert (settings.etcd.connection.endpoints, settings.etcd.prefix) == ((), "/registry")
    assert settings.etcd.connection.timeout == timedelta(seconds=10)
    assert server.host == LocalHostSettings()
    assert server.activation == ReloadActivation(timedelta(seconds=180))
    assert (server.manifest, server.encryption_config) == (None, "/clusters/prod/enc.yaml")
    assert settings.keys == FileKeySettings(_HOME / "keys")
    policy = settings.policy
    assert (policy.provider, policy.resources, policy.history) == (Provider.AESCBC, ("secrets",), "compact")
    assert (policy.key_max_age, policy.settle) == (timedelta(days=90), timedelta(seconds=60))
    assert settings.backups.max_age == timedelta(hours=24)


def test_a_null_field_is_a_field_left_out() -> None:
    nulls = _SMALL.replace("etcd: {}", "etcd: {user: null, passwordFile: ~, timeout: null, members: null}\npolicy:")
    assert _parse(nulls) == _parse(_SMALL)


def test_an_override_inherits_what_it_leaves_out() -> None:
    (override,) = _parse(_FULL).etcd.overrides
    assert override.resources == ("events",)
    assert override.connection.endpoints == ("https://10.0.0.9:2379",)
    assert override.connection.cert == _HOME / "events.crt"
    assert override.connection.key == _HOME / "pki/client.key"
    assert override.connection.timeout == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("reload", ReloadActivation()),
        ("{reload: {wait: 3m}}", ReloadActivation(timedelta(minutes=3))),
        ("{reload: {}}", ReloadActivation()),
        ("{restart: {staticPod: true}}", StaticPodActivation()),
        ("{restart: {staticPod: true, wait: 30s}}", StaticPodActivation(timedelta(seconds=30))),
        ("{restart: {command: [a, b]}}", CommandActivation(("a", "b"))),
    ],
)
def test_every_way_to_activate(activation: str, expected: object) -> None:
    assert _server(manifest="/manifest.yaml", activation=activation).activation == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("{type: local}", LocalHostSettings()),
        ("{type: ssh, address: cp1.example}", SshHostSettings("cp1.example")),
        ("{type: ssh, address: cp1, user: ops, sudo: true}", SshHostSettings("cp1", "ops", sudo=True)),
        (
            "{type: ssh, address: 'fe80::1%eth0', config: ssh.config}",
            SshHostSettings("fe80::1%eth0", config=_HOME / "ssh.config"),
        ),
        ("{type: command, read: [r], write: [w, x]}", CommandHostSettings(("r",), ("w", "x"))),
        (
            "{type: command, read: [r], write: [w], remove: [d], wait: 5m}",
            CommandHostSettings(("r",), ("w",), ("d",), timedelta(minutes=5)),
        ),
    ],
)
def test_every_kind_of_host(host: str, expected: object) -> None:
    text = _SMALL.replace("encryptionConfig: enc.yaml", f"encryptionConfig: /enc.yaml\n  host: {host}")
    assert _parse(text).api_servers[0].host == expected


def _with_agent(*lines: str, host: str = "{type: agent}", keys: str = "{store: vault, mount: kv}") -> ClusterSettings:
    text = _SMALL.replace("encryptionConfig: enc.yaml", f"encryptionConfig: /enc.yaml\n  host: {host}")
    return _parse("".join((text, *(f"  {line}\n" for line in lines), f"keys: {keys}\n")))


def test_a_host_with_an_agent_knows_the_vault_and_the_cluster() -> None:
    vault = VaultKeySettings(mount="kv")
    for lines in ((), ("activation: reload",), ("activation: {reload: {wait: 5m}}",)):
        assert _with_agent(*lines).api_servers[0].host == AgentHostSettings(vault, "small", servers=("cp1",))
    patient = _with_agent(host="{type: agent, wait: 45s}").api_servers[0].host
    assert patient == AgentHostSettings(vault, "small", timedelta(seconds=45), ("cp1",))


def test_an_agent_is_not_waited_for_longer_than_the_lease_of_a_rotation_stands() -> None:
    says = "9:29: wait in apiServers[0].host is longer than the Lease"
    with pytest.raises(UnusableInputError, match=re.escape(says)):
        _with_agent(host="{type: agent, wait: 46s}")


def test_each_server_with_an_agent_knows_which_others_have_one() -> None:
    others = "\n".join(
        f"- {{name: {name}, url: 'https://10.0.0.{at}', encryptionConfig: /enc.yaml, host: {{type: {kind}}}}}"
        for at, (name, kind) in enumerate((("cp8", "local"), ("cp9", "agent")), start=8)
    )
    hosts = [server.host for server in _with_agent().api_servers]
    assert [host.servers for host in hosts if isinstance(host, AgentHostSettings)] == [("cp1",)]
    text = _SMALL.replace("encryptionConfig: enc.yaml", "encryptionConfig: /enc.yaml\n  host: {type: agent}")
    hosts = [server.host for server in _parse(f"{text}{others}\nkeys: {{store: vault}}\n").api_servers]
    assert [host.servers for host in hosts if isinstance(host, AgentHostSettings)] == [("cp1", "cp9")] * 2


@pytest.mark.parametrize(
    ("lines", "keys", "says"),
    [
        ((), "{store: file}", "9:16: apiServers[0].host has an agent, and no Vault to fetch from"),
        (("activation: {restart: {command: [a]}}",), "{store: vault}", "10:15: apiServers[0] has an agent, which"),
        (("manifest: /m", "activation: {restart: {staticPod: true}}"), "{store: vault}", "restarts nothing"),
    ],
)
def test_an_agent_needs_a_vault_and_a_server_that_reloads(lines: tuple[str, ...], keys: str, says: str) -> None:
    with pytest.raises(UnusableInputError, match=re.escape(says)):
        _with_agent(*lines, keys=keys)


def test_an_agents_file_has_a_path_of_its_own_host_and_takes_no_field_of_another_kind() -> None:
    with pytest.raises(UnusableInputError, match="is a path on another host"):
        _parse(_SMALL + "  host: {type: agent}\nkeys: {store: vault}\n")
    with pytest.raises(UnusableInputError, match=r"read in apiServers.* does not go with type: agent"):
        _with_agent(host="{type: agent, read: [r]}")


def test_a_member_of_etcd_has_no_agent() -> None:
    member = "members: [{name: a, endpoint: 'https://a', host: {type: agent}}]"
    text = _SMALL.replace("etcd: {}", f"etcd:\n  {member}")
    with pytest.raises(UnusableInputError, match=r"5:.*has an agent, and no Vault"):
        _parse(text + "keys: {store: vault}\n")


def test_a_vault_is_understood() -> None:
    keys = 'keys: {store: vault, address: "https://vault:8200", mount: /kv/, path: a/b, cacert: ca.crt, timeout: 5s}\n'
    assert _parse(_SMALL + keys).keys == VaultKeySettings(
        "https://vault:8200", "kv", "a/b", cacert=_HOME / "ca.crt", timeout=timedelta(seconds=5)
    )
    assert _parse(_SMALL + "keys: {store: vault}\n").keys == VaultKeySettings(None, "keyctl", None)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("{}", VaultAuth()),
        ("{tokenFile: t}", VaultAuth(token_file=_HOME / "t")),
        (
            "{method: approle, mount: a/b, roleId: r, secretIdFile: s, wrapped: true}",
            VaultAuth(AuthMethod.APPROLE, "a/b", role_id="r", secret_id_file=_HOME / "s", wrapped=True),
        ),
        (
            "{method: cert, role: node, cert: c, key: k}",
            VaultAuth(AuthMethod.CERT, role="node", cert=_HOME / "c", key=_HOME / "k"),
        ),
        ("{method: kubernetes, role: r}", VaultAuth(AuthMethod.KUBERNETES, role="r")),
        (
            "{method: userpass, username: anna, passwordFile: p}",
            VaultAuth(AuthMethod.USERPASS, username="anna", password_file=_HOME / "p"),
        ),
    ],
)
def test_every_way_to_log_in_to_a_vault(auth: str, expected: VaultAuth) -> None:
    found = _parse(_SMALL + f"keys: {{store: vault, auth: {auth}}}\n").keys
    assert isinstance(found, VaultKeySettings)
    assert found.auth == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("3m", 180), ("24h", 86400), ("90d", 7776000), ("1m30s", 90)],
)
def test_durations(text: str, seconds: float) -> None:
    etcd = _parse(_SMALL.replace("etcd: {}", f"etcd: {{timeout: {text}}}")).etcd
    assert etcd.connection.timeout == timedelta(seconds=seconds)


def _in_etcd(line: str) -> Callable[[str], str]:
    return lambda text: text.replace("etcd: {}", f"etcd:\n  {line}")


def _in_server(line: str) -> Callable[[str], str]:
    return lambda text: text + f"  {line}\n"


def _at_top(line: str) -> Callable[[str], str]:
    return lambda text: text + f"{line}\n"


_SECOND = "- {{name: {name}, url: '{url}', encryptionConfig: enc.yaml}}"

_BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "typo": (_in_etcd("endpoint: x"), '5:3: unknown field "endpoint" in etcd; did you mean "endpoints"?'),
    "unknown at the top": (_at_top("nonsense: 1"), '9:1: unknown field "nonsense" in the file'),
    "unknown in a server": (_in_server("URL: x"), '9:3: unknown field "URL" in apiServers[0]'),
    "unknown below a server": (_in_server("tls: {ca: x}"), '9:9: unknown field "ca" in apiServers[0].tls'),
    "password": (_in_etcd("password: hunter2"), '5:3: "password" in etcd: this file holds no secrets'),
    "secret id": (_at_top("keys: {store: vault, auth: {secretId: hunter2}}"), "this file holds no secrets"),
    "duration without unit": (_in_etcd("timeout: 10"), "5:12: timeout in etcd is a number, not text"),
    "unknown unit": (_in_etcd("timeout: 10x"), "5:12: timeout in etcd is not a duration"),
    "no time at all": (_in_etcd("timeout: 0s"), "5:12: timeout in etcd is not a duration"),
    "negative": (_in_etcd("timeout: -5s"), "5:12: timeout in etcd is not a duration"),
    "list for text": (_in_etcd("timeout: [1s]"), "5:12: timeout in etcd is not text"),
    "empty text": (_in_etcd("user: ''"), "5:9: user in etcd is empty"),
    "home": (_in_etcd("cert: ~/client.crt"), "5:9: cert in etcd starts with ~"),
    "text for a list": (_in_etcd("endpoints: https://a:1"), "5:14: endpoints in etcd is not a list"),
    "number in a list": (_in_etcd("endpoints: [5]"), "5:15: an item of endpoints in etcd is a number"),
    "plain http": (_in_etcd("endpoints: ['http://a:1']"), "5:15: an address in etcd is not https"),
    "same": (_in_etcd("endpoints: ['https://a:1', 'https://a:1']"), "5:30: an endpoint in etcd stands twice"),
    "no scheme": (_in_etcd("endpoints: [a:1]"), "an address in etcd is not https"),
    "password in url": (_in_etcd("endpoints: ['https://u:hunter2@a:1']"), "holds a user or password"),
    "no port": (_in_etcd("endpoints: ['https://a:99999']"), "an address in etcd is not a URL"),
    "no address": (_in_etcd("endpoints: ['https://[::1']"), "an address in etcd is not a URL"),
    "path in url": (_in_etcd("endpoints: ['https://a:1/x']"), "is not https://host:port"),
    "no host": (_in_etcd("endpoints: ['https://:1']"), "is not https://host:port"),
    "empty override": (_in_etcd("overrides: [{resources: [events]}]"), "needs resources and endpoints"),
    "member twice": (
        _in_etcd("members: [{name: a, endpoint: 'https://a'}, {name: a, endpoint: 'https://b'}]"),
        "etcd.members[1] has the name of an entry before it",
    ),
    "server twice": (
        _at_top(_SECOND.format(name="cp1", url="https://10.0.0.2:6443")),
        "9:10: apiServers[1] has the name of an entry before it",
    ),
    "url twice": (
        _at_top(_SECOND.format(name="cp2", url="https://10.0.0.1:6443/")),
        "9:20: apiServers[1] has the url of an entry before it",
    ),
    "no url": (_at_top("- {name: cp2}"), "9:3: apiServers[1] has no url"),
    "no file": (_at_top("- {name: cp2, url: 'https://b'}"), "apiServers[1] has no encryptionConfig"),
    "server by http": (
        lambda text: text.replace("https://10", "http://10"),
        "7:8: an address in apiServers[0] is not https",
    ),
    "no name": (lambda text: text.replace("name: small\n", ""), "1:1: the file has no name"),
    "no etcd": (lambda text: text.replace("etcd: {}\n", ""), "1:1: the file has no etcd"),
    "number for text": (lambda text: text.replace("small", "20261121"), "3:7: name in the file is a number"),
    "kind": (lambda text: text.replace("Cluster", "Secret"), "1:1: this is no cluster file"),
    "version": (lambda text: text.replace("keyctl/v1", "v1"), "1:1: this is no cluster file"),
    "name of a path": (lambda text: text.replace("small", "../x"), "3:7: name in the file is no plain name"),
    "server's name of a path": (lambda text: text.replace("cp1", "a/b"), "6:9: name in apiServers[0] is no plain name"),
    "two documents": (lambda text: text + "---\n{}\n", "1:1: a cluster file holds one document"),
    "a list": (lambda text: "- a\n", "1:1: the file is not a mapping"),
    "field twice": (_at_top("name: again"), "9:1: a field that stands twice"),
    "distribution": (_at_top("distribution: slackware"), "9:15: distribution in the file is unknown"),
    "history": (_at_top("policy: {history: never}"), "history in policy is unknown"),
    "provider": (_at_top("policy: {provider: kms}"), "provider in policy is unknown"),
    "store": (_at_top("keys: {store: tape}"), "store in keys is unknown"),
    "field of another store": (_at_top("keys: {mount: kv}"), "mount in keys does not go with store: file"),
    "a path that leads elsewhere": (_at_top("keys: {store: vault, path: a/../b}"), "path in keys is no plain path"),
    "a mount with a question": (_at_top("keys: {store: vault, mount: 'a?b'}"), "mount in keys is no plain path"),
    "a user with a slash too many": (
        _at_top("keys: {store: vault, auth: {method: userpass, username: a//b}}"),
        "username in keys.auth is no plain path",
    ),
    "a Vault without TLS": (_at_top("keys: {store: vault, address: 'http://a:1'}"), "is not https"),
    "login": (_at_top("keys: {store: vault, auth: {method: oidc}}"), "method in keys.auth is unknown"),
    "field of another login": (
        _at_top("keys: {store: vault, auth: {method: jwt, roleId: r}}"),
        "roleId in keys.auth does not go with method: jwt",
    ),
    "certificate without key": (
        _at_top("keys: {store: vault, auth: {method: cert, cert: c}}"),
        "keys.auth has only one of cert and key",
    ),
    "and the other way": (_at_top("keys: {store: vault, directory: x}"), "directory in keys does not go with"),
    "text for a mapping": (_at_top("kubernetes: admin.conf"), "9:13: kubernetes is not a mapping"),
    "activation": (_in_server("activation: restart"), "9:15: activation in apiServers[0] is unknown"),
    "no activation": (_in_server("activation: {}"), "is neither reload nor restart"),
    "two activations": (_in_server("activation: {reload: {}, restart: {staticPod: true}}"), "is neither"),
    "restart how": (_in_server("activation: {restart: {}}"), "needs either a command or staticPod"),
    "both ways": (_in_server("activation: {restart: {command: [a], staticPod: true}}"), "needs either"),
    "shell command": (
        _in_server("activation: {restart: {command: a}}"),
        "command in apiServers[0].activation.restart is not a list",
    ),
    "no command": (_in_server("activation: {restart: {command: []}}"), "has no command"),
    "yes is not true": (_in_server("activation: {restart: {staticPod: yes}}"), "is neither true nor false"),
    "host type": (_in_server("host: {type: telnet}"), "type in apiServers[0].host is unknown"),
    "field of another host": (_in_server("host: {type: local, user: a}"), "does not go with type: local"),
    "address like a flag": (_in_server("host: {type: ssh, address: -oX=y}"), "address in apiServers[0].host is no"),
    "user and address": (_in_server("host: {type: ssh, address: root@a}"), "address in apiServers[0].host is no plain"),
    "user like a flag": (_in_server("host: {type: ssh, address: a, user: -v}"), "user in apiServers[0].host is no"),
    "empty remove": (_in_server("host: {type: command, read: [r], write: [w], remove: []}"), "has no remove"),
    "static pod where": (_in_server("activation: {restart: {staticPod: true}}"), "restarts a static pod and has"),
    "ssh where": (_in_server("host: {type: ssh}"), "apiServers[0].host has no address"),
    "half a command": (_in_server("host: {type: command, read: [r]}"), "apiServers[0].host has no write"),
    "relative path elsewhere": (
        _in_server("host: {type: ssh, address: a}"),
        "8:21: encryptionConfig in apiServers[0] is a path on another host",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), _BAD.values(), ids=_BAD)
def test_what_cannot_be_meant_is_refused_with_its_line(change: Callable[[str], str], message: str) -> None:
    changed = change(_SMALL)
    assert changed != _SMALL
    with pytest.raises(UnusableInputError) as caught:
        _parse(changed)
    error = caught.value
    assert str(error).startswith("keyctl.yaml:")
    assert message in str(error)
    assert "hunter2" not in f"{error} {error.cause} {error.hints}"
    assert error.hints


def test_load_reads_the_file_and_nothing_that_is_named_in_it(tmp_path: Path) -> None:
    path = tmp_path / "keyctl.yaml"
    path.write_text(_FULL)
    settings = load(path)
    assert settings.kubernetes.kubeconfig == tmp_path / "admin.conf"
    assert [entry.name for entry in tmp_path.iterdir()] == ["keyctl.yaml"]


def test_relative_paths_do_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyctl.yaml").write_text(_SMALL)
    monkeypatch.chdir(tmp_path)
    settings = load(Path("keyctl.yaml"))
    assert settings.keys == FileKeySettings(tmp_path / "keys")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"none\.yaml cannot be read") as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.cause == "No such file or directory"
