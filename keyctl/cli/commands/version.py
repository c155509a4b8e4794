"""`keyctl version`."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import click

from keyctl import __version__

_LIBRARIES = (
    "click",
    "cryptography",
    "etcd3",
    "google-crc32c",
    "grpcio",
    "hvac",
    "kubernetes",
    "protobuf",
    "PyNaCl",
    "PyYAML",
    "rich",
)


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format on stdout.")
def version(output: str) -> None:
    """Print the versions of keyctl, Python and the libraries that matter.

    \b
    Example:
      keyctl version -o json
    """  # noqa: D301 — click reads the \b
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    if output == "json":
        click.echo(json.dumps({"keyctl": __version__, "python": platform.python_version(), "libraries": libraries}))
        return
    click.echo(f"kube-keyctl {__version__} (Python {platform.python_version()})")
    for name, number in libraries.items():
        click.echo(f"  {name} {number}")
