"""Hand-made encryption configurations that kube-apiserver refuses, each with the place of its mistake."""

from __future__ import annotations

import base64

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
_GOOD = entry("secrets", _KEY, IDENTITY)
_V2 = "apiVersion: v2, name: a, endpoint: 'unix:///a.sock'"
_JSON = '{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [%s]}'
_JSON_ENTRY = '{"resources": ["secrets"], "providers": [{"identity": {}}]}'


def _text(secret_text: str, provider: str = "aescbc") -> str:
    """A document whose one secret is `secret_text`, marked as the mistake."""
    return one_key(text="«" + secret_text, provider=provider)


TEXTS = (
    written("an empty file", "", 101),
    written("comments only", "# nothing\n# here\n", 101),
    written("a byte order mark only", "\ufeff", 101),
    written("a leading empty document", "---\n«---\n" + BLOCK, 102),
    written("a document that is null", "«~\n", 102),
    written("a leading document of comments", "---\n# a\n«---\n" + BLOCK, 102),
    written("a tab as indentation", BLOCK.replace("  - secrets", "«\t- secrets"), 103),
    written("an indentation that fits nothing", block_with("        secret", "       «secret"), 103),
    written("a quote that is not closed", BLOCK.replace("- secrets", "- 'secrets") + "«", 103),
    written("a colon inside a plain word", block_with("name: key1", "name: key«: 1"), 103),
    written("a plain word that starts with a percent sign", one_key("«%key"), 103),
    written("an escaped slash in YAML", one_key('«"a\\/b"'), 103),
    written("a question mark in brackets", named("«secrets?"), 103),
    written("a trailing comma in JSON", _JSON % (_JSON_ENTRY + "«,"), 104),
    written("a comment in JSON", "{«# a\n" + (_JSON % _JSON_ENTRY)[1:], 104),
    written("bare words in JSON", "{«apiVersion: v1, kind: EncryptionConfig}\n", 104),
    written("a second document behind JSON", _JSON % _JSON_ENTRY + "\n«---\n", 104),
    written("YAML in braces from its first character", "{" + "«apiVersion: a}", 104),
    written("NaN in JSON", (_JSON % _JSON_ENTRY).replace('"secrets"', "NaN"), 104),
    written("a Latin-1 byte in a comment", b"# k\xc2\xab\xe4se\n" + BLOCK.encode(), 105),
    written("a Latin-1 byte in a file that starts with ---", b"# a\n---\n# k\xc2\xab\xe4se\n" + BLOCK.encode(), 105),
    written("half a character at the end", BLOCK.encode() + b"# \xc2\xab\xf0\x9f", 105),
    written("a terminal's escape sequence", BLOCK.replace("# a", "") + "# «\x1b[0m\n", 106),
    written("a control character behind a line that is no end", "---a«\x01\n" + BLOCK, 106),
    written("a DEL character in a name", one_key('"a«\x7f"'), 106),
    written("an unrendered template", one_key("«{{ .Values.name }}").replace("{«{", "«{{"), 107),
    written("an unrendered template in block style", block_with(f"secret: {secret()}", "secret: «{{ key }}"), 107),
    written("a field that stands twice", BLOCK + "«resources: []\n", 108),
    written(
        "a key that has two secrets",
        block_with("name: key1", f"name: key1\n        secret: {secret(2)}").replace(
            f"        secret: {secret()}", f"        «secret: {secret()}"
        ),
        108,
    ),
    written(
        "a field that stands twice in JSON", (_JSON % _JSON_ENTRY)[:-1] + ', «"kind": "EncryptionConfiguration"}', 108
    ),
    written("a field that stands twice in 1.31", BLOCK + "«kind: EncryptionConfiguration\n", 108, kubernetes="1.37"),
    written("an asterisk without quotes", HEAD + "- resources:\n  - *«.*\n  providers: [identity: {}]\n", 103),
    written("a field without a name", BLOCK + "«: a\n", 103),
    written("a variable in braces", one_key(text="$«{KEY}"), 103),
    written("an alias without an anchor", named("«*a"), 109),
    written("an alias before its anchor", file(entry("«*a", IDENTITY), entry("&a secrets", IDENTITY)), 109),
    written("an anchor that contains itself", HEAD + "- &a [«*a]\n", 109),
    written("a list as a field name", HEAD + "- «[a]: b\n", 110),
    written("a mapping as a field name", HEAD + "- ? «{a: b}\n  : c\n", 110),
)

