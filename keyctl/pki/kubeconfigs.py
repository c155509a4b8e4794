"""The certificates and keys of a kubeconfig: as PEM, or as the file that it names. Bytes in, values out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from keyctl.documents import Mapping, Node, Scalar, Sequence, parse

_USERS = ("users", "user", ("client-certificate", "client-key"))
_CLUSTERS = ("clusters", "cluster", ("certificate-authority",))
_SECTION = re.compile(
    rb"^\s*[{,]?\s*[\"']?(?:users|clusters)[\"']?\s*:|[{,]\s*\"(?:users|clusters)\"\s*:", re.MULTILINE
)
_FIELD = re.compile(rb"\b(?:client-certificate|client-key|certificate-authority)(?:-data)?[\"']?\s*:")


@dataclass(frozen=True, slots=True)
class Part:
    """What one field holds: `pem`, None where that is no base64; or in `file` the path of what it names.

    `entry` is the same for a certificate and its key: "user-1" is the first user.
    """

    entry: str
    name: str
    pem: bytes | None = field(default=None, repr=False)
    file: str = ""


def may_be_one(content: bytes) -> bool:
    """Whether it is worth being read as one."""
    return _SECTION.search(content) is not None and _FIELD.search(content) is not None


def parts(content: bytes, name: str) -> Iterator[Part]:
    """Every certificate and key of the kubeconfig `name`; nothing for another document.

    Raises `UnusableInputError` for what is neither YAML nor JSON; what stands in it is in no message.
    """
    root = parse(content, name=name).root
    for many, one, names in (_USERS, _CLUSTERS):
        listed = _field(root, many)
        for number, entry in enumerate(listed.items if isinstance(listed, Sequence) else (), 1):
            holder = _field(entry, one)
            for called in names:
                yield from _of(holder, f"{one}-{number}", called)


def _of(holder: Node | None, entry: str, called: str) -> Iterator[Part]:
    embedded, named = _field(holder, f"{called}-data"), _field(holder, called)
    # What is embedded goes before what is named, as with kubectl.
    if isinstance(embedded, Scalar) and embedded.text:
        yield Part(entry, called, _decoded(embedded.text))
    elif isinstance(named, Scalar) and named.text:
        yield Part(entry, called, file=named.text)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _field(node: Node | None, name: str) -> Node | None:
    if not isinstance(node, Mapping):
        return None
    return next((value for key, value in node.items if key.text == name), None)
