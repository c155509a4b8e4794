"""Inputs made to exhaust a reader, each at most a mebibyte, by name; `python -m tests.fuzz.hostile NAME` reads one.

Those of many parts are smaller: what takes the square of their number takes minutes all the same.

Prints one JSON line: what came of it, or how it was refused. Meant for a process of its own with limits on time
and memory, so that a blow-up there is a failure here.
"""

from __future__ import annotations

import base64
import codecs
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace

from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.judge import judge
from keyctl.encryption_config.model import EncryptionConfig, ProviderElement
from keyctl.encryption_config.repair.masking import masked_diff
from keyctl.encryption_config.repair.repairs import repairs
from keyctl.encryption_config.views.compare import compare
from keyctl.encryption_config.views.explain import explained
from keyctl.errors import KeyctlError
from keyctl.findings import Location
from keyctl.hosts.manifest_repair import repair_manifests
from keyctl.hosts.manifest_rules import judge_manifest
from keyctl.hosts.manifests import add_encryption_flag, go_seconds, read_flags
from tests.fuzz.seeds import API_SERVER

MIB = 1 << 20
HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
NAME = "enc.yaml"
_TAIL = "  providers:\n  - identity: {}\n"


def secret(number: int) -> str:
    """The base64 text of a key of 32 bytes."""
    return base64.b64encode(number.to_bytes(32, "big")).decode()


def _names(names: Iterable[str]) -> str:
    return HEAD + "- resources:\n" + "".join(f"  - '{name}'\n" for name in names) + _TAIL


def _keys(lines: Iterable[str]) -> str:
    return HEAD + "- resources: [secrets]\n  providers:\n  - aescbc:\n      keys:\n" + "".join(lines)


def _with_keys(*, resources: int, keys: int) -> str:
    names = "".join(f"  - r{n}\n" for n in range(resources))
    listed = "".join(f"      - {{name: k{n}, secret: {secret(n)}}}\n" for n in range(keys))
    return f"{HEAD}- resources:\n{names}  providers:\n  - aescbc:\n      keys:\n{listed}"


def _entries(bodies: Iterable[str]) -> str:
    return HEAD + "".join(bodies)


