"""What kube-apiserver accepts in an EncryptionConfiguration without a word, although it is wrong.

Takes a configuration that loads; what does not load is told by `rules`, what is wrong with the keys themselves by
`key_advice`. Prints nothing and repairs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from keyctl.documents import Mapping, Span
from keyctl.encryption_config.checks.served_resources import unknown_resource
from keyctl.encryption_config.decode import Decoded
from keyctl.encryption_config.effective import ANYTHING, GroupResource, covering_entries, named_resources, writer
from keyctl.encryption_config.fields import LEGACY
from keyctl.encryption_config.model import IdentityReader, StaticReader
from keyctl.findings import Finding, Location, Rule, Severity
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.shown import shown_name, shown_ref


def _rule(number: int, severity: Severity, title: str, why: str, fix: str, source: str = "") -> Rule:
    return Rule(f"KC-CFG-{number:03}", severity, title, why, fix, source)


IDENTITY_WRITES = _rule(
    1,
    Severity.CRITICAL,
    "a resource that must be encrypted is stored in plaintext: identity is its first provider",
    "The first provider writes; the others only read. With identity first every new value is plaintext, whatever "
    "stands below. kube-apiserver accepts it without a warning, and so do most scanners.",
    "put an encrypting provider first, on every API server and in a safe order: keyctl enable",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig: the write transformer is the first",
)
UNCOVERED = _rule(
    2,
    Severity.CRITICAL,
    "a resource that must be encrypted is covered by no entry",
    "What no entry names, by itself or by a wildcard, is stored in plaintext.",
    "add an entry for it, on every API server and in a safe order: keyctl enable",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig, transformerFromOverrides",
)
UNKNOWN_RESOURCE = _rule(
    3,
    Severity.HIGH,
    "a resource name that no API has",
    "kube-apiserver does not compare the names with what it serves. A typo, a singular or a missing group is accepted, "
    "encrypts nothing, and what was meant stays in plaintext.",
    "write the name as kubectl api-resources prints it: plural, and with its group",
)
OTHER_BYTES = _rule(
    4,
    Severity.HIGH,
    "one key name stands for different key bytes",
    "A stored value names its key, and here the name does not tell which. The keys are tried in turn: reads cost more, "
    "and with aescbc the wrong key now and then yields garbage instead of an error.",
    "rewrite the values under a key with a new name, then remove these: keyctl rotate",
)
KEY_TWICE = _rule(
    5,
    Severity.LOW,
    "a key stands twice in one entry",
    "The second is never reached. It is mostly left over from a rotation by hand, and one of two is easily forgotten "
    "when the key has to go.",
    "keep the first of them",
)
PLAINTEXT_ENTRY = _rule(
    6,
    Severity.LOW,
    "an entry that stores its resources in plaintext",
    "identity first is how a resource is exempted from a later wildcard, or what a forgotten change has left. These "
    "resources need not be encrypted by the policy; say if they should.",
    "put an encrypting provider first if it was not meant: keyctl enable --resources NAME",
)
SHADOWED = _rule(
    7,
    Severity.MEDIUM,
    "a resource stands in two entries: the later one writes nothing",
    "The provider lists of all entries that name a resource are joined in the order of the file. The first entry's "
    "first provider writes; the later entry's providers only read, also the one that stands first there.",
    "name the resource in one entry only",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig: lists of one resource are appended",
)
LEGACY_KIND = _rule(
    8,
    Severity.LOW,
    "the kind from before Kubernetes 1.13",
    "v1, EncryptionConfig is still read as an alias. Tools that look for EncryptionConfiguration do not see the file.",
    "keyctl config migrate FILE --write",
)
OTHER_DOCUMENTS = _rule(
    9,
    Severity.HIGH,
    "more documents follow, and nobody reads them",
    "kube-apiserver reads the first YAML document of the file and drops the rest without a word, broken or not. An "
    "entry behind a line of three dashes encrypts nothing.",
    "move what is meant into the first document, and delete the rest",
)
IGNORED_FIELD = _rule(
    10,
    Severity.HIGH,
    "an unknown field, which this version ignores",
    "Kubernetes before 1.31 passes over fields that do not exist; what was meant has no effect, and the upgrade to "
    "1.31 stops the API server.",
    "move the field to where it belongs, or delete it",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))


def advice(decoded: Decoded, *, required: tuple[str, ...] = ("secrets",)) -> tuple[Finding, ...]:
    """The failed checks; empty when nothing is wrong with the file.

    `required` are the resources that must be encrypted.
    """
    checks = _Checks(decoded, required)
    return (*checks.document(), *checks.coverage(), *checks.names(), *checks.repeated_keys())


class _Checks:
    def __init__(self, decoded: Decoded, required: tuple[str, ...]) -> None:
        self._decoded, self._config, self._raw = decoded, decoded.config, decoded.raw
        self._required = required

    def document(self) -> Iterator[Finding]:
        root = self._decoded.document.root
        if isinstance(root, Mapping):
            for key, value in root.items:
                if (key.text, getattr(value, "text", "")) == ("kind", LEGACY[1]):
                    yield LEGACY_KIND.finding(LEGACY_KIND.title, location=self._at(value.span))
        if self._decoded.document.others:
            yield OTHER_DOCUMENTS.finding(OTHER_DOCUMENTS.title, location=Location(file=self._decoded.document.name))
        for one in self._decoded.ignored:
            place = Location(file=self._decoded.document.name, line=one.line, column=one.column)
            yield IGNORED_FIELD.finding(one.message, location=place, fix=one.hint)

    def coverage(self) -> Iterator[Finding]:
        told: set[int] = set()
        for resource in self._all_required():
            covering = covering_entries(self._config, resource)
            if not covering:
                place = self._at((self._raw.entry_list or self._raw).span)
                yield UNCOVERED.finding(f"no entry covers {resource}: stored in plaintext", location=place)
            elif isinstance(writer(self._config, resource), IdentityReader):
                told.add(covering[0])
                message = f"identity is the first provider of resources[{covering[0]}]: {resource} stored in plaintext"
                yield IDENTITY_WRITES.finding(message, location=self._first_provider(covering[0]))
        for index, entry in enumerate(self._config.entries):
            if index not in told and entry.providers[0].provider is Provider.IDENTITY:
                message = f"identity is the first provider of resources[{index}]: what it names is stored in plaintext"
                yield PLAINTEXT_ENTRY.finding(message, location=self._first_provider(index))

    def _all_required(self) -> tuple[str, ...]:
        """The required resources; behind a wildcard also what the file exempts from it by naming it."""
        wildcards = {one for one in map(GroupResource.parse, self._required) if one.is_wildcard}
        exempt = (
            text
            for text in named_resources(self._config)
            if wildcards & {GroupResource("*", GroupResource.parse(text).group), ANYTHING}
        )
        return tuple(dict.fromkeys((*self._required, *exempt)))

    def names(self) -> Iterator[Finding]:
        first: dict[GroupResource, int] = {}
        for i, entry in enumerate(self._raw.entries):
            for j, item in enumerate(entry.resources):
                guess = unknown_resource(item.text)
                if guess is not None:
                    message = f'"{shown_name(item.text)}" encrypts nothing: {guess.reason}'
                    yield UNKNOWN_RESOURCE.finding(message, location=self._at(item.span), fix=guess.fix)
                before = first.setdefault(GroupResource.parse(item.text), i)
                if before != i:
                    message = (
                        f"resources[{i}].resources[{j}] stands in resources[{before}] too, whose first provider writes"
                    )
                    yield SHADOWED.finding(message, location=self._at(item.span))

    def repeated_keys(self) -> Iterator[Finding]:
        bytes_of: dict[KeyRef, bytes] = {}
        told: set[KeyRef] = set()
        for i, entry in enumerate(self._raw.entries):
            here: set[KeyRef] = set()
            for j, provider in enumerate(entry.providers):
                for k, raw in enumerate(provider.keys):
                    reader = self._config.entries[i].providers[j].readers[k]
                    if not isinstance(reader, StaticReader):
                        continue
                    ref, place = reader.ref, self._at(raw.node.span)
                    if bytes_of.setdefault(ref, reader.key.material) != reader.key.material and ref not in told:
                        told.add(ref)
                        message = "stands for different keys in this file: values do not tell which they need"
                        yield OTHER_BYTES.finding(f"{shown_ref(ref)} {message}", location=place)
                    elif ref in here and ref not in told:
                        yield KEY_TWICE.finding(
                            f"{shown_ref(ref)} stands more than once in resources[{i}]", location=place
                        )
                    here.add(ref)

    def _first_provider(self, entry: int) -> Location:
        return self._at(self._raw.entries[entry].providers[0].node.span)

    def _at(self, span: Span) -> Location:
        return Location(file=self._decoded.document.name, line=span.line, column=span.column)
