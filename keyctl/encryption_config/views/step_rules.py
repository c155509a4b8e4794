"""The rules by which one configuration may not take another's place, and its conditions: texts. `compare` applies them.

R-numbers are those of docs/rotation-rules.md.
"""

from __future__ import annotations

from keyctl.findings import Rule, Severity

_TRANSFORMERS = "k8s.io/apiserver v0.37 pkg/storage/value/transformer.go"
_CBC = f"{_TRANSFORMERS}; pkg/storage/value/encrypt/aes/aes.go"

UNREAD_WRITER = Rule(
    "KC-CFG-301",
    Severity.CRITICAL,
    "what would write is not read by servers that still have the old file",
    "Servers get the new file one after another. The first one that has it writes with the new key, and the others "
    "cannot read that: they answer 500, and one that restarts then may not become ready.",
    "first make it a reader, not the first one, on every server; only when all have loaded that, put it first",
    _TRANSFORMERS,
    ("R2",),
)
WRITER_LEAVES = Rule(
    "KC-CFG-302",
    Severity.CRITICAL,
    "the key that the old file writes with is not in the new one",
    "Until the last server has the new file, some still write with the old key, and all that is stored was written "
    "with it. Servers with the new file cannot read any of that.",
    "keep it behind the new writing key until a scan of every etcd finds no value under it",
    _TRANSFORMERS,
    ("R1", "R3"),
)
READER_LEAVES = Rule(
    "KC-CFG-303",
    Severity.HIGH,
    "a key leaves the file, and nothing shows that no value needs it",
    "A value that is still under it becomes unreadable: 500 for the object and for lists that reach etcd. That holds "
    "for a key that never wrote here, too: another server may have written with it.",
    "keep it until a scan finds no value under it: keyctl verify-secrets; keyctl rotate takes the key it replaces out "
    "after such a proof",
    _TRANSFORMERS,
    ("R3", "R7"),
)
PLAINTEXT_LEAVES = Rule(
    "KC-CFG-304",
    Severity.HIGH,
    "plaintext is no longer read, and nothing shows that none is left",
    "Without the identity provider every value that was never encrypted is unreadable. Values from before encryption "
    "was turned on stay plaintext until somebody writes them.",
    "keep identity as the last provider until keyctl verify-secrets finds no plaintext",
    _TRANSFORMERS,
    ("R3",),
)
PLUGIN_LEAVES = Rule(
    "KC-CFG-305",
    Severity.HIGH,
    "a KMS plugin leaves the file",
    "Only the plugin opens what it sealed, and keyctl cannot open it to look. The same plugin with another API "
    "version counts as another one: values carry the version.",
    "keep its provider behind the new one, have every value written again, and read each through every server first",
    _TRANSFORMERS,
    ("R16",),
)
UNCOVERED = Rule(
    "KC-CFG-306",
    Severity.CRITICAL,
    "nothing covers a resource any more that was encrypted",
    "What no entry covers is written in plaintext, and nothing is tried to decrypt what is stored: every encrypted "
    "value of the resource is unreadable at once.",
    "keep the entry, put identity first in it, have every value written again, and only then take it away",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig/config.go, transformerFromOverrides",
    ("R1", "R3"),
)
OTHER_BYTES = Rule(
    "KC-CFG-307",
    Severity.CRITICAL,
    "a key name comes with other bytes",
    "A stored value names its key and says nothing of the bytes. Under a name with other bytes it does not open, or "
    "with aescbc, one time in 256, as garbage.",
    "give the new bytes a name that was never used: keyctl rotate makes such a key",
    _CBC,
    ("R5",),
)
MISTAKEN = Rule(
    "KC-CFG-308",
    Severity.HIGH,
    "a key is tried before another whose values it may open as garbage",
    "kube-apiserver takes the first key that opens a value. aescbc checks nothing but the padding, so a key of the "
    "same name with other bytes passes for one value in 256. A shorter name can take the values of a longer one that "
    "goes on with a colon.",
    "leave their order as it is, and rewrite the values under a key with a new name: keyctl rotate",
    _CBC,
    ("R5",),
)
PROMOTION = Rule(
    "KC-CFG-311",
    Severity.INFO,
    "another key writes: safe once every server reads it",
    "The old file reads this key already. A server that has not loaded the old file yet may not, and then cannot read "
    "what the first server with the new file writes.",
    "before the first server gets NEW, see that every one has loaded OLD: it reports the file's hash, and keyctl "
    "rotate proves it for a change of its own",
    _TRANSFORMERS,
    ("R2",),
)
TO_PLAINTEXT = Rule(
    "KC-CFG-309",
    Severity.HIGH,
    "new values would be stored in plaintext",
    "With identity first, or with no entry at all, kube-apiserver encrypts nothing that it writes from then on. What "
    "is encrypted stays so until it is written again.",
    "be sure that this is meant; to go back to plaintext with all proofs: keyctl disable",
    _TRANSFORMERS,
)
PLUGIN_SOCKET = Rule(
    "KC-CFG-310",
    Severity.HIGH,
    "a KMS plugin is asked at another socket",
    "keyctl cannot see whether the plugin that answers there has the same key. If it has not, every value is "
    "unreadable as soon as the file is loaded.",
    "add the plugin at the new socket under another name, let every server read with both, then rewrite the values",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig/config.go",
    ("R16",),
)
PLUGIN_SETTINGS = Rule(
    "KC-CFG-312",
    Severity.LOW,
    "the timeout or cache size of a KMS plugin changes",
    "A timeout that is too short makes reads and writes fail while the plugin is slow.",
    "see that the plugin answers in that time on every server",
    "k8s.io/apiserver v0.37 pkg/server/options/encryptionconfig/config.go",
    ("R16",),
)

UNSAFE = (
    UNREAD_WRITER,
    WRITER_LEAVES,
    READER_LEAVES,
    PLAINTEXT_LEAVES,
    PLUGIN_LEAVES,
    UNCOVERED,
    OTHER_BYTES,
    MISTAKEN,
    TO_PLAINTEXT,
    PLUGIN_SOCKET,
)
CONDITIONS = (PROMOTION, PLUGIN_SETTINGS)
RULES: tuple[Rule, ...] = (*UNSAFE, *CONDITIONS)
