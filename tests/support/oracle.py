"""kube-apiserver's own loader and transformers, asked through the Go program of `tests/oracle`.

Built once from pinned modules and kept beside the lab's programs. It sees keys and plaintext: for made-up ones only.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypedDict

from keyctl.errors import UnreachableError
from keyctl.lab.build import BUILD_SECONDS, cache_root
from keyctl.lab.locking import locked
from keyctl.lab.toolchain import Toolchain, find_go, go_environment
from keyctl.lab.versions import parse_version

SOURCES = Path(__file__).parents[1] / "oracle"
MODULE_FILES: Mapping[str, str] = {"1.37": "go.mod", "1.30": "kubernetes-1.30.mod", "1.28": "kubernetes-1.28.mod"}
DEFAULT = "1.37"
ANSWER_SECONDS = 30.0


class OracleError(Exception):
    """The oracle gave no answer, or one that no server gives."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Whether a server starts with the file, the loader's words when not, and what it would write, by resource.

    `unwritten` tells why the writer of a resource failed: that of a KMS provider always does, there is no plugin.
    """

    accepted: bool
    error: str = ""
    written: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    unwritten: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a server read. `plain` is None when it could not, and `error` says why; `panicked`: it broke down."""

    plain: bytes | None = field(repr=False)
    stale: bool = False
    error: str = ""
    panicked: bool = False


class _Answer(TypedDict):
    accepted: bool
    error: str
    panicked: bool
    written: dict[str, str] | None
    unwritten: dict[str, str] | None
    plain: str | None
    stale: bool


