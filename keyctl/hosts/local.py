"""A control-plane host that is this machine: files replaced so that no reader ever sees half of one.

It never decides what a file should hold. Contents hold keys: they reach neither
a message nor a process, and temporaries are 0600 from their creation on.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keyctl.errors import RefusedError, UnreachableError
from keyctl.hosts.interface import HostFile
from keyctl.hosts.refusals import MAX_BYTES, changed, check_size, other_than, sha256, wrong_kind
from keyctl.hosts.restarting import run_restart

# The label, and the access list: where there is one, the group bits of the mode are only its mask. Copied without it
# they would open the file to the whole group, and beside a list that the directory gives its files, to all on that one.
_ATTRIBUTES = ("security.selinux", "system.posix_acl_access")


class LocalHost:
    """The files of the API server `name` on this machine.

    `restart_command` is started without a shell and may take `restart_wait` seconds.
    """

    def __init__(self, name: str, *, restart_command: tuple[str, ...] | None, restart_wait: float) -> None:
        self._name = name
        self._restart_command = restart_command
        self._restart_wait = restart_wait

    @property
    def name(self) -> str:
        """Which API server's host this is."""
        return self._name

    def read(self, path: str) -> HostFile | None:
        """See `Host.read`."""
        with self._reaching(path):
            return self._read(Path(path))

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        """See `Host.write`."""
        target = Path(path)
        check_size(self._name, path, len(content))
        with self._reaching(path):
            if expected is None:
                _create_directories(target.parent)
            old = self._require(target, expected)
            temporary = _write_neighbour(target, content, like=target if old and not in_place else None)
            try:
                # Again: writing and syncing took a while, and whoever else edits this file has no lock of ours.
                self._require(target, expected)
                if old is None:
                    self._link_new(temporary, target)
                elif in_place:
                    temporary = temporary.rename(_redo_path(target, old.sha256))
                    _sync_directory(target.parent)
                    _overwrite(target, content)
                else:
                    temporary.replace(target)
                _sync_directory(target.parent)
                written = self._read_back(target, content)
            except BaseException:
                # A redo copy stays: the target may be torn, and only the copy tells `sweep` what it was to be.
                if not _is_redo(temporary, target):
                    temporary.unlink(missing_ok=True)
                raise
            temporary.unlink(missing_ok=True)
            return written

    def stage(self, path: str, content: bytes, *, expected: str) -> Path:
        """A synced copy, beside `path`, of what that is to hold, for `place`; the rest as `Host.write` has it."""
        target = Path(path)
        check_size(self._name, path, len(content))
        with self._reaching(path):
            self._require(target, expected)
            return _write_neighbour(target, content, like=target)

    def place(self, staged: Path, path: str, content: bytes, *, expected: str) -> HostFile:
        """Put the copy that `stage` made in the place of `path`; the rest as `Host.write` has it."""
        target = Path(path)
        with self._reaching(path):
            # Again: other files were staged meanwhile, and whoever else edits this one has no lock of ours.
            self._require(target, expected)
            staged.replace(target)
            _sync_directory(target.parent)
            return self._read_back(target, content)

    def remove(self, path: str, *, expected: str) -> None:
        """See `Host.remove`."""
        target = Path(path)
        with self._reaching(path):
            self._require(target, expected)
            target.unlink()
            _sync_directory(target.parent)

    def sweep(self, path: str) -> tuple[str, ...]:
        """See `Host.sweep`. A rewrite in place that was cut off is completed first."""
        target = Path(path)
        with self._reaching(path):
            leftovers = _leftovers(target)
            for leftover in leftovers:
                if _is_redo(leftover, target):
                    self._redo(leftover, target)
                leftover.unlink()
            return tuple(leftover.name for leftover in leftovers)

    def free_bytes(self, path: str) -> int:
        """See `Host.free_bytes`."""
        with self._reaching(path):
            place = Path(path)
            while not place.exists():
                place = place.parent
            return shutil.disk_usage(place).free

    def restart(self) -> None:
        """See `Host.restart`."""
        run_restart(self._name, self._restart_command, self._restart_wait)

    @contextmanager
    def _reaching(self, path: str) -> Iterator[None]:
        """Turn what the file system says into our own error."""
        try:
            yield
        except OSError as error:
            raise UnreachableError(
                f"host {self._name}: {path} cannot be used",
                cause=f"{error.strerror or type(error).__name__}: {error.filename or path}",
                hint="run keyctl as the user that owns the file; check the mount and its free space",
            ) from error

    def _read(self, target: Path) -> HostFile | None:
        try:
            descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise wrong_kind(self._name, str(target), "a symbolic link") from None
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise wrong_kind(self._name, str(target), "no regular file")
            check_size(self._name, str(target), status.st_size)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
            # Again: it may have grown since, and a file of the kernel's tells no size.
            check_size(self._name, str(target), len(content))
        finally:
            os.close(descriptor)
        # NOTE: a rename, or a copy that keeps the time, shows in ctime only.
        changed = max(status.st_mtime, status.st_ctime)
        return HostFile(str(target), content, sha256(content), stat.S_IMODE(status.st_mode), changed, ahead=0.0)

    def _require(self, target: Path, expected: str | None) -> HostFile | None:
        """The file, when it is the `expected` one. Raises `RefusedError` (R8) when it is not."""
        found = self._read(target)
        if (found.sha256 if found else None) != expected:
            raise self._changed(target, other_than(expected, found.sha256 if found else None))
        return found

    def _changed(self, target: Path, cause: str) -> RefusedError:
        return changed(self._name, str(target), cause)

    def _link_new(self, temporary: Path, target: Path) -> None:
        try:
            # A link, unlike a rename, never replaces a file that came up meanwhile.
            os.link(temporary, target)
        except FileExistsError:
            raise self._changed(target, "expected no file, found one") from None

    def _read_back(self, target: Path, content: bytes) -> HostFile:
        found = self._read(target)
        if found is None or found.content != content:
            raise self._changed(target, "right after writing it did not hold what was written")
        return found

    def _redo(self, redo: Path, target: Path) -> None:
        """Complete the rewrite of `target` that `redo` is the copy of, if it was cut off half-way."""
        wanted, found = redo.read_bytes(), self._read(target)
        if found and (redo == _redo_path(target, found.sha256) or found.content == wanted):
            return
        if not found or not wanted.startswith(found.content):
            raise self._changed(target, f"a rewrite of it was cut off; what it was to hold is in {redo}")
        _overwrite(target, wanted)


