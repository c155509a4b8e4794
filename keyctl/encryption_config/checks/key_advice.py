"""What is wrong with the keys of an EncryptionConfiguration that loads: their bytes, their names, their reuse.

kube-apiserver checks the length of a key and that it has a name, and nothing else. Judges single keys and providers;
what is wrong with entries and their order is told by `advice`. No message holds a key, a part of one or its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from keyctl.documents import Span
from keyctl.encryption_config.checks.key_quality import Kind, weakness_of
from keyctl.encryption_config.checks.published_keys import origin_of
from keyctl.encryption_config.decode import Decoded
from keyctl.encryption_config.model import KmsReader, StaticReader
from keyctl.findings import Finding, Location, Rule, Severity
from keyctl.keys.key import Key
from keyctl.keys.shown import reads_like_key, shown_ref

_NEW_KEY = "bring in a new key and rewrite what is stored: keyctl rotate. For a file not yet in use: keyctl config new"


def _rule(number: int, severity: Severity, title: str, why: str, fix: str, source: str = "") -> Rule:
    return Rule(f"KC-KEY-{number:03}", severity, title, why, fix, source)


PUBLISHED = _rule(
    1,
    Severity.CRITICAL,
    "a key that is published",
    "The key was copied from documentation, a tutorial or source code, where anyone can read it. Whoever gets a copy "
    "of etcd's data or of a snapshot reads everything stored under it. Old snapshots stay readable after the key is "
    "replaced: destroy them, or change what they hold.",
    _NEW_KEY,
    "SHA-256 of the key compared with keys collected from public documentation, repositories and test vectors",
)
GUESSABLE = _rule(
    2,
    Severity.CRITICAL,
    "a key that can be guessed",
    "Bytes that are all equal, that repeat or count, an encoded placeholder or short password, and the digest of a "
    "common word are what an attacker tries first. Treat everything stored under it as readable.",
    _NEW_KEY,
)
TEXT = _rule(
    3,
    Severity.HIGH,
    "text instead of random bytes",
    "A key should be random bytes in base64. Encoded text holds less: hex digits 4 bits a byte, letters and digits at "
    "most 6, a phrase about 1 or 2. The number in the message is what remains if the characters were chosen at random; "
    "if a person chose them it is far less.",
    _NEW_KEY,
    "32 random bytes hold 256 bits; some installers (RKE: hex digits, kubespray: letters and digits) encode text",
)
LOW_ENTROPY = _rule(
    4,
    Severity.HIGH,
    "key bytes that did not come from a random generator",
    "Random bytes never look like this: too few different values, one part repeated, or many bytes in a row that are "
    "equal or count. Whatever made the key may be "
    "guessed.",
    _NEW_KEY,
)
SHORT = _rule(
    5,
    Severity.LOW,
    "a key of less than 32 bytes",
    "kube-apiserver takes 16 and 24 bytes for aescbc and aesgcm, although its documentation asks for 32 with aescbc. "
    "128 random bits are not breakable today, but policies ask for 256, and a short key is often a text that was "
    "decoded by mistake.",
    _NEW_KEY,
    "k8s.io/apiserver v0.37 pkg/apis/apiserver/validation; kubernetes/kubernetes#129610",
)
TWO_CIPHERS = _rule(
    6,
    Severity.HIGH,
    "one key in two providers",
    "The same bytes in two ciphers void what is proven about either, and when the key leaks through one, the other "
    "protects nothing. A change of provider needs a key of its own.",
    _NEW_KEY,
)
TWO_NAMES = _rule(
    7,
    Severity.HIGH,
    "one key under two names",
    "A new name with the old bytes is no new key: a rotation that ended here changed nothing, and whoever holds the "
    "old key reads the new values.",
    _NEW_KEY,
)
COLON = _rule(
    8,
    Severity.MEDIUM,
    "a key name with a colon",
    "A stored value begins with the key's name and a colon. With a colon inside, one name can begin another's values, "
    "and tools that read the head of a value take the wrong name.",
    "use a name of letters, digits and hyphens; keyctl rotate gives one to the new key",
    "k8s.io/apiserver v0.37 pkg/storage/value/transformer.go: a value is matched by its prefix",
)
ODD_NAME = _rule(
    9,
    Severity.LOW,
    "a key name with white space, control characters or other than ASCII",
    "The name is a part of every stored value, of metrics and of logs. Such characters are accepted, but hard to see, "
    "to type and to search for; two names may look the same.",
    "use a name of letters, digits and hyphens; keyctl rotate gives one to the new key",
)
KMS_V1 = _rule(
    10,
    Severity.HIGH,
    "a KMS v1 provider",
    "KMS v1 is deprecated since Kubernetes 1.28 and off since 1.29: without the feature gate KMSv1 the API server does "
    "not start. It calls the plugin for every write, and a change of the key in the KMS rewrites nothing.",
    'put a v2 plugin under another name and with "apiVersion: v2" first, rewrite what is stored, then remove this one',
    "k8s.io/apiserver v0.37 pkg/features, gate KMSv1",
)
NAME_LIKE_KEY = _rule(
    11,
    Severity.HIGH,
    "a key name that reads like a key",
    "The name is hex digits or base64 of as many bytes as a key has, and it stands in clear in front of every stored "
    "value. If it is a key, of this cluster at another time or of anything else, then whoever has a copy of etcd's "
    "data knows it. keyctl shows the first four characters only.",
    "use a name of letters, digits and hyphens; keyctl rotate gives one to the new key. If the name is a key that is "
    "in use anywhere, replace that key",
    "k8s.io/apiserver v0.37 pkg/storage/value/encrypt: the prefix of a value has the key's name",
)

RULES = (PUBLISHED, GUESSABLE, TEXT, LOW_ENTROPY, SHORT, TWO_CIPHERS, TWO_NAMES, COLON, ODD_NAME, KMS_V1, NAME_LIKE_KEY)

_RULE_OF = {Kind.GUESSABLE: GUESSABLE, Kind.TEXT: TEXT, Kind.LOW_ENTROPY: LOW_ENTROPY}
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_FULL_LENGTH = 32


@dataclass(frozen=True, slots=True)
class _Place:
    """A static key as it stands in the file; `text` is its base64 text."""

    key: Key
    path: str
    name_span: Span
    secret_span: Span
    text: str = field(repr=False)

    @property
    def label(self) -> str:
        return shown_ref(self.key.ref)


def key_advice(decoded: Decoded, name: str) -> Iterator[Finding]:
    """What is wrong with each key, in the order of the file `name`, then with each KMS provider.

    A key that stands in several entries is judged where it stands first.
    """
    places: dict[Key, _Place] = {}
    for place in _places(decoded):
        places.setdefault(place.key, place)
    first_of: dict[bytes, _Place] = {}
    for place in places.values():
        at_secret, at_name = _location(name, place.secret_span), _location(name, place.name_span)
        for rule, message in _of_bytes(place):
            yield rule.finding(message, location=at_secret)
        for rule, message in _of_reuse(place, first_of.setdefault(place.key.material, place)):
            yield rule.finding(message, location=at_secret)
        for rule, message in _of_name(place):
            yield rule.finding(message, location=at_name)
    yield from _kms_v1(decoded, name)


def _places(decoded: Decoded) -> Iterator[_Place]:
    for i, entry in enumerate(decoded.config.entries):
        for j, element in enumerate(entry.providers):
            raw = decoded.raw.entries[i].providers[j]
            for k, reader in enumerate(element.readers):
                if isinstance(reader, StaticReader):
                    path = f"resources[{i}].providers[{j}].{element.provider}.keys[{k}]"
                    written = raw.keys[k]
                    yield _Place(reader.key, path, written.name.span, written.secret.span, written.secret.text)


def _of_bytes(place: _Place) -> Iterator[tuple[Rule, str]]:
    origin = origin_of(place.key.material)
    weakness = weakness_of(place.key.material, place.text)
    if origin is not None:
        yield PUBLISHED, f"{place.label} is published, in {origin}"
    elif weakness is not None:
        yield _RULE_OF[weakness.kind], f"{place.label}: {weakness.message}"
    if len(place.key.material) < _FULL_LENGTH:
        yield SHORT, f"{place.label} has {len(place.key.material)} bytes"


def _of_reuse(place: _Place, first: _Place) -> Iterator[tuple[Rule, str]]:
    if first.key.provider is not place.key.provider:
        yield TWO_CIPHERS, f"{place.label} has the same bytes as {first.label}: one key in two ciphers"
    elif first.key.name != place.key.name:
        yield TWO_NAMES, f"{place.label} has the same bytes as {first.label}: the name is new, the key is not"


def _of_name(place: _Place) -> Iterator[tuple[Rule, str]]:
    if ":" in place.key.name:
        yield COLON, f"{place.path}.name has a colon"
    if not _VISIBLE_ASCII.fullmatch(place.key.name):
        yield ODD_NAME, f"{place.path}.name has white space, control characters or other than ASCII"

    if reads_like_key(place.key.name):
        yield NAME_LIKE_KEY, f"{place.path}.name reads like a key"


def _kms_v1(decoded: Decoded, name: str) -> Iterator[Finding]:
    for i, entry in enumerate(decoded.config.entries):
        for j, element in enumerate(entry.providers):
            kms = decoded.raw.entries[i].providers[j].kms
            for reader in element.readers:
                if kms is not None and isinstance(reader, KmsReader) and reader.version == "v1":
                    message = f"resources[{i}].providers[{j}].kms is a KMS v1 provider"
                    yield KMS_V1.finding(message, location=_location(name, kms.span))


def _location(name: str, span: Span) -> Location:
    return Location(file=name, line=span.line, column=span.column)
