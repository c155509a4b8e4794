"""The user's own restart command, run on this machine. What it prints may quote the configuration: it is not kept."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from keyctl.errors import StoppedError


def run_restart(name: str, command: tuple[str, ...] | None, seconds: float) -> None:
    """Run `command` without a shell, for at most `seconds`. Raises `StoppedError`, naming `name`, when it fails."""
    if command is None:
        raise no_restart(name)
    program = command[0]
    try:
        process = subprocess.Popen(  # noqa: S603 — the user's own command, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise restart_failed(name, f"{program}: {error.strerror}") from None
    try:
        status = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise restart_failed(name, f"{program} did not end within {seconds:g} s") from None
    if status == -signal.SIGINT:
        # NOTE: Ctrl-C goes to the whole foreground group, and this child had not yet left it.
        raise KeyboardInterrupt
    if status:
        raise restart_failed(name, f"{program} ended with exit status {status}")


def no_restart(name: str) -> StoppedError:
    """No way to restart the server is known."""
    return StoppedError(
        f"host {name}: no restart command is known",
        hint="set activation to {restart: {command: [...]}} for this server in the cluster file",
    )


def restart_failed(name: str, cause: str) -> StoppedError:
    """The restart command did not end well."""
    return StoppedError(
        f"host {name}: the restart command failed",
        cause=cause,
        hint="run the command by hand to see what it says, then: keyctl rotate --resume",
    )