def _fill(piece: str, *, before: str = "", after: str = "") -> str:
    """`piece` as often as fits into a mebibyte."""
    return before + piece * ((MIB - len(before) - len(after)) // len(piece.encode())) + after


def _json_entries(count: int) -> str:
    entry = '{"resources": ["r%d.g"], "providers": [{"identity": {}}]}'
    body = ", ".join(entry % number for number in range(count))
    return (
        '{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [' + body + "]}"
    )


_GOOD = HEAD + "- resources: [secrets]\n" + _TAIL

_TEXTS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "white space": lambda: " \n" * 1000,
    "a null document": lambda: "---\n---\n" + _GOOD,
    "comments": lambda: _fill("# said\n"),
    "comments in a good file": lambda: _fill("# said\n", before=_GOOD),
    "blank lines in a good file": lambda: _fill("\n", before=_GOOD),
    "documents": lambda: _fill("---\n", before=_GOOD),
    "documents with content": lambda: _fill("--- {a: [b]}\n", before=_GOOD),
    # YAML bombs
    "billion laughs": lambda: (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 40))
    ),
    "quadratic aliases": lambda: (
        HEAD
        + f"- resources: &a [{', '.join(f'r{n}' for n in range(5000))}]\n{_TAIL}"
        + f"- resources: *a\n{_TAIL}" * 100
    ),
    "anchors": lambda: HEAD + "- resources:\n" + "".join(f"  - &a{n} r{n}\n" for n in range(15_000)) + _TAIL,
    "aliases": lambda: _fill("  - *a\n", before=HEAD + "- resources:\n  - &a r\n", after=_TAIL),
    "an anchor in itself": lambda: "&a [*a]",
    "one anchor again and again": lambda: HEAD + "- resources:\n" + "  - &a r\n" * 25_000 + _TAIL,
    "a long anchor": lambda: _fill("a", before=HEAD + "- resources: &"),
    "tags": lambda: _fill("  - !!str r\n", before=HEAD + "- resources:\n", after=_TAIL),
    "a long tag": lambda: _fill("a", before=HEAD + "- resources: !<tag:"),
    "directives": lambda: _fill("%TAG !a! tag:a,1:\n"),
    "other directives": lambda: "".join(f"%TAG !a{n}! tag:a,1:\n" for n in range(25_000)),
    "merge keys": lambda: "<<: {a: b}\n" * 80_000,
    # Depth
    "brackets": lambda: "[" * 100_000,
    "brackets and ends": lambda: "[" * 100_000 + "]" * 100_000,
    "brackets on lines": lambda: "[\n" * 100_000,
    "braces": lambda: "{" * 100_000,
    "braces in YAML": lambda: "a: " + "{" * 100_000,
    "flow mappings": lambda: _fill("{a: ", before="x: "),
    "flow mappings on lines": lambda: _fill("{a:\n ", before="x: "),
    "dashes": lambda: _fill("- "),
    "dashes and fields": lambda: _fill("- a: "),
    "question marks": lambda: _fill("? "),
    "block indentation": lambda: "".join(" " * n + "a:\n" for n in range(1400)),
    "block indentation of lists": lambda: "".join(" " * n + "-\n" for n in range(1400)),
    "JSON lists": lambda: '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "JSON mappings": lambda: '{"a": ' * 100_000 + "1" + "}" * 100_000,
    "JSON lists without an end": lambda: '{"a": ' + "[" * 1_000_000,
    # Length
    "one line": lambda: "a" * MIB,
    "one key of a mapping": lambda: "a" * (MIB - 3) + ": b",
    "one quoted line": lambda: '"' + "a" * (MIB - 2) + '"',
    "one quote without an end": lambda: '"' + "a" * (MIB - 1),
    "quotes": lambda: _fill("'"),
    "escapes": lambda: _fill("\\u0041", before=HEAD + '- resources: ["', after='"]\n' + _TAIL),
    "folded lines": lambda: _fill("a\n\n ", before="x: >\n "),
    "a literal block": lambda: _fill(" a\n", before="x: |\n"),
    "a literal block of blanks": lambda: _fill("\n", before="x: |\n"),
    "many lines of one plain text": lambda: _fill(" a\n", before="x: a\n"),
    "colons": lambda: _fill(":"),
    "commas": lambda: _fill(",", before="["),
    "commas between nothing": lambda: "x: [" + "a," * 150_000,
    "blanks": lambda: _fill(" ", before="a"),
    "tabs": lambda: _fill("\t", before="a:"),
    "a long number": lambda: HEAD + "- resources: [" + "9" * 1_000_000 + "]\n" + _TAIL,
    "a long number of base 16": lambda: HEAD + "- resources: [0x" + "f" * 1_000_000 + "]\n" + _TAIL,
    "a long number of base 2": lambda: HEAD + "- resources: [0b" + "1" * 1_000_000 + "]\n" + _TAIL,
    "a long fraction": lambda: HEAD + "- resources: [." + "1_" * 500_000 + "]\n" + _TAIL,
    "a long exponent": lambda: HEAD + "- resources: [1e" + "9" * 1_000_000 + "]\n" + _TAIL,
    "underscores": lambda: HEAD + "- resources: [1" + "_" * 1_000_000 + "]\n" + _TAIL,
    "a long JSON number": lambda: '{"apiVersion": ' + "9" * 1_000_000 + "}",
    "a long cachesize": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n  - kms: {name: a, endpoint: 'unix:///a', cachesize: "
        + "9" * 1_000_000
        + "}\n"
    ),
    # Width
    "a long secret": lambda: _keys([f"      - {{name: a, secret: {'QUFB' * (MIB // 4 - 60)}}}\n"]),
    "a long secret that is no base64": lambda: _keys([f"      - {{name: a, secret: {'QUFB' * 260_000}=Q}}\n"]),
    "a long secret of line breaks": lambda: _keys(['      - {name: a, secret: "' + "\\n" * 520_000 + '"}\n']),
    "keys": lambda: _keys(f"      - {{name: k{n}, secret: {secret(n)}}}\n" for n in range(13_000)),
    "keys of one name": lambda: _keys(f"      - {{name: k, secret: {secret(n)}}}\n" for n in range(13_000)),
    "keys without a secret": lambda: _keys(f"      - {{name: k{n}}}\n" for n in range(15_000)),
    "null keys": lambda: _keys(["      -\n"] * 25_000),
    "entries": lambda: _entries(f"- {{resources: [r{n}], providers: [identity: {{}}]}}\n" for n in range(6_000)),
    "entries in JSON": lambda: _json_entries(5_000),
    "entries of secrets": lambda: _entries(
        ["- {resources: [secrets], providers: [identity: {}]}\n"] * 6_000,
    ),
    "masked entries": lambda: _entries(["- {resources: ['*.*'], providers: [identity: {}]}\n"] * 6_000),
    "entries of one group's wildcard": lambda: _entries(
        f"- {{resources: ['*.g{n}'], providers: [identity: {{}}]}}\n" for n in range(6_000)
    ),
    "null entries": lambda: HEAD + "-\n" * 25_000,
    "providers": lambda: HEAD + "- resources: [secrets]\n  providers:\n" + "  - identity: {}\n" * 5_000,
    "null providers": lambda: HEAD + "- resources: [secrets]\n  providers:\n" + "  -\n" * 25_000,
    "KMS providers": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n"
        + "".join(f"  - kms: {{apiVersion: v2, name: k{n}, endpoint: 'unix:///a'}}\n" for n in range(5_000))
    ),
    "KMS providers of one name": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n"
        + "  - kms: {apiVersion: v2, name: k, endpoint: 'unix:///a'}\n" * 15_000
    ),
    "a long duration": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n"
        + f"  - kms: {{apiVersion: v2, name: k, endpoint: 'unix:///a', timeout: {'1ns' * 300_000}}}\n"
    ),
    "a long duration of digits": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n"
        + f"  - kms: {{apiVersion: v2, name: k, endpoint: 'unix:///a', timeout: {'1' * 1_000_000}.{'1' * 10_000}s}}\n"
    ),
    "no duration": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n"
        + f"  - kms: {{apiVersion: v2, name: k, endpoint: 'unix:///a', timeout: {'1' * 1_000_000}x}}\n"
    ),
    "an endpoint": lambda: (
        HEAD
        + "- resources: [secrets]\n  providers:\n"
        + f"  - kms: {{apiVersion: v2, name: k, endpoint: 'unix:///{'a/' * 500_000}'}}\n"
    ),
    "resources and keys": lambda: (
        _names(f"r{n}" for n in range(6_000)).replace(_TAIL, "")
        + "  providers:\n  - aescbc:\n      keys:\n"
        + "".join(f"      - {{name: k{n}, secret: {secret(n)}}}\n" for n in range(10_000))
    ),
    "resources": lambda: _names(f"r{n}" for n in range(20_000)),
    "resources of groups": lambda: _names(f"r{n}.g{n}" for n in range(15_000)),
    "wildcards of groups": lambda: _names(f"*.g{n}" for n in range(20_000)),
    "wildcards that cover": lambda: _names(name for n in range(10_000) for name in (f"*.g{n}", f"r.g{n}")),
    "one resource again and again": lambda: _names(["secrets"] * 20_000),
    "everything again and again": lambda: _names(["*.*"] * 25_000),
    "everything, then resources": lambda: _names(["*.*", *(f"r{n}" for n in range(20_000))]),
    "capitals": lambda: _names(["Secrets"] * 20_000),
    "a long resource": lambda: _names(["a" * 1_000_000]),
    "a resource of dots": lambda: _names(["." * 1_000_000]),
    "fields that stand twice": lambda: "a: b\n" * 100_000,
    "JSON fields that stand twice": lambda: "{" + ", ".join(['"a": 1'] * 100_000) + "}",
    "unknown fields": lambda: HEAD.replace("resources:\n", "") + "".join(f"a{n}: b\n" for n in range(25_000)),
    "unknown fields of keys": lambda: _keys(f"      - {{nane: k, secert: {secret(1)}}}\n" for _ in range(4_000)),
    "wrong types": lambda: HEAD + "- resources: secrets\n  providers: 1\n" * 10_000,
    "templates": lambda: _fill("{{ a }}\n"),
    "templates as values": lambda: _keys(["      - {name: {{ a }}, secret: {{ b }}}\n"] * 20_000),
}

