"""The redacted bundle of `keyctl doctor`: all that helps somebody else to help, and no key and no Secret.

Three guards, one behind the other: nothing is put in that holds Secret data; configurations and manifests go through
the masks of `config fix`, with fingerprints in the place of keys; and every text is searched for every key that was
at hand, in each usual form, before it is written.
"""

from __future__ import annotations

import base64
import io
import json
import platform
import re
import tarfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from keyctl import __version__
from keyctl.cli import wiring
from keyctl.cli.checkup import report
from keyctl.cli.checkup.examine import Examination
from keyctl.cli.checkup.writing import write_new
from keyctl.encryption_config.repair.masking import masked_text
from keyctl.encryption_config.repair.readable import Masks
from keyctl.errors import KeyctlError
from keyctl.findings import Report
from keyctl.keys.key import Key
from keyctl.keys.shown import reads_like_key, shown_name
from keyctl.reports import checklist
from keyctl.reports import json as json_report
from keyctl.rotation.diagnosis.facts import KnownKey
from keyctl.rotation.diagnosis.look import Look
from keyctl.rotation.diagnosis.values import with_variants
from keyctl.rotation.journal import Journal

_ABOUT = """Collected by `keyctl doctor` for somebody who is to help.

report.txt, report.json   what was looked at and what was found; names of objects, no contents
versions.json             keyctl, Python, libraries, API servers, etcd
configs/                  the encryption configurations, with fingerprints in the place of keys
flags/                    the flags of the API servers
journal.jsonl             what was done, step by step

No key bytes and no contents of Secrets are in here. Names of Secrets and of hosts are.
"""
_LIBRARIES = ("click", "cryptography", "etcd3", "grpcio", "kubernetes", "protobuf", "PyNaCl", "PyYAML")
_USER_INFO = re.compile(r"//[^/@\s]+@")
_SECRETIVE = ("passw", "token", "secret", "credential")
# Fields of the journal that are digests, which read like keys and are none.
_DIGESTS = frozenset({"hashes", "fingerprint", "sha256", "loaded", "evidenceHash", "hash", "uid", "clusterUid"})


class _Fingerprints(Masks):
    """Masks in which a known key is shown by its fingerprint."""

    def __init__(self, keys: Iterable[Key]) -> None:
        super().__init__()
        self._known = {base64.b64encode(key.material).decode(): key.fingerprint for key in keys}

    def of(self, text: str) -> str:
        """See `Masks.of`."""
        fingerprint = self._known.get(text.strip())
        return super().of(text) if fingerprint is None else f"<key with fingerprint {fingerprint}>"


def write(path: Path, found: Examination, shown: Report) -> None:
    """Write the bundle to the new file `path`, 0600. Raises what `write_new` raises."""
    keys = tuple(known.key for known in with_variants(found.seen.facts.keys))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in _files(found, shown):
            content = scrubbed(text, found.seen.facts.keys).encode()
            entry = tarfile.TarInfo(f"keyctl-bundle/{name}")
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    _require_clean(packed.getvalue(), keys)
    write_new(path, packed.getvalue(), "the bundle")


def scrubbed(text: str, keys: Iterable[KnownKey]) -> str:
    """`text` without any of `keys`, as bytes, base64 or hex digits."""
    for known in with_variants(keys):
        for form in forms(known.key.material):
            if form in text:
                text = text.replace(form, f"<key with fingerprint {known.key.fingerprint}>")
    return text


def forms(material: bytes) -> tuple[str, ...]:
    """How the bytes of a key can stand in a text."""
    plain = base64.b64encode(material).decode()
    texts = (plain, plain.rstrip("="), base64.urlsafe_b64encode(material).decode().rstrip("="))
    digits = (material.hex(), material.hex().upper(), material.hex(":"), material.hex(" "))
    return (*texts, *digits, material.decode("latin-1"), repr(material)[2:-1])


def _require_clean(packed: bytes, keys: Iterable[Key]) -> None:
    """Nothing that was packed holds a key, whatever the guards before it let through."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        contents = [file.read() for entry in archive.getmembers() if (file := archive.extractfile(entry)) is not None]
    for key in keys:
        if any(key.material in content for content in contents):
            raise RuntimeError("a key is in the bundle; it was not written")


def _files(found: Examination, shown: Report) -> Iterator[tuple[str, str]]:
    seen = found.seen
    yield "README.txt", _ABOUT
    sections = report.sections(found)
    screen = checklist.render(sections, width=None, color=False, unicode=True)
    yield "report.txt", f"{screen}\n\n{report.closing(found)}\n"
    yield "report.json", json_report.render(shown) + "\n"
    yield "versions.json", json.dumps(_versions(found), indent=2) + "\n"
    masks = _Fingerprints(known.key for known in seen.facts.keys)
    for look in seen.looks:
        if look.file is not None:
            text = masked_text(look.file.content.decode(errors="replace"), masks)
            yield f"configs/{_name(look)}.yaml", f"# {look.file.path}, {look.file.sha256}\n{text}"
        yield f"flags/{_name(look)}.txt", _flags(look)
    if seen.subject.described:
        yield "journal.jsonl", _journal(seen.subject.settings.name)


def _name(look: Look) -> str:
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in look.place.name)


def _versions(found: Examination) -> dict[str, object]:
    seen = found.seen
    return {
        "keyctl": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "apiServers": {server.name: server.version or None for server in seen.facts.servers},
        "etcd": {status.endpoint: status.version for etcd in seen.etcds for status in etcd.statuses},
    }


def _flags(look: Look) -> str:
    """The flags, one a line; the values of those that may carry a secret themselves are left out."""
    if look.flags is None:
        return f"not known: {look.manifest_problem}\n"
    lines = []
    for name, value in look.flags.given:
        secretive = any(word in name for word in _SECRETIVE) and not name.endswith(("-file", "-files"))
        hidden = secretive or reads_like_key(value)
        shown = "<left out>" if hidden else _USER_INFO.sub("//<left out>@", shown_name(value))
        lines.append(f"--{name}={shown}\n")
    return "".join(lines)


def _journal(cluster: str) -> str:
    try:
        records = Journal(wiring.state_directory(cluster)).records()
    except (KeyctlError, OSError, ValueError) as error:
        # NOTE: one that cannot be read is why somebody asks for help.
        return json.dumps({"problem": f"the journal was not read: {type(error).__name__}"}) + "\n"
    return "".join(json.dumps(_told(record)) + "\n" for record in records)


def _told(value: object, field: str = "") -> object:
    """A record of the journal, or a part of it: what reads like a key and is no digest is masked."""
    if isinstance(value, dict):
        return {str(name): _told(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_told(inner, field) for inner in value]
    return shown_name(value) if isinstance(value, str) and field not in _DIGESTS else value
