"""Stored values, and API servers with their hosts, as the collectors see them, made by these of fakes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from keyctl.audit.facts import Placed
from keyctl.audit.live.api_servers import Place, RunningServer, running_servers
from keyctl.audit.live.canary import Canary, canaries
from keyctl.audit.live.stored_values import Judging, StoredValues, file_values, live_values
from keyctl.cli.verification import joined
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.keys.key import Key
from keyctl.kube.interface import Transformed
from tests.support import seal
from tests.support.fake_kube import FakeApiServer, FakeCluster
from tests.support.memory_host import MemoryHost
from tests.support.memory_source import MemorySource
from tests.unit.audit.given import GOOD_CONFIG
from tests.unit.verify.test_leftovers import MemoryFile

NEW, OLD = seal.key("new"), seal.key("old", fill=2)
ENCRYPTING = seal.config(NEW, OLD, identity=False)
PATH = "/etc/kubernetes/enc/enc.yaml"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
LAYOUT_ONLY = GOOD_CONFIG + "# laid out otherwise\n"


def secret(name: str, key: Key | None = NEW, resource: str = "secrets") -> dict[bytes, bytes]:
    """One object, as a server with `key` writes it; None is plaintext."""
    where = f"/registry/{resource}/default/{name}".encode()
    plain = (seal.secret if resource == "secrets" else seal.config_map)(name)
    return {where: plain if key is None else seal.seal(key, where, plain)}


def judging(*configs: EncryptionConfig) -> Judging:
    return Judging("/registry", configs, joined(configs))


def stored(
    values: Mapping[bytes, bytes],
    *configs: EncryptionConfig,
    counts: Mapping[str, int] | None = None,
    revision: int = 1000,
    etcds: int = 1,
) -> StoredValues:
    """Live values, judged by `configs`, and by a usual one where none is given."""
    known = counts or {}
    return live_values(
        lambda: MemorySource(values, revision=revision),
        judging(*(configs or (ENCRYPTING,))),
        lambda resources: {name: known[name] for name in resources if name in known},
        etcds=etcds,
    )


def unjudged(values: Mapping[bytes, bytes]) -> StoredValues:
    """Live values, with no configuration to judge them by."""
    return live_values(lambda: MemorySource(values), judging(), lambda _: {})


def snapshot(values: Mapping[bytes, bytes], **more: Any) -> StoredValues:
    return file_values(MemoryFile(values, **more), judging(ENCRYPTING), "backup.db")


def hash_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def manifest(*flags: str) -> str:
    words = "".join(f"    - {flag}\n" for flag in ("kube-apiserver", *flags))
    return f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command:\n{words}"


def place(
    name: str = "cp1",
    text: str | None = GOOD_CONFIG,
    *,
    flags: tuple[str, ...] | None = (f"--encryption-provider-config={PATH}",),
    cluster: FakeCluster | None = None,
    **more: Any,
) -> Place:
    """A server with `text` as its file, which it has loaded; `flags` None: the cluster file names no manifest."""
    host = MemoryHost(name)
    if text is not None:
        host.place(PATH, text.encode())
    if flags is not None:
        host.place(MANIFEST, manifest(*flags).encode())
    loaded = {} if text is None else {"loaded_hash": hash_of(text)}
    api = FakeApiServer(name, cluster or FakeCluster(), **{**loaded, **more})
    return Place(name, api.url, api, api, host, PATH, None if flags is None else MANIFEST)


def seen(*places: Place, overridden: frozenset[str] = frozenset()) -> list[Placed]:
    return list(running_servers(places, overridden))


def running(name: str = "cp1", text: str | None = GOOD_CONFIG, **more: Any) -> RunningServer:
    """One server that answered."""
    (found,) = (one for one in seen(place(name, text, **more)) if isinstance(one, RunningServer))
    return found


def wrote(prefix: str, count: int = 5, *, resource: str = "secrets", written: bool = True) -> Transformed:
    return Transformed(resource, written, prefix, succeeded=True, count=count)


def written(key: Key | None, **more: Any) -> Canary:
    """What became of a Secret that a server with `key` wrote; `value` is another one, or None, in its place."""
    given = {"value": b"", **more}
    value = given.pop("value")

    def read(where: bytes) -> bytes | None:
        plain = seal.secret("keyctl-canary-audit-1", "kube-system")
        return value if value != b"" else plain if key is None else seal.seal(key, where, plain)

    *_, found = canaries([place(**given)], read, prefix="/registry", key_names=())
    return found
