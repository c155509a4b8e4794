"""Watches a whole run of tests for key bytes: what came into being as a key must show nowhere but where keys belong.

Every Key that this process or a Python child of it makes is noted (see
`tests.support.recording`), so are the outputs of commands and the command lines and
environments of processes; folders that somebody removes are kept. When all tests have
ended, the folders of the run and what was noted are searched, with a key planted
among it: a search that does not find that one is worth nothing. A leak fails the run
and is told by file, form and place. What is not searched: single files that a test
or a process removed or wrote over, and the memory of processes.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from tests.support import transcripts
from tests.support.leak_needles import Needles, encodings_of
from tests.support.leak_places import PLACES
from tests.support.leak_search import Leak, Searched, search
from tests.support.process_samples import Sampler
from tests.support.recording import sitecustomize
from tests.support.recording.sitecustomize import FOLDERS, REMOVED, UNSEARCHED

_RECORDING = Path(__file__).parent / "recording"
_SAMPLES = "processes.said"
# Raw, hex in both cases, base64 in two alphabets at each of three places, base64 of base64 at three, Python's repr.
PLANTED_FORMS = 13
# It shows the generated file, with its generated key, that keyctl and the real loader read differently.
_TOLD_ON_PURPOSE = frozenset({"tests.oracle_runs.__main__"})
# So many tests make keys, and so many at least.
_MANY_TESTS, _FEWEST_KEYS = 1000, 20


def configure(config: pytest.Config) -> None:
    """Begin to watch, in the process that runs tests and in the one that hands them out."""
    config.pluginmanager.register(LeakWatch(worker=hasattr(config, "workerinput")), "leak-watch")


def folder_of_the_run(folder: Path) -> None:
    """Have everything below `folder` searched at the end."""
    with Path(os.environ[transcripts.FOLDER], FOLDERS).open("a") as file:
        file.write(f"{folder}\n")


class LeakWatch:
    """The plugin. A `worker` only notes; the process that began the run searches."""

    def __init__(self, *, worker: bool) -> None:
        self._worker = worker
        self._told: list[str] = []
        if not worker:
            self._folder = Path(tempfile.mkdtemp(prefix="keyctl-run-"))
            (self._folder / REMOVED).mkdir()
            os.environ[transcripts.FOLDER] = str(self._folder)
            before = os.environ.get("PYTHONPATH")
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_RECORDING), before)))
            self._sampler = Sampler(self._folder / _SAMPLES)
        self._folder = Path(os.environ[transcripts.FOLDER])
        sitecustomize.watch()
        _note_what_is_said()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What was printed and logged in a test, by the process that ran it."""
        if not hasattr(report, "node"):
            for name, text in report.sections:
                transcripts.note(f"{report.nodeid} {name}", text)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search, when nobody runs a test any more."""
        if self._worker:
            return
        self._sampler.stop()
        try:
            self._search(session)
        finally:
            shutil.rmtree(self._folder)
            del os.environ[transcripts.FOLDER]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was searched, always."""
        for line in self._told:
            terminalreporter.write_line(line)

    def _search(self, session: pytest.Session) -> None:
        roots = self._folder / FOLDERS
        if not roots.exists():
            self._told = ["key search: no test had a folder, and nothing was searched"]
            return
        began = time.monotonic()
        keys = [bytes.fromhex(line) for file in self._folder.glob("*.keys") for line in file.read_text().split()]
        folders = [Path(line) for line in dict.fromkeys(roots.read_text().splitlines())]
        planted = plant(self._folder / "planted.said")
        for file in self._folder.glob("*.keys"):
            file.unlink()
        needles = Needles([*keys, planted])
        found = search([*folders, self._folder], needles, PLACES)
        unsearched = self._folder / UNSEARCHED
        if unsearched.exists():
            found.unread += unsearched.read_text().splitlines()
        own = {leak.encoding for leak in found.leaks if leak.path.name == "planted.said"}
        leaks = [leak for leak in found.leaks if leak.path.name != "planted.said"]
        self._told = list(_told(found, needles, leaks, time.monotonic() - began))
        if len(own) < PLANTED_FORMS:
            self._told.append(f"key search: of what was planted only {', '.join(sorted(own)) or 'nothing'} was found")
        few = session.testscollected >= _MANY_TESTS and needles.keys < _FEWEST_KEYS
        if few:
            self._told.append(f"key search: {session.testscollected} tests, and only {needles.keys} keys were noted")
        if leaks or found.unread or few or len(own) < PLANTED_FORMS:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def plant(path: Path) -> bytes:
    """Write a new key to `path` in every form; the key."""
    while len(encodings_of(key := secrets.token_bytes(32))) < PLANTED_FORMS:
        pass
    embedded = [base64.b64encode(bytes(before) + key + b"end") for before in range(3)]
    texts = [key, key.hex().encode(), key.hex().upper().encode(), repr(key).encode(), *embedded]
    texts += [text.translate(bytes.maketrans(b"+/", b"-_")) for text in embedded]
    texts += [base64.b64encode(bytes(before) + base64.b64encode(key) + b"end") for before in range(3)]
    path.write_bytes(b"\n".join(texts))
    return key


def _told(found: Searched, needles: Needles, leaks: list[Leak], seconds: float) -> Iterator[str]:
    yield (
        f"key search: {found.files} files with {found.size / 1e6:.0f} MB searched for {needles.keys} keys in "
        f"{seconds:.0f} s ({needles.left_out} patterns and texts that tests use as keys were not looked for)"
    )
    for reason, count in sorted(found.allowed.items()):
        yield f"key search: {count} where they belong: {reason}"
    for problem in found.unread:
        yield f"key search: not searched: {problem}"
    for leak in leaks:
        yield f"key search: LEAK: {leak}{_said_by(leak)}"


def _said_by(leak: Leak) -> str:
    """Whose words they were, where the file is one of noted words."""
    if not leak.path.name.endswith(transcripts.SUFFIX):
        return ""
    before = leak.path.read_bytes()[: leak.offset]
    head = before[before.rfind(b"\n== ") + 1 :].partition(b"\n")[0]
    return f", said by {head[3:300].decode(errors='replace')}"


def _note_what_is_said() -> None:
    communicate, invoke = subprocess.Popen.communicate, click.testing.CliRunner.invoke

    def noting_communicate(self: subprocess.Popen[Any], *args: Any, **kwargs: Any) -> Any:
        said = communicate(self, *args, **kwargs)
        transcripts.note(str(self.args), *said)
        return said

    def noting_invoke(self: click.testing.CliRunner, cli: click.Command, args: Any = None, **kwargs: Any) -> Any:
        result = invoke(self, cli, args, **kwargs)
        if getattr(cli.callback, "__module__", "") not in _TOLD_ON_PURPOSE:
            transcripts.note(f"keyctl {args}", result.stdout_bytes, result.stderr_bytes)
        return result

    subprocess.Popen.communicate = noting_communicate  # type: ignore[method-assign]  # every captured output
    click.testing.CliRunner.invoke = noting_invoke  # type: ignore[assignment,method-assign]  # the same in-process
