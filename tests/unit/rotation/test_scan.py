"""Nothing that was not delivered counts as looked at, and what was looked at is counted under its key."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import UnreachableError
from keyctl.keys.key import KeyRef, Provider
from keyctl.rotation.scan import Scan, scan
from tests.support import seal, sim_config
from tests.support.memory_source import MemorySource
from tests.support.seal import config_map
from tests.support.sim_config import InvalidConfigError, UnreadableError
from tests.support.sim_objects import new_object
from tests.support.sim_texts import KEY_0, KEY_1, KMS_CONFIGMAPS

VALUES = {f"/registry/configmaps/default/a{n}".encode(): config_map(f"a{n}") for n in range(3)}


def test_a_source_that_delivers_fewer_values_than_it_holds_is_refused() -> None:
    with pytest.raises(UnreachableError, match="delivered 3 of 4 values"):
        scan(MemorySource(VALUES, claimed=4), prefix="/registry", config=None)


def test_a_server_without_a_configuration_reads_plaintext_and_nothing_else() -> None:
    sealed = {b"/registry/secrets/default/s": b"k8s:enc:aescbc:v1:key1:" + bytes(48)}
    assert found(VALUES).unreadable == 0
    assert found(VALUES | sealed).unreadable == 1


MIXED = decode(KMS_CONFIGMAPS, name="enc.yaml").config
IDENTITY = KeyRef(Provider.IDENTITY, "")


def mixed() -> dict[bytes, bytes]:
    """Secrets under key1, config maps under a KMS plugin, as a simulated server stores them; the rest in plaintext."""
    server = sim_config.load(KMS_CONFIGMAPS, "sha256:mixed")
    objects = [
        *(new_object("secrets", "default", f"s{n}") for n in range(4)),
        *(new_object("configmaps", "kube-system", f"c{n}") for n in range(3)),
        new_object("namespaces", None, "default"),
    ]
    return {one.etcd_key: server.seal(one.resource, one.etcd_key, one.plain) for one in objects}


def test_r16_the_values_that_only_a_plugin_opens_are_named_for_the_servers_to_read() -> None:
    result = found(mixed(), MIXED)
    assert [(item.resource, item.namespace, item.name) for item in result.kms] == [
        ("configmaps", "kube-system", f"c{n}") for n in range(3)
    ]
    assert (result.kms_values, result.unreadable, result.values) == (3, 0, 8)


def test_r16_the_names_of_plugin_values_end_at_the_limit_and_their_count_does_not() -> None:
    result = scan(MemorySource(mixed()), prefix="/registry", config=MIXED, kms_limit=2)
    assert ([item.name for item in result.kms], result.kms_values) == (["c0", "c1"], 3)


def test_values_leave_a_key_whatever_their_resource_and_whether_they_open_or_not() -> None:
    assert found(mixed(), MIXED).leaving([KEY_1.ref]) == 4
    strays = ("/registry/gone.example/things/default/x", "/registry/masterleases/10.0.0.1", "/registry/leases/a/b")
    values = mixed() | {key.encode(): seal.seal(KEY_1, key.encode(), config_map("x")) for key in strays}
    result = found(values, MIXED)
    assert result.unreadable == 3
    assert result.leaving([KEY_1.ref]) == 7
    assert result.leaving([KEY_0.ref]) == 0
    assert result.leaving([]) == 0
    assert result.leaving({KEY_1.ref, KeyRef(Provider.KMS, "vault")}) == 10
    assert result.leaving([IDENTITY]) == 1


def test_values_under_a_reader_that_was_added_for_the_scan_count_as_opened_and_as_leaving() -> None:
    key = b"/registry/secrets/default/late"
    values = mixed() | {key: seal.seal(KEY_0, key, seal.secret("late"))}
    (secrets, *others) = MIXED.entries
    (added,) = seal.config(KEY_0, identity=False).entries
    wider = EncryptionConfig((replace(secrets, providers=(*secrets.providers, *added.providers)), *others))
    assert (found(values, MIXED).unreadable, found(values, wider).unreadable) == (1, 0)
    assert found(values, wider).leaving([KEY_0.ref]) == 1


def test_the_counts_are_a_record_in_order_with_each_key_once() -> None:
    other = b"/registry/configmaps/kube-system/other"
    values = mixed() | {other: seal.seal_kms_v2("vault", other, config_map("other"), key_id="kid-2")}
    values[b"/registry/secrets/default/junk"] = b"junk"
    counts = found(values, MIXED).counts()
    assert [tuple(one.values()) for one in counts] == [
        ("configmaps", "kms", "vault", 4),
        ("namespaces", "identity", "", 1),
        ("secrets", None, "", 1),
        ("secrets", "aescbc", "key1", 4),
    ]
    assert json.loads(json.dumps(counts)) == counts
    assert list(counts[0]) == ["resource", "provider", "key", "values"]


def test_a_simulated_plugin_opens_its_own_values_where_they_belong_and_no_others() -> None:
    server = sim_config.load(KMS_CONFIGMAPS, "sha256:mixed")
    other = sim_config.load(KMS_CONFIGMAPS.replace(b"vault", b"cloud"), "sha256:other")
    one = new_object("configmaps", "default", "c")
    stored = server.seal("configmaps", one.etcd_key, one.plain)
    assert stored.startswith(b"k8s:enc:kms:v2:vault:")
    assert server.open("configmaps", one.etcd_key, stored) == (one.plain, False)
    renamed = stored.replace(b":vault:", b":cloud:")
    for config, key, value in (
        (other, one.etcd_key, stored),
        (other, one.etcd_key, renamed),
        (server, one.etcd_key + b"c", stored),
        (server, one.etcd_key, stored[:40]),
        (server, one.etcd_key, stored[:21]),
    ):
        with pytest.raises(UnreadableError):
            config.open("configmaps", key, value)


@pytest.mark.parametrize(("old", "new"), [(b"v2", b"v1"), (b"endpoint", b"end"), (b"kms:", b"vault:")])
def test_a_simulated_server_does_not_load_a_plugin_that_it_cannot_use(old: bytes, new: bytes) -> None:
    with pytest.raises(InvalidConfigError):
        sim_config.load(KMS_CONFIGMAPS.replace(old, new), "sha256:broken")


def found(values: dict[bytes, bytes], config: EncryptionConfig | None = None) -> Scan:
    return scan(MemorySource(values), prefix="/registry", config=config)
