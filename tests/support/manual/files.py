"""Which files the commands' reference consists of, and what each must hold; those that are too many are told, too."""

from __future__ import annotations

from pathlib import Path

from keyctl.cli.commands.completion import script
from tests.support.manual import man, markdown, schemas

# Below it stands what the wheel installs beside the package: `[tool.flit.external-data]` in pyproject.toml.
INSTALLED = Path("data") / "share"
MAN = INSTALLED / "man" / "man1"
COMMANDS = Path("docs") / "reference" / "commands.md"
SCHEMAS = Path("docs") / "reference" / "schemas"
# Under the name that nothing else has: see docs/adr/0001-name.md.
COMPLETIONS = {
    "bash": INSTALLED / "bash-completion" / "completions" / man.PROGRAM,
    "zsh": INSTALLED / "zsh" / "site-functions" / f"_{man.PROGRAM}",
    "fish": INSTALLED / "fish" / "vendor_completions.d" / f"{man.PROGRAM}.fish",
}
_FOLDERS = (INSTALLED, SCHEMAS)


def expected(root: Path) -> dict[Path, bytes]:
    """Every file of the reference below `root`, with its content."""
    found = {MAN / name: text for name, text in man.pages().items()}
    found |= {path: script(shell, man.PROGRAM) for shell, path in COMPLETIONS.items()}
    found |= {SCHEMAS / name: text for name, text in schemas.pages().items()}
    found[COMMANDS] = markdown.page()
    return {root / path: text.encode() for path, text in found.items()}


def superfluous(root: Path, known: dict[Path, bytes]) -> list[Path]:
    """The files in the folders of the reference that are not among `known`: of a command that is no more."""
    there = (path for folder in _FOLDERS for path in (root / folder).rglob("*"))
    return sorted(path for path in there if path.is_file() and path not in known)
