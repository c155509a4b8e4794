"""The snapshots that `keyctl audit --backups` looks into: what reads them, and which keys open them.

Judges nothing: that is for `keyctl.audit.checks.backups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from keyctl.audit.facts import Placed
from keyctl.audit.live.backup_files import SnapshotRead, look_through
from keyctl.audit.live.backups import Content, Need
from keyctl.backup import manifest as manifests
from keyctl.backup.check import ManifestState, check_closed, check_snapshot
from keyctl.backup.contents import Contents, read_all
from keyctl.backup.every_key import every_key, kept
from keyctl.backup.key_needs import KeyNeed, key_needs
from keyctl.backup.manifest import Claims
from keyctl.backup.sealing import is_sealed
from keyctl.backup.told import Told
from keyctl.cli import sealed_snapshots, wiring
from keyctl.cli.files import read_regular
from keyctl.cli.watching import Lines
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import ClusterSettings
from keyctl.errors import KeyctlError, UnusableInputError
from keyctl.etcd_files.source import SnapshotSource
from keyctl.findings import Status
from keyctl.keys.age_stream import ForeignIdentityError
from keyctl.keys.key import Key
from keyctl.stored.display import display
from keyctl.stored.lease_times import renewed_at
from keyctl.stored.paths import root_of

_PREFIX = "/registry"


def looked_into(
    directories: Sequence[Path], cluster: Path | None, *, identities: bytes | None = None, quiet: bool = False
) -> tuple[Placed, ...]:
    """The facts about every snapshot below `directories`; its values are opened with the keys of the cluster's store.

    Encrypted ones are opened with `identities`; of those that stay closed only what lies beside them is known. A store
    that cannot be read opens nothing; that is told by what looks at the store itself.
    """
    if not directories:
        return ()
    settings = load(cluster) if cluster else None
    prefix = settings.etcd.prefix if settings else _PREFIX

    def read_one(path: Path, keys: Sequence[Key]) -> SnapshotRead:
        if quiet:
            return read(path, keys, prefix, identities)
        with Lines(display(path.name)) as lines:
            return read(path, keys, prefix, identities, lines.reading)

    keys = _keys(settings) if settings else ()
    return tuple(look_through(directories, read_one, keys=keys, now=wiring.SystemClock().now()))


def read(
    path: Path,
    keys: Sequence[Key],
    prefix: str,
    identities: bytes | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> SnapshotRead:
    """Read the snapshot `path` from end to end, and open its values with `keys`. Damage is an answer.

    `prefix` is kube-apiserver's `--etcd-prefix`, where no manifest of the file says another one. An encrypted one is
    decrypted with `identities`.
    """
    if not is_sealed(path):
        return _read(path, path, keys, prefix, progress)
    if identities is not None:
        try:
            with sealed_snapshots.opened(path, identities, None, progress) as content:
                return _read(path, content, keys, prefix, progress)
        except ForeignIdentityError:
            return _closed(path, progress)
        except UnusableInputError as error:
            return SnapshotRead(wrong=(str(error),), manifest=manifests.beside(path).exists())
    return _closed(path, progress)


def _closed(path: Path, progress: Callable[[str], None]) -> SnapshotRead:
    """What is known of an encrypted snapshot into which nobody here can look."""
    checked = check_closed(path, progress)
    wrong = tuple(one.message for one in checked.findings)
    claims = _claims(path, checked.sha256) if checked.manifest is ManifestState.MATCHES else None
    at = _time(claims.at) if claims else None
    return SnapshotRead(checked.sha256, wrong, manifests.beside(path).exists(), saved=at, closed=True)


def _read(path: Path, content: Path, keys: Sequence[Key], prefix: str, progress: Callable[[str], None]) -> SnapshotRead:
    """The same of a snapshot that lies open at `content`."""
    checked = check_snapshot(path, SnapshotSource, progress, content=None if content == path else content)
    wrong = tuple(one.message for one in checked.findings if one.status is Status.FAIL)
    there = checked.manifest in (ManifestState.MATCHES, ManifestState.DIFFERS, ManifestState.UNUSABLE)
    if checked.counts is None:
        return SnapshotRead(wrong=wrong, manifest=there)
    claims = _claims(path, checked.sha256) if checked.manifest is ManifestState.MATCHES else None
    prefix = claims.prefix if claims else prefix
    config = every_key(tuple(dict.fromkeys(keys))) if keys else None
    try:
        contents = read_all(Told(SnapshotSource(content), progress), prefix=prefix, config=config)
        renewed = _renewed(content, prefix)
    except UnusableInputError as error:
        return SnapshotRead(checked.sha256, (*wrong, str(error)), there)
    held = _content(contents, key_needs(contents, config), prefix, keys)
    return SnapshotRead(checked.sha256, wrong, there, _time(claims.at) if claims else None, renewed, held)


def _content(contents: Contents, needs: Sequence[KeyNeed], prefix: str, keys: Sequence[Key]) -> Content:
    if contents.left is None:
        raise RuntimeError("everything was read, and nothing is said of what is left behind")
    return Content(
        display(prefix),
        contents.info.revision,
        contents.live.groups,
        contents.left,
        tuple(Need(one.ref, one.values, one.opened, one.fingerprint, one.key_id) for one in needs if one.values),
        frozenset(key.fingerprint for key in keys),
        contents.others,
    )


def _claims(path: Path, sha256: str) -> Claims | None:
    """What the manifest says of these very bytes."""
    beside = manifests.beside(path)
    try:
        content = read_regular(beside, "the manifest", limit=manifests.LIMIT)
        claims = manifests.parse(content, name=display(str(beside)))
    except UnusableInputError:
        return None
    return claims if sha256 and claims.sha256 == sha256 else None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _renewed(path: Path, prefix: str) -> datetime | None:
    """When the newest Lease in the snapshot was renewed."""
    below = root_of(prefix.encode()) + b"leases/"
    values = (value for batch in SnapshotSource(path).batches(below) for _, value, _ in batch)
    return max((at for at in map(renewed_at, values) if at is not None), default=None)


def _keys(settings: ClusterSettings) -> tuple[Key, ...]:
    try:
        return kept(wiring.key_store(settings, only_read=True))
    except KeyctlError:
        return ()