_BYTES: dict[str, Callable[[], bytes]] = {
    "binary": lambda: bytes(range(256)) * 4096,
    "NUL bytes": lambda: bytes(MIB),
    "a NUL byte at the end": lambda: _GOOD.encode() + b"\0",
    "Latin-1": lambda: (_GOOD + "# \xe4\n").encode("latin-1"),
    "UTF-16": lambda: _GOOD.encode("utf-16"),
    "UTF-16 without a mark": lambda: _GOOD.encode("utf-16-le"),
    "UTF-32": lambda: _GOOD.encode("utf-32"),
    "a byte order mark": lambda: codecs.BOM_UTF8 + _GOOD.encode(),
    "byte order marks": lambda: codecs.BOM_UTF8 * 300_000,
    "control characters": lambda: b"\x1b[2J" * 200_000,
    "half a character": lambda: _GOOD.encode() + b"\xf0\x9f",
    "overlong characters": lambda: b"\xc0\x80" * 500_000,
    "surrogates": lambda: b"\xed\xa0\x80" * 300_000,
    "carriage returns": lambda: b"a:\r" * 300_000,
    "line separators": lambda: "a:\u2028 ".encode() * 170_000,
}

# For `config fix`, which reads a file several times: a quarter of the size is enough to tell a blow-up.
_BROKEN: dict[str, Callable[[], str]] = {
    "a key to repair again and again": lambda: _keys(
        f"      - name: k{n}\n      secret: {secret(n)}\n" for n in range(3500)
    ),
    "entries to repair": lambda: _entries(
        f"- resources:\n  - r{n}\n  - providers:\n    - aesgcm:\n        keys: [{{name: k, secret: {secret(n)}}}]\n"
        for n in range(1800)
    ),
    "tabs to repair": lambda: _keys(f"\t- name: k{n}\n\t  secret: {secret(n)}\n" for n in range(3500)),
    "identity to repair": lambda: HEAD + "- resources: [secrets]\n  providers:\n" + "  - identity:\n" * 15_000,
    "unknown fields to repair": lambda: _keys(f"      - {{Name: k, Secret: {secret(1)}}}\n" for _ in range(3500)),
    "null entries to repair": lambda: HEAD + "-\n" * 20_000,
    "brackets to repair": lambda: HEAD + "- resources: " + "[" * 100_000,
    "dashes to repair": lambda: HEAD + "- " * 100_000,
    "fields to repair": lambda: HEAD + "- resources:\n" * 15_000,
    "quotes to repair": lambda: HEAD + "- resources: " + "'" * 250_001,
    "slashes to repair": lambda: "secret: |\n" + "  /a" * 60_000 + "=",
    "one long line to repair": lambda: HEAD + " " * 250_000 + "resources:",
}

