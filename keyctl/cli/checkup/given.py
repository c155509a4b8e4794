"""What the user has beside the cluster: old copies of configurations, and single keys, read from files."""

from __future__ import annotations

import base64
import binascii
import json
from contextlib import suppress
from pathlib import Path

from keyctl.cli.checkup.examine import Given
from keyctl.cli.files import name_of, read_file
from keyctl.errors import UnusableInputError
from keyctl.keys.key import STATIC_PROVIDERS, Key, Provider
from keyctl.rotation.diagnosis.facts import ConfigText, KnownKey
from keyctl.rotation.diagnosis.look import read_text

_LENGTHS = STATIC_PROVIDERS[Provider.AESCBC]
# The base64 of 32 bytes and a line break; a key file of the store with a long name has a few hundred bytes.
_LARGEST = 64 * 1024


def read(configurations: tuple[Path, ...], key_files: tuple[Path, ...]) -> Given:
    """What the files hold. Raises `UnusableInputError` for one that cannot be read, or that is neither."""
    return Given(tuple(map(_configuration, configurations)), tuple(map(_key, key_files)))


def _configuration(path: Path) -> ConfigText:
    name = name_of(path)
    text, problem = read_text(read_file(path, "the encryption configuration"), name)
    if text is None:
        raise UnusableInputError(
            f"{name} cannot be used: {problem}", hint="see what is wrong with it: keyctl config validate FILE"
        )
    return text


def _key(path: Path) -> KnownKey:
    """A key file of a key store, the base64 of a key, or its bytes. Its name is that of the file: any name is tried."""
    name, content = name_of(path), read_file(path, "the key file", limit=_LARGEST)
    for material in (_of_store(content), _of_base64(content), content, content.rstrip(b"\r\n")):
        if material is not None and len(material) in _LENGTHS:
            return KnownKey(Key(Provider.AESCBC, f"({name})", material), name)
    # NOTE: nothing of the content is shown, not even its length: it may be a key with something beside it.
    raise UnusableInputError(
        f"{name} holds no key",
        cause="it is neither a key file of a key store, nor the base64 of 16, 24 or 32 bytes, nor those bytes",
        hint="for a whole EncryptionConfiguration: --encryption-config FILE",
    )


def _of_store(content: bytes) -> bytes | None:
    with suppress(ValueError, KeyError, TypeError):
        return base64.b64decode(json.loads(content)["material"], validate=True)
    return None


def _of_base64(content: bytes) -> bytes | None:
    with suppress(binascii.Error, ValueError):
        return base64.b64decode(content.strip(), validate=True)
    return None
