"""`keyctl completion`."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete

from keyctl.cli.main import cli
from keyctl.cli.shells import Bash, Fish, Zsh

_KINDS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


@click.command()
@click.argument("shell", type=click.Choice(list(_KINDS)))
@click.option("--program", default="keyctl", show_default=True, help="The name it is called by.")
def completion(shell: str, program: str) -> None:
    """Print the completion script of SHELL.

    Commands, options, formats, profiles, rules and files are completed; nothing is
    opened or connected to for it. kubectl completes `kubectl keyctl` by itself, through
    kubectl_complete-keyctl, which is installed beside keyctl and has to be on the PATH.

    \b
    Examples:
      source <(keyctl completion bash)
      keyctl completion fish > ~/.config/fish/completions/keyctl.fish
      kube-keyctl completion zsh --program kube-keyctl
    """  # noqa: D301 — click reads the \b
    click.echo(script(shell, program), nl=False)


def script(shell: str, program: str) -> str:
    """The script that makes `shell` complete `program`."""
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    return f"{_KINDS[shell](cli, {}, program, variable).source().rstrip()}\n"
