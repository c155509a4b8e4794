"""`keyctl certs flags`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import click

from keyctl.cli import issued
from keyctl.cli.files import name_of, read_regular
from keyctl.cli.replacing import Replacement, no_steps, replace_files
from keyctl.errors import RefusedError, WrongUsageError


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@issued.folder_options
@click.option(
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Show how the static pod of etcd or kube-apiserver in this file changes.",
)
@click.option("--write", is_flag=True, help="Write the changed manifest; its files must stand on this host by then.")
def flags(directory: Path, member_folder: str, client_folder: str, manifest: Path | None, write: bool) -> None:
    """Print the flags that go with the certificates in DIR, or a static pod's manifest with them as a diff.

    --write is for a node, where the folder with the certificates stands already: the kubelet
    restarts what the manifest starts. One node after the other.

    \b
    Examples:
      keyctl certs flags etcd-pki
      keyctl certs flags etcd-pki --manifest /etc/kubernetes/manifests/etcd.yaml
      keyctl certs flags etcd-pki --manifest /etc/kubernetes/manifests/kube-apiserver.yaml --write
    """  # noqa: D301 — click reads the \b
    from keyctl.hosts.manifest_diff import manifest_diff
    from keyctl.hosts.tls_flags import ETCD, program_of, with_flags
    from keyctl.pki.flags import api_server_flags, etcd_flags
    from keyctl.pki.layout import CA, Layout

    layout = Layout(directory)
    if not layout.certificate(CA).is_file():
        raise WrongUsageError(f"{directory} is no directory of certs init", hint="make one: keyctl certs init DIR")
    if manifest is None:
        if write:
            raise WrongUsageError("--write is for a manifest", hint="name it with --manifest")
        click.echo("\n".join(issued.flag_lines(layout, member_folder, client_folder)))
        return
    before, name = read_regular(manifest, "the manifest"), name_of(manifest)
    of_etcd = program_of(before, name=name) == ETCD
    folder = PurePosixPath(member_folder if of_etcd else client_folder)
    wanted = etcd_flags(folder, one_ca=not layout.has_peer_ca) if of_etcd else api_server_flags(folder)
    after = with_flags(before, dict(wanted), folder, name=name)
    click.echo(manifest_diff(before, after, name=name), nl=False)
    if before == after:
        click.echo(f"{name} has these flags already", err=True)
    elif not write:
        click.echo("nothing was written: --write replaces the file", err=True)
    else:
        _require_there([value for _, value in wanted if value.startswith("/")])
        replace_files([Replacement(str(manifest), before, after)], next_steps=no_steps)
        click.echo(f"{name} is written", err=True)


def _require_there(files: list[str]) -> None:
    """Raise `RefusedError` where a file that the program will be given is not on this host: it would not start."""
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        raise RefusedError(
            f"{missing[0]} is not on this host, so the manifest was not written",
            hint="put the folder of the member or client there first, or say where it is: --member-folder",
        )
