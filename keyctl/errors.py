"""Every failure keyctl expects, and the exit code each one earns.

One root, `KeyctlError`; one boundary, `keyctl.cli.main`, which turns it into
lines on stderr and an exit code. Mistakes of the programmer are `ValueError` or
`RuntimeError` and are not caught.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the process answers. Codes not named here are reserved."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Keep the sentence of the documented table beside the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "done; for verify and audit: something was looked at and all of it is right"
    BUG = 1, "unexpected failure: a bug"
    USAGE = 2, "wrong usage"
    UNUSABLE = 3, "a configuration, key file, snapshot, certificate or KMS plugin is unusable"
    UNREACHABLE = 4, "etcd, Kubernetes, Vault or a host unreachable, refused, or not the cluster it should be"
    REFUSED = 5, "a guard refused an unsafe step"
    STOPPED = 6, "stopped part-way; safe to resume"
    EMPTY = 10, "verify: nothing was there to check"
    STALE = 11, "verify: values under another provider or key than the one that writes (or that --require names)"
    UNREADABLE = 12, "verify: unreadable, unrecognised or missing values"
    PLAINTEXT = 13, "verify: plaintext where encryption is required"
    RESIDUE = 14, "verify `--residue`: live values clean, plaintext or a retired key left in history, free pages or WAL"
    INCOMPLETE = (
        15,
        (
            "verify `--residue`, sanitize: an area that had to be looked at could not be; sanitize: not every server's "
            "configuration was read; snapshot save: the manifest does not know every key; snapshot restore-test: only "
            "a KMS plugin could tell"
        ),
    )
    FINDINGS = (
        20,
        (
            "audit, certs check, config validate, kms check, status, doctor: a finding at or above `--fail-on`, or at "
            "high; etcd-access check: any finding"
        ),
    )
    UNEVALUATED = (
        21,
        (
            "audit: required checks could not be evaluated; certs check: something could not be judged; etcd-access "
            "check: a part of etcd was not looked at"
        ),
    )
    WAIVER = 22, "audit: a waiver is expired or malformed"
    INTERRUPTED = 130, "interrupted before anything was changed"


class KeyctlError(Exception):
    """Base of every expected failure.

    The message says what happened in one line, lower case, naming the object,
    without a final period. `cause` is what was observed; each of `hints` is
    something the reader can do next; `rule` names the rule of
    `docs/rotation-rules.md` that refused. None of them carries a secret.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(
        self, message: str, *, cause: str | None = None, hint: str | tuple[str, ...] = (), rule: str | None = None
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.hints = (hint,) if isinstance(hint, str) else hint
        self.rule = rule


class WrongUsageError(KeyctlError):
    """Flags or arguments that do not go together."""

    exit_code = ExitCode.USAGE


class UnusableInputError(KeyctlError):
    """A configuration, key file, snapshot or certificate that cannot be used as it is."""

    exit_code = ExitCode.UNUSABLE


class UnreachableError(KeyctlError):
    """A server or host could not be reached, refused us, or is not the one it should be."""

    exit_code = ExitCode.UNREACHABLE


class RefusedError(KeyctlError):
    """A guard stopped a step that could make data unreadable. Nothing was changed by this step."""

    exit_code = ExitCode.REFUSED


class StoppedError(KeyctlError):
    """Work stopped part-way in a state that is safe to stay in and to resume from."""

    exit_code = ExitCode.STOPPED


class RevisionLostError(StoppedError):
    """The revision that was being read was compacted away: what was read of it can never be completed."""


class InterruptedEarlyError(KeyctlError):
    """The user interrupted before the first effect: nothing was changed."""

    exit_code = ExitCode.INTERRUPTED
