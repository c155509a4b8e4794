"""Static pod manifests as `config validate` judges and `config fix` repairs them, with what stands beside them.

Writes nothing. What a repaired kube-apiserver will read is judged here, before anyone gives it the flag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import click
from click.core import ParameterSource

from keyctl.cli.files import STDIN, name_of, read_file, read_regular
from keyctl.cli.fixed_files import Fixed
from keyctl.documents import parse
from keyctl.encryption_config.judge import judge
from keyctl.encryption_config.server import Server
from keyctl.errors import ExitCode, RefusedError, UnusableInputError, WrongUsageError
from keyctl.file_argument import file_argument
from keyctl.findings import Finding, Report, Severity
from keyctl.hosts.encryption_flags import EncryptionFlags
from keyctl.hosts.manifest_repair import ManifestRepair, repair_manifests
from keyctl.hosts.manifest_rules import NOT_GIVEN, starts
from keyctl.hosts.pod import pods

_API_SERVER = "kube-apiserver.yaml"
_WHAT = "the encryption configuration"
_OF_A_CONFIGURATION = {"required": "--require", "kubernetes_version": "--kubernetes-version", "kms_v1": "--kms-v1"}


@dataclass(frozen=True, slots=True)
class FixedManifests:
    """`files` are in the order to write them in; `reads` names those whose kube-apiserver will read another file.

    That file is a path of its host, None where it cannot be told.
    """

    files: tuple[Fixed, ...] = ()
    reads: Mapping[str, PurePosixPath | None] = field(default_factory=dict)


def fixed_manifests(manifests: Mapping[str, bytes]) -> FixedManifests:
    """The `manifests`, by path, repaired, and those beside them that this takes, which is said."""
    if not manifests:
        return FixedManifests()
    given, repaired = _repaired(manifests)
    for path in given:
        if path not in manifests:
            click.echo(f"{name_of(path)} stands beside it and is looked at too", err=True)
    paths = {name_of(path): path for path in given}
    ordered = [*repaired.contents, *(name for name in paths if name not in repaired.contents)]
    return FixedManifests(tuple(_fixed(paths[name], name, given, repaired) for name in ordered), repaired.reads)


def check_what_is_read(reads: Mapping[str, PurePosixPath | None], configs: Sequence[Fixed], server: Server) -> None:
    """Say on stderr what the API servers of `reads` will read, and what is to be seen to first.

    `configs` are the configurations that the same command repairs. Raises `RefusedError` when `server` would refuse
    such a file.
    """
    if reads:
        click.echo(
            "next: every API server must be able to read what this one will write, and a server without the flag "
            "cannot: keyctl enable does it in a safe order",
            err=True,
        )
    for manifest, place in reads.items():
        if place is None:
            click.echo(f"{manifest}: which file of its host it will read cannot be told", err=True)
            continue
        path = str(place)
        argument = file_argument(name_of(path))
        click.echo(f"next: before the kubelet restarts kube-apiserver: keyctl config validate {argument}", err=True)
        mended = next((one.after for one in configs if _same(one.path, path)), None)
        try:
            content = read_regular(path, _WHAT) if mended is None else mended
        except UnusableInputError as error:
            click.echo(_not_read(path, error), err=True)
        else:
            state = "it is on this machine" if mended is None else "this command mends it"
            _judge(manifest, path, content, server, state)


def manifest_report(path: str, content: bytes, findings: tuple[Finding, ...], *, serious: bool) -> Report:
    """What there is to say about one manifest with these `findings`; `serious` says that --fail-on is reached."""
    name, accepted = name_of(path), starts(findings)
    number = f"{len(findings)} finding{'s' * (len(findings) > 1)} about the encryption flags"
    verdict = number if findings else "nothing wrong with the flags"
    if accepted is False:
        verdict = f"REFUSED: the program does not start with these flags; {number}"
    code = ExitCode.UNUSABLE if accepted is False else ExitCode.FINDINGS if serious else ExitCode.OK
    data: dict[str, object] = {"file": name, "accepted": accepted}
    return Report("ManifestReport", code, verdict, findings, data, next_steps=_steps(path, content, findings))


def check_manifest_options(ctx: click.Context) -> None:
    """Refuse what says nothing about a manifest. Raises `WrongUsageError`."""
    for name, option in _OF_A_CONFIGURATION.items():
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise WrongUsageError(
                f"{option} says nothing about a static pod manifest",
                hint="leave it out, or name the EncryptionConfiguration that the manifest points at",
            )


def _steps(path: str, content: bytes, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    if not findings:
        return ()
    steps = ["keyctl enable"] if any(one.id == NOT_GIVEN.id for one in findings) else []
    _, repaired = _repaired({path: content})
    if repaired.contents and path != STDIN:
        steps.append(f"keyctl config fix {file_argument(name_of(path))}")
    return tuple(steps)


def _repaired(manifests: Mapping[str, bytes]) -> tuple[dict[str, bytes], ManifestRepair]:
    """The manifests and those that they need, by path, and what the repair makes of them, by name."""
    given = dict(manifests)
    if not any(_is_api_server(path, content) for path, content in given.items()):
        given |= _neighbours(given)
    contents = {name_of(path): content for path, content in given.items()}
    if len(contents) < len(given):
        raise WrongUsageError("two FILEs that messages would call alike", hint="fix them one after the other")
    return given, repair_manifests(contents)


def _is_api_server(path: str, content: bytes) -> bool:
    return any(pod.is_api_server for pod in pods(parse(content, name=name_of(path))))


def _has_flag(path: str, content: bytes) -> bool:
    return any(EncryptionFlags.of(pod).all for pod in pods(parse(content, name=name_of(path))))


def _neighbours(manifests: Mapping[str, bytes]) -> dict[str, bytes]:
    """The manifests of kube-apiserver that stand beside those that have a flag to give."""
    found: dict[str, bytes] = {}
    for path, content in manifests.items():
        beside = str(Path(path).with_name(_API_SERVER))
        wanted = path != STDIN and _has_flag(path, content) and beside not in (*manifests, *found)
        if wanted and Path(beside).is_file():
            found[beside] = read_file(beside, "the manifest of kube-apiserver")
    return found


def _fixed(path: str, name: str, given: Mapping[str, bytes], repaired: ManifestRepair) -> Fixed:
    done = tuple((one.rule, one.line, one.sentence) for one in repaired.done if one.file == name)
    left = tuple(finding for finding in repaired.left if finding.location.file == name)
    after = repaired.contents.get(name, given[path])
    return Fixed(path, given[path], after, done, left, starts(left), is_manifest=True)


def _same(one: str, other: str) -> bool:
    return one != STDIN and Path(one).resolve() == Path(other).resolve()


def _not_read(path: str, error: UnusableInputError) -> str:
    if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
        return f"{name_of(path)} does not exist on this machine: where it is missing, kube-apiserver does not start"
    return f"{name_of(path)} was not judged: {error.cause}"


def _judge(manifest: str, path: str, content: bytes, server: Server, state: str) -> None:
    name = name_of(path)
    judged = judge(content, name=name, server=server)
    if judged.accepted is False:
        first = judged.findings[0].location.line
        place = f"{name}:{first}" if first else name
        raise RefusedError(
            f"kube-apiserver {server} would refuse {name}, which {manifest} would name: no file was written",
            cause=f"{place}: {judged.findings[0].message}",
            hint=f"keyctl config fix {file_argument(name)}",
        )
    if judged.accepted is None:
        click.echo(f"{name}: keyctl does not read its form, and does not say whether a server does", err=True)
        return
    serious = any(one.severity in (Severity.CRITICAL, Severity.HIGH) for one in judged.findings)
    wrong = ", and something serious is wrong with it" if serious else ""
    click.echo(f"kube-apiserver {server} accepts {name} as {state}{wrong}", err=True)
