"""What keyctl refuses although kube-apiserver might take it, each as a rule with a name: their texts.

Forms that two parsers could read differently, or that nobody writes. A file that is refused by one of these is
not judged: keyctl then does not say what the server would make of it.
"""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_PARSERS = "sigs.k8s.io/yaml and goyaml beside libyaml, compared on the same documents"


def _rule(number: int, title: str, why: str, fix: str, source: str = _PARSERS) -> Rule:
    return Rule(f"KC-CFG-{number}", Severity.HIGH, title, why, fix, source)


ENCODING = _rule(
    201,
    "UTF-16, UTF-32, or a NUL byte",
    "kube-apiserver reads UTF-16 with a byte order mark. keyctl reads and edits UTF-8 only, so that what it shows and "
    "what it writes are the bytes you see.",
    "convert it: iconv -f UTF-16 -t UTF-8",
)
LINE_SEPARATOR = _rule(
    202,
    "a line separator that JSON and YAML read differently",
    "U+0085, U+2028 and U+2029 are ordinary characters to JSON and line breaks to YAML.",
    "delete the character, or write it as an escape",
)
DIRECTIVE = _rule(
    203,
    "a YAML directive",
    "Lines that start with a percent sign change how the rest is read. Nobody needs one in this file.",
    "delete the lines that start with %",
)
MANY_ALIASES = _rule(
    204,
    "more than 1,000 values once aliases are expanded",
    "Go's parser limits how far aliases may multiply, by a rule of its own. keyctl stays below it.",
    "write the values out",
)
DEPTH = _rule(
    205,
    "nested more than 50 levels deep",
    "An EncryptionConfiguration has eight levels. What is deeper is a mistake or an attack on the reader.",
    "correct the indentation or the brackets",
)
TAG = _rule(
    206,
    "a YAML tag",
    "Go's parser ignores some tags and decodes others (!!binary turns the text into bytes). keyctl reads !!str, !!map "
    "and !!seq where they fit, and no others.",
    "delete the tag, or put the value in quotes",
)
MERGE_KEY = _rule(
    207,
    "a YAML merge key",
    "A merge key (<<) copies the fields of another mapping. Strict decoding refuses one that overrides a field, and "
    "what it copies cannot be edited safely.",
    "write the fields out",
)
LETTERS = _rule(
    208,
    "a resource name with letters beyond ASCII",
    "kube-apiserver refuses capitals and takes any other letter, but no API has such a resource: it would encrypt "
    "nothing.",
    "write the name as kubectl api-resources prints it",
)
ENDPOINT = _rule(
    209,
    "a KMS endpoint in a form that keyctl does not read",
    "kube-apiserver parses the address as a URL, with escapes, hosts and queries. keyctl reads unix:// and an absolute "
    "path or an abstract socket, without blanks and percent signs.",
    "write unix:///path/of/the.sock",
)
FIELD_TWICE = _rule(
    210,
    "a field stands twice in one mapping (before Kubernetes 1.31)",
    "Kubernetes before 1.31 takes the last of the two and says nothing; newer ones refuse the file. keyctl does not "
    "choose.",
    "delete one of the two",
)
IGNORED_FIELD = _rule(
    211,
    "an unknown field that may not be ignored (before Kubernetes 1.31)",
    "Kubernetes before 1.31 ignores unknown fields, but only when their names and numbers can be turned into JSON; and "
    "it looks for apiVersion and kind without regard to case, so that another spelling may count.",
    "delete the field",
)
JSON_CHARACTERS = _rule(
    212,
    "bytes in JSON that are no UTF-8, or control characters",
    "Go replaces what is no UTF-8 in JSON by a question mark and goes on: the key name in the file and the one in etcd "
    "would differ.",
    "save the file as UTF-8, without control characters",
)
NUMBER = _rule(
    213,
    "a whole number in an unusual spelling",
    "Go reads 0x10, 1_000 and 1e3 as whole numbers too.",
    "write decimal digits only",
)
KMS_V1_NAME = _rule(
    214,
    "a KMS v1 name that stands twice",
    "Without automatic reload kube-apiserver lets KMS v1 names repeat; with it the file is refused. keyctl reads it as "
    "refused.",
    "give each KMS provider its own name",
)
FLOW_COLON = _rule(
    215,
    "a colon at the end of unquoted text in brackets",
    "Before a comma or a bracket, without a blank between, the colon belongs to the text for Go's parser. Others take "
    "it for that of a field, or for a mistake.",
    "put the text in quotes, or a blank behind the colon",
)
ESCAPED_QUOTE = _rule(
    216,
    "a single quote escaped in double quotes",
    "Go's parser takes a backslash and a single quote for the quote; YAML has no such escape.",
    "write the quote without the backslash",
)
BEHIND = _rule(
    217,
    "bytes that are no text, behind the first document",
    "kube-apiserver reads the first document only. How far behind it the parser looks, and stumbles over bytes that "
    "are not UTF-8 or control characters, depends on where they stand.",
    "delete everything from the second --- line on, or save the file as UTF-8",
)
ORDER_MARK = _rule(
    218,
    "a byte order mark inside the text",
    "At the very start it is skipped. Elsewhere Go's parser takes it for a letter or for nothing, depending on the "
    "place, and nobody sees it.",
    "delete the character",
)
NAME_IS_KEY = _rule(
    219,
    "a name that is a key",
    "kube-apiserver takes any text as a name, also the text of a secret, which is easily pasted one line too high. "
    "Every stored value begins with the name of its key, in clear: with such a name the key lies beside all that it "
    "encrypts, and whoever has a copy of etcd's data has it. keyctl does not read the file, for it would show the key.",
    "if the file is not in use yet, give the key a name such as key1; if it is, the key is known to whoever saw the "
    "data: put a new key with another name first on every API server, then rewrite all values and remove this one",
    "k8s.io/apiserver v0.37 pkg/storage/value/encrypt: the prefix of a value has the key's name",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
