"""The configuration files of k3s and RKE2: what they turn on, the flags they hand on, and which datastore there is.

Those in config.yaml.d come after config.yaml, in the order of their names: a value takes the place of an earlier one, a
list too unless its name ends in a plus.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from keyctl.audit.facts import About, Absent, Program, Setting
from keyctl.audit.sources.flags import flag_settings
from keyctl.audit.sources.fragments import Given, ServerFile
from keyctl.audit.sources.kubeadm import implied
from keyctl.audit.sources.text import Doc, Found, fields, plain
from keyctl.documents import Mapping
from keyctl.findings import Location
from keyctl.hosts.pod import items_of

_TELLING = frozenset(
    {
        "cluster-init",
        "datastore-endpoint",
        "etcd-arg",
        "etcd-expose-metrics",
        "kube-apiserver-arg",
        "secrets-encryption",
        "secrets-encryption-provider",
    }
)
_API_SERVER = {"authorization-mode": "Node,RBAC"}
_STORE = {
    "etcd-servers": "https://127.0.0.1:2379",
    "etcd-cafile": "server-ca.crt",
    "etcd-certfile": "client.crt",
    "etcd-keyfile": "client.key",
}
# Behind the socket is kine, before whatever database there is.
_KINE = {"etcd-servers": "unix://kine.sock"}
_ETCD_CERTIFICATES = {
    "cert-file": "server-client.crt",
    "key-file": "server-client.key",
    "trusted-ca-file": "server-ca.crt",
    "peer-cert-file": "peer-server-client.crt",
    "peer-key-file": "peer-server-client.key",
    "peer-trusted-ca-file": "peer-ca.crt",
}
_ETCD = {
    "client-cert-auth": "true",
    "peer-client-cert-auth": "true",
    "listen-client-urls": "https://127.0.0.1:2379,https://$(NODE_IP):2379",
    "listen-peer-urls": "https://127.0.0.1:2380,https://$(NODE_IP):2380",
}
_SQL = ("mysql:", "postgres:", "postgresql:", "sqlite:", "nats:")
_UNTOLD = "whether this is the file of k3s or of RKE2, which encrypts without being told, is not known"


def is_placed(path: str) -> bool:
    """Whether a file of this path is one of theirs whatever stands in it."""
    return posixpath.basename(posixpath.dirname(path)) == "config.yaml.d" and path.endswith((".yaml", ".yml"))


def read(doc: Doc) -> Iterator[Found]:
    """The file of a server node, by its fields or by its place."""
    # A name with a plus adds to what other files give.
    names = {key.text.removesuffix("+") for key, _ in fields(doc.root)}
    if (names & _TELLING or is_placed(doc.text.path)) and not names & {"apiVersion", "kind"}:
        given = tuple(_given(doc))
        yield ServerFile(doc.text.path, given, doc.at(doc.root))


def join(files: Iterable[ServerFile]) -> Iterator[Program | Absent]:
    """The API servers and the datastores of all server nodes."""
    everything = tuple(files)
    mains = [one for one in everything if not one.adds_to]
    beside: dict[tuple[str, str], list[ServerFile]] = {}
    for one in everything:
        if one.adds_to:
            beside.setdefault(_node_of(one), []).append(one)
    for main in mains:
        added = sorted(beside.get(_node_of(main), ()), key=lambda one: one.path)
        yield from _node(main, _merged((main, *added)))
    for node in sorted(beside.keys() - {_node_of(one) for one in mains}):
        if any(given.name in _TELLING for one in beside[node] for given in one.given):
            yield from _added(sorted(beside[node], key=lambda one: one.path))


def _node_of(file: ServerFile) -> tuple[str, str]:
    """By what the files of one node are known: a file inside another one stands beside others of that one only."""
    outer = file.location.file or ""
    return file.adds_to or file.path, "" if outer == file.path else outer


def _given(doc: Doc) -> Iterator[Given]:
    for key, value in fields(doc.root):
        if not isinstance(value, Mapping):
            items = items_of(value) or (value,)
            values = tuple((plain(one), doc.at(one)) for one in items if plain(one))
            yield Given(key.text.removesuffix("+"), key.text.endswith("+"), values, doc.at(key))


def _merged(files: Sequence[ServerFile]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for one in (given for file in files for given in file.given):
        before = found.get(one.name)
        found[one.name] = replace(one, values=(*before.values, *one.values)) if one.adds and before else one
    return found


def _node(main: ServerFile, given: dict[str, Given]) -> Iterator[Program | Absent]:
    called = f"{main.location.file or ''} {main.path}".lower()
    told = "rke2" if "rke2" in called or "secrets-encryption-provider" in given else ""
    told = told or ("k3s" if "k3s" in called or "secrets-encryption" in given else "")
    encrypts = told == "rke2" or _value(given, "secrets-encryption") == "true"
    store = tuple(_datastore(main.location, given, told))
    own = _API_SERVER | _reached_at(store, told)
    if told == "rke2":
        # Whether there is an audit log depends on its profile.
        own["audit-log-path"] = own["audit-policy-file"] = "$(PROFILE)"
    if encrypts:
        own["encryption-provider-config"] = f"/var/lib/rancher/{told}/server/cred/encryption-config.json"
    # The line that says whether secrets are encrypted, or else the whole file.
    telling = next((one.location for name, one in given.items() if name.startswith("secrets-encryption")), None)
    yield Program(
        About.API_SERVER,
        "kube-apiserver",
        main.location,
        (*implied(telling or main.location, own, told or "the installer"), *_handed_on(given, "kube-apiserver-arg")),
        hidden="" if told else _UNTOLD,
    )
    yield from store


def _added(files: Sequence[ServerFile]) -> Iterator[Program]:
    """What files beside the main one hand on, where that was not given."""
    given, hidden = _merged(files), "it adds to config.yaml, which was not given"
    for about, name in ((About.API_SERVER, "kube-apiserver-arg"), (About.ETCD, "etcd-arg")):
        yield Program(about, str(about), files[0].location, tuple(_handed_on(given, name)), hidden=hidden)


def _reached_at(store: tuple[Program | Absent, ...], told: str) -> dict[str, str]:
    """The API server's flags for the datastore."""
    if any(isinstance(one, Program) for one in store):
        base = f"/var/lib/rancher/{told or 'k3s'}/server/tls/etcd"
        return {flag: value if "://" in value else f"{base}/{value}" for flag, value in _STORE.items()}
    if any(isinstance(one, Absent) and one.reason == "kine" for one in store):
        return dict(_KINE)
    # An etcd of others, or one that is set up by the server that this one joins.
    return dict.fromkeys(_STORE, "$(DATASTORE)") | {"etcd-servers": "$(DATASTORE)"}


