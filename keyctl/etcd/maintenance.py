"""Ask the members of etcd about themselves, and save a snapshot. Changes nothing in etcd."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.etcd import fitness, partial
from keyctl.etcd.connections import Connections, Endpoint, is_authorisation
from keyctl.etcd.interface import EndpointStatus, SavedSnapshot
from keyctl.etcd.rpc import CallError, Session, StatusAnswer

# A snapshot is whole database pages and then their SHA-256.
_DIGEST_BYTES = 32
_ALIGNMENT = 512


def member_status(connections: Connections) -> tuple[EndpointStatus, ...]:
    """Ask every endpoint. All must answer and belong to one cluster, else `UnreachableError`."""
    found, failures = [], []
    for endpoint in connections.endpoints:
        try:
            found.append(_status(connections, endpoint))
        except CallError as error:
            failures.append(connections.failure(endpoint, error))
    if len(failures) == 1:
        raise failures[0]
    if failures:
        causes = "\n".join(f"{failure}: {failure.cause}" for failure in failures)
        raise UnreachableError(
            f"{len(failures)} of {len(connections.endpoints)} etcd endpoints did not answer",
            cause=causes,
            hint=tuple(dict.fromkeys(hint for failure in failures for hint in failure.hints)),
        )
    if len({status.cluster_id for status in found}) > 1:
        causes = "\n".join(f"{status.endpoint}: cluster {status.cluster_id}" for status in found)
        raise UnreachableError(
            "the etcd endpoints belong to different clusters",
            cause=causes,
            hint="name the members of one cluster only; 127.0.0.1 is another machine on every host",
        )
    return tuple(found)


def save_snapshot(
    connections: Connections, path: Path, progress: Callable[[int, int], None] | None = None
) -> SavedSnapshot:
    """Stream the backend of one member to `path`: complete, checked, 0600, or not there at all.

    The first member that follows a leader, has no alarm CORRUPT against it and has caught up; the next one, from the
    start, where its stream breaks. Raises `RefusedError` when `path` exists or its disk has no room, or no member is
    like that, before the first byte; `UnreachableError` when no stream is whole and matches its SHA-256;
    `StoppedError` when the disk refuses. Whatever fails or interrupts it, it leaves nothing, unless the disk refuses
    that, too; what a killed run left, the next one for the same `path` takes away.
    """
    partial.sweep(path)
    if os.path.lexists(path):
        raise RefusedError(f"{path} exists already", hint="give the snapshot a new name, or move the old one away")
    silent: list[tuple[Endpoint, CallError]] = []
    unfit: list[str] = []
    broken: list[KeyctlError] = []
    for endpoint in connections.endpoints:
        try:
            status, why = fitness.ask(connections, endpoint)
        except CallError as error:
            if is_authorisation(error):
                raise connections.failure(endpoint, error) from error
            silent.append((endpoint, error))
            continue
        if why:
            unfit.append(f"{endpoint}: {why}")
            continue
        _require_room(path, status.dbSize + _DIGEST_BYTES)
        try:
            size, sha256, inode = _save(connections, endpoint, path, progress)
            return SavedSnapshot(path, size, sha256, _read_status(endpoint, status), inode)
        except CallError as error:
            if is_authorisation(error):
                raise connections.failure(endpoint, error) from error
            broken.append(connections.failure(endpoint, error))
        except UnreachableError as error:
            broken.append(error)
        except OSError as error:
            raise _refused_by_disk(path, error) from error
    raise _no_snapshot(connections, silent, unfit, broken)


def _no_snapshot(
    connections: Connections,
    silent: list[tuple[Endpoint, CallError]],
    unfit: list[str],
    broken: list[KeyctlError],
) -> KeyctlError:
    """What it means that no member sent a snapshot: these did not answer, were not fit, or broke off."""
    if not (unfit or broken):
        return connections.no_answer(silent)
    if len(broken) == 1 and not (unfit or silent):
        return broken[0]
    failures = (*broken, *(connections.failure(*one) for one in silent))
    causes = "\n".join((*unfit, *(f"{one}: {one.cause}" if one.cause else str(one) for one in failures)))
    if broken:
        hints = tuple(dict.fromkeys(hint for one in broken for hint in one.hints))
        return UnreachableError("no member of etcd sent a whole snapshot", cause=causes, hint=hints)
    return RefusedError(
        "no snapshot is taken: no member of etcd is known to hold what the cluster holds",
        cause=causes,
        hint="see which members are well, and bring back the others first: etcdctl endpoint status, etcdctl alarm list",
    )


def _refused_by_disk(path: Path, error: OSError) -> StoppedError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            hint = "make room there, or give a path on a larger disk; no file was left"
        case errno.EFBIG:
            hint = "files here may not become that large: raise the limit (ulimit -f), or give a path on another disk"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            hint = f"{path.parent} cannot be written by this user: give another directory"
        case _:
            hint = "see to the disk, or give a path on another one"
    return StoppedError(f"snapshot {path} could not be written", cause=error.strerror, hint=hint)


def _status(connections: Connections, endpoint: Endpoint) -> EndpointStatus:
    return _read_status(endpoint, connections.ask(endpoint, lambda session: session.status()))


def _read_status(endpoint: Endpoint, answer: StatusAnswer) -> EndpointStatus:
    return EndpointStatus(
        endpoint=endpoint.url,
        version=answer.version,
        cluster_id=f"{answer.header.cluster_id:x}",
        member_id=f"{answer.header.member_id:x}",
        revision=answer.header.revision,
        db_size=answer.dbSize,
        quota=answer.dbSizeQuota,
        in_use=answer.dbSizeInUse,
        leader=f"{answer.leader:x}",
        learner=answer.isLearner,
        errors=tuple(answer.errors),
    )


def _require_room(path: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise RefusedError(f"{path.parent} cannot hold a snapshot", cause=error.strerror) from error
    if free < needed:
        raise RefusedError(
            f"{path.parent} has no room for the snapshot",
            cause=f"it needs {needed} bytes, {free} are free",
            hint="give a path on a larger disk",
        )


def _save(
    connections: Connections, endpoint: Endpoint, path: Path, progress: Callable[[int, int], None] | None
) -> tuple[int, str, tuple[int, int]]:
    descriptor, arriving = partial.create(path)
    ours = os.fstat(descriptor)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 — a descriptor, not a path
            size, digest = connections.ask(endpoint, lambda session: _receive(session, endpoint, file, progress))
            file.flush()
            os.fsync(file.fileno())
        _give_name(arriving, path)
        arriving.unlink(missing_ok=True)
        _sync_directory(path.parent)
        return size, digest, (ours.st_dev, ours.st_ino)
    except BaseException:
        # NOTE: an interrupt may come right after the file got its name, so both names are looked at.
        for left in (path, arriving):
            _remove(left, ours)
        raise


def _remove(path: Path, ours: os.stat_result) -> None:
    """Unlink `path` if it names our file; what else stands there is somebody's. What failed first is what is told."""
    with suppress(OSError):
        if os.path.samestat(path.lstat(), ours):
            path.unlink()


