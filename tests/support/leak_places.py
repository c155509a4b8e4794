"""Where the bytes of keys belong. Anywhere else in a run of tests they are a leak.

Each place is as tight as it can be told: the name of the file, what stands right
before the key, and the form it has. What was said, logged and reported, and the
command lines of processes, have no place here.
"""

from __future__ import annotations

from tests.support.leak_search import Place

# What keyctl says has a word of its own in it, and no place for a key.
_REPORT = rb"keyctl/v1"
_WHOLE_FILE = rb'\A(?:\{"material": ")?'

PLACES: tuple[Place, ...] = (
    Place(r"\.key\.json", rb'"material": "', "the files of a key store", private=True),
    Place(
        r"\.(?:ya?ml(?:\.old)?|json|conf|key)",
        rb"secret[\"']?: *[\"']?",
        "encryption configurations",
        never=_REPORT,
    ),
    Place(
        r"/(?:k|k 1|raw|large|KEYFILE|old\.key|key1\.b64)",
        _WHOLE_FILE,
        "files that tests hand to keyctl as a key",
        ("raw", "base64"),
    ),
    Place(
        r"/(?:enc\.yaml|this cluster/journal\.jsonl)",
        rb'(?:the old one was |"other": ")',
        "what a test of keyctl doctor has planted",
        ("hex",),
    ),
    Place(
        r"/(?:enc\.yaml|this cluster/journal\.jsonl)",
        rb'(?:the old one was [0-9a-f]{64} |"note": ")',
        "what a test of keyctl doctor has planted",
    ),
    Place(
        r"/test_no_command_shows_a_key_th\d+/enc\.yaml",
        rb'"name": "',
        "a key in the place of a name, in a test that no command shows it",
        ("base64", "hex"),
    ),
    Place(
        r"/my enc\.yaml",
        rb"secret: ",
        "tests of a secret in hexadecimal digits, or encoded once too often",
        ("hex", "base64 of base64 after 0 other bytes"),
    ),
)
