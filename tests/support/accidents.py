"""Clusters after an accident, as facts: servers with files and what they have loaded, and values that stand in etcd.

Files are real texts, values are really sealed, and opened by the trial under test.
"""

from __future__ import annotations

from collections.abc import Sequence

from keyctl.encryption_config.model import EncryptionConfig
from keyctl.keys.key import Key
from keyctl.rotation.diagnosis.facts import ConfigText, Facts, JournalSeen, KnownKey, ServerSeen, StageSeen
from keyctl.rotation.diagnosis.look import KEY_STORE, keys_of, read_text
from keyctl.rotation.diagnosis.union import Union
from keyctl.rotation.diagnosis.values import Trial
from tests.support import seal

PREFIX = b"/registry"
UID = "0f4c3a52-7f37-4c6e-9c57-1d3b2f6a9e01"
# (resource, the key that sealed them, how many); None is plaintext, bytes are the very value.
Stored = tuple[str, Key | bytes | None, int]


def text(config: EncryptionConfig, origin: str) -> ConfigText:
    """`config` as the text of a file, read back."""
    read, problem = read_text(Union(config, (), (), ()).text(as_json=False), origin)
    assert read is not None, problem
    return read


def server(
    name: str,
    loaded: EncryptionConfig | None,
    file: EncryptionConfig | None = None,
    *,
    flag: bool = True,
    reloads: bool = False,
    version: str = "v1.37.1",
    path: str = "/etc/kubernetes/enc/enc.yaml",
) -> ServerSeen:
    """A ready server that has `loaded` something, and `file` on its host, by default the same; None: no flag."""
    on_disk = file if file is not None else loaded
    return ServerSeen(
        name=name,
        path=path,
        file=None if on_disk is None or not flag else text(on_disk, f"the file of {name}"),
        flag=flag,
        reloads=reloads,
        answers=True,
        ready=True,
        loaded_hash=None if loaded is None else text(loaded, "").sha256,
        loaded_by="" if loaded is None else "hash",
        version=version,
    )


def facts(
    servers: Sequence[ServerSeen],
    stored: Sequence[Stored] = (),
    *,
    store: Sequence[Key] = (),
    copies: Sequence[EncryptionConfig] = (),
    key_files: Sequence[Key] = (),
    distribution: str = "auto",
    journal: JournalSeen | None = None,
    stages: tuple[StageSeen, ...] = (),
    uid: str = UID,
) -> Facts:
    """The facts of a cluster with `servers` and `stored` values; `copies` and `key_files` are what the user gave."""
    files = [one.file for one in servers if one.file is not None]
    given = [text(config, f"copy{number}.yaml") for number, config in enumerate(copies, 1)]
    known = (
        *keys_of(files),
        *(KnownKey(key, KEY_STORE) for key in store),
        *keys_of(given),
        *(KnownKey(Key(key.provider, f"(file{n})", key.material), f"file{n}") for n, key in enumerate(key_files, 1)),
    )
    trial = Trial(PREFIX, known, [one.config for one in (*files, *given)])
    for number, (resource, key, count) in enumerate(stored):
        trial.add([value(resource, key, f"{number}-{one}") for one in range(count)])
    return Facts(
        cluster="prod",
        distribution=distribution,
        servers=tuple(servers),
        texts=(*files, *given),
        keys=known,
        values=trial.groups(),
        revision=7,
        uid=uid,
        journal=journal,
        stages=stages,
    )


def value(resource: str, key: Key | bytes | None, name: str) -> tuple[bytes, bytes, int]:
    """One stored object of `resource`."""
    where = PREFIX + f"/{resource}/default/{name}".encode()
    if isinstance(key, bytes):
        return where, key, 1
    plain = seal.secret(name) if resource == "secrets" else seal.config_map(name)
    return where, plain if key is None else seal.seal(key, where, plain), 1
