"""A reader at a terminal: types the commands of a page, one after the other, and compares what they say with the page.

What differs each time (times, keys' names, hashes, revisions, addresses) is made equal first; everything else must be
as the page has it. An ellipsis on a line of its own stands for lines that the page leaves out, one within a line for
a part of that line. A command ends with 0, with what `echo $?` below it shows, or with a code that its comment names.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from keyctl.errors import ExitCode
from tests.support import transcripts
from tests.support.pages import Block, Step, asks, invocations

STEP_SECONDS = 420.0
_END = re.compile(rb"\x1e(\d+)\x1e\n")
_CODES = {int(code) for code in ExitCode} - {int(ExitCode.BUG), int(ExitCode.USAGE)}
# What is different each time, and what it becomes.
_VARYING = (
    (re.compile(r"\bkey-\d{8}t\d{6}z-[0-9a-f]{2,8}\b"), "KEY"),
    (re.compile(r"\b\d{8}t\d{6}z-[0-9a-f]{2,8}\b"), "ROTATION"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z| UTC)?"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "UID"),
    (re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16}|[0-9a-f]{8})\b"), "HASH"),
    (re.compile(r"https://127(?:\.\d+){3}:\d+"), "https://ADDRESS"),
    (re.compile(r"\b(revision|revisions:.*) \d+"), r"\1 N"),
    (re.compile(r"\b\d+ (values|records|resources|bytes)\b(?! of secrets)"), r"N \1"),
    (re.compile(r"\b\d+(?:\.\d+)? (s|min|h|d|MB|KB)\b"), "SO-MUCH"),
    (re.compile(r"[ \t]+"), " "),
)


class Terminal:
    """One bash. What a command exports is there for the next one."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._read = b""

    def run(self, command: str, seconds: float = STEP_SECONDS) -> tuple[int, str]:
        """Run one command line to its end, with nobody at stdin: its exit code, and all that it says."""
        assert self._shell.stdin is not None
        # NOTE: the brackets keep a command from reading the next one; the last line gives `echo $?` what it asks for.
        script = f"{{ {command}\n}} </dev/null\nended=$?; printf '\\036%s\\036\\n' $ended; (exit $ended)\n"
        self._shell.stdin.write(script.encode())
        self._shell.stdin.flush()
        deadline = time.monotonic() + seconds
        while (end := _END.search(self._read)) is None:
            self._more(command, deadline)
        said, self._read = self._read[: end.start()].decode(errors="replace"), self._read[end.end() :]
        transcripts.note(command, said)
        return int(end[1]), said

    def _more(self, command: str, deadline: float) -> None:
        assert self._shell.stdout is not None
        ready, _, _ = select.select([self._shell.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(self._shell.stdout.fileno(), 65536) if ready else b""
        assert chunk, f"{command}: no end; so far:\n{self._read.decode(errors='replace')}"
        self._read += chunk

    def close(self) -> None:
        """End the shell, and what it may have left."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for stream in (self._shell.stdin, self._shell.stdout):
            if stream is not None:
                stream.close()


def follow(blocks: Iterable[Block], terminal: Terminal, swaps: Mapping[str, str]) -> int:
    """Type every command of `blocks` and compare; returns how many there were.

    `swaps`: what stands on the page → what is there on this site, in commands; the other way round in what they say.
    """
    typed = 0
    for block in blocks:
        steps = block.steps
        for step, below in zip(steps, (*steps[1:], None), strict=True):
            _one(f"{block.page}:{step.line}", step, below, terminal, swaps)
            typed += 1
    return typed


def _one(place: str, step: Step, below: Step | None, terminal: Terminal, swaps: Mapping[str, str]) -> None:
    command = assented(re.sub(r"\bsudo ", "", step.command))
    for written, here in swaps.items():
        command = command.replace(written, here)
    code, said = terminal.run(command)
    for written, here in reversed(list(swaps.items())):
        said = said.replace(here.strip(), written.strip())
    assert code in allowed(step, below), f"{place}: {step.command}\nends with {code}\n{said}"
    if step.shown:
        assert shows(step.shown, said), (
            f"{place}: {step.command}\nthe page shows:\n{told(step.shown)}\nit says:\n{said}"
        )


def assented(command: str) -> str:
    """The command with the reader's yes, where keyctl would ask for it on a terminal."""
    calls = invocations(command)
    if len(calls) != 1 or not asks(calls[0]):
        return command
    return re.sub(r"(keyctl(?: [a-z][a-z-]*)+)", r"\1 --yes", command, count=1)


def allowed(step: Step, below: Step | None) -> set[int]:
    """The exit codes that the page says the command may end with."""
    if below is not None and below.command == "echo $?":
        return {int(below.shown[0])}
    comment = re.search(r"\s# (.*)", step.command)
    named = {int(code) for code in re.findall(r"(?<![\w.-])\d+(?![\w.-])", comment[1])} if comment else set[int]()
    return {0} | (named & _CODES)


def shows(shown: Iterable[str], said: str) -> bool:
    """Whether a page's lines are what was said, but for what differs each time and for what the page leaves out."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else r".*".join(map(re.escape, _stable(line).split("…"))) + r"\n"
        for line in told(shown).strip("\n").splitlines()
    )
    lines = "".join(f"{_stable(line)}\n" for line in said.strip("\n").splitlines())
    return re.fullmatch(pattern, lines) is not None


def told(lines: Iterable[str]) -> str:
    """Lines as a text."""
    return "\n".join(lines)


def _stable(line: str) -> str:
    for varying, becomes in _VARYING:
        line = varying.sub(becomes, line)
    return line.rstrip()
