"""What is stored, and what running API servers say of themselves, beside files."""

from __future__ import annotations

from dataclasses import replace

from keyctl.audit.live.stored_values import StoredValues
from keyctl.encryption_config.model import EncryptionConfig, KmsReader
from keyctl.findings import Status
from keyctl.keys.key import Provider
from keyctl.stored.source import Area, Coverage
from tests.support import seal
from tests.unit.audit.cases import Case
from tests.unit.audit.given import GOOD_CONFIG, RANDOM_KEY, config, server
from tests.unit.audit.stored_and_running import (
    ENCRYPTING,
    LAYOUT_ONLY,
    NEW,
    OLD,
    PATH,
    place,
    running,
    secret,
    seen,
    snapshot,
    stored,
    unjudged,
    written,
    wrote,
)

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
GONE = seal.key("gone", fill=3)
GCM = seal.key("new", Provider.AESGCM)
AT = b"/registry/secrets/default/a"
TAMPERED = {AT: seal.seal(NEW, AT, seal.secret("a"))[:-1] + b"?"}
FOREIGN = {AT: b"neither an object nor a head"}
BY_PLUGIN = {AT: seal.seal_kms_v2("vault", AT, seal.secret("a"))}
PLUGIN = seal.config(KmsReader("vault", "v2"), identity=False)
MAPS_ONLY = seal.config(NEW, resources=("configmaps",))
WITH_MAPS = seal.config(NEW, resources=("secrets", "configmaps"))
NOTHING = EncryptionConfig(())
OTHER_ETCD = "--etcd-servers-overrides=/configmaps#https://10.0.0.9:2379"
OVERWRITTEN = ((AT, seal.secret("a"), 5),)
HALF_READ = {**dict.fromkeys((Area.LIVE, Area.HISTORY), Coverage.SCANNED), Area.FREE_PAGES: Coverage.NOT_SCANNED}
OTHER_FILE = GOOD_CONFIG.replace(RANDOM_KEY, RANDOM_KEY.replace("3q2", "4q2"))
IDENTITY_FIRST = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")
BY_NEW = GOOD_CONFIG.replace("secretbox", "aescbc").replace("key1", "new")
MAPS_TOO = GOOD_CONFIG.replace("[secrets]", "[secrets, configmaps]")
IDENTITY_LAST = GOOD_CONFIG + "  - identity: {}\n"
BROKEN_MANIFEST = replace(place(), manifest_path=PATH)
OLDER = replace(running(), loaded=None, silent="Kubernetes v1.33.2 does not report what it has loaded")
REFUSED = replace(running(loaded_hash="sha256:other"), failures=3)
ENCRYPTED, PLAIN = wrote("k8s:enc:secretbox:v1:"), wrote("")
MANY = wrote("new:", 200_001)
GCM_FILE = GOOD_CONFIG.replace("secretbox", "aesgcm").replace("key1", "new")
OTHER_KEY = f"4{RANDOM_KEY[1:]}"
EVERYTHING = GOOD_CONFIG.replace("[secrets]", "['*.*']")
INFRASTRUCTURE = {b"/registry/masterleases/10.0.0.1": seal.stored("v1", "Endpoints", "")}


def by_gcm(revision: int = 1000, etcds: int = 1) -> StoredValues:
    return stored(secret("a", GCM), seal.config(GCM), revision=revision, etcds=etcds)


