"""Files that a user names: whole or not at all, bounded, and without waiting for anything but stdin."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from keyctl.cli import files
from keyctl.errors import ExitCode, UnusableInputError

MEMORY = 300 << 20
WHAT = "the encryption configuration"
ROOT = Path(__file__).parents[3]
# Reads `-` or a path in a process of its own and says how long the content is, or how it was refused.
CHILD = """\
import sys
from keyctl.cli.files import read_file
from keyctl.errors import KeyctlError
try:
    print("read", len(read_file(sys.argv[1], "the file")))
except KeyctlError as error:
    print("refused", error.exit_code.value, error, "|", error.cause)
"""


def refusal(path: str | Path, *, limit: int = files.LIMIT) -> UnusableInputError:
    with pytest.raises(UnusableInputError) as caught:
        files.read_file(path, WHAT, limit=limit)
    error = caught.value
    assert error.exit_code is ExitCode.UNUSABLE
    assert error.hints
    assert all(line.isprintable() for line in (str(error), error.cause or "", *error.hints))
    return error


def child(path: str, *, stdin: IO[bytes] | int = subprocess.DEVNULL) -> str:
    """What `CHILD` says of `path`, with so little memory that nothing large can be read whole."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))\n{CHILD}"
    ran = subprocess.run(
        [sys.executable, "-c", limited, path],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True, stdin=stdin,
    )  # fmt: skip
    return ran.stdout.strip()


