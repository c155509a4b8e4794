"""Encryption configurations as files: written for tests, and the key bytes in them found again."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path

from keyctl.keys.key import Key

_SECRET = re.compile(rb"secret: *\"?([A-Za-z0-9+/]+=*)")


def write_config(path: Path, *keys: Key, resources: tuple[str, ...] = ("secrets",), identity: bool = True) -> Path:
    """One entry for `resources` with `keys` in order, the first one writing; `identity` comes last."""
    lines = ["apiVersion: apiserver.config.k8s.io/v1", "kind: EncryptionConfiguration", "resources:", "- resources:"]
    lines += [f"  - {resource}" for resource in resources] + ["  providers:"]
    for key in keys:
        secret = base64.b64encode(key.material).decode()
        lines += [f"  - {key.provider}:", "      keys:", f"      - name: {key.name}", f"        secret: {secret}"]
    lines += ["  - identity: {}"] if identity else []
    path.write_text("\n".join([*lines, ""]))
    path.chmod(0o600)
    return path


def key_texts(files: Iterable[Path]) -> set[str]:
    """Every form in which the key bytes of configuration files could show: base64, hex, as they are."""
    texts: set[str] = set()
    for file in files:
        for found in _SECRET.findall(file.read_bytes()):
            raw = base64.b64decode(found)
            texts |= {found.decode().rstrip("="), raw.hex(), raw.decode("latin-1"), repr(raw)[2:-1]}
    return texts


def leaks(keys: Iterable[str], said: Iterable[str], files: Iterable[Path] = ()) -> list[str]:
    """Where one of `keys` shows in what was said or in `files`: the output's number, or the file's name."""
    texts = {f"output {number}": text for number, text in enumerate(said)}
    texts |= {str(file): file.read_text(encoding="latin-1") for file in files if file.is_file()}
    found = tuple(keys)
    return [name for name, text in texts.items() if any(key in text for key in found)]
