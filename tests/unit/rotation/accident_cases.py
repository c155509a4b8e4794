"""Accidents: what others left half done, or did by hand, as facts; and what has to be said of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keyctl.encryption_config.model import EncryptionConfig
from keyctl.keys.key import Key
from keyctl.rotation.diagnosis.facts import Facts, ServerSeen, StageSeen
from tests.support import seal
from tests.support.accidents import Stored, facts, server

OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
OTHER_NEW = seal.key("new", fill=3)
GONE = seal.key("gone", fill=9)

ONLY_OLD, BOTH, PROMOTED, ONLY_NEW = (
    seal.config(OLD),
    seal.config(OLD, NEW),
    seal.config(NEW, OLD),
    seal.config(NEW),
)
HASHES = ("a" * 64, "b" * 64)


@dataclass(frozen=True, slots=True)
class Case:
    """An accident: the ids that must be among the findings, and no other; what the steps say, and what not."""

    facts: Facts
    ids: tuple[str, ...]
    said: tuple[str, ...]
    lost: int = 0
    writer: Key | None = None
    silent: tuple[str, ...] = ()


def three(first: EncryptionConfig, others: EncryptionConfig) -> tuple[ServerSeen, ...]:
    return server("cp1", first), server("cp2", others), server("cp3", others)


def stages(*told: tuple[str, str, str], tool: str = "k3s") -> tuple[StageSeen, ...]:
    return tuple(StageSeen(node, tool, stage, digest) for node, stage, digest in told)


SECRETS_OLD: Stored = ("secrets", OLD, 5)
SECRETS_NEW: Stored = ("secrets", NEW, 3)
DOWN = replace(server("cp1", ONLY_NEW), answers=False, ready=False, loaded_hash=None, loaded_by="", problem="refused")
STRANGER = replace(server("cp3", ONLY_OLD), loaded_hash="sha256:" + "f" * 64)

CASES = {
    "read before write broken: RKE1, KubeOne and k3s rotate-keys place the new key first at once": Case(
        facts(three(PROMOTED, ONLY_OLD), (SECRETS_OLD, SECRETS_NEW)),
        ("KC-ROT-002", "KC-ROT-003", "KC-SRV-001"),
        ("restart nothing", "cp2, cp3 and cp1, in that order", "what it writes every server reads already"),
        writer=OLD,
    ),
    "new key first on one server, and nothing written yet": Case(
        facts(three(PROMOTED, ONLY_OLD), (SECRETS_OLD,)),
        ("KC-ROT-002", "KC-SRV-001"),
        ("--union-config",),
        writer=OLD,
    ),
    "the old key was dropped on one server while values are under it": Case(
        facts(three(ONLY_NEW, PROMOTED), (SECRETS_OLD, SECRETS_NEW), store=(OLD, NEW)),
        ("KC-ROT-003", "KC-SRV-001"),
        ("make the one file that reads everything: ", "put it in the place of the file on cp1, cp2 and cp3"),
        writer=NEW,
    ),
    "the old key was dropped everywhere; the key store has it": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD, SECRETS_NEW), store=(OLD, NEW)),
        ("KC-ROT-003",),
        ("with aescbc/old from the key store: keyctl doctor --union-config union.yaml",),
        writer=NEW,
    ),
    "the old key was dropped everywhere; an old copy of the file has it": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD,), copies=(ONLY_OLD,)),
        ("KC-ROT-003",),
        ("with aescbc/old from copy1.yaml",),
        writer=NEW,
    ),
    "the old key was dropped everywhere; a bare key file has it, whatever it is called": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD,), key_files=(OLD,)),
        ("KC-ROT-003",),
        ("from file1",),
        writer=NEW,
    ),
    "the old key was dropped everywhere, and nobody has it": Case(
        facts(three(ONLY_NEW, ONLY_NEW), (SECRETS_OLD, SECRETS_NEW)),
        ("KC-ROT-001",),
        ("look for the key of 5 values", "delete no key and no value"),
        lost=5,
    ),
    "the same name with different bytes on two servers": Case(
        facts(
            (server("cp1", seal.config(NEW)), server("cp2", seal.config(OTHER_NEW))),
            (SECRETS_NEW, ("secrets", OTHER_NEW, 2)),
        ),
        ("KC-ROT-002", "KC-ROT-003", "KC-ROT-005", "KC-SRV-001"),
        ("keyctl rotates no key whose name has two meanings",),
    ),
    "kubespray made a new key under the old name: the files agree, the key store has the right one": Case(
        facts(three(seal.config(OTHER_NEW), seal.config(OTHER_NEW)), (SECRETS_NEW,), store=(NEW,)),
        ("KC-ROT-003", "KC-ROT-005"),
        ("with aescbc/new from the key store",),
    ),
    "a key was renamed on every server: the bytes are there, the name is not": Case(
        facts([server("cp1", seal.config(Key(OLD.provider, "renamed", OLD.material)))], (SECRETS_OLD,)),
        ("KC-ROT-003",),
        ("--union-config",),
    ),
    "KubeOne: the file lacks a key that the running server still has": Case(
        facts(
            (server("cp1", PROMOTED, ONLY_NEW), server("cp2", PROMOTED, ONLY_NEW)), (SECRETS_OLD,), copies=(PROMOTED,)
        ),
        ("KC-ROT-004", "KC-ROT-007"),
        ("restart nothing",),
        writer=NEW,
    ),
    "a server has not loaded its file": Case(
        facts((server("cp1", BOTH), server("cp2", ONLY_OLD, BOTH)), (SECRETS_OLD,), copies=(ONLY_OLD,)),
        ("KC-ROT-007",),
        ("have every server load its file (restart cp1 and cp2",),
    ),
    "one server lost its flag: it writes plaintext": Case(
        facts((server("cp1", ONLY_OLD), server("cp2", None, flag=False)), (SECRETS_OLD, ("secrets", None, 2))),
        ("KC-ROT-008", "KC-DAT-001"),
        ("put --encryption-provider-config and its mount back into the manifest of cp2",),
        writer=OLD,
    ),
    "plaintext left from before encryption": Case(
        facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD, ("secrets", None, 4))),
        ("KC-DAT-001",),
        ("then rewrite every value under a new key: keyctl rotate",),
    ),
    "values of a resource that no file names any more": Case(
        facts(three(ONLY_OLD, ONLY_OLD), (SECRETS_OLD, ("configmaps", OLD, 2))),
        ("KC-ROT-003",),
        ("--union-config",),
        writer=OLD,
    ),
    "k3s rotate-keys: the first server is done, the others have the file from before": Case(
        facts(
            three(ONLY_NEW, ONLY_OLD),
            (SECRETS_NEW, ("secrets", OLD, 1)),
            stages=stages(("n1", "reencrypt_finished", HASHES[0]), ("n2", "start", HASHES[1])),
        ),
        ("KC-ROT-002", "KC-ROT-003", "KC-ROT-011", "KC-SRV-001"),
        (
            "--union-config union.json",
            "leave the file of k3s as it is",
            "kube-apiserver-arg of each: encryption-provider-config=PATH;",
            "k3s secrets-encrypt status",
            "restart the k3s servers whose hash differs",
        ),
        silent=("in the place of the file",),
    ),
    "a server runs on a file that nobody has: a restart would lose what may be its only key": Case(
        facts((*three(PROMOTED, ONLY_OLD)[:2], STRANGER), (SECRETS_OLD, SECRETS_NEW)),
        ("KC-ROT-002", "KC-ROT-003", "KC-ROT-004", "KC-ROT-007", "KC-ROT-012", "KC-SRV-001"),
        (
            "restart nothing, and put no other file on cp3",
            "whose SHA-256 begins with ffffffff",
            "stop it only while every value opens without it",
        ),
        silent=("--union-config", "have every server load"),
    ),
    "a server runs on a file that nobody has, and values open with no key at hand": Case(
        facts((*three(PROMOTED, PROMOTED)[:2], STRANGER), (SECRETS_OLD, ("secrets", GONE, 2))),
        ("KC-ROT-001", "KC-ROT-007", "KC-ROT-012", "KC-SRV-001"),
        ("cp3 may read what no key at hand opens: save that through its own address",),
        lost=2,
        silent=("--union-config", "stop it"),
    ),
    "a lost flag, and no server that reads what was written in plaintext: without the union it never comes up": Case(
        facts(
            (server("cp1", seal.config(OLD, identity=False)), server("cp2", None, flag=False)),
            (SECRETS_OLD, ("secrets", None, 2)),
        ),
        ("KC-ROT-003", "KC-ROT-008", "KC-DAT-001"),
        ("put it in the place of the file on cp1 and cp2", "back into the manifest of cp2\nhave every server load"),
        silent=("before anything else is changed",),
        writer=OLD,
    ),
    "every server is down for want of a key that the key store has": Case(
        facts((DOWN,), (SECRETS_OLD, SECRETS_NEW), store=(OLD,)),
        ("KC-ROT-004", "KC-ROT-012"),
        ("with aescbc/old from the key store", "on cp1, at mode 0600, and keep each old one", "(restart cp1)"),
        silent=("mend what could not be looked at",),
        writer=NEW,
    ),
    "kubespray placed its one key first; its next run drops the others": Case(
        facts(three(PROMOTED, ONLY_OLD), (SECRETS_OLD, SECRETS_NEW), distribution="kubespray"),
        ("KC-ROT-002", "KC-ROT-003", "KC-SRV-001"),
        ("do not let kubespray change the key meanwhile (known by distribution in the cluster file)",),
        writer=OLD,
    ),
    "k3s classic, stopped after prepare": Case(
        facts(three(BOTH, BOTH), (SECRETS_OLD,), stages=stages(("n1", "prepare", HASHES[0]))),
        ("KC-ROT-011",),
        ("restart every k3s server, one at a time, then: k3s secrets-encrypt rotate",),
    ),
    "RKE2, its rewriting died": Case(
        facts(
            three(PROMOTED, PROMOTED), (SECRETS_OLD,), stages=stages(("n1", "reencrypt_active", "c" * 64), tool="rke2")
        ),
        ("KC-ROT-011",),
        ("rke2 secrets-encrypt reencrypt --force --skip",),
    ),
}
