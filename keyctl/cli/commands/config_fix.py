"""`keyctl config fix`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote

import click

from keyctl.cli import completed
from keyctl.cli.asked_keys import asked_keys, warn_of_new_keys
from keyctl.cli.files import name_of, read_file
from keyctl.cli.fixed_files import Fixed, check_stdin, finish, show
from keyctl.cli.manifest_fixes import check_what_is_read, fixed_manifests
from keyctl.cli.options import server_of, server_options
from keyctl.cli.replacing import NextSteps
from keyctl.encryption_config.repair.repairs import repairs
from keyctl.encryption_config.repair.secret_repairs import Asked, KeyInUseError
from keyctl.encryption_config.server import NEWEST, Server
from keyctl.errors import RefusedError, WrongUsageError
from keyctl.file_argument import file_argument
from keyctl.hosts.manifest_rules import is_pod_manifest
from keyctl.keys.shown import shown_name

_WHAT = "the encryption configuration"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=completed.files)
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
    or --reencode says what it should be; one that it accepts is never changed. NAME is a
    key's, or PROVIDER:NAME where several providers have it. FILE may be - for stdin,
    without --write.

    What was done and the diff, keys masked, go to stdout; what is left to stderr. The exit
    code is that of the files as repaired, written or not: 0 when the server takes them and
    nothing serious is left, 20 when a finding of high or critical is, 3 when something is
    still refused; 5 when a guard refuses to write, 6 when only some files could be.

    \b
    Examples:
      keyctl config fix enc.yaml
      keyctl config fix enc.yaml --write
      keyctl config fix enc.yaml --supply key1=key1.b64 --write
      keyctl config fix enc.yaml --generate key1 --write
      keyctl config fix /etc/kubernetes/manifests/etcd.yaml
    """  # noqa: D301 — click reads the \b
    check_stdin(files, write=write)
    server = server_of(given)
    asked = asked_keys(files, supplied=supplied, generated=generated, reencode=reencode)
    contents = {path: read_file(path, _WHAT) for path in dict.fromkeys(files)}
    manifests = {path: content for path, content in contents.items() if is_pod_manifest(content)}
    configs = {path: content for path, content in contents.items() if path not in manifests}
    if asked.keys and not configs:
        raise WrongUsageError("no FILE is an EncryptionConfiguration", hint="manifests hold no keys: leave out the key")
    fixed_configs = _fixed_configs(configs, server, asked)
    pods = fixed_manifests(manifests)
    fixed = (*fixed_configs, *pods.files)
    for one in fixed:
        show(one)
    if generated:
        warn_of_new_keys(generated)
    check_what_is_read(pods.reads, fixed_configs, server)
    finish(ctx, fixed, write=write, next_steps=_next_steps(fixed, server, asked, supplied))


def _fixed_configs(configs: Mapping[str, bytes], server: Server, asked: Asked) -> list[Fixed]:
    fixed: list[Fixed] = []
    in_use: dict[str, KeyInUseError] = {}
    for path, content in configs.items():
        try:
            repaired = repairs(content, name=name_of(path), server=server, asked=asked)
        except KeyInUseError as error:
            in_use[path] = error
            continue
        for key in repaired.unused:
            click.echo(
                f"{name_of(path)}: nothing was done for the key {shown_name(key)}: either the fields around it come "
                "first, or its text can be read in no way, or in several",
                err=True,
            )
        fixed.append(Fixed.of(path, content, repaired))
    for path, refusal in in_use.items():
        raise _one_key_for_all(path, [one.path for one in fixed], refusal) if fixed else refusal
    return fixed


def _one_key_for_all(path: str, others: Sequence[str], error: KeyInUseError) -> RefusedError:
    """Why no other copy of a file gets a key of a name that this copy has with bytes already."""
    key, names = shown_name(error.asked), ", ".join(map(name_of, others))
    return RefusedError(
        f"{name_of(path)} has the key {key} already, and {names} would get other bytes under that name",
        cause=str(error),
        hint=(
            *(
                f"cp -p {file_argument(name_of(path))} {file_argument(name_of(other))}, if it is a copy"
                for other in others
            ),
            _by_hand(path, others, (error.asked,)),
        ),
        rule="R5",
    )


def _next_steps(fixed: Sequence[Fixed], server: Server, asked: Asked, supplied: Sequence[str]) -> NextSteps:
    """What is to be done when some of `fixed` are written and others not: the command again, for what is left."""
    by_path = {one.path: one for one in fixed}

    def steps(written: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
        copies = [path for path in left if not by_path[path].is_manifest]
        pods = [one.path for one in fixed if one.is_manifest] if len(copies) < len(left) else []
        if not asked.fresh or not copies:
            options = _options(server, asked, supplied, with_keys=bool(copies))
            return (f"mend that, then: {_command((*copies, *pods))}{options} --write",)
        # Another run would make other bytes for the same name.
        hints = [_copied(by_path[written[0]], by_path[path], tuple(asked.fresh)) for path in copies]
        return (
            (*hints, f"then: {_command(pods)}{_options(server, asked, (), with_keys=False)} --write")
            if pods
            else tuple(hints)
        )

    return steps


def _copied(written: Fixed, left: Fixed, keys: tuple[str, ...]) -> str:
    if written.after == left.after:
        return f"mend that, then: cp -p {file_argument(name_of(written.path))} {file_argument(name_of(left.path))}"
    return _by_hand(written.path, (left.path,), keys)


def _by_hand(path: str, others: Sequence[str], keys: tuple[str, ...]) -> str:
    options = "".join(f" --supply {quote(key)}=KEYFILE" for key in keys)
    return f"or put the secret that {name_of(path)} has into KEYFILE, and: {_command(others)}{options} --write"


def _command(paths: Sequence[str]) -> str:
    return f"keyctl config fix {' '.join(file_argument(name_of(path)) for path in paths)}"


def _options(server: Server, asked: Asked, supplied: Sequence[str], *, with_keys: bool) -> str:
    options = [f"--kubernetes-version {server}"] if server.minor != NEWEST else []
    options += ["--kms-v1"] if server.kms_v1_gate else []
    if with_keys:
        options += [f"--supply {quote(option)}" for option in supplied]
        options += [f"--reencode {quote(name)}" for name in asked.reencode]
    return "".join(f" {option}" for option in options)