KINDS = (
    written("another kind", BLOCK.replace("kind: E", "kind: «E").replace("Configuration\n", "Configurations\n"), 111),
    written(
        "the new version with the legacy kind",
        "apiVersion: «apiserver.config.k8s.io/v1\nkind: EncryptionConfig\nresources:\n" + _GOOD,
        111,
    ),
    written(
        "the legacy version with the new kind",
        "apiVersion: «v1\nkind: EncryptionConfiguration\nresources:\n" + _GOOD,
        111,
    ),
    written(
        "a version that was never there",
        BLOCK.replace("apiserver.config.k8s.io/v1", "«apiserver.config.k8s.io/v1beta1"),
        111,
    ),
    written("no kind", "apiVersion: «apiserver.config.k8s.io/v1\nresources:\n" + _GOOD, 111),
    written("no apiVersion", "kind: «EncryptionConfiguration\nresources:\n" + _GOOD, 111),
    written("a kind that is a number", "apiVersion: v1\nkind: «1\nresources:\n" + _GOOD, 111),
    written("neither", "«resources:\n" + _GOOD, 111),
    written(
        "a kind in capitals in 1.37", BLOCK.replace("apiVersion: ", "apiVersion: «").replace("kind:", "Kind:"), 111
    ),
    written("a pod", "apiVersion: v1\nkind: «Pod\nmetadata: {name: a}\n", 111),
    written("a list at the top", "«- a\n", 113),
    written("a text at the top", "«kube\n", 113),
)

FIELDS = (
    written(
        "providers at the indentation of resources",
        BLOCK.replace("  providers:", "«providers:")
        .replace("\n  - aescbc", "\n- aescbc")
        .replace("\n  - identity", "\n- identity"),
        112,
    ),
    written(
        "providers nested under resources",
        HEAD
        + f"- resources:\n  - secrets\n    providers«:\n    - aescbc: {{keys: [{{name: key1, secret: {secret()}}}]}}\n",
        103,
    ),
    written(
        "providers as an element of resources",
        HEAD
        + f"- resources:\n  - secrets\n  - «providers:\n    - aescbc: {{keys: [{{name: key1, secret: {secret()}}}]}}\n",
        113,
    ),
    written("keys beside aescbc", BLOCK.replace("      keys:", "    «keys:"), 112),
    written(
        "a secret beside its keys", BLOCK.replace(f"        secret: {secret()}", f"      «secret: {secret()}"), 112
    ),
    written(
        "a secret in an element of its own",
        BLOCK.replace("        secret: ", "      - secret: «")
        .replace("- secret: «", "- secret: ")
        .replace("      - name", "      - «name"),
        134,
        133,
    ),
    written(
        "a name beside its keys",
        BLOCK.replace("      - name: key1\n        secret", "      - secret").replace(
            "      keys:", "      «name: key1\n      keys:"
        ),
        112,
    ),
    written("a provider in another case", BLOCK.replace("- aescbc:", "- «aesCBC:"), 112),
    written("resources in another case", BLOCK.replace("\nresources:", "\n«Resources:"), 112),
    written("a metadata block", BLOCK + "«metadata: {name: a}\n", 112),
    written("a field of its own for anchors", "«x-anchors: [&a a]\n" + BLOCK, 112),
    written("a field whose name is a number", BLOCK + "«1: a\n", 112),
    written("something inside identity", file(entry("secrets", "{identity: {«a: b}}")), 112),
    written(
        "an unknown field in JSON", _JSON % _JSON_ENTRY.replace('"providers"', '«"provider": [], "providers"'), 112
    ),
    written("resources that is a text", HEAD + "- resources: «secrets\n  providers: [identity: {}]\n", 113),
    written("resources that is a mapping", "apiVersion: v1\nkind: EncryptionConfig\nresources: «{}\n", 113),
    written(
        "keys that is a mapping", file(entry("secrets", f"{{aescbc: {{keys: «{{name: a, secret: {secret()}}}}}}}")), 113
    ),
    written("identity that is a list", file(entry("secrets", "{identity: «[]}")), 113),
    written("identity that is true", file(entry("secrets", "{identity: «true}")), 113),
    written("an element that is a text", file(entry("secrets", "«identity")), 113),
    *(
        written(f"a name that is {text}", one_key("«" + text), 113)
        for text in ("1", "20261121", "1e3", "0x1f", "12_30", "0644", "0o17", "0b11", ".5", "5.", "+.inf", ".nan")
    ),
    *(written(f"a name that is {text}", one_key("«" + text), 113) for text in ("yes", "on", "n", "y", "No", "True")),
    written("a name that is a list", one_key("«[a]"), 113),
    written("a secret of digits without quotes", _text("1234567890123456"), 113),
    written("a timeout that is a number", kms(_V2 + ", timeout: «3"), 113),
    written("a cachesize in quotes", kms(_V2 + ", cachesize: «'5'"), 113),
    written("a cachesize beyond 32 bits", kms(_V2 + ", cachesize: «2147483648"), 113),
    written("a cachesize with a fraction", kms(_V2 + ", cachesize: «true"), 113),
    written("a wrong type before 1.31", one_key("«1"), 113, kubernetes="1.30"),
)

