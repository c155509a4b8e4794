"""A static pod manifest of etcd or kube-apiserver with flags set to what they must be, and their folder mounted. Pure.

A flag that is there gets its new value in its place; one that is not is put behind the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from keyctl.documents import Document, parse, refuse, splice
from keyctl.encryption_config.editing.layout import Edit, check_editable
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.hosts.pod import GivenFlag, Pod, pods
from keyctl.hosts.pod_edits import flag_edits, mount_edits

ETCD = "etcd"
_VOLUME = "keyctl-certs"
_PLAIN_TEXT = re.compile(r"--[A-Za-z0-9/._=-]*")


def program_of(content: bytes, *, name: str) -> str:
    """Whose manifest it is, "etcd" or "kube-apiserver". Raises `UnusableInputError` for any other."""
    return _name(_pod(parse(content, name=name)))


def with_flags(content: bytes, flags: Mapping[str, str], folder: PurePosixPath, *, name: str) -> bytes:
    """The manifest with `flags`, and with `folder` of the host mounted where it is not seen yet.

    Doing it twice is doing it once. Raises `RefusedError` for a layout that is not edited, a flag whose value stands
    in a word of its own, and a place that is taken by another mount.
    """
    document = parse(content, name=name)
    pod = _pod(document)
    if not document.plain:
        refuse(name, document.root.span, "keyctl does not edit YAML with anchors or tags", hint="write the values out")
    check_editable(document)
    edits = [
        _replaced(document, flag, flags[flag.name])
        for flag in pod.flags()
        if flag.name in flags and flag.value != flags[flag.name]
    ]
    there = {flag.name for flag in pod.flags()}
    edits += flag_edits(pod, {flag: value for flag, value in flags.items() if flag not in there})
    if pod.showing(folder / "ca.crt") is None:
        edits += mount_edits(pod, folder / "ca.crt", volume=_VOLUME)
    edited = splice(document.text, edits).encode()
    _check(_pod(parse(edited, name=name)), pod, flags, folder)
    return edited


def _pod(document: Document) -> Pod:
    found = [pod for pod in pods(document) if _name(pod)]
    if len(found) != 1:
        raise UnusableInputError(
            f"{document.name} is not the manifest of one etcd or kube-apiserver",
            hint="name /etc/kubernetes/manifests/etcd.yaml or kube-apiserver.yaml",
        )
    return found[0]


def _name(pod: Pod) -> str:
    if pod.is_api_server:
        return "kube-apiserver"
    first = next((word.text for word in pod.words()), "")
    return ETCD if ETCD in (pod.name, PurePosixPath(first).name) else ""


def _replaced(document: Document, flag: GivenFlag, value: str) -> Edit:
    node = flag.words[0].node
    if len(flag.words) > 1:
        raise RefusedError(
            f"{document.name}:{node.span.line}: the value of --{flag.name} stands in a word of its own",
            hint=f"write --{flag.name}=VALUE in one word",
        )
    word, quote = f"--{flag.name}={value}", document.text[node.span.start]
    plain = quote not in "\"'" and _PLAIN_TEXT.fullmatch(word)
    return node.span.start, node.span.end, word if plain else json.dumps(word)


def _check(after: Pod, before: Pod, flags: Mapping[str, str], folder: PurePosixPath) -> None:
    others = [(flag.name, flag.value) for flag in before.flags() if flag.name not in flags]
    given = [(flag.name, flag.value) for flag in after.flags()]
    if (
        [flag for flag in given if flag[0] not in flags] != others
        or any(dict(given).get(name) != value for name, value in flags.items())
        or after.showing(folder / "ca.crt") is None
        or not set(before.mounts()) <= set(after.mounts())
    ):
        raise RuntimeError("the edited manifest does not say what it was to say")