# For `config explain` and `config diff`: as many keys and resources as the largest cluster has, ten times over.
_VIEWED: dict[str, Callable[[], str]] = {
    "many keys to show": lambda: _with_keys(resources=1, keys=500),
    "many resources to show": lambda: _with_keys(resources=10_000, keys=5),
    "many resources and keys to show": lambda: _with_keys(resources=200, keys=250),
    "many entries to show": lambda: _entries(
        f"- {{resources: [r{n}], providers: [{{aesgcm: {{keys: [{{name: k, secret: {secret(n)}}}]}}}}]}}\n"
        for n in range(5000)
    ),
}

_MANIFEST_HEAD = "kind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command:\n    - kube-apiserver\n"
_MANIFESTS: dict[str, Callable[[], str]] = {
    "flags": lambda: _MANIFEST_HEAD + "".join(f"    - --flag-{n}=a\n" for n in range(10_000)),
    "one flag again and again": lambda: _MANIFEST_HEAD + "    - --encryption-provider-config=/a\n" * 20_000,
    "a long flag": lambda: _MANIFEST_HEAD + f"    - --request-timeout={'1' * 1_000_000}\n",
    "a long override": lambda: _MANIFEST_HEAD + f"    - --etcd-servers-overrides={'/a#b;c,' * 130_000}\n",
    "a long path": lambda: _MANIFEST_HEAD + f"    - --encryption-provider-config={'/a' * 500_000}\n",
    "mounts": lambda: (
        _MANIFEST_HEAD
        + "    volumeMounts:\n"
        + "".join(f"    - {{name: v{n}, mountPath: /v/{n}}}\n" for n in range(3_000))
        + "  volumes:\n"
        + "".join(f"  - {{name: v{n}, hostPath: {{path: /v/{n}}}}}\n" for n in range(3_000))
    ),
    "volumes of our name": lambda: (
        _MANIFEST_HEAD
        + "  volumes:\n"
        + "".join(f"  - {{name: keyctl-encryption-{n}, hostPath: {{path: /v}}}}\n" for n in range(3_000))
    ),
    "containers": lambda: (
        "kind: Pod\nspec:\n  containers:\n"
        + "".join(f"  - {{name: etcd{n}, command: [etcd, --encryption-provider-config=/a]}}\n" for n in range(3_000))
    ),
}

