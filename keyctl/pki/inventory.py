"""Every certificate and private key in the files below some paths. Opens and reads; judges nothing, keeps no key.

Of a private key nothing is kept but the hash of its public half. Links to directories are not followed. What stands
in a kubeconfig is found too, and so are the files that one names.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keyctl.errors import UnusableInputError
from keyctl.pki import kubeconfigs
from keyctl.pki.describe import UNREADABLE, Described, describe, spki_of
from keyctl.stored.display import display

# A bundle of every CA of an operating system has a quarter of this.
_LIMIT = 1024 * 1024
_CERTIFICATE = re.compile(rb"^-----BEGIN CERTIFICATE-----", re.MULTILINE)
_KEY = re.compile(
    rb"^-----BEGIN (?P<kind>(?:[A-Z]+ )?PRIVATE KEY)-----.*?^-----END (?P=kind)-----", re.MULTILINE | re.DOTALL
)
_SKIPPED = frozenset({".git"})
# Certificates by their name, of which none may be passed over in silence.
_CALLED = frozenset({".cer", ".crt", ".der", ".p12", ".pem", ".pfx"})
_BEGINS = re.compile(rb"^-----BEGIN [A-Z0-9 ]+-----", re.MULTILINE)
_OPENSSLS = re.compile(rb"^-----BEGIN (?:TRUSTED|X509) CERTIFICATE-----", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """Certificate number `number`, from 1 on, of the file `path`, which is `place` from the root on.

    What stands in a kubeconfig has its entry behind the place: "/etc/kubernetes/admin.conf#user-1".
    """

    path: str
    place: str
    number: int
    described: Described
    certificate: x509.Certificate = field(repr=False, compare=False)

    @property
    def may_sign(self) -> bool:
        """Whether Go lets it sign others: a CA, or one so old in form that it cannot say."""
        if self.certificate.version is x509.Version.v1:
            return True
        return self.described.is_ca and self.described.certifies

    def signed(self, other: Found) -> bool:
        """Whether this is the issuer that `other` names, and its key made the signature of `other`."""
        try:
            other.certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A private key. `spki` is the hash of its public half, "" where it cannot be read: `problem` says why."""

    path: str
    place: str
    spki: str
    mode: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file, or a part of one, that was not read."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that was found. `looked` is how many files were looked into."""

    certificates: tuple[Found, ...]
    keys: tuple[FoundKey, ...]
    unread: tuple[Unread, ...]
    looked: int


def take(paths: Sequence[Path]) -> Inventory:
    """Everything below `paths`. Raises `UnusableInputError` for a path that is not there, or not for us to see."""
    taking = _Taking()
    for given in paths:
        try:
            there = given.exists()
        except OSError as error:
            raise UnusableInputError(
                f"{given} cannot be looked at", cause=error.strerror, hint="run it as a user who may read it"
            ) from error
        if not there:
            raise UnusableInputError(f"there is no {given}", hint="name files or directories that are there")
        for path in taking.files(given):
            taking.look(path)
    return Inventory(tuple(taking.certificates), tuple(taking.keys), tuple(taking.unread), len(taking.looked))


class _Taking:
    """What has been found so far."""

    def __init__(self) -> None:
        self.certificates: list[Found] = []
        self.keys: list[FoundKey] = []
        self.unread: list[Unread] = []
        self.looked: set[str] = set()

    def files(self, given: Path) -> Iterator[Path]:
        """The file itself, or the files below a directory in a fixed order."""
        if not given.is_dir():
            yield given
            return
        for directory, below, names in os.walk(given, onerror=self._refused):
            below[:] = sorted(set(below) - _SKIPPED)
            yield from (Path(directory) / name for name in sorted(names))

    def look(self, path: Path) -> None:
        """Take what the file holds, once."""
        place = os.path.abspath(path)  # noqa: PTH100 — a link stands where it is written
        if place in self.looked:
            return
        try:
            # Before it is opened, for a pipe without a writer would wait.
            if not stat.S_ISREG(path.stat().st_mode):
                return
            with path.open("rb") as file:
                content, mode = file.read(_LIMIT + 1), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            self._refused(error)
            return
        self.looked.add(place)
        self._take(str(path), place, content, mode)

    def _take(self, path: str, place: str, content: bytes, mode: int) -> None:
        called = PurePath(path).suffix.lower() in _CALLED
        if len(content) > _LIMIT and (called or _CERTIFICATE.search(content) or _KEY.search(content)):
            self.unread.append(Unread(path, f"it has more than {_LIMIT} bytes"))
        elif called and not _BEGINS.search(content):
            self.unread.append(Unread(path, "it holds no PEM, which is all that etcd and Kubernetes read"))
        elif _OPENSSLS.search(content):
            self.unread.append(Unread(path, "it holds a certificate in a form that openssl alone reads"))
        else:
            self._take_pem(path, place, content, mode)
            if kubeconfigs.may_be_one(content):
                self._take_kubeconfig(path, place, content, mode)

    def _take_kubeconfig(self, path: str, place: str, content: bytes, mode: int) -> None:
        try:
            found = tuple(kubeconfigs.parts(content, path))
        except UnusableInputError:
            self.unread.append(Unread(path, "it names certificates, and is neither YAML nor JSON that can be read"))
            return
        for part in {one.file: one for one in reversed(found) if one.file}.values():
            self._take_named(path, part)
        for part in found:
            if part.file:
                continue
            if part.pem is None or not _BEGINS.search(part.pem):
                self.unread.append(Unread(path, f"{part.name}-data of {part.entry} of it cannot be read"))
            else:
                self._take_pem(path, f"{place}#{part.entry}", part.pem, mode)

    def _take_named(self, path: str, part: kubeconfigs.Part) -> None:
        named = Path(path).parent / part.file
        try:
            there = named.exists()
        except OSError as error:
            self._refused(error)
            return
        if there:
            self.look(named)
        else:
            self.unread.append(Unread(path, f"the {part.name} of {part.entry}, {display(str(named))}, is not there"))

    def _take_pem(self, path: str, place: str, content: bytes, mode: int) -> None:
        for number, start in enumerate(_CERTIFICATE.finditer(content), 1):
            try:
                certificate = x509.load_pem_x509_certificate(content[start.start() :])
                self.certificates.append(Found(path, place, number, describe(certificate), certificate))
            except UNREADABLE:
                self.unread.append(Unread(path, f"certificate {number} of it cannot be read"))
        self.keys += (_key(path, place, match[0], mode) for match in _KEY.finditer(content))

    def _refused(self, error: OSError) -> None:
        self.unread.append(Unread(str(error.filename), (error.strerror or "it cannot be read").lower()))


def _key(path: str, place: str, pem: bytes, mode: int) -> FoundKey:
    try:
        return FoundKey(path, place, spki_of(load_pem_private_key(pem, None).public_key()), mode)
    except TypeError:
        return FoundKey(path, place, "", mode, "it has a password")
    except (ValueError, UnsupportedAlgorithm):
        return FoundKey(path, place, "", mode, "it cannot be read")
