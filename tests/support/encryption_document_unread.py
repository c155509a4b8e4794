"""Hand-made encryption configurations that keyctl does not read, whatever kube-apiserver makes of them."""

from __future__ import annotations

import base64

from tests.support.encryption_document_parts import (
    BLOCK,
    HEAD,
    IDENTITY,
    Written,
    entry,
    file,
    keys,
    kms,
    named,
    one_key,
    secret,
    written,
)

_KEY = keys(("key1", secret()))
_JSON = """{"apiVersion": "v1", "kind": "EncryptionConfig",
"resources": [{"resources": ["%s"], "providers": [{"identity": {}}]}]}"""
_V1 = "{kms: {name: a, endpoint: 'unix:///a'}}"

UNREAD: tuple[Written, ...] = (
    written("UTF-16", BLOCK.encode("utf-16"), 201),
    written("a NUL byte", BLOCK + "\0", 201),
    written("a line separator in JSON", _JSON % "a«\u2028", 202),
    written("a YAML directive", "«%YAML 1.1\n---\n" + BLOCK, 203),
    written("a tag directive", "«%TAG !a! tag:a,1:\n---\n" + BLOCK, 203),
    written(
        "more than a thousand values behind aliases",
        file(
            f"- resources: &a [{', '.join(f'r{n}' for n in range(300))}]\n  providers: [{_KEY}]\n",
            *[entry("x", IDENTITY).replace("[x]", "*a")] * 4,
        ).replace("apiV", "«apiV"),
        204,
    ),
    written("more than fifty levels", HEAD + "- " + "[" * 49 + "«" + "[" * 9 + "]" * 58 + "\n", 205),
    written("a tag of one's own", one_key("«!a b"), 206),
    written("a tag that decodes", one_key(text=f"«!!binary {secret()}"), 206),
    written("a tag that does not fit", one_key("«!!int '1'"), 206),
    written("a tag that another parser does not know how to end", one_key("!a«{b c"), 206),
    written(
        "a merge key",
        HEAD + f"- &a {{resources: [secrets], providers: [{_KEY}]}}\n- {{«<<: *a, resources: [configmaps]}}\n",
        207,
    ),
    written(
        "a merge key that copies only", HEAD + f"- resources: [secrets]\n  providers: [{_KEY}]\n  «<<: {{}}\n", 207
    ),
    written("a small letter beyond ASCII in a resource", named("«sécrets"), 208),
    written("a capital beyond ASCII in a resource", named("«Éa"), 208),
    written("an endpoint without a path", kms("apiVersion: v2, name: a, endpoint: «'unix://'"), 209),
    written("an endpoint in capitals", kms("apiVersion: v2, name: a, endpoint: «'UNIX:///a'"), 209),
    written("an endpoint with a bad escape", kms("apiVersion: v2, name: a, endpoint: «'unix:///a%zz'"), 209),
    written(
        "a field that stands twice before 1.31", BLOCK + "«kind: EncryptionConfiguration\n", 210, kubernetes="1.30"
    ),
    written("resources that stands twice before 1.31", BLOCK + "«resources: []\n", 210, kubernetes="1.28"),
    written("an unknown field that is null before 1.31", BLOCK + "«~: a\n", 211, kubernetes="1.30"),
    written("an unknown field of infinite size before 1.31", BLOCK + "«x: .inf\n", 211, kubernetes="1.30"),
    written("the kind in capitals before 1.31", BLOCK.replace("kind:", "«Kind:"), 211, kubernetes="1.30"),
    written("a second version in small letters before 1.31", BLOCK + "«apiversion: v2\n", 211, kubernetes="1.28"),
    written("a byte that is no UTF-8 in JSON", (_JSON % "a«b").encode().replace(b'b"', b'\xe4"'), 212),
    written("a pair of surrogates in JSON", _JSON % "\\u«d83d\\udd11", 212),
    written("a cachesize of base 16", kms("apiVersion: v2, name: a, endpoint: 'unix:///a', cachesize: «0x10"), 213),
    written(
        "a cachesize with an exponent", kms("apiVersion: v2, name: a, endpoint: 'unix:///a', cachesize: «1e3"), 213
    ),
    written(
        "a KMS v1 name that stands twice",
        file(entry("secrets", _V1), entry("configmaps", _V1.replace("name: a", "name: «a"))),
        214,
        kubernetes="1.28",
    ),
    written("a colon before a bracket", named("secrets«:"), 215),
    written("a colon before a comma", named("secrets«:,configmaps"), 215),
    written("an escaped single quote", one_key('"a«\\\'b"'), 216),
    written("a Latin-1 byte in the second document", BLOCK.encode() + b"---\n# \xc2\xab\xe4\n", 217),
    written(
        "a Latin-1 byte behind ..., with CR line breaks",
        BLOCK.replace("\n", "\r").encode() + b"...\r# \xc2\xab\xe4\r",
        217,
    ),
    written("a control character far behind the first document", BLOCK + "---\n" + "# a\n" * 1000 + "«\x01\n", 217),
    written("a byte order mark in a comment", BLOCK + "# «\ufeff\n", 218),
    written("two byte order marks", "\ufeff«\ufeff" + BLOCK, 218),
    written("a key for its own name", one_key("«" + secret()), 219),
    written(
        "another key of the file for a name, in hex digits",
        file(
            entry("configmaps", keys(("key1", secret()))),
            entry("secrets", keys((f"«'{base64.b64decode(secret()).hex()}'", secret(2)))),
        ),
        219,
    ),
    written(
        "a key for the name of a plugin",
        file(
            entry("configmaps", keys(("key1", secret()))),
            entry("secrets", f"{{kms: {{apiVersion: v2, name: «{secret()}, endpoint: 'unix:///a'}}}}"),
        ),
        219,
    ),
)
