"""`keyctl config migrate`."""

from __future__ import annotations

import click

from keyctl.cli import completed
from keyctl.cli.files import name_of, read_file
from keyctl.cli.fixed_files import Fixed, check_stdin, finish, show
from keyctl.cli.options import server_of, server_options
from keyctl.cli.replacing import no_steps
from keyctl.encryption_config.repair.repairs import migrated


@click.command()
@click.argument("file", shell_complete=completed.files)
@click.option("--write", is_flag=True, help="Replace the file; without it nothing is changed.")
@server_options
@click.pass_context
def migrate(ctx: click.Context, /, file: str, write: bool, **given: object) -> None:
    """Give FILE today's kind: v1, EncryptionConfig is from before Kubernetes 1.13.

    Nothing else is changed: keys, their order, comments and what is encrypted stay. Do the
    same on every server, for they report a hash of the file. The exit code is that of
    `config fix`. FILE may be - for stdin, without --write.

    \b
    Examples:
      keyctl config migrate enc.yaml
      keyctl config migrate enc.yaml --write
    """  # noqa: D301 — click reads the \b
    check_stdin((file,), write=write)
    content = read_file(file, "the encryption configuration")
    fixed = Fixed.of(file, content, migrated(content, name=name_of(file), server=server_of(given)))
    show(fixed)
    finish(ctx, [fixed], write=write, next_steps=no_steps)
