"""keyctl's reading of an encryption configuration compared with that of kube-apiserver's own loader.

What may not be: keyctl accepts what the server refuses, refuses by a rule of the server's what the server accepts,
or takes another writer, other keys or another order of readers out of what both accept. Test keys only: the oracle
sees every file, and what differs is told with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keyctl.encryption_config import effective
from keyctl.encryption_config.effective import GroupResource
from keyctl.encryption_config.judge import Judged, judge
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader, KmsReader, Reader, StaticReader
from keyctl.encryption_config.server import Server
from keyctl.keys.key import Provider
from tests.support import seal
from tests.support.oracle import Loaded, Oracle, oracle

NAME = "enc.yaml"
AT = b"/registry/secrets/default/demo"
PLAIN = seal.secret("demo")
# Of the core group, of others, of a custom resource.
PROBES = ("secrets", "configmaps", "pods", "deployments.apps", "leases.coordination.k8s.io", "things.example.com")
# With its padding by chance right, one value of 256 opens under a wrong aescbc key: after this many it is no chance.
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Compared:
    """What keyctl and the server made of a file, and in which way they differ; None when they do not."""

    judged: Judged
    loaded: Loaded
    difference: str | None


def server_of(kubernetes: str, kms_v1: bool | None = None) -> Server:
    """keyctl's idea of the server whose loader the oracle of that version calls."""
    return Server(int(kubernetes.partition(".")[2]), kms_v1)


def compare(content: bytes, kubernetes: str, kms_v1: bool | None = None) -> Compared:
    """`content` as keyctl and as kube-apiserver `kubernetes` read it."""
    judged = judge(content, name=NAME, server=server_of(kubernetes, kms_v1))
    server = oracle(kubernetes, kms_v1)
    loaded = server.load(content)
    if judged.accepted is None:
        return Compared(judged, loaded, None)
    if judged.accepted != loaded.accepted:
        ids = ", ".join(finding.id for finding in judged.findings)
        return Compared(
            judged, loaded, f"keyctl: {judged.accepted} ({ids}), the server: {loaded.accepted} ({loaded.error})"
        )
    if judged.decoded is None:
        return Compared(judged, loaded, None)
    return Compared(judged, loaded, "; ".join(misreadings(judged.decoded.config, content, server)) or None)


def probes(config: EncryptionConfig) -> tuple[str, ...]:
    """Resources to ask about: what `config` names without wildcards, and some that it may cover by one."""
    named = (text for text in effective.named_resources(config) if not GroupResource.parse(text).is_wildcard)
    return tuple(dict.fromkeys((*named, *PROBES)))


def misreadings(config: EncryptionConfig, content: bytes, server: Oracle) -> tuple[str, ...]:
    """Each way in which what `server` does with `content` is not what `config` says; `server` must accept it."""
    loaded = server.load(content, resources=probes(config), etcd_key=AT, plain=PLAIN)
    found: list[str] = []
    seen: set[tuple[Reader, ...]] = set()
    for resource in probes(config):
        readers = effective.readers(config, resource)
        if not _writes(readers[0], resource, loaded):
            found.append(f"{resource}: written by another than {readers[0].ref}")
        if readers not in seen:
            seen.add(readers)
            found += _misread_values(readers, resource, content, server)
    return tuple(found)


def _writes(reader: Reader, resource: str, loaded: Loaded) -> bool:
    """Whether what the server wrote begins as a value of `reader` does."""
    match reader:
        case KmsReader():
            return resource in loaded.unwritten
        case IdentityReader():
            return loaded.written.get(resource) == PLAIN
        case StaticReader(key):
            return loaded.written.get(resource, b"").startswith(f"k8s:enc:{key.provider}:v1:{key.name}:".encode())


def _misread_values(readers: tuple[Reader, ...], resource: str, content: bytes, server: Oracle) -> Iterator[str]:
    for position, reader in enumerate(readers):
        stale = readers.index(reader) != 0
        match reader:
            case StaticReader(key) if not any(
                _opens(server, content, resource, seal.seal(key, AT, PLAIN), stale) for _ in range(_tries(reader))
            ):
                yield f"{resource}: reader {position}, {reader.ref}, is another, or its values are not stale={stale}"
            case IdentityReader() if not _opens(server, content, resource, PLAIN, stale):
                yield f"{resource}: plaintext is not read as number {position}, stale={stale}"
    if IdentityReader() not in readers and server.decrypt(content, resource, AT, PLAIN).plain is not None:
        yield f"{resource}: plaintext is read"


def _tries(reader: StaticReader) -> int:
    return _TRIES if reader.key.provider is Provider.AESCBC else 1


def _opens(server: Oracle, content: bytes, resource: str, stored: bytes, stale: bool) -> bool:
    opened = server.decrypt(content, resource, AT, stored)
    return opened.plain == PLAIN and opened.stale == stale
