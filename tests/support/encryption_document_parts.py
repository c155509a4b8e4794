"""One hand-made encryption configuration with what is to be said about it, and the parts to write one from."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
IDENTITY = "{identity: {}}"
# Stands in a text right before the place that a finding must point at; it is no part of the document.
HERE = "«"


def secret(number: int = 1, length: int = 32) -> str:
    """The base64 text of one of many test keys, of up to 64 bytes."""
    return base64.b64encode(hashlib.sha512(b"test key %d" % number).digest()[:length]).decode()


# One entry, one key, everything in block style.
BLOCK = f"""\
{HEAD}- resources:
  - secrets
  providers:
  - aescbc:
      keys:
      - name: key1
        secret: {secret()}
  - identity: {{}}
"""


@dataclass(frozen=True, slots=True)
class Written:
    """A document: `name` is a sentence about it, `rules` the ids of all findings about the configuration.

    `line` and `column` are the place, 1-based, that the first of `rules` must point at; None where it has none.
    `kubernetes` is the server it is for, `kms_v1` its feature gate (None: as the version has it).
    """

    name: str
    content: bytes = field(repr=False)
    rules: tuple[str, ...] = ()
    line: int | None = None
    column: int | None = None
    kubernetes: str = "1.37"
    kms_v1: bool | None = None

    @property
    def accepted(self) -> bool | None:
        """The verdict that the rules stand for: refused by one of the server's, or not read by keyctl."""
        kinds = {rule.removeprefix("KC-CFG-")[0] for rule in self.rules}
        return False if "1" in kinds else None if "2" in kinds else True


def written(name: str, text: str | bytes, *rules: int, kubernetes: str = "1.37", kms_v1: bool | None = None) -> Written:
    """A document of `text`; `rules` are the numbers of the findings, the first one about the place HERE."""
    marked = text.encode() if isinstance(text, str) else text
    before, mark, behind = marked.partition(HERE.encode())
    seen = before.decode(errors="replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    line, column = (seen.count("\n") + 1, len(seen) - seen.rfind("\n")) if mark else (None, None)
    ids = tuple(f"KC-CFG-{rule:03}" for rule in rules)
    return Written(name, before + behind, ids, line, column, kubernetes, kms_v1)


def entry(resources: str, *providers: str) -> str:
    """An entry in block style, with lists in brackets."""
    return f"- resources: [{resources}]\n  providers: [{', '.join(providers)}]\n"


def file(*entries: str) -> str:
    """A whole document."""
    return HEAD + "".join(entries)


def keys(*pairs: tuple[str, str], provider: str = "aescbc") -> str:
    """A provider with keys of (name, secret), in braces."""
    listed = ", ".join(f"{{name: {name}, secret: {text}}}" for name, text in pairs)
    return f"{{{provider}: {{keys: [{listed}]}}}}"


def one_key(name: str = "key1", text: str | None = None, provider: str = "aescbc") -> str:
    """A whole document with one key for secrets; `name` and `text` stand as they are."""
    return file(entry("secrets", keys((name, secret() if text is None else text), provider=provider), IDENTITY))


def kms(fields: str) -> str:
    """A whole document with one KMS provider for secrets."""
    return file(entry("secrets", f"{{kms: {{{fields}}}}}", IDENTITY))


def named(resources: str) -> str:
    """A whole document whose one entry encrypts `resources`."""
    return file(entry(resources, keys(("key1", secret()))))


def block_with(old: str, new: str) -> str:
    """`BLOCK` with `old`, which stands there once, replaced. `ValueError` when it does not."""
    if BLOCK.count(old) != 1:
        raise ValueError(f"not once in the block: {old!r}")
    return BLOCK.replace(old, new)
