"""The rules by which kube-apiserver refuses an EncryptionConfiguration: their texts. `fields` and `rules` apply them.

A refused file stops an API server that starts with it; one that runs and reloads keeps what it had loaded.
"""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_DECODER = "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig, loadConfig; apimachinery's strict decoder"
_VALIDATION = "k8s.io/apiserver v0.37 pkg/apis/apiserver/validation/validation_encryption.go"
_BUILDING = (
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig/config.go, getTransformerOverridesAndKMSPluginProbes"
)


def _rule(number: int, title: str, why: str, fix: str, source: str = _VALIDATION) -> Rule:
    return Rule(f"KC-CFG-{number}", Severity.CRITICAL, title, why, fix, source)


EMPTY = _rule(
    101,
    "the file holds no document",
    "kube-apiserver takes an empty file, or one of comments only, for a mistake and does not start.",
    "write a whole document: keyctl config new FILE makes one",
    _DECODER,
)
FIRST_DOCUMENT = _rule(
    102,
    "the first document of the file is empty",
    "kube-apiserver reads the first YAML document only and never looks at what follows it. A file that starts with "
    "two lines of dashes, or with a document that is null, therefore has no configuration.",
    "delete the first --- line",
    _DECODER,
)
NOT_YAML = _rule(
    103,
    "the file is not YAML",
    "The parser stopped at this place: an indentation that fits nothing, a tab where only spaces may indent, a quote "
    "that is not closed, a colon inside a plain word. Go's parser and the one keyctl uses are of one descent and stop "
    "at the same places.",
    "correct the indentation or the quotes there, or see what keyctl makes of it: keyctl config fix FILE",
    _DECODER,
)
NOT_JSON = _rule(
    104,
    "the file starts with a brace and is not JSON",
    "Kubernetes takes a file whose first character is a brace for JSON and for nothing else. JSON knows no comments, "
    "no trailing commas and no bare words.",
    "correct the JSON, or write block-style YAML",
    _DECODER,
)
NOT_UTF8 = _rule(
    105,
    "the file is not UTF-8",
    "One byte that is no UTF-8, in a comment too, and the YAML parser of kube-apiserver refuses the whole file.",
    "save the file as UTF-8",
    _DECODER,
)
CONTROL_CHARACTER = _rule(
    106,
    "a control character in the file",
    "YAML allows no control characters but tab and line breaks. They mostly come from copying out of a terminal or a "
    "web page.",
    "delete the character",
    _DECODER,
)
TEMPLATE = _rule(
    107,
    "an unrendered template",
    "Nobody renders templates in this file: to YAML two braces are a mapping whose field name is a mapping, and the "
    "file is refused.",
    "render the template first (helm template, jinja), and give kube-apiserver the result",
    _DECODER,
)
FIELD_TWICE = _rule(
    108,
    "a field stands twice in one mapping",
    "kube-apiserver 1.31 and newer refuse the file. Older ones took the last and dropped the first without a word: a "
    "second `keys:` or `resources:` block made the first one disappear.",
    "delete one of the two, or make them two elements of a list",
    _DECODER,
)
LOOSE_ALIAS = _rule(
    109,
    "an alias without an anchor before it",
    "A name after an asterisk stands for the value that was marked with the same name and an ampersand earlier in the "
    "file. There is no such value. A resource name that starts with an asterisk needs quotes.",
    "put '*.' or '*.*' in quotes, or write the value out",
    _DECODER,
)
FIELD_NOT_TEXT = _rule(
    110,
    "a field name that is a list or a mapping",
    "Field names are words. This one is a list or a mapping, mostly because of a bracket or brace that was meant to be "
    "text.",
    "write a plain name before the colon, or put the text in quotes",
    _DECODER,
)
KIND = _rule(
    111,
    "not an EncryptionConfiguration",
    "kube-apiserver reads apiserver.config.k8s.io/v1 with kind EncryptionConfiguration, and the pair from before "
    "Kubernetes 1.13, v1 with kind EncryptionConfig. Any other pair, also one half of each, is refused.",
    'write "apiVersion: apiserver.config.k8s.io/v1" and "kind: EncryptionConfiguration"',
    "k8s.io/apiserver v0.37 pkg/apis/apiserver/v1/register.go",
)
UNKNOWN_FIELD = _rule(
    112,
    "a field that does not exist at this place",
    "kube-apiserver 1.31 and newer refuse the whole file for it. Older ones ignored the field: a `secret` at the wrong "
    "indentation was no secret, a `providers` at the wrong one no provider. Case matters.",
    "move it to where it belongs (keyctl config fix FILE shows how), or delete it",
    _DECODER,
)
WRONG_TYPE = _rule(
    113,
    "a value of the wrong type",
    "The field takes text, a list or a mapping and got something else, and the whole file is refused. To Go an "
    "unquoted number, yes, no, on, off, y or n is no text; `resources: secrets` is no list.",
    "put text in quotes, start each element of a list with a dash",
    _DECODER,
)
NO_ENTRY = _rule(
    120,
    "no entry under resources",
    "A configuration without an entry encrypts nothing and is refused.",
    "add an entry with resources and providers",
)
EMPTY_LIST = _rule(
    121,
    "an entry without resources or without providers",
    "Each entry says which resources go through which providers; neither list may be empty or missing.",
    "name a resource (secrets) and a provider",
)
CAPITALS = _rule(
    122,
    "capital letters in a resource name",
    "Resource names are the lower-case plurals of the API's paths, not kinds: secrets, not Secret.",
    "write the name as kubectl api-resources prints it",
)
BARE_STAR = _rule(
    123,
    "a bare asterisk as a resource",
    "An asterisk alone does not say of which group: '*.' is everything in the core group, '*.apps' everything in apps, "
    "'*.*' everything.",
    "write '*.*' for everything, '*.' for the core group",
)
NOT_REST = _rule(
    124,
    "a resource without a REST API",
    "The API server keeps these for itself and writes them past the encryption.",
    "delete the line",
)
GROUP_WITHOUT_STORAGE = _rule(
    125,
    "a group under which nothing is stored",
    "Events of both event groups are stored as the core resource events, and the group extensions is gone: a line that "
    "names them would encrypt nothing.",
    "write events, or the group that has the resource today",
)
STAR_GROUP = _rule(
    126,
    "one resource across all groups",
    "A name before '.*' is no wildcard that kube-apiserver knows: wildcards are '*.<group>' and '*.*'.",
    "name each group, or write '*.*' for everything",
)
DUPLICATE = _rule(
    127,
    "a resource twice in one list",
    "`secrets` and `secrets.` are one resource too.",
    "delete one of the two lines",
)
OVERLAP = _rule(
    128,
    "a wildcard beside what it covers",
    "Within one list a resource must be named once only, by itself or by one wildcard.",
    "delete what the wildcard covers, or put it into an entry of its own before this one",
)
MASKED = _rule(
    129,
    "a resource behind an earlier wildcard that covers it",
    "kube-apiserver wants exact names before the wildcards that cover them, and refuses the file where one comes "
    "after: what stands first in the file should be what counts.",
    "move the entry with the exact name before the one with the wildcard",
    _BUILDING,
)
NO_PROVIDER = _rule(
    130,
    "an element of providers that names no provider",
    "To Go `identity:` without braces is a field that is not set, so the element holds nothing.",
    'write "identity: {}" with the braces, or one of aescbc, aesgcm, secretbox, kms',
)
SEVERAL_PROVIDERS = _rule(
    131,
    "several providers in one element",
    "Each element of providers is one provider: the order of the elements decides what writes and what only reads.",
    "start each provider with a dash of its own",
)
NO_KEY = _rule(132, "a provider without a key", "There is nothing to encrypt with.", "add a key with name and secret")
NO_NAME = _rule(
    133,
    "a key without a name",
    "Every stored value begins with the name of its key; without one it could not be found again.",
    "give the key a name that was never used before",
)
NO_SECRET = _rule(
    134,
    "a key without a secret",
    "The secret holds the key's bytes as base64. It is often there, at the wrong indentation.",
    "put it under its key (keyctl config fix FILE), or let keyctl make one: keyctl config fix FILE --generate NAME",
)
NOT_BASE64 = _rule(
    135,
    "a secret that is not base64",
    "The secret must be the padded base64, of the standard alphabet, of the key's bytes. Placeholders, variables and "
    "templates are filled in by nobody; base64 for URLs and raw text are refused.",
    "write the base64 of the key, in one line: keyctl config fix FILE --supply NAME=KEYFILE, or --generate NAME",
)
KEY_LENGTH = _rule(
    136,
    "a key of the wrong length",
    "Decoded, aescbc and aesgcm take 16, 24 or 32 bytes, secretbox 32. A text that was encoded twice decodes to more "
    "bytes than the key has; one that was not encoded at all to fewer.",
    "make a new key of 32 bytes: keyctl config fix FILE --generate NAME",
)
KMS_NAME = _rule(
    140,
    "a KMS provider without a name",
    "The name stands before every value it writes.",
    "give it a name that no other KMS provider has",
)
KMS_COLON = _rule(
    141,
    "a colon in the name of a KMS v2 provider",
    "The name ends at the colon in front of each stored value.",
    "use a name without colon",
)
KMS_TIMEOUT = _rule(
    142,
    "a KMS timeout that is no positive duration",
    "The timeout is a duration as Go writes it and must be more than nothing.",
    'write "timeout: 3s", or delete it: three seconds are the default',
)
KMS_ENDPOINT = _rule(
    143,
    "a KMS endpoint that is no Unix socket",
    "kube-apiserver speaks with a KMS plugin over a Unix socket on its own machine only.",
    "write unix:///path/of/the.sock",
)
KMS_CACHE = _rule(
    144,
    "a cachesize that KMS does not take",
    "cachesize exists for KMS v1 only and is never 0: a negative one switches the cache off.",
    "delete cachesize",
)
KMS_VERSION = _rule(145, "a KMS version other than v1 and v2", "There are two.", 'write "apiVersion: v2"')
KMS_NAME_TWICE = _rule(
    146,
    "a KMS provider name that stands twice",
    "Two entries cannot share one KMS v2 provider by its name, and a v2 name must differ from every v1 name.",
    "give each KMS provider its own name, or name all its resources in one entry",
)
KMS_V1 = _rule(
    147,
    "a KMS v1 provider",
    "KMS v1 is deprecated since Kubernetes 1.28 and off since 1.29: without the feature gate KMSv1 the file is not "
    "loaded.",
    'use a v2 plugin and write "apiVersion: v2", or set --feature-gates=KMSv1=true on every API server',
    _BUILDING,
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