@contextlib.contextmanager
def stdin(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> Iterator[None]:
    with open(descriptor, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield


def test_a_file_is_read_whole_by_text_and_by_path(tmp_path: Path) -> None:
    file = tmp_path / "enc.yaml"
    content = bytes(range(256)) * 700
    file.write_bytes(content)
    assert files.read_file(file, WHAT) == content
    assert files.read_file(str(file), WHAT) == content


def test_an_empty_file_is_for_the_reader_to_judge(tmp_path: Path) -> None:
    (tmp_path / "enc.yaml").touch()
    assert files.read_file(tmp_path / "enc.yaml", WHAT) == b""


def test_a_symbolic_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    assert files.read_file(tmp_path / "link", WHAT) == b"x"


def test_what_is_not_there_is_named_with_the_reason(tmp_path: Path) -> None:
    error = refusal(tmp_path / "gone.yaml")
    assert str(error) == f"cannot read {WHAT} {tmp_path / 'gone.yaml'}"
    assert error.cause == "No such file or directory"
    assert error.hints == ("check the path",)


def test_a_loop_of_links_and_an_impossible_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in str(refusal(tmp_path / "loop").cause)
    assert "too long" in str(refusal(tmp_path / ("x" * 300)).cause)
    assert refusal("").cause == "No such file or directory"
    for impossible in ("enc\0.yaml", "enc\ud800.yaml"):
        assert refusal(impossible).cause == "no file can have this name"


def test_a_directory_is_named_as_one(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert error.cause == "Is a directory"
    assert error.hints == ("name the file in it",)


def test_a_file_that_may_not_be_read_says_how_it_could_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "enc.yaml"
    file.touch()

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    error = refusal(file)
    assert (error.cause, error.hints) == ("Permission denied", ("run it as root, for example with sudo",))


def test_no_name_can_break_the_line_or_act_on_a_terminal(tmp_path: Path) -> None:
    assert "a\\nb\\x1b[2J.yaml" in str(refusal(tmp_path / "a\nb\x1b[2J.yaml"))
    assert files.name_of("x" * 5000) == "x" * 255 + "…"
    assert files.name_of("-") == files.name_of(Path("-")) == "<stdin>"


def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert child(str(tmp_path / "pipe")).endswith("| it is a pipe, no regular file")


def test_a_pipe_that_comes_into_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    # The file is exchanged between the first look at it and the opening.
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    exchange = f"import os; stat, os.stat = os.stat, lambda path: stat({str(tmp_path / 'file')!r})\n"
    ran = subprocess.run(
        [sys.executable, "-c", exchange + CHILD, str(tmp_path / "pipe")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stdout.strip().endswith("| it is a pipe, no regular file")


def test_a_socket_is_refused() -> None:
    # A socket's path may have about 100 characters only.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/socket")
        assert refusal(f"{folder}/socket").cause == "it is a socket, no regular file"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/random", "/dev/tty"])
def test_a_device_is_refused_and_not_even_opened(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_nothing(path: str, flags: int) -> int:
        raise AssertionError(path)

    monkeypatch.setattr(os, "open", open_nothing)
    error = refusal(device)
    assert error.cause == "it is a device, no regular file"
    assert "stdin" in error.hints[0]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_files_of_the_kernel_end_in_an_error_or_in_their_content() -> None:
    assert child("/proc/self/mem").startswith("refused 3 cannot read the file /proc/self/mem")
    assert child("/proc/self/status").startswith("read ")
    assert child("/proc/self/fd/0", stdin=subprocess.PIPE).endswith("| it is a pipe, no regular file")


def test_a_file_above_the_limit_is_refused_and_one_at_the_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "enc.yaml"
    file.write_bytes(b"#" * 100)
    assert len(files.read_file(file, WHAT, limit=100)) == 100
    assert refusal(file, limit=99).cause == "it has more than 99 bytes, which is the limit"


def test_a_file_that_says_it_is_too_large_is_not_read_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "enc.yaml").open("wb") as file:
        file.truncate(100 << 30)

    def read_nothing(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(files, "_drain", read_nothing)
    assert refusal(tmp_path / "enc.yaml").cause == "it has more than 1048576 bytes, which is the limit"


def test_a_file_that_grows_while_it_is_read_is_refused_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "enc.yaml"
    file.write_bytes(b"#")
    asked: list[int] = []
    drain = files._drain

    class Growing:
        def read(self, size: int, /) -> bytes:
            asked.append(size)
            return b"#" * size

        def fileno(self) -> int:
            return -1

    monkeypatch.setattr(files, "_drain", lambda raw, limit: drain(Growing(), limit))
    assert refusal(file).cause == "it has more than 1048576 bytes, which is the limit"
    assert sum(asked) == files.LIMIT + 1


def test_a_file_that_has_nothing_to_read_yet_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As /proc/kmsg does: regular, of size 0, and silent.
    (tmp_path / "enc.yaml").touch()
    drain = files._drain

    class Silent:
        def read(self, size: int, /) -> None:
            return None

        def fileno(self) -> int:
            raise AssertionError

    monkeypatch.setattr(files, "_drain", lambda raw, limit: drain(Silent(), limit))
    assert refusal(tmp_path / "enc.yaml").cause == "it has nothing to read yet"


@pytest.mark.parametrize("path", ["-", Path("-")])
def test_a_dash_is_stdin(path: str | Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, b"one")
    os.close(write)
    with stdin(monkeypatch, read):
        assert files.read_file(path, WHAT) == b"one"


def test_a_dash_that_no_user_typed_is_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(b"one")
    assert files.read_regular("-", WHAT) == b"one"


def test_stdin_that_is_no_stream_of_the_system_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one")))
    assert files.read_file("-", WHAT) == b"one"


def test_endless_stdin_is_read_one_byte_past_the_limit_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/zero").open("rb") as zero:
        assert child("-", stdin=zero) == (
            "refused 3 cannot read the file <stdin> | it has more than 1048576 bytes, which is the limit"
        )
    read, write = os.pipe()
    os.write(write, b"x" * 100)
    with stdin(monkeypatch, read):
        refusal("-", limit=10)
        # The writer has not closed its end: waiting for that would be for ever.
        assert os.read(read, 1000) == b"x" * 89
    os.close(write)


def test_a_hundred_megabytes_are_never_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(400 << 20)
    assert "more than 1048576 bytes" in child(str(tmp_path / "large"))
    with (tmp_path / "large").open("rb") as file:
        assert "more than 1048576 bytes" in child("-", stdin=file)


def test_stdin_that_does_not_block_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # Programs that share their stdin with keyctl set this; what has come so far would pass for the whole file.
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.write(write, b"one,")

    def finish() -> None:
        os.write(write, b"two")
        os.close(write)

    later = threading.Timer(0.2, finish)
    later.start()
    with stdin(monkeypatch, read):
        assert files.read_file("-", WHAT) == b"one,two"
    later.join()


def test_closed_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert refusal("-").cause == "stdin is closed"


def test_stdin_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

        def readable(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Broken())))
    assert refusal("-").cause == "Input/output error"


def test_a_terminal_is_told_what_is_waited_for_and_one_end_of_input_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    master, terminal = pty.openpty()
    os.write(master, b"one\ntwo\n\x04")
    with stdin(monkeypatch, terminal):
        assert files.read_file("-", WHAT) == b"one\ntwo\n"
    os.close(master)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"reading {WHAT} from this terminal; Ctrl-D on a line of its own ends it\n"


def test_a_pipe_as_stdin_is_read_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(write)
    with stdin(monkeypatch, read):
        assert files.read_file("-", WHAT) == b""
    assert capsys.readouterr() == ("", "")
