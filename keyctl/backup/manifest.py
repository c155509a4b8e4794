"""The manifest beside a snapshot: what it is, where it is from, which keys it needs. Pure: text in, values out.

It holds fingerprints and counts, never key bytes, and is no proof by itself: whoever can replace the snapshot can
replace it. `keyctl.yaml`'s key store keeps the SHA-256 in its register, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keyctl.backup.contents import Contents
from keyctl.backup.key_needs import KeyNeed
from keyctl.errors import UnusableInputError
from keyctl.etcd.interface import MAIN, SavedSnapshot

API_VERSION = "keyctl/v1"
KIND = "SnapshotManifest"
SUFFIX = ".keyctl.json"
# What a manifest of a thousand keys has, ten times over.
LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class ResourceCount:
    """How many live values of one resource there are, and how many of them stand in plaintext."""

    resource: str
    values: int
    plaintext: int


@dataclass(frozen=True, slots=True)
class Encryption:
    """The file that lies beside the manifest, where it is encrypted: `size` in bytes, its own SHA-256, for whom."""

    size: int
    sha256: str
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was known when the snapshot was saved. `size` in bytes; `sha256` covers all but the last 32 of them.

    Both are those of the snapshot itself, also where the file is encrypted: `encryption` tells of that.

    `config_known` says that the values were opened with the configuration in force, `unread` why the configurations of
    some servers were not read, a sentence each. `name` is that of the etcd: "main", or the resource that it is for.
    `at` in ISO 8601. `keep` is the policy that it was saved under, "" where it is for people alone to delete it.
    """

    file: str
    size: int
    sha256: str
    at: str
    cluster_id: str
    member_id: str
    endpoint: str
    etcd_version: str
    revision: int
    prefix: str
    values: int
    resources: tuple[ResourceCount, ...]
    keys: tuple[KeyNeed, ...]
    config_known: bool
    unread: tuple[str, ...] = ()
    name: str = MAIN
    encryption: Encryption | None = None
    keep: str = ""

    @property
    def incomplete(self) -> bool:
        """Whether a key may be needed of which nobody could know: values stayed closed, and a configuration unread."""
        return bool(self.unread) and any(need.opened < need.values for need in self.keys)


@dataclass(frozen=True, slots=True)
class Claims:
    """What of a manifest can be compared with the file beside it. `resources` counts values by `plural`.

    `at` is when it says that the file was saved, in ISO 8601, "" where it does not: nothing in the file tells. `file`
    is the name that it had; `cluster_id` and `name` are those of the etcd; `encryption` and `keep` as in `Manifest`.
    """

    size: int
    sha256: str
    revision: int
    values: int
    prefix: str
    resources: Mapping[str, int]
    at: str = ""
    file: str = ""
    cluster_id: str = ""
    name: str = ""
    encryption: Encryption | None = None
    keep: str = ""


def beside(snapshot: Path) -> Path:
    """Where the manifest of `snapshot` is."""
    return snapshot.with_name(snapshot.name + SUFFIX)


def describe(
    saved: SavedSnapshot,
    contents: Contents,
    needs: tuple[KeyNeed, ...],
    *,
    prefix: str,
    at: str,
    config_known: bool,
    unread: tuple[str, ...] = (),
    name: str = MAIN,
    encryption: Encryption | None = None,
    keep: str = "",
) -> Manifest:
    """The manifest of a snapshot that was saved and read; the rest as `Manifest` has it."""
    member = saved.member
    return Manifest(
        file=saved.path.name,
        size=saved.size,
        sha256=saved.sha256,
        at=at,
        cluster_id=member.cluster_id if member else "",
        member_id=member.member_id if member else "",
        endpoint=member.endpoint if member else "",
        etcd_version=member.version if member else "",
        revision=contents.info.revision,
        prefix=prefix,
        values=contents.live.values,
        resources=resource_counts(contents),
        keys=needs,
        config_known=config_known,
        unread=unread,
        name=name,
        encryption=encryption,
        keep=keep,
    )


def resource_counts(contents: Contents) -> tuple[ResourceCount, ...]:
    """The live values by resource, in order of name."""
    values, plain = Counter[str](), Counter[str]()
    for group in contents.live.groups:
        values[group.resource] += group.values
        plain[group.resource] += group.values if group.encoding is not None else 0
    return tuple(ResourceCount(name, values[name], plain[name]) for name in sorted(values))