def _value(given: dict[str, Given], name: str) -> str:
    one = given.get(name)
    return one.values[-1][0] if one and one.values else ""


def _datastore(at: Location, given: dict[str, Given], told: str) -> Iterator[Program | Absent]:
    endpoint, arguments = _value(given, "datastore-endpoint"), tuple(_handed_on(given, "etcd-arg"))
    place = given["datastore-endpoint"].values[-1][1] if endpoint else at
    if endpoint.startswith(_SQL):
        yield Absent(About.ETCD, "kine", "the datastore is no etcd", place)
    elif endpoint:
        yield Absent(About.ETCD, "external-etcd", "etcd is external, set up by others", place)
    elif told == "rke2" or arguments or _value(given, "cluster-init") == "true":
        base = f"/var/lib/rancher/{told or 'k3s'}/server/tls/etcd"
        own = _ETCD | {name: f"{base}/{file}" for name, file in _ETCD_CERTIFICATES.items()}
        own["data-dir"] = f"/var/lib/rancher/{told or 'k3s'}/server/db/etcd"
        public = _value(given, "etcd-expose-metrics") == "true"
        own["listen-metrics-urls"] = "http://127.0.0.1:2381" + (",http://$(NODE_IP):2381" if public else "")
        yield Program(About.ETCD, "etcd", at, (*implied(at, own, told or "k3s"), *arguments))
    elif not _value(given, "server"):
        yield Absent(About.ETCD, "kine", "k3s without cluster-init keeps its data in SQLite", at)


def _handed_on(given: dict[str, Given], name: str) -> Iterator[Setting]:
    for value, at in given[name].values if name in given else ():
        # Each is handed on by itself: none takes the next one for its value.
        yield from flag_settings([(f"--{value.lstrip('-')}", at)])
