"""Repaired files, shown and written: what `config fix` and `config migrate` share.

Results to stdout, all else to stderr; keys in no form anywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import click

from keyctl.cli.files import STDIN, name_of
from keyctl.cli.replacing import NextSteps, Replacement, replace_files
from keyctl.encryption_config.repair.masking import masked_diff
from keyctl.encryption_config.repair.repairs import Repaired
from keyctl.errors import ExitCode, WrongUsageError
from keyctl.findings import Finding, Severity, Status
from keyctl.hosts.manifest_diff import manifest_diff
from keyctl.stored.display import display

_SERIOUS = frozenset({Severity.CRITICAL, Severity.HIGH})


@dataclass(frozen=True, slots=True)
class Fixed:
    """One file: what it held, what it is to hold, what was done (rule, line, sentence) and what is left.

    `accepted` says whether a server takes the new content, or whether the program of a manifest starts with it; None
    where keyctl cannot tell.
    """

    path: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    done: tuple[tuple[str, int, str], ...]
    left: tuple[Finding, ...]
    accepted: bool | None
    is_manifest: bool = False

    @classmethod
    def of(cls, path: str, before: bytes, repaired: Repaired) -> Fixed:
        """From a repaired configuration."""
        done = tuple((one.rule_id, one.line, one.sentence) for one in repaired.done)
        return cls(path, before, repaired.content, done, repaired.left, repaired.accepted)

    @property
    def changed(self) -> bool:
        """Whether there is something to write."""
        return self.after != self.before

    @property
    def exit_code(self) -> ExitCode:
        """What the new content earns."""
        if self.accepted is False or (self.accepted is None and not self.is_manifest):
            return ExitCode.UNUSABLE
        return ExitCode.FINDINGS if any(one.severity in _SERIOUS for one in self.left) else ExitCode.OK


def check_stdin(files: Sequence[str], *, write: bool) -> None:
    """Refuse to write to stdin: the text with its keys would have to go to stdout."""
    if write and STDIN in files:
        raise WrongUsageError("stdin cannot be written", hint="name the file, or leave out --write to see the diff")


def show(fixed: Fixed) -> None:
    """What was done and the diff on stdout, what is left on stderr."""
    name = name_of(fixed.path)
    if not fixed.changed:
        nothing = "nothing that fix can mend; see what is left" if fixed.left else "nothing to fix"
        click.echo(f"{name}: {nothing}")
    for rule_id, line, sentence in fixed.done:
        click.echo(f"{rule_id} {name}:{line}: {sentence}")
    click.echo(_diff(fixed, name), nl=False)
    for finding in fixed.left:
        word = finding.severity if finding.status is Status.FAIL else finding.status
        click.echo(f"left: {word} {finding.id} {_place(finding, name)}: {display(finding.message)}", err=True)
        click.echo(f"    {display(finding.fix or '')}", err=True)


def finish(ctx: click.Context, fixed: Sequence[Fixed], *, write: bool, next_steps: NextSteps) -> NoReturn:
    """Say what the files are worth, write what changed or say that nothing was written, and exit by the worst."""
    for one in fixed:
        if one.accepted is not True or one.exit_code is not ExitCode.OK:
            click.echo(f"{name_of(one.path)}{_verdict(one)}", err=True)
    changed = [Replacement(one.path, one.before, one.after) for one in fixed if one.changed]
    if write:
        replace_files(changed, next_steps=next_steps)
        for replaced in changed:
            click.echo(f"{name_of(replaced.path)} is written", err=True)
    elif changed:
        click.echo(f"nothing was written: --write replaces the file{'s' * (len(changed) > 1)}", err=True)
    codes = {one.exit_code for one in fixed}
    ctx.exit(next((code for code in (ExitCode.UNUSABLE, ExitCode.FINDINGS) if code in codes), ExitCode.OK))


def _verdict(fixed: Fixed) -> str:
    if fixed.is_manifest and fixed.accepted is False:
        return ": its program would still not start"
    if fixed.accepted is False:
        return " would still be refused"
    if fixed.accepted is None and not fixed.is_manifest:
        return ": keyctl does not read this form, and changes nothing in it"
    return ": what is left is serious, although nothing refuses it"


def _diff(fixed: Fixed, name: str) -> str:
    if not fixed.changed:
        return ""
    if fixed.is_manifest:
        return manifest_diff(fixed.before, fixed.after, name=name)
    return masked_diff(*(text.decode("utf-8", "replace") for text in (fixed.before, fixed.after)), name=name)


def _place(finding: Finding, name: str) -> str:
    location = dataclasses.replace(finding.location, file=name)
    return ":".join(str(part) for part in (location.file, location.line, location.column) if part is not None)