def plural(resource: str) -> str:
    """`resource` without its group: that a path alone tells, whatever the configuration says of groups."""
    return resource.partition(".")[0]


def to_document(manifest: Manifest) -> dict[str, object]:
    """The JSON of `manifest`, by the contract `keyctl/v1`."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "file": manifest.file,
        "size": manifest.size,
        "sha256": manifest.sha256,
        "at": manifest.at,
        "etcd": {
            "name": manifest.name,
            "clusterId": manifest.cluster_id,
            "memberId": manifest.member_id,
            "endpoint": manifest.endpoint,
            "version": manifest.etcd_version,
            "revision": manifest.revision,
        },
        "prefix": manifest.prefix,
        "values": manifest.values,
        "encryption": _encryption_fields(manifest.encryption),
        "keep": manifest.keep or None,
        "configuration": _knowledge(manifest),
        "configurationsUnread": list(manifest.unread),
        "keys": [key_fields(need) for need in manifest.keys],
        "resources": [
            {"resource": one.resource, "values": one.values, "plaintext": one.plaintext} for one in manifest.resources
        ],
    }


def _encryption_fields(encryption: Encryption | None) -> dict[str, object] | None:
    if encryption is None:
        return None
    return {
        "format": "age",
        "size": encryption.size,
        "sha256": encryption.sha256,
        "recipients": list(encryption.recipients),
    }


def _knowledge(manifest: Manifest) -> str:
    if not manifest.config_known:
        return "unknown"
    return "partial" if manifest.unread else "known"


def key_fields(need: KeyNeed) -> dict[str, object]:
    """One key that is needed, JSON-ready."""
    return {
        "provider": str(need.ref.provider),
        "version": need.version or None,
        "name": need.ref.name,
        "keyId": need.key_id,
        "fingerprint": need.fingerprint,
        "values": need.values,
        "opened": need.opened,
    }


def parse(content: bytes, *, name: str) -> Claims:
    """What the manifest `content` claims. `name` is for messages.

    Raises `UnusableInputError` for what is no manifest of `keyctl/v1`; fields that are not known are passed over.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise _unusable(name, "it is not JSON") from None
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise _unusable(name, f"it is no {KIND} of {API_VERSION}")
    found = document.get("etcd")
    etcd = found if isinstance(found, dict) else {}
    try:
        return Claims(
            size=_number(document, "size"),
            sha256=_text(document, "sha256"),
            revision=_number(etcd, "revision"),
            values=_number(document, "values"),
            prefix=_text(document, "prefix"),
            resources=_resources(document.get("resources")),
            at=str(document.get("at") or ""),
            file=str(document.get("file") or ""),
            cluster_id=str(etcd.get("clusterId") or ""),
            name=str(etcd.get("name") or ""),
            encryption=_encryption(document.get("encryption")),
            keep=_keep(document.get("keep")),
        )
    except ValueError as error:
        raise _unusable(name, str(error)) from None


def _keep(found: object) -> str:
    # NOTE: this is what lets a policy delete the file, so nothing is taken for it but what `snapshot save` writes.
    if found is not None and not isinstance(found, str):
        raise ValueError("keep is no text")
    return found or ""


def _encryption(found: object) -> Encryption | None:
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("recipients"), list):
        raise ValueError("encryption is no object with recipients")
    return Encryption(_number(found, "size"), _text(found, "sha256"), tuple(map(str, found["recipients"])))


def _resources(found: object) -> dict[str, int]:
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("resources is no list of objects")
    counts = Counter[str]()
    for one in found:
        counts[plural(_text(one, "resource"))] += _number(one, "values")
    return dict(counts)


def _number(document: Mapping[str, object], field: str) -> int:
    value = document.get(field)
    if type(value) is not int or value < 0:
        raise ValueError(f"{field} is no number")
    return value


def _text(document: Mapping[str, object], field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str):
        raise ValueError(f"{field} is no text")
    return value


def _unusable(name: str, cause: str) -> UnusableInputError:
    return UnusableInputError(
        f"{name} is no manifest of a snapshot", cause=cause, hint="keyctl snapshot inspect FILE reads the file itself"
    )