LISTS = (
    written("no entry", "«" + HEAD + "  []\n", 120),
    written("resources that is null", "«" + HEAD, 120),
    written("a file without resources", "«apiVersion: v1\nkind: EncryptionConfig\n", 120),
    written("an entry without resources", HEAD + "- «providers: [{identity: {}}]\n", 121),
    written("an entry without providers", HEAD + "- «resources: [secrets]\n", 121),
    written("an entry that is null", HEAD + "- «null\n", 121),
    written("an entry with empty lists", HEAD + "- «{resources: [], providers: []}\n", 121),
    written("capitals in a resource", named("«Secrets"), 122),
    written("a kind for a resource", named("configmaps, «ConfigMap"), 122),
    written("a bare asterisk", named("«'*'"), 123),
    written("serviceipallocations", named("«serviceipallocations"), 124),
    written(
        "servicenodeportallocations and apiserveripinfo", named("«servicenodeportallocations, apiserveripinfo"), 124
    ),
    written("events.k8s.io", named("«events.events.k8s.io"), 125),
    written("all of events.k8s.io", named("«'*.events.k8s.io'"), 125),
    written("extensions", named("«ingresses.extensions"), 125),
    written("secrets of all groups", named("«'secrets.*'"), 126),
    written("secrets twice in a list", named("secrets, «secrets"), 127),
    written("secrets and secrets. in a list", named("secrets, «secrets."), 127),
    written("'*.' twice in a list", named("'*.', «'*.'"), 127),
    written("a group beside what it covers", named("deployments.apps, «'*.apps'"), 128),
    written("the core group beside secrets", named("«'*.', secrets"), 128),
    written("everything beside secrets", named("secrets, «'*.*'"), 128),
    written(
        "secrets behind the core group with identity, which shadows them",
        file(entry("'*.'", IDENTITY), entry("«secrets", keys(("a", secret()), provider="secretbox"))),
        129,
    ),
    written("a group behind everything", file(entry("'*.*'", _KEY), entry("«'*.apps'", _KEY)), 129),
    written("a wildcard twice", file(entry("'*.apps'", _KEY), entry("«'*.apps'", _KEY)), 129),
    written(
        "a masked resource before 1.31", file(entry("'*.*'", _KEY), entry("«secrets", _KEY)), 129, kubernetes="1.28"
    ),
)

