"""`keyctl config fix`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from keyctl.cli.files import STDIN, name_of, read_file
from keyctl.cli.options import server_of, server_options
from keyctl.cli.replacing import replace_file
from keyctl.documents import parse
from keyctl.encryption_config.repair.masking import masked_diff
from keyctl.encryption_config.repair.repairs import Repaired, repairs
from keyctl.encryption_config.rules import decode_secret
from keyctl.encryption_config.server import Server
from keyctl.errors import ExitCode, UnusableInputError, WrongUsageError
from keyctl.findings import Finding, Severity
from keyctl.hosts.manifest_repair import repair_manifests
from keyctl.hosts.manifest_rules import is_pod_manifest
from keyctl.hosts.pod import pods
from keyctl.keys.generate import generate
from keyctl.keys.key import Provider
from keyctl.stored.display import display

_WHAT = "the encryption configuration"
_API_SERVER = "kube-apiserver.yaml"
_KEY_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Fixed:
    """One file: what it held, what it is to hold, what was done (rule, line, sentence) and what is left.

    `refused` says that a server does not take the new content either; None where keyctl does not read its form.
    """

    path: str
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    done: tuple[tuple[str, int, str], ...]
    left: tuple[Finding, ...]
    refused: bool | None

    @classmethod
    def of(cls, path: str, before: bytes, repaired: Repaired) -> Fixed:
        """From a repaired configuration."""
        done = tuple((one.rule_id, one.line, one.sentence) for one in repaired.done)
        refused = None if repaired.accepted is None else not repaired.accepted
        return cls(path, before, repaired.content, done, repaired.left, refused)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--write", is_flag=True, help="Replace the files; without it nothing is changed.")
@server_options
@click.option("--supply", "supplied", multiple=True, metavar="NAME=KEYFILE", help="The base64 of a key. Repeatable.")
@click.option("--generate", "generated", multiple=True, metavar="NAME", help="Make new bytes for a key. Repeatable.")
@click.option("--reencode", multiple=True, metavar="NAME", help="Encode the key's text once. Repeatable.")
@click.pass_context
def fix(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    write: bool,
    supplied: tuple[str, ...],
    generated: tuple[str, ...],
    reencode: tuple[str, ...],
    **given: object,
) -> None:
    """Repair FILEs that kube-apiserver refuses, as far as there is only one way.

    A FILE is an EncryptionConfiguration, or a static pod manifest: an encryption flag of
    etcd's manifest moves to that of kube-apiserver. Comments and order stay. Key bytes
    are never guessed: a secret that the server refuses is left until --supply, --generate
    or --reencode says what it should be; one that it accepts is never changed. What was
    done and the diff, keys masked, go to stdout; what is left to stderr. Exits 0 when
    nothing is left that the server refuses, else 3. FILE may be - for stdin, without --write.

    \b
    Examples:
      keyctl config fix enc.yaml
      keyctl config fix enc.yaml --write
      keyctl config fix enc.yaml --supply key1=key1.b64 --write
      keyctl config fix enc.yaml --generate key1 --write
      keyctl config fix /etc/kubernetes/manifests/etcd.yaml
    """  # noqa: D301 — click reads the \b
    check_stdin(files, write=write)
    supply = _supplied(files, supplied) | _generated(generated, supplied)
    contents = {path: read_file(path, _WHAT) for path in dict.fromkeys(files)}
    manifests = {path: content for path, content in contents.items() if is_pod_manifest(content)}
    fixed = [
        Fixed.of(path, content, _repaired(path, content, server_of(given), supply, reencode))
        for path, content in contents.items()
        if path not in manifests
    ]
    if (supply or reencode) and not fixed:
        raise WrongUsageError("no FILE is an EncryptionConfiguration", hint="manifests hold no keys: leave out the key")
    fixed += _fixed_manifests(manifests)
    for one in fixed:
        show(one)
    if generated:
        _warn(generated)
    finish(ctx, fixed, write=write)


def check_stdin(files: Sequence[str], *, write: bool) -> None:
    """Refuse to write to stdin: the text with its keys would have to go to stdout."""
    if write and STDIN in files:
        raise WrongUsageError("stdin cannot be written", hint="name the file, or leave out --write to see the diff")


def show(fixed: Fixed) -> None:
    """What was done and the diff on stdout, what is left on stderr."""
    name = name_of(fixed.path)
    if fixed.after == fixed.before:
        click.echo(f"{name}: nothing to fix" if fixed.refused is False else f"{name}: nothing that keyctl can fix")
    for rule_id, line, sentence in fixed.done:
        click.echo(f"{rule_id} {name}:{line}: {sentence}")
    texts = [content.decode("utf-8", "replace") for content in (fixed.before, fixed.after)]
    click.echo(masked_diff(*texts, name=name), nl=False)
    for finding in fixed.left:
        click.echo(f"left: {finding.id} {_place(finding, name)}: {display(finding.message)}", err=True)
        click.echo(f"    {display(finding.fix or '')}", err=True)


def finish(ctx: click.Context, fixed: Sequence[Fixed], *, write: bool) -> None:
    """Write what changed, or say that nothing was written; then exit by what is left."""
    changed = [one for one in fixed if one.after != one.before]
    if write:
        for one in changed:
            replace_file(one.path, one.after, was=one.before)
            click.echo(f"{name_of(one.path)} is written", err=True)
    elif changed:
        click.echo("nothing was written: --write replaces the file", err=True)
    for one in fixed:
        if one.refused is None:
            click.echo(f"{name_of(one.path)}: keyctl does not read this form, and changes nothing in it", err=True)
        elif one.refused:
            click.echo(f"{name_of(one.path)} would still be refused", err=True)
    ctx.exit(ExitCode.OK if all(one.refused is False for one in fixed) else ExitCode.UNUSABLE)


def _repaired(
    path: str, content: bytes, server: Server, supply: Mapping[str, bytes], reencode: Sequence[str]
) -> Repaired:
    repaired = repairs(content, name=name_of(path), server=server, supply=supply, reencode=reencode)
    for key in repaired.unused:
        click.echo(
            f"{name_of(path)}: nothing was done for the key {display(key)}: either the fields around it come first, "
            "or its text can be read in no way, or in several",
            err=True,
        )
    return repaired


def _supplied(files: Sequence[str], options: Sequence[str]) -> dict[str, bytes]:
    """The keys of --supply by name."""
    found: dict[str, bytes] = {}
    paths = list(files)
    for option in options:
        name, equals, path = option.partition("=")
        if not equals or not name or not path:
            raise WrongUsageError(
                "--supply takes NAME=KEYFILE", hint="the key's name, and a file with the base64 of its bytes"
            )
        if path == STDIN and path in paths:
            raise WrongUsageError("only one file can be stdin", hint="name files for the others")
        paths.append(path)
        found[name] = _key(path)
    return found


def _key(path: str) -> bytes:
    content = read_file(path, "the key", limit=_KEY_LIMIT)
    material = decode_secret(content.decode("utf-8", "replace").strip())
    if not material:
        raise UnusableInputError(
            f"{name_of(path)} holds no base64",
            cause=f"it has {len(content)} bytes",
            hint="write the base64 of the key's bytes there, in one line and without a name before it",
        )
    return material


def _generated(names: Sequence[str], supplied: Sequence[str]) -> dict[str, bytes]:
    """New bytes for each of `names`."""
    others = [option.partition("=")[0] for option in supplied]
    if len({*names, *others}) < len(names) + len(others):
        raise WrongUsageError("a key is given twice", hint="give one of --supply and --generate for a key")
    # Of the length that every provider takes.
    return {name: generate(Provider.SECRETBOX, now=datetime.now(UTC)).material for name in names}


def _warn(names: Sequence[str]) -> None:
    keys = ", ".join(display(name) for name in names)
    click.echo(
        f"new bytes for {keys}: values that were stored under this name before need the old ones; where there are "
        "any, put those in with --supply",
        err=True,
    )


def _fixed_manifests(manifests: Mapping[str, bytes]) -> list[Fixed]:
    if not manifests:
        return []
    given = dict(manifests)
    if not any(_has_api_server(path, content) for path, content in given.items()):
        given |= _neighbours(given)
    repaired = repair_manifests({name_of(path): content for path, content in given.items()})
    fixed = []
    for path, before in given.items():
        name = name_of(path)
        done = tuple((one.rule, one.line, one.sentence) for one in repaired.done if one.file == name)
        left = tuple(finding for finding in repaired.left if finding.location.file == name)
        refused = any(finding.severity in (Severity.CRITICAL, Severity.HIGH) for finding in left)
        fixed.append(Fixed(path, before, repaired.contents.get(name, before), done, left, refused))
    return fixed


def _has_api_server(path: str, content: bytes) -> bool:
    return any(pod.is_api_server for pod in pods(parse(content, name=name_of(path))))


def _neighbours(manifests: Mapping[str, bytes]) -> dict[str, bytes]:
    """The manifests of kube-apiserver that stand beside these; what they are for is said."""
    found: dict[str, bytes] = {}
    for path in manifests:
        beside = str(Path(path).with_name(_API_SERVER))
        if path != STDIN and beside not in manifests and beside not in found and Path(beside).is_file():
            found[beside] = read_file(beside, "the manifest of kube-apiserver")
            click.echo(f"{name_of(beside)} stands beside it and is looked at too", err=True)
    return found


def _place(finding: Finding, name: str) -> str:
    location = dataclasses.replace(finding.location, file=name)
    return ":".join(str(part) for part in (location.file, location.line, location.column) if part is not None)
