"""Which files of its host a static pod's API server reads for etcd. Pure: a manifest in, words out.

What an API server trusts shows nowhere from outside until it is too late; so its flags must name the files that are
to be changed.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from keyctl import documents
from keyctl.hosts.pod import Pod, api_server
from keyctl.pki.flags import api_server_flags


def other_file(manifest: bytes, folder: str, *, name: str) -> str:
    """What is wrong with the flags for etcd, where they do not name the files of `folder` on the host; else "".

    Raises `UnusableInputError` for what is no manifest of kube-apiserver.
    """
    pod = api_server(documents.parse(manifest, name=name))
    given = {flag.name: flag.value for flag in pod.flags()}
    for flag, path in api_server_flags(PurePosixPath(folder)):
        value = given.get(flag)
        if value is None:
            return f"it has no --{flag}"
        if _on_host(pod, PurePosixPath(value)) != PurePosixPath(path):
            return f"--{flag} is not {path} of its host"
    return ""


def _on_host(pod: Pod, path: PurePosixPath) -> PurePosixPath | None:
    mount = pod.covering(path)
    return mount.outside / path.relative_to(mount.inside) if mount is not None else None
