"""Keys as the ledger of the key store tells of them, and KMS plugins as the API servers do."""

from __future__ import annotations

import base64

from keyctl.audit.live.kms_health import Readiness
from keyctl.findings import Location, Status
from keyctl.keys.backups import BackupKind
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyState, Origin
from tests.unit.audit.cases import Case
from tests.unit.audit.given import GOOD_CONFIG, RANDOM_KEY, config
from tests.unit.audit.kept import key_store, record, registered, wrote
from tests.unit.audit.stored_and_running import running

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
WRITING = Key(Provider.SECRETBOX, "key1", base64.b64decode(RANDOM_KEY)).fingerprint
RETIRED = (KeyState.ACTIVE, KeyState.DEACTIVATED)
NEW_NAME = KeyRef(Provider.AESCBC, "key2")
YOUNG = record(days=1, ref=NEW_NAME, fingerprint="2" * 32)
RENAMED = record(days=1, ref=NEW_NAME, origin=Origin.RENAMED)
BY_PLUGIN = GOOD_CONFIG.partition("  providers:")[0] + (
    "  providers:\n  - kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock'}\n"
)
TEMPLATE = GOOD_CONFIG.replace("secretbox", "{{ later }}")


def ready(problem: str = "", *, plugins: tuple[str, ...] = (), failing: bool = False) -> Readiness:
    at = Location(endpoint="https://10.0.0.1:6443")
    return Readiness("cp-1", not problem, failing, problem, plugins, at)


CASES: list[Case] = [
    ("KC-KEY-101", P, (key_store(record()),)),
    ("KC-KEY-101", P, (key_store(record(days=365)),)),
    ("KC-KEY-101", F, (key_store(record(days=366)),)),
    ("KC-KEY-101", F, (key_store(record(days=731)),)),
    ("KC-KEY-101", F, (key_store(record(*RETIRED), record(days=731, ref=NEW_NAME, fingerprint="2" * 32)),)),
    # A new name makes no key younger, and nobody knows how old an imported one is.
    ("KC-KEY-101", F, (key_store(record(*RETIRED, days=731), RENAMED),)),
    ("KC-KEY-101", U, (key_store(record(origin=Origin.IMPORTED)),)),
    ("KC-KEY-101", F, (key_store(record(origin=Origin.IMPORTED, days=731)),)),
    ("KC-KEY-101", U, (key_store(record(*RETIRED, origin=Origin.IMPORTED), RENAMED),)),
    ("KC-KEY-101", U, (key_store(RENAMED),)),
    ("KC-KEY-101", U, (key_store(),)),
    ("KC-KEY-101", U, (key_store(record(*RETIRED)),)),
    ("KC-KEY-101", U, (key_store(record(days=-2)),)),
    # By its file a server writes with a key that the ledger does not have.
    ("KC-KEY-101", U, (running(), key_store(record()))),
    ("KC-KEY-101", P, (running(), key_store(record(fingerprint=WRITING)))),
    # What the file of a server has first writes, whatever the ledger calls active.
    ("KC-KEY-101", F, (running(), key_store(record(*RETIRED, days=900, fingerprint=WRITING), YOUNG))),
    ("KC-KEY-101", P, (running(), key_store(record(*RETIRED, days=90, fingerprint=WRITING), YOUNG))),
    ("KC-KEY-101", P, (key_store(record(*RETIRED, days=900), record(ref=NEW_NAME, fingerprint="2" * 32)),)),
    ("KC-KEY-102", P, (key_store(record()),)),
    ("KC-KEY-102", P, (key_store(record(*RETIRED), register=(registered(),)),)),
    ("KC-KEY-102", P, (key_store(record(*RETIRED), register=(registered(kind=BackupKind.HISTORY),)),)),
    ("KC-KEY-102", F, (key_store(record(*RETIRED, last_write=wrote())),)),
    (
        "KC-KEY-102",
        F,
        (key_store(record(*RETIRED, last_write=wrote()), register=(registered(kind=BackupKind.ESCROW),)),),
    ),
    ("KC-KEY-102", F, (key_store(record(*RETIRED, days=1826), register=(registered(),)),)),
    ("KC-KEY-102", P, (key_store(record(*RETIRED, days=1825), register=(registered(),)),)),
    ("KC-KEY-102", P, (key_store(record(*RETIRED, KeyState.DESTROYED, days=3000)),)),
    ("KC-KEY-102", U, (key_store(record(*RETIRED)),)),
    ("KC-KEY-102", U, (key_store(),)),
    ("KC-KEY-108", P, (ready(plugins=("vault",)),)),
    ("KC-KEY-108", P, (ready(), config(BY_PLUGIN))),
    ("KC-KEY-108", F, (ready("not ready: kms-providers", failing=True),)),
    ("KC-KEY-108", U, (ready("not ready: etcd"),)),
    ("KC-KEY-108", N, (ready(), config())),
    ("KC-KEY-108", U, (ready(),)),
    ("KC-KEY-108", U, (ready(), config(TEMPLATE))),
]