class Oracle:
    """One running program. `kms_v1` is the feature gate KMSv1; None leaves the version's default."""

    def __init__(
        self, kubernetes: str = DEFAULT, kms_v1: bool | None = None, *, timeout: float = ANSWER_SECONDS
    ) -> None:
        self._program, self._kms_v1, self._timeout = program(kubernetes), kms_v1, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load(
        self,
        content: bytes,
        *,
        resources: tuple[str, ...] = (),
        etcd_key: bytes = b"",
        plain: bytes = b"",
        reload: bool = False,
    ) -> Loaded:
        """Load `content`, and write `plain` at `etcd_key` once for each of `resources`.

        Raises `OracleError` when there was no answer in time.
        """
        answer = self._ask("load", content, resources, etcdKey=_text(etcd_key), plain=_text(plain), reload=reload)
        written = {resource: base64.b64decode(stored) for resource, stored in (answer["written"] or {}).items()}
        return Loaded(answer["accepted"], answer["error"], written, answer["unwritten"] or {})

    def encrypt(self, content: bytes, resource: str, etcd_key: bytes, plain: bytes) -> bytes:
        """What a server with `content` stores for `plain`. Raises `OracleError` when it stores nothing."""
        loaded = self.load(content, resources=(resource,), etcd_key=etcd_key, plain=plain)
        if resource not in loaded.written:
            raise OracleError(f"nothing was written: {loaded.error or loaded.unwritten.get(resource)}")
        return loaded.written[resource]

    def decrypt(self, content: bytes, resource: str, etcd_key: bytes, stored: bytes) -> Opened:
        """What a server with `content` reads. Raises `OracleError` when it does not start with `content`."""
        answer = self._ask("decrypt", content, (resource,), etcdKey=_text(etcd_key), stored=_text(stored))
        if not answer["accepted"]:
            raise OracleError(f"the configuration was refused: {answer['error']}")
        plain = None if answer["plain"] is None else base64.b64decode(answer["plain"])
        return Opened(plain, answer["stale"], answer["error"], answer["panicked"])

    def close(self) -> None:
        """End the program; the next question starts it anew."""
        self._end()

    def _ask(self, operation: str, content: bytes, resources: tuple[str, ...], **more: str | bool) -> _Answer:
        request = {"operation": operation, "content": _text(content), "resources": resources, "kmsV1": self._kms_v1}
        process = self._process or self._start()
        # NOTE: killing it ends a blocked write as well as a blocked read, which no timeout of a read would.
        watchdog = threading.Timer(self._timeout, process.kill)
        watchdog.start()
        try:
            line = _exchange(process, json.dumps(request | more).encode() + b"\n")
        finally:
            watchdog.cancel()
        if not line.endswith(b"\n"):
            said = self._end()
            raise OracleError(f"no answer within {self._timeout:g} s, exit code {process.returncode}: {said}")
        answer: _Answer = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        # NOTE: the program cleans up behind itself, but not when it has to be killed.
        self._scratch = tempfile.TemporaryDirectory(prefix="oracle-")
        # NOTE: nothing reads stderr while the program runs; without traces a last line always fits into the pipe.
        environment = {**os.environ, "GOTRACEBACK": "none", "TMPDIR": self._scratch.name}
        self._process = subprocess.Popen(
            [self._program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        return self._process

    def _end(self) -> str:
        """Let the program end, in the worst case by force; what it still had to say."""
        process, self._process = self._process, None
        if process is None or self._scratch is None:
            return ""
        try:
            _, said = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
        self._scratch.cleanup()
        return said.decode(errors="replace").strip()


@functools.cache
def oracle(kubernetes: str = DEFAULT, kms_v1: bool | None = None) -> Oracle:
    """The one oracle of this process for a version and a gate; it ends with the process."""
    shared = Oracle(kubernetes, kms_v1)
    atexit.register(shared.close)
    return shared


@functools.cache
def program(kubernetes: str = DEFAULT) -> Path:
    """The built program for a Kubernetes version, built when it is not there.

    Raises `UnreachableError` when the build fails, and the errors of `find_go`.
    """
    toolchain = find_go(_oldest_go(), cache_root(), _progress)
    home = cache_root() / f"oracle-{_digest(kubernetes, toolchain)}"
    kept = home / "oracle"
    with locked(home, patience=BUILD_SECONDS, on_wait=lambda: _progress("waiting for another build of the oracle")):
        if not kept.is_file():
            _progress(f"building the oracle of Kubernetes {kubernetes} once (one to four minutes); kept in {home}")
            started = time.monotonic()
            for leftover in home.glob(".building-*"):
                shutil.rmtree(leftover)
            with tempfile.TemporaryDirectory(prefix=".building-", dir=home) as staging:
                output = Path(staging) / "oracle"
                _build(kubernetes, toolchain, output)
                output.rename(kept)
            _progress(f"built the oracle in {time.monotonic() - started:.0f} s")
    return kept


def _build(kubernetes: str, toolchain: Toolchain, output: Path) -> None:
    command = [str(toolchain.go), "build", "-C", str(SOURCES), "-mod=readonly", "-trimpath", "-ldflags=-s -w"]
    command += [f"-modfile={MODULE_FILES[kubernetes]}", f"-tags=kubernetes{kubernetes}", "-o", str(output), "."]
    try:
        subprocess.run(command, env=go_environment(), capture_output=True, check=True, timeout=BUILD_SECONDS, text=True)
    except subprocess.CalledProcessError as exc:
        lines = exc.stderr.strip().splitlines()
        raise UnreachableError(
            f"go build of the oracle of Kubernetes {kubernetes} failed",
            cause="; ".join(lines[-3:]) or f"exit code {exc.returncode}",
            hint="look at Go's module settings: go env GOPROXY GOSUMDB",
        ) from exc


def _digest(kubernetes: str, toolchain: Toolchain) -> str:
    """A name that changes with everything that decides the output."""
    modules = SOURCES / MODULE_FILES[kubernetes]
    files = (*sorted(SOURCES.glob("*.go")), modules, modules.with_suffix(".sum"))
    texts = (kubernetes, toolchain.version, toolchain.platform, toolchain.cgo)
    digest = hashlib.sha256()
    for part in (*(file.read_bytes() for file in files), *(text.encode() for text in texts)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:24]


def _oldest_go() -> tuple[int, int, int]:
    # NOTE: one toolchain builds all three, so what the newest of them needs is what is asked for.
    found = re.search(r"^go (\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    version = parse_version(found[1]) if found else None
    if version is None:
        raise ValueError(f"{SOURCES / 'go.mod'} has no go line of three parts")
    return version


def _exchange(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise ValueError("the oracle was started without pipes")
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    return process.stdout.readline()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


_progress: Callable[[str], None] = functools.partial(print, file=sys.__stderr__)