CASES: list[Case] = [
    ("KC-DAT-101", P, (stored(secret("a")),)),
    ("KC-DAT-101", P, (stored(secret("a", OLD)),)),
    ("KC-DAT-101", F, (stored(secret("a") | secret("b", None)),)),
    ("KC-DAT-101", F, (stored(secret("b", None), NOTHING),)),
    ("KC-DAT-101", F, (unjudged(secret("b", None)),)),
    # Required is what any one server encrypts.
    ("KC-DAT-101", F, (stored(secret("a") | secret("b", None, "configmaps"), ENCRYPTING, MAPS_ONLY), config())),
    # Read is what any one server reads.
    ("KC-DAT-101", P, (stored(secret("a") | secret("b", OLD), seal.config(NEW), seal.config(OLD)),)),
    ("KC-DAT-101", U, (stored({}),)),
    ("KC-DAT-101", U, (stored(secret("c", None, "configmaps")),)),
    ("KC-DAT-101", U, (stored(secret("c", None, "configmaps"), counts={"secrets": 0}),)),
    ("KC-DAT-101", U, (stored(secret("c", None, "configmaps"), counts={"secrets": 3}),)),
    ("KC-DAT-101", U, (stored(FOREIGN),)),
    ("KC-DAT-101", U, (stored(TAMPERED),)),
    # A snapshot alone says nothing of the cluster.
    ("KC-DAT-101", F, (stored(secret("a")), snapshot(secret("a", None)))),
    ("KC-DAT-101", P, (stored(secret("a")), snapshot(secret("a")))),
    # A manifest that was given names another etcd, and only one was read.
    ("KC-DAT-101", U, (stored(secret("a")), server(OTHER_ETCD))),
    ("KC-DAT-101", P, (stored(secret("a"), etcds=2), server(OTHER_ETCD))),
    ("KC-DAT-101", P, (stored(secret("a")), server())),
    ("KC-DAT-102", P, (stored(secret("a")),)),
    ("KC-DAT-102", F, (stored(secret("a") | secret("b", OLD)),)),
    ("KC-DAT-102", F, (stored(secret("a"), ENCRYPTING, seal.config(OLD, NEW)),)),
    ("KC-DAT-102", N, (stored(secret("a", None)),)),
    ("KC-DAT-102", U, (stored(secret("a", GONE)),)),
    ("KC-DAT-102", U, (stored({}),)),
    ("KC-DAT-102", U, (unjudged(secret("a")),)),
    ("KC-DAT-103", P, (stored(secret("a")),)),
    ("KC-DAT-103", F, (stored(secret("a") | secret("b", GONE)),)),
    ("KC-DAT-103", F, (stored(secret("a") | secret("b", NEW, "configmaps")),)),
    ("KC-DAT-103", P, (stored(secret("a", OLD), seal.config(NEW), seal.config(OLD)),)),
    ("KC-DAT-103", P, (stored(TAMPERED),)),
    ("KC-DAT-103", N, (stored(secret("a", None)),)),
    ("KC-DAT-103", U, (unjudged(secret("a")),)),
    ("KC-DAT-103", U, (stored({}),)),
    ("KC-DAT-104", P, (stored(secret("a")),)),
    ("KC-DAT-104", F, (stored(secret("b") | TAMPERED),)),
    ("KC-DAT-104", F, (stored(FOREIGN),)),
    ("KC-DAT-104", P, (stored(secret("a", GONE) | secret("b")),)),
    ("KC-DAT-104", U, (stored(BY_PLUGIN, PLUGIN),)),
    ("KC-DAT-104", U, (unjudged(TAMPERED),)),
    ("KC-DAT-104", N, (stored(secret("a", None)),)),
    ("KC-DAT-105", P, (written(NEW),)),
    ("KC-DAT-105", P, (running(text=BY_NEW), written(NEW))),
    ("KC-DAT-105", F, (running(text=BY_NEW), written(OLD))),
    ("KC-DAT-105", F, (written(None),)),
    ("KC-DAT-105", U, (written(None, value=b"neither"),)),
    ("KC-DAT-105", U, (written(None, value=None),)),
    ("KC-DAT-105", U, (written(NEW, forbidden={("create", "secrets")}),)),
    ("KC-DAT-105", U, (written(NEW, forbidden={("delete", "secrets")}),)),
    ("KC-DAT-105", U, (running(),)),
    ("KC-DAT-106", P, (snapshot(secret("a")),)),
    ("KC-DAT-106", P, (stored(secret("a")), snapshot(secret("a")))),
    ("KC-DAT-106", F, (snapshot(secret("a"), history=OVERWRITTEN),)),
    ("KC-DAT-106", U, (snapshot(secret("a"), coverage=HALF_READ),)),
    ("KC-DAT-106", U, (stored(secret("a")),)),
    ("KC-DAT-107", P, (running(counters=(ENCRYPTED, wrote("", resource="pods"))),)),
    ("KC-DAT-107", F, (running(counters=(ENCRYPTED, PLAIN)),)),
    ("KC-DAT-107", F, (running(text=MAPS_TOO, counters=(ENCRYPTED, wrote("", resource="configmaps"))),)),
    ("KC-DAT-107", U, (running(reloads=1, counters=(ENCRYPTED, PLAIN)),)),
    ("KC-DAT-107", U, (running(counters=(ENCRYPTED, wrote("", resource=""))),)),
    ("KC-DAT-107", P, (running(counters=(wrote("k8s:enc:secretbox:v1:", resource=""),)),)),
    ("KC-DAT-107", U, (running(counters=(wrote("k8s:enc:secretbox:v1:", written=False),)),)),
    ("KC-DAT-107", U, (running(forbidden={("get", "metrics")}),)),
    ("KC-ENC-010", P, (stored(secret("a")), config())),
    ("KC-ENC-010", P, (stored(secret("a") | secret("b", None)), config(IDENTITY_LAST))),
    ("KC-ENC-010", F, (stored(secret("a") | secret("b", None)), config())),
    ("KC-ENC-010", F, (stored(secret("a")), config(IDENTITY_LAST))),
    ("KC-ENC-010", F, (stored(secret("a")), running(text=IDENTITY_LAST))),
    ("KC-ENC-010", N, (stored(secret("a")), config(IDENTITY_FIRST))),
    ("KC-ENC-010", N, (stored({}), config())),
    ("KC-ENC-010", U, (stored(secret("a")),)),
    ("KC-ENC-012", P, (*seen(place("cp1"), place("cp2")),)),
    ("KC-ENC-012", P, (*seen(place("cp1"), place("cp2", LAYOUT_ONLY)),)),
    ("KC-ENC-012", F, (*seen(place("cp1"), place("cp2", OTHER_FILE)),)),
    ("KC-ENC-012", F, (*seen(place("cp1"), place("cp2", None, flags=())),)),
    ("KC-ENC-012", F, (*seen(place("cp1"), place("cp2", loaded_hash="sha256:other")),)),
    ("KC-ENC-012", U, (*seen(place("cp1"), BROKEN_MANIFEST),)),
    ("KC-ENC-012", N, (running(),)),
    ("KC-ENC-013", P, (running(),)),
    ("KC-ENC-013", P, (running(flags=None),)),
    ("KC-ENC-013", F, (running(loaded_hash="sha256:other"),)),
    ("KC-ENC-013", F, (REFUSED,)),
    ("KC-ENC-013", F, (running(loaded_hash=None),)),
    ("KC-ENC-013", F, (running(flags=()),)),
    ("KC-ENC-013", F, (running(text=None, loaded_hash="sha256:other"),)),
    ("KC-ENC-013", F, (running(text=None),)),
    ("KC-ENC-013", N, (running(text=None, flags=()),)),
    ("KC-ENC-013", N, (running(text=None, flags=None),)),
    ("KC-ENC-013", U, (OLDER,)),
    ("KC-ENC-013", U, (*seen(BROKEN_MANIFEST)[:1],)),
    ("KC-ENC-013", U, (running(start_time=0.0, loaded_hash=None),)),
    ("KC-ENC-014", P, (stored(secret("a")), config())),
    ("KC-ENC-014", F, (stored(secret("a") | secret("b", None)), config())),
    ("KC-ENC-014", F, (stored(secret("a")), config(IDENTITY_FIRST))),
    ("KC-ENC-014", F, (stored(secret("a")), running(text=None, flags=()))),
    ("KC-ENC-014", F, (stored(secret("a") | secret("b", None, "configmaps"), WITH_MAPS), config(EVERYTHING))),
    # What the API servers keep there for themselves is nobody's value.
    ("KC-ENC-014", P, (stored(secret("a") | INFRASTRUCTURE), config(EVERYTHING))),
    # A snapshot of before contradicts nothing.
    ("KC-ENC-014", P, (stored(secret("a")), snapshot(secret("b", None)), config())),
    ("KC-ENC-014", U, (stored(secret("a")),)),
    ("KC-ENC-014", U, (stored({}), config())),
    ("KC-ENC-009", P, (by_gcm(revision=200_000), config(GCM_FILE))),
    ("KC-ENC-009", F, (by_gcm(revision=200_001), running(counters=(MANY,)), config(GCM_FILE))),
    ("KC-ENC-009", U, (by_gcm(revision=200_001), config(GCM_FILE))),
    # An etcd that has no value of this key is another cluster's; so is one of two keys that are called alike.
    ("KC-ENC-009", U, (stored(secret("a")), config(GCM_FILE))),
    ("KC-ENC-009", U, (by_gcm(), config(GCM_FILE), config(GCM_FILE.replace(RANDOM_KEY, OTHER_KEY), "other/enc.yaml"))),
    # A snapshot of before tells nothing about the key of now.
    ("KC-ENC-009", U, (snapshot(secret("a", GCM)), config(GCM_FILE))),
    ("KC-KEY-103", P, (by_gcm(revision=200_000),)),
    ("KC-KEY-103", F, (by_gcm(revision=200_001), running(counters=(MANY,)))),
    ("KC-KEY-103", U, (by_gcm(revision=200_001), running(counters=(wrote("new:"),)))),
    ("KC-KEY-103", U, (by_gcm(etcds=2),)),
    # Which of two keys of one name wrote is not counted.
    ("KC-KEY-103", U, (stored(secret("a", GCM) | secret("b"), revision=200_001), running(counters=(MANY,)))),
    ("KC-KEY-103", N, (stored(secret("a")), config())),
    ("KC-KEY-103", U, (unjudged(secret("a")),)),
]  # fmt: skip