def _temporary_prefix(target: Path) -> str:
    # A leading dot: the kubelet skips such files in its manifests directory.
    return f".keyctl-{target.name}."


def _redo_path(target: Path, old_sha256: str) -> Path:
    return target.with_name(f"{_temporary_prefix(target)}redo-{old_sha256.removeprefix('sha256:')}")


def _leftovers(target: Path) -> list[Path]:
    """Our own temporaries of `target`, and not those of a file whose name begins alike."""
    ours = re.compile(re.escape(_temporary_prefix(target)) + r"([0-9a-f]{16}|redo-[0-9a-f]{64})")
    if not target.parent.exists():
        return []
    return sorted(path for path in target.parent.iterdir() if ours.fullmatch(path.name))


def _is_redo(path: Path, target: Path) -> bool:
    return path.name.startswith(f"{_temporary_prefix(target)}redo-")


def _write_neighbour(target: Path, content: bytes, *, like: Path | None) -> Path:
    """A complete, synced copy beside `target`; owner, group, mode and label as those of `like`."""
    temporary = target.with_name(f"{_temporary_prefix(target)}{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        if like:
            _copy_attributes(like, descriptor)
        _write_all(descriptor, content)
        os.fsync(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return temporary


def _copy_attributes(source: Path, descriptor: int) -> None:
    wanted = source.lstat()
    # Refused by the kernel, it stops the write: the old group bits for another group would widen access.
    os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
    for attribute in _ATTRIBUTES:
        value = _value_of(attribute, source)
        if value is not None:
            os.setxattr(descriptor, attribute, value)
        elif _value_of(attribute, descriptor) is not None:
            os.removexattr(descriptor, attribute)
    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode) & 0o777)


def _value_of(attribute: str, file: Path | int) -> bytes | None:
    """An attribute of a file, None where it has none of that name; a link is not followed."""
    try:
        return os.getxattr(file, attribute, follow_symlinks=isinstance(file, int))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def _overwrite(target: Path, content: bytes) -> None:
    """Rewrite the inode of `target`: from its start on, so that a cut leaves a beginning of `content`."""
    descriptor = os.open(target, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_directories(directory: Path) -> None:
    """Create `directory` and its missing parents, 0700 whatever the umask."""
    for path in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            _sync_directory(path.parent)
