"""How a command that a user is told to type names a file."""

from __future__ import annotations

from shlex import quote


def file_argument(name: str) -> str:
    """`name`, as messages call a file, as one word of a shell; FILE for stdin, and for what is shown escaped or cut."""
    if name.startswith("<") or "\\" in name or name.endswith("…"):
        return "FILE"
    return quote(f"./{name}" if name.startswith("-") else name)