PROVIDERS = (
    written("identity without braces", BLOCK.replace("- identity: {}", "- «identity:"), 130),
    written("an element without a provider", file(entry("secrets", "«{}")), 130),
    written("an element that is null", file(entry("secrets", _KEY, "«null")), 130),
    written(
        "two providers in one element", block_with("  - identity", "    identity").replace("- aescbc", "- «aescbc"), 131
    ),
    written("a provider without a key", file(entry("secrets", "«{aescbc: {keys: []}}")), 132),
    written("a provider without keys", file(entry("secrets", "«{secretbox: {}}")), 132),
    written("a key without a name", file(entry("secrets", f"{{aescbc: {{keys: [«{{secret: {secret()}}}]}}}}")), 133),
    written("a name that is null", one_key("«~"), 133),
    written("a name that is null in the other spelling", one_key("«Null"), 133),
    written("a name of nothing", one_key("«''"), 133),
    written("a key without a secret", file(entry("secrets", "{aescbc: {keys: [«{name: a}]}}")), 134),
    written("a secret that is null", _text("null"), 134),
    written("a variable for a secret", block_with(secret(), "«${ENCRYPTION_KEY}"), 135),
    written("a placeholder for a secret", _text("<BASE 64 ENCODED SECRET>"), 135),
    written("base64 for URLs", _text("_-" * 21 + "_="), 135),
    written("base64 without padding", _text(secret()[:-1]), 135),
    written("base64 with a blank behind", _text(f"'{secret()} '"), 135),
    written("too much padding", _text(f"{secret()}="), 135),
    written("a padding that nothing needs", _text(f"{secret(1, 24)}="), 135),
    written("a raw text of 32 characters", _text("this-is-32-bytes-of-plain-text!!"), 135),
    written("a secret tagged as what it is", _text("!!str a"), 135),
    written("a key that was encoded twice", _text(base64.b64encode(secret().encode()).decode()), 136),
    written("a key that was not encoded", _text("this/is/32/bytes/of/plain/text//", "secretbox"), 136),
    written("28 bytes for aescbc", _text(secret(1, 28)), 136),
    written("16 bytes for secretbox", _text(secret(1, 16), "secretbox"), 136),
    written("33 bytes for aesgcm", _text(secret(1, 33), "aesgcm"), 136),
    written("line breaks for a secret", _text('"\\n"'), 136),
    written("a wrong length before 1.31", _text(secret(1, 31)), 136, kubernetes="1.30"),
)

KMS = (
    written("KMS without a name", file(entry("secrets", "{kms: «{apiVersion: v2, endpoint: 'unix:///a'}}")), 140),
    written("a colon in the name of KMS v2", kms("apiVersion: v2, name: «'a:b', endpoint: 'unix:///a'"), 141),
    *(
        written(f"a KMS timeout of {text}", kms(f"{_V2}, timeout: «{text}"), 142)
        for text in ("0s", "'0'", "-3s", "0.1ns", "'3'", "1d", "9999999999999h", "''", "1e3s", ".s")
    ),
    written("KMS without an endpoint", file(entry("secrets", "{kms: «{apiVersion: v2, name: a}}")), 143),
    written("KMS over TCP", kms("apiVersion: v2, name: a, endpoint: «'tcp:///a'"), 143),
    written("a path for an endpoint", kms("apiVersion: v2, name: a, endpoint: «/run/kms.sock"), 143),
    written("a cachesize for KMS v2", file(entry("secrets", f"{{kms: «{{{_V2}, cachesize: 5}}}}")), 144),
    written(
        "a cachesize of 0",
        file(entry("secrets", "{kms: «{name: a, endpoint: 'unix:///a', cachesize: 0}}")),
        144,
        kubernetes="1.28",
    ),
    written("KMS v3", kms("apiVersion: «v3, name: a, endpoint: 'unix:///a'"), 145),
    written(
        "a KMS v2 name in two entries",
        file(
            entry("secrets", f"{{kms: {{{_V2}}}}}"),
            entry("configmaps", f"{{kms: {{{_V2.replace('name: a', 'name: «a')}}}}}"),
        ),
        146,
    ),
    written(
        "a KMS v2 name that a v1 provider has",
        file(
            entry(
                "secrets",
                "{kms: {name: a, endpoint: 'unix:///a'}}",
                f"{{kms: {{{_V2.replace('name: a', 'name: «a')}}}}}",
            )
        ),
        146,
        kubernetes="1.28",
    ),
    written("KMS v1", file(entry("secrets", "{kms: «{name: a, endpoint: 'unix:///a'}}")), 147),
    written(
        "KMS v1 by name",
        file(entry("secrets", "{kms: «{apiVersion: v1, name: a, endpoint: 'unix:///a'}}")),
        147,
        kubernetes="1.30",
    ),
    written(
        "KMS v1 in 1.28 with its gate closed",
        file(entry("secrets", "{kms: «{name: a, endpoint: 'unix:///a'}}")),
        147,
        kubernetes="1.28",
        kms_v1=False,
    ),
)

REFUSED: tuple[Written, ...] = (*TEXTS, *KINDS, *FIELDS, *LISTS, *PROVIDERS, *KMS)
