"""Hand-made encryption configurations that kube-apiserver accepts: good ones in many forms, and wrong ones."""

from __future__ import annotations

import json

from tests.support.encryption_document_parts import (
    BLOCK,
    HEAD,
    IDENTITY,
    Written,
    block_with,
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
_V2 = "apiVersion: v2, name: a, endpoint: 'unix:///a.sock'"
_V1 = "name: 'a:b', endpoint: 'unix:///a.sock'"
_LEGACY = "apiVersion: v1\nkind: «EncryptionConfig\nresources:\n"
_TREE = {
    "kind": "EncryptionConfiguration",
    "apiVersion": "apiserver.config.k8s.io/v1",
    "resources": [
        {
            "resources": ["secrets"],
            "providers": [{"aescbc": {"keys": [{"name": "aescbckey", "secret": secret()}]}}, {"identity": {}}],
        }
    ],
}
_TRAILING_BITS = secret(1, 16)[:-3] + "x=="
_FOLDED = f"{secret()[:20]}\n          {secret()[20:]}"
_WIDE = f"""\
{HEAD}    - resources:
          - secrets
      providers:
          -   aescbc:
                  keys:
                      - name: key1
                        secret: {secret()}
          -   identity: {{}}
"""

FORMS = (
    written("block style", BLOCK),
    written("flow style inside", file(entry("secrets", _KEY, IDENTITY))),
    written(
        "flow style but for the first line",
        BLOCK.split("resources:")[0] + f"resources: [{{resources: [secrets], providers: [{_KEY}]}}]\n",
    ),
    written("JSON of many lines", json.dumps(_TREE, indent=2)),
    written("JSON in one line, as K3s writes it", json.dumps(_TREE, separators=(",", ":"))),
    written("JSON behind blank lines", "\n \n" + json.dumps(_TREE)),
    written("JSON indented by tabs", json.dumps(_TREE, indent="\t")),
    written("JSON with escapes in names", json.dumps(_TREE).replace("aescbckey", "\\u0061\\/b")),
    written("a byte order mark", "\ufeff" + BLOCK),
    written("CRLF line breaks", BLOCK.replace("\n", "\r\n")),
    written("CR line breaks", BLOCK.replace("\n", "\r").encode()),
    written("no line break at the end", BLOCK.rstrip("\n")),
    written("--- first", "---\n" + BLOCK),
    written("comments before ---", "# a\n\n--- # b\n" + BLOCK),
    written("... last", BLOCK + "...\n# and a comment\n"),
    written("comments everywhere", "# a\n" + BLOCK.replace("\n", " # c\n# - d: {\n")),
    written("a tab behind a colon", block_with("name: key1", "name:\tkey1\t")),
    written("lists indented by four", _WIDE),
    written("anchors and aliases between entries", file(entry("secrets", f"&p {_KEY}"), entry("configmaps", "*p"))),
    written(
        "an anchor defined anew, inside another of its name",
        file(f"- resources: &a [«&a secrets, pods]\n  providers: [{_KEY}]\n", entry("*a", keys(("b", secret(2))))),
        7,
    ),
    written(
        "!!str, !!seq and !!map tags", HEAD + f"- !!map {{resources: !!seq [!!str secrets], providers: [{_KEY}]}}\n"
    ),
    written("fields in another order", file(f"- providers: [{_KEY}]\n  resources: [secrets]\n")),
    written("fields that are null", BLOCK.replace("  - identity: {}", "  - {identity: {}, kms: null, aesgcm: ~}")),
    written("quoted field names", BLOCK.replace("providers:", "'providers':").replace("secret: ", '"secret": ')),
    written("a secret in a literal block", block_with(secret(), f"|\n          {_FOLDED}")),
    written(
        "a secret in a folded block without its last line break", block_with(secret(), f">-\n          {secret()}")
    ),
    written("line breaks inside a quoted secret", one_key(text=f'"{secret()[:20]}\\r\\n{secret()[20:]}\\n"')),
    written("trailing bits of base64 that are not zero", one_key(text=_TRAILING_BITS)),
    written(
        "keys of 16 and 24 bytes",
        file(entry("secrets", keys(("a", secret(1, 16)), ("b", secret(2, 24)), provider="aesgcm"))),
    ),
    written("secretbox", one_key(provider="secretbox")),
    written("a quoted name of digits", one_key("'20261121'")),
    written("a date as a name", one_key("2026-11-21")),
    written("a timestamp as a name", one_key("2026-11-21T10:00:00Z")),
    written("a time as a name", one_key("12:30")),
    written("a number that is out of range as a name", one_key("1e999")),
    written("a base-16 number that is none", one_key("0xg")),
    written("a tagged number as a name", one_key("!!str 1")),
    written("a colon in a key's name", one_key("a:b")),
    written("a line break in a key's name", one_key('"a\\nb"')),
    written("a name of a key beyond ASCII", one_key("ключ")),
    written(
        "the name of a key has a prefix that is a name too",
        file(entry("secrets", keys(("a", secret()), ("a:b", secret(2))))),
    ),
    written(
        "the first group spelt as nothing",
        "apiVersion: /v1\nkind: «EncryptionConfig\nresources:\n" + entry("secrets", _KEY),
        8,
    ),
)

PROVIDERS = (
    written(
        "two keys, one provider of each kind",
        file(
            entry(
                "secrets",
                keys(("a", secret()), ("b", secret(2))),
                keys(("a", secret(3)), provider="aesgcm"),
                keys(("a", secret(4)), provider="secretbox"),
                IDENTITY,
            )
        ),
    ),
    written("KMS v2 first", kms(_V2)),
    written("KMS v2 with all kinds of timeouts", kms(_V2 + ", timeout: +1h2m3.5s")),
    written("a timeout that Go rounds up to a nanosecond", kms(_V2 + ", timeout: 0.999999999999999999ns")),
    written("an abstract socket", kms("apiVersion: v2, name: a, endpoint: 'unix:///@kms'")),
    written("an endpoint with a query", kms("apiVersion: v2, name: a, endpoint: 'unix:///a?b#c'")),
    written("KMS v1 where the gate is open", kms(_V1), kms_v1=True),
    written("KMS v1 in 1.28, which still has it", kms(_V1 + ", cachesize: -1"), kubernetes="1.28"),
    written(
        "KMS v1 and v2 with different names",
        file(entry("secrets", f"{{kms: {{{_V2}}}}}", f"{{kms: {{{_V1}}}}}")),
        kubernetes="1.28",
    ),
    written(
        "a secretbox key behind identity in 1.30",
        file(entry("secrets", "«" + IDENTITY, keys(("a", secret()), provider="secretbox"))),
        1,
        kubernetes="1.30",
    ),
)

RESOURCES = (
    written("everything in the core group", named("'*.'")),
    written("everything", named("'*.*'")),
    written("a group, and secrets", named("secrets, '*.apps'")),
    written(
        "exact names before the wildcards that cover them",
        file(
            entry("secrets", _KEY),
            entry("'*.apps'", keys(("b", secret(2)))),
            entry("'*.'", keys(("c", secret(3)))),
            entry("'*.*'", keys(("d", secret(4)))),
        ),
    ),
    written("secrets with a dot behind", named("secrets.")),
    written("custom resources", named("secrets, things.example.com")),
    written(
        "events exempted before everything is encrypted", file(entry("events", "«" + IDENTITY), entry("'*.*'", _KEY)), 6
    ),
    written("a resource that is null", named("secrets, «null"), 3),
    written("a kind's singular", named("«secret"), 3, 2),
    written("a resource with a blank behind", named("«'secrets '"), 3, 2),
    written("secrets in two entries", file(entry("secrets", _KEY), entry("«secrets", keys(("b", secret(2))))), 7),
    written(
        "secrets and secrets. in two entries",
        file(entry("secrets", _KEY), entry("configmaps, «secrets.", keys(("b", secret(2))))),
        7,
    ),
)

WRONG = (
    written("identity first", file(entry("secrets", "«" + IDENTITY, _KEY)), 1),
    written("identity alone", file(entry("secrets", "«" + IDENTITY)), 1),
    written(
        "identity first in the later of two entries", file(entry("secrets", _KEY), entry("«secrets", IDENTITY)), 7, 6
    ),
    written(
        "secrets in plaintext, configmaps not", file(entry("secrets", "«" + IDENTITY), entry("configmaps", _KEY)), 1
    ),
    written("only configmaps", file("«" + entry("configmaps", _KEY)), 2),
    written("a comment names aescbc, the entry identity", file("# aescbc\n" + entry("secrets", "«" + IDENTITY)), 1),
    written(
        "identity first in one line of YAML",
        file("- {resources: [secrets], providers: [«{identity: {}}, " + _KEY + "]}\n"),
        1,
    ),
    written("aesgcm", one_key(provider="aesgcm")),
    written("the legacy kind", _LEGACY + entry("secrets", _KEY), 8),
    written("the legacy kind, as tutorials print it", _LEGACY + BLOCK.removeprefix(HEAD), 8),
    written(
        "one name for two keys of a provider",
        file(
            entry(
                "secrets", f"{{aescbc: {{keys: [{{name: a, secret: {secret()}}}, «{{name: a, secret: {secret(2)}}}]}}}}"
            )
        ),
        4,
    ),
    written(
        "one aescbc name for two keys in two elements",
        file(
            entry(
                "secrets", keys(("a", secret())), f"{{aescbc: {{keys: [«{{name: a, secret: {secret(2)}}}]}}}}", IDENTITY
            )
        ),
        4,
    ),
    written(
        "a key twice in one entry",
        file(
            entry(
                "secrets", f"{{aescbc: {{keys: [{{name: a, secret: {secret()}}}, «{{name: a, secret: {secret()}}}]}}}}"
            )
        ),
        5,
    ),
    written("a second document that would encrypt", file(entry("secrets", "«" + IDENTITY)) + "---\n" + BLOCK, 1, 9),
    written("a second document", BLOCK + "---\n" + BLOCK, 9),
    written("a second document that is broken", BLOCK + "---\n}{: [\n", 9),
    written("a metadata block before 1.31", BLOCK + "«metadata: {name: a}\n", 10, kubernetes="1.30"),
    written(
        "a secret beside aescbc, and one at the right place, before 1.31",
        block_with("  - identity", f"    «secret: {secret(2)}\n  - identity"),
        10,
        kubernetes="1.28",
    ),
    written(
        "an unknown field in another case before 1.31",
        block_with("name: key1", "name: key1\n        «Name: key2"),
        10,
        kubernetes="1.30",
    ),
)

ACCEPTED: tuple[Written, ...] = (*FORMS, *PROVIDERS, *RESOURCES, *WRONG)