def _give_name(arrived: Path, path: Path) -> None:
    """Let `path` name the file, unless something came there while the snapshot arrived."""
    try:
        path.hardlink_to(arrived)
    except FileExistsError:
        raise RefusedError(f"{path} exists already", hint="give the snapshot a new name") from None
    except OSError:
        # A file system without hard links: between the look and the rename there is a moment left.
        if os.path.lexists(path):
            raise RefusedError(f"{path} exists already", hint="give the snapshot a new name") from None
        arrived.rename(path)


def _receive(
    session: Session, endpoint: Endpoint, file: BinaryIO, progress: Callable[[int, int], None] | None
) -> tuple[int, str]:
    """Write the stream to `file`; its size and its SHA-256 in hex, both as announced."""
    digest = hashlib.sha256()
    size = total = 0
    held = b""
    try:
        with closing(session.snapshot()) as chunks:
            for chunk in chunks:
                file.write(chunk.blob)
                size += len(chunk.blob)
                total = total or size + chunk.remaining_bytes + _DIGEST_BYTES
                # The last 32 bytes are the digest, not part of what it covers; only the end shows which are last.
                held += chunk.blob
                digest.update(held[:-_DIGEST_BYTES])
                held = held[-_DIGEST_BYTES:]
                if progress is not None:
                    progress(size, total)
    except CallError as error:
        # What fails at its very beginning is no broken stream: no connection, or no right to it.
        if not size:
            raise
        raise _broken_off(endpoint, size, total, error) from error
    if size % _ALIGNMENT != _DIGEST_BYTES:
        raise _broken(endpoint, f"{size} bytes of {total} arrived")
    if held != digest.digest():
        raise _broken(endpoint, "the SHA-256 at its end is not that of the data")
    return size, held.hex()


def _broken(endpoint: Endpoint, cause: str) -> UnreachableError:
    return UnreachableError(
        f"the snapshot from etcd at {endpoint} is not whole", cause=cause, hint="save it again; no file was left"
    )


def _broken_off(endpoint: Endpoint, size: int, total: int, error: CallError) -> UnreachableError:
    return UnreachableError(
        f"the snapshot from etcd at {endpoint} broke off after {size / 1e6:.1f} of {total / 1e6:.1f} MB",
        cause=f"{error.code.lower().replace('_', ' ')}: {error.detail}",
        hint=("save it again; no file was left", "where it breaks again, see to that member: etcdctl endpoint health"),
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
