"""What a certificate is there for, told by where kubeadm and `certs init` put it. Paths in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Role:
    """What is asked of a certificate: to `serve` clients, to `ask` servers.

    `authorities` are files, from its own folder on, of which the first that is there must have signed it. `renew` is
    how it gets a new life from the CA that is there, `anew` how it gets other names, usages or a key. `of_etcd`: etcd
    trusts its signer. `of_api_server`: it is how kube-apiserver reaches etcd. `made_by`: CAs of these names are of the
    tool that both commands are of; none stands for any. `key` is the file that is given with it, "" where that is not
    told; this and `authorities` may be paths from the root on.
    """

    what: str
    serve: bool
    ask: bool
    authorities: tuple[str, ...]
    renew: str = ""
    anew: str = ""
    of_etcd: bool = True
    of_api_server: bool = False
    made_by: tuple[str, ...] = ()
    key: str = ""


def _kubeadm(what: str, name: str, ca: str, *, serve: bool = False, ask: bool = False, etcd: bool = True) -> Role:
    anew = f"move it and its key away, then: kubeadm init phase certs {name} --config FILE, with the names in FILE"
    api = name == "apiserver-etcd-client"
    return Role(what, serve, ask, (ca,), f"kubeadm certs renew {name}", anew, etcd, api, _KUBEADM_CAS)


_KUBEADM_CAS = ("etcd-ca", "kubernetes", "kubernetes-ca", "front-proxy-ca")
_KUBEADM = {
    ("etcd", "server.crt"): _kubeadm("etcd's server", "etcd-server", "ca.crt", serve=True),
    ("etcd", "peer.crt"): _kubeadm("etcd's peer", "etcd-peer", "ca.crt", serve=True, ask=True),
    ("etcd", "healthcheck-client.crt"): _kubeadm("health check", "etcd-healthcheck-client", "ca.crt", ask=True),
    ("apiserver-etcd-client.crt",): _kubeadm("etcd's client", "apiserver-etcd-client", "etcd/ca.crt", ask=True),
    ("apiserver.crt",): _kubeadm("API server", "apiserver", "ca.crt", serve=True, etcd=False),
    ("apiserver-kubelet-client.crt",): _kubeadm(
        "kubelets' client", "apiserver-kubelet-client", "ca.crt", ask=True, etcd=False
    ),
    ("front-proxy-client.crt",): _kubeadm(
        "front proxy", "front-proxy-client", "front-proxy-ca.crt", ask=True, etcd=False
    ),
}
_PEERS = ("peer-ca.crt", "ca.crt")


def role_of(path: str) -> Role | None:
    """The role of the certificate file `path`, None where its place does not tell."""
    parts = PurePath(path).parts
    if len(parts) > 2 and parts[-3] in ("members", "clients"):
        return _own(parts[-3], parts[-2], parts[-1], str(PurePath(*parts[:-3])))
    return _KUBEADM.get(parts[-2:]) or _KUBEADM.get(parts[-1:])


def _own(folder: str, name: str, file: str, root: str) -> Role | None:
    option = f"--{folder.removesuffix('s')} {name}"
    renew = f"keyctl certs renew {root} {option}"
    anew = f"move {folder}/{name} away, then: keyctl certs issue {root} {option}{'=HOST' * (folder == 'members')}"
    match folder, file:
        case "members", "server.crt":
            return Role("etcd's server", serve=True, ask=False, authorities=("ca.crt",), renew=renew, anew=anew)
        case "members", "peer.crt":
            return Role("etcd's peer", serve=True, ask=True, authorities=_PEERS, renew=renew, anew=anew)
        case "clients", "client.crt":
            return Role("etcd's client", serve=False, ask=True, authorities=("ca.crt",), renew=renew, anew=anew)
    return None
