"""The flags of etcd and of kube-apiserver that go with certificates on a host. Pure: paths in, words out."""

from __future__ import annotations

from pathlib import PurePosixPath

from keyctl.pki.layout import CA, CLIENT, PEER, PEER_CA, SERVER

# A flag and its value.
Flag = tuple[str, str]


def etcd_flags(folder: PurePosixPath, *, one_ca: bool) -> tuple[Flag, ...]:
    """Mutual TLS for clients and for peers, with a member's files in `folder` of its host."""
    return (
        ("client-cert-auth", "true"),
        ("trusted-ca-file", str(folder / f"{CA}.crt")),
        ("cert-file", str(folder / f"{SERVER}.crt")),
        ("key-file", str(folder / f"{SERVER}.key")),
        ("peer-client-cert-auth", "true"),
        ("peer-trusted-ca-file", str(folder / f"{CA if one_ca else PEER_CA}.crt")),
        ("peer-cert-file", str(folder / f"{PEER}.crt")),
        ("peer-key-file", str(folder / f"{PEER}.key")),
    )


def api_server_flags(folder: PurePosixPath) -> tuple[Flag, ...]:
    """How kube-apiserver reaches etcd as a client whose files are in `folder` of its host."""
    return (
        ("etcd-cafile", str(folder / f"{CA}.crt")),
        ("etcd-certfile", str(folder / f"{CLIENT}.crt")),
        ("etcd-keyfile", str(folder / f"{CLIENT}.key")),
    )


def words(flags: tuple[Flag, ...]) -> tuple[str, ...]:
    """As they are written on a command line."""
    return tuple(f"--{name}={value}" for name, value in flags)
