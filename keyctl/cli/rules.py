"""The rules of changing a key in one paragraph each, for `keyctl explain`. The whole text: docs/rotation-rules.md."""

from __future__ import annotations

RULES = {
    "R1": "Readable. For every server and every stored value, the key of the value is in what the server has loaded. "
    "Checked before and after every act.",
    "R2": "Read before write. No file that writes with a key is placed anywhere until every server is proven to read "
    "it.",
    "R3": "No early removal. A key leaves a file only after a scan of every key of every etcd has shown no value "
    "under it; after it has left, once more. A value that turns up then brings it back.",
    "R4": "No early destruction. Destroying a key is a command of its own, refused while a backup or history needs "
    "the key.",
    "R5": "Names. A provider and a key name mean the same bytes for ever; other bytes under a known name are refused.",
    "R6": "History. Old revisions show values under the old key until etcd is compacted: before the key leaves, keyctl "
    "compacts, waits for it, or is told to leave them.",
    "R7": "The same both ways. Taking the new key away again needs the same proof as taking the old one away.",
    "R8": "One at a time. One rotation runs in a cluster; a file that somebody else changes freezes it.",
    "R9": "Restarts. One server at a time, each proven before the next; a single server needs --allow-downtime.",
    "R10": "Start only what will come up. An API server restarted with one value that it cannot decrypt never becomes "
    "ready, whatever the value's resource; so every value is opened first.",
    "R11": "Census. Identity Leases, Endpoints, control-plane Nodes and the cluster file must agree on who the API "
    "servers are; an unknown, unreachable or doubly listed one blocks every edge.",
    "R12": "Who owns the file. Where a distribution manages the file, keyctl verifies but does not rotate.",
    "R13": "Files. Written beside and renamed, or in place when a pod mounts the single file; modes never widened; "
    "symbolic links refused; comments kept.",
    "R14": "Secrets. The API is asked for metadata only; decrypted bytes are looked at and dropped.",
    "R15": "Rewriting. An empty merge patch with the object's own uid. A refusal is named and left; only raw etcd says "
    "that a value is done.",
    "R16": "KMS. Values that keyctl cannot open itself are proven by reading each through every server; a resource "
    "that has some keeps its key, unless it is asked to leave its plugin. No plugin writes before every server has "
    "named the key of its own one, and all name the same.",
    "R17": "Journal. Intent, synced, before each effect; outcome after. The state itself is read off the cluster.",
    "R18": "Wildcards mean the resources that the API serves. Values under a path that no API serves are orphans and "
    "block by name; aggregated API servers hold keys of their own and are refused.",
}

# The states that a refusal can name in the place of a rule: what they ask for is on the same page.
STATES = {
    "preflight": "What must be true before anything is touched: servers that agree and are ready, flags and etcds that "
    "the cluster file knows, files that are loaded, rights, room, no upgrade, and a change that the files allow.",
    "secured": "Every key is in the key store and read back, and every value of a fresh snapshot opens, before any "
    "file changes.",
    "verified": "A scan that began when older requests had landed found nothing left under the key that goes, and "
    "something under the one that stays.",
    "resecured": "Before a key leaves a file, the key store's copy of it has opened what was under it in the first "
    "snapshot, which is still there.",
}