CASES = (*_TEXTS, *_BYTES)
CASES_TO_REPAIR = (*_BROKEN,)
CASES_TO_VIEW = (*_VIEWED,)
MANIFESTS = (*_MANIFESTS,)


def content_of(case: str) -> bytes:
    """The input of that name."""
    return _BYTES[case]() if case in _BYTES else (_TEXTS | _BROKEN | _VIEWED | _MANIFESTS)[case]().encode()


def read(content: bytes) -> dict[str, object]:
    """What keyctl makes of a configuration: how many entries and findings, or the parts of the refusal."""
    judged = judge(content, name=NAME)
    try:
        config = decode(content, name=NAME).config
    except KeyctlError as error:
        return _refusal(error) | {"rule": judged.findings[0].id}
    # What commands ask of it next.
    effective.required_resources(config)
    effective.same_view(config, config)
    return {"exit": 0, "entries": len(config.entries), "findings": len(judged.findings)}


def repair(content: bytes) -> dict[str, object]:
    """What `config fix` makes of a configuration."""
    done = repairs(content, name=NAME)
    diff = masked_diff(content.decode(), done.content.decode(), name=NAME)
    return {"exit": 0, "accepted": done.accepted, "diff": diff.count("\n")}


def view(content: bytes) -> dict[str, object]:
    """What `config explain` and `config diff` make of a configuration beside nothing and beside its reverse."""
    config = decode(content, name=NAME).config
    explained(config, "r0")
    reverse = EncryptionConfig(tuple(replace(entry, providers=_reversed(entry.providers)) for entry in config.entries))
    for old, new in ((None, config), (config, config), (config, reverse)):
        compare(old, new).findings(Location(file=NAME))
    return {"exit": 0}


def _reversed(elements: tuple[ProviderElement, ...]) -> tuple[ProviderElement, ...]:
    return tuple(replace(element, readers=element.readers[::-1]) for element in elements)


def manifest(content: bytes) -> dict[str, object]:
    """What keyctl makes of a manifest, alone and beside another."""
    try:
        flags = read_flags(content, name=NAME)
        judge_manifest(content, NAME)
        repair_manifests({NAME: content, "kube-apiserver.yaml": API_SERVER})
        go_seconds(flags.request_timeout or "")
        _ = flags.etcd_servers_overrides
        added = add_encryption_flag(content, config_path="/etc/keyctl/enc.yaml", reload=False, name=NAME)
    except KeyctlError as error:
        return _refusal(error)
    return {"exit": 0, "flags": len(flags.given), "added": len(added) - len(content)}


def _refusal(error: KeyctlError) -> dict[str, object]:
    return {"exit": error.exit_code, "message": str(error), "cause": error.cause, "hints": error.hints}


if __name__ == "__main__":
    case = sys.argv[1]
    acts = {**dict.fromkeys(_BROKEN, repair), **dict.fromkeys(_VIEWED, view), **dict.fromkeys(_MANIFESTS, manifest)}
    json.dump(acts.get(case, read)(content_of(case)), sys.stdout)
