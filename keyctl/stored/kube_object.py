"""Recognise a stored Kubernetes object: its type, name and uid, and nothing of what it holds.

Pure. Whatever the bytes, the answer is an object or None, never an exception.
Message layouts: k8s.io/apimachinery pkg/runtime/generated.proto (Unknown) and
pkg/apis/meta/v1/generated.proto (ObjectMeta).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from keyctl.stored import cbor
from keyctl.stored.protobuf import DamagedError, chunks, varint

PROTOBUF_MAGIC = b"k8s\0"

# What the API server writes behind the object in runtime.Unknown: empty contentEncoding and contentType.
_TRAILER = b'\x1a\x00"\x00'
_LONGEST_SHORT = 127


@dataclass(frozen=True, slots=True)
class KubeObject:
    """Who a stored object says it is. `namespace` is None for one that names none."""

    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str

    def is_at(self, etcd_key: bytes) -> bool:
        """Whether the end of `etcd_key` names this object."""
        path = f"/{self.name}" if self.namespace is None else f"/{self.namespace}/{self.name}"
        return bool(self.name) and etcd_key.endswith(path.encode("utf-8", "surrogatepass"))


def decode(plain: bytes) -> KubeObject | None:
    """The object in `plain` (protobuf, JSON or CBOR), None when there is none."""
    if plain.startswith(PROTOBUF_MAGIC):
        try:
            return _from_protobuf(plain)
        except (DamagedError, UnicodeDecodeError):
            return None
    if plain.startswith(b"{"):
        try:
            return _from_document(json.loads(plain))
        except (ValueError, RecursionError):
            return None
    return _from_document(cbor.decode(plain))


def frame_head(found: KubeObject) -> bytes:
    """What the API server writes before the body of every object of the type of `found`; empty for a strange type."""
    version, kind = found.api_version.encode("utf-8", "surrogatepass"), found.kind.encode("utf-8", "surrogatepass")
    size = len(version) + len(kind) + 4
    if size > _LONGEST_SHORT:
        return b""
    return b"%b\n%c\n%c%b\x12%c%b\x12" % (PROTOBUF_MAGIC, size, len(version), version, len(kind), kind)


def namespace_field(namespace: str | None) -> bytes:
    """How `namespace` stands in ObjectMeta; the API server writes an empty one too."""
    raw = (namespace or "").encode()
    return b"\x1a%c%b" % (len(raw), raw) if len(raw) <= _LONGEST_SHORT else b""


def fits(plain: bytes, head: bytes, namespace: bytes, name: bytes) -> bool:
    """Whether `plain` is framed as the API server frames the object `name`: the quick form of `decode`.

    `head` comes from `frame_head`, `namespace` from `namespace_field`. True
    means that the type, both lengths, the names and the trailer are as expected.
    False means only that `decode` has to look.
    """
    if not plain.startswith(head) or not plain.endswith(_TRAILER) or not namespace or len(name) > _LONGEST_SHORT:
        return False
    end = len(plain) - len(_TRAILER)
    try:
        size, at = varint(plain, len(head), end)
        if at + size != end or plain[at] != 0x0A:
            return False
        size, at = varint(plain, at + 1, end)
    except DamagedError:
        return False
    named = b"\n%c%b\x12" % (len(name), name)
    if at + size > end or not plain.startswith(named, at):
        return False
    at += len(named)
    return plain.startswith(namespace, at + 1 + plain[at])


def _from_protobuf(plain: bytes) -> KubeObject | None:
    unknown = chunks(plain, len(PROTOBUF_MAGIC), len(plain))
    if 1 not in unknown or 2 not in unknown:
        return None
    type_meta = chunks(plain, *unknown[1])
    api_version, kind = _text(plain, type_meta, 1), _text(plain, type_meta, 2)
    if not api_version or not kind:
        return None
    raw = chunks(plain, *unknown[2])
    meta = chunks(plain, *raw[1]) if 1 in raw else {}
    return KubeObject(
        api_version, kind, _text(plain, meta, 3) or None, name=_text(plain, meta, 1), uid=_text(plain, meta, 5)
    )


def _text(data: bytes, where: dict[int, tuple[int, int]], number: int) -> str:
    start, end = where.get(number, (0, 0))
    return data[start:end].decode()


def _from_document(document: object) -> KubeObject | None:
    if not isinstance(document, dict):
        return None
    api_version, kind, meta = document.get("apiVersion"), document.get("kind"), document.get("metadata")
    if not isinstance(api_version, str) or not isinstance(kind, str) or not api_version or not kind:
        return None
    if not isinstance(meta, dict):
        return None
    namespace, name, uid = (meta.get(field, "") for field in ("namespace", "name", "uid"))
    if not isinstance(namespace, str) or not isinstance(name, str) or not isinstance(uid, str):
        return None
    return KubeObject(api_version, kind, namespace or None, name, uid)
