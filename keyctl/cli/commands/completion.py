"""`keyctl completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from keyctl.cli.main import cli


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--program", default="keyctl", show_default=True, help="The name it is called by.")
def completion(shell: str, program: str) -> None:
    """Print the completion script of SHELL.

    \b
    Examples:
      source <(keyctl completion bash)
      keyctl completion fish > ~/.config/fish/completions/keyctl.fish
      kube-keyctl completion zsh --program kube-keyctl
    """  # noqa: D301 — click reads the \b
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    click.echo(kind(cli, {}, program, variable).source())
