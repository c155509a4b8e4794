from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from keyctl.encryption_config.model import EncryptionConfig, KmsReader
from keyctl.errors import ExitCode, StoppedError, UnreachableError
from keyctl.findings import Report, Status
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.reports import json as json_report
from keyctl.reports import junit, text
from keyctl.verify.report import to_report
from keyctl.verify.values import VerifyResult, verify
from tests.support import seal
from tests.support.memory_source import MemorySource

NEW, OLD = seal.key("new"), seal.key("old", fill=2)
CONFIG = seal.config(NEW, OLD)


def at(name: str, resource: str = "secrets") -> bytes:
    return f"/registry/{resource}/default/{name}".encode()


def secrets(key: Key, count: int = 5) -> dict[bytes, bytes]:
    keys = [(f"{key.name}-{number}", at(f"{key.name}-{number}")) for number in range(count)]
    return {where: seal.seal(key, where, seal.secret(name)) for name, where in keys}


def plain(*names: str) -> dict[bytes, bytes]:
    return {at(name): seal.secret(name) for name in names}


def run(
    values: Mapping[bytes, bytes],
    config: EncryptionConfig | None = CONFIG,
    *,
    required: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
    require: KeyRef | Provider | None = None,
    expected: Mapping[str, int] | None = None,
) -> VerifyResult:
    return verify(
        MemorySource(values, batch=3),
        prefix="/registry",
        config=config,
        required=required,
        only=only,
        require=require,
        expected_counts=expected,
    )


def failed(report: Report) -> set[tuple[str, str | None]]:
    return {(one.id, one.location.etcd_key) for one in report.findings if one.status is Status.FAIL}


def named(number: str, *names: str) -> set[tuple[str, str | None]]:
    return {(number, at(name).decode()) for name in names}


MOVED_GCM = seal.key("new", Provider.AESGCM)
SWAPPED = seal.key("new", fill=9)
CASES = [
    pytest.param(secrets(NEW), CONFIG, [], set(), id="all under the key that writes"),
    pytest.param(plain("p"), CONFIG, [13], named("KC-DAT-001", "p"), id="never encrypted"),
    pytest.param(secrets(NEW) | plain("p"), CONFIG, [13], named("KC-DAT-001", "p"), id="one plaintext among many"),
    pytest.param(
        secrets(NEW) | secrets(OLD, 1), CONFIG, [11], named("KC-DAT-004", "old-0"), id="one under the old key"
    ),
    pytest.param(
        secrets(NEW) | {at("x"): seal.seal(SWAPPED, b"", seal.secret("x"))},
        CONFIG,
        [12],
        named("KC-DAT-002", "x"),
        id="other key bytes under the same name",
    ),
    pytest.param(
        secrets(NEW) | {at("x"): seal.seal(SWAPPED, b"", seal.secret("elsewhere"))},
        CONFIG,
        [12],
        named("KC-DAT-002", "x"),
        id="copied to another name with other key bytes",
    ),
    pytest.param(
        secrets(NEW) | {at("x"): secrets(NEW)[at("new-0")]},
        CONFIG,
        [12],
        named("KC-DAT-002", "x"),
        id="copied to another name",
    ),
    pytest.param(
        secrets(NEW) | {at("x"): b"k8s:enc:aescbc:v1:new:" + seal.secret("x")},
        CONFIG,
        [12],
        named("KC-DAT-002", "x"),
        id="a plaintext object behind a valid prefix",
    ),
    pytest.param(
        secrets(NEW) | {at("x"): seal.seal(NEW, b"", b"not an object")},
        CONFIG,
        [12],
        named("KC-DAT-002", "x"),
        id="encrypted noise",
    ),
    pytest.param(
        secrets(NEW) | {at("c", "configmaps"): seal.seal(NEW, b"", seal.config_map("c"))},
        CONFIG,
        [12],
        {("KC-DAT-002", at("c", "configmaps").decode())},
        id="an undecryptable ConfigMap in no configuration",
    ),
    pytest.param(
        secrets(NEW) | {at("c", "configmaps"): b"k8s:enc:odd:v1:k:x"},
        CONFIG,
        [12],
        {("KC-DAT-003", at("c", "configmaps").decode())},
        id="an unknown provider in no configuration",
    ),
    pytest.param(secrets(NEW) | {at("x"): b"junk"}, CONFIG, [12], named("KC-DAT-003", "x"), id="unrecognised"),
    pytest.param({}, CONFIG, [10], {("KC-DAT-006", None)}, id="nothing at all"),
    pytest.param({at("c", "configmaps"): seal.config_map("c")}, CONFIG, [10], {("KC-DAT-006", None)}, id="no secret"),
    pytest.param(
        plain("p") | secrets(OLD, 1) | {at("x"): b"junk"},
        CONFIG,
        [13, 12, 11],
        named("KC-DAT-001", "p") | named("KC-DAT-004", "old-0") | named("KC-DAT-003", "x"),
        id="everything at once, worst first",
    ),
    pytest.param(
        secrets(NEW) | {at("c", "configmaps"): seal.config_map("c"), at("j", "configmaps"): b"junk"},
        CONFIG,
        [],
        set(),
        id="what is not required is not judged",
    ),
]


@pytest.mark.parametrize(("values", "config", "outcomes", "findings"), CASES)
def test_each_state_of_a_cluster_has_its_outcome(
    values: dict[bytes, bytes],
    config: EncryptionConfig,
    outcomes: list[int],
    findings: set[tuple[str, str | None]],
) -> None:
    result = run(values, config)
    report = to_report(result)
    assert list(result.outcomes) == outcomes
    assert report.exit_code == (outcomes[0] if outcomes else 0)
    assert failed(report) == findings


@pytest.mark.parametrize(("values", "config", "outcomes", "findings"), CASES)
def test_a_bad_outcome_is_a_failure_in_every_format(
    values: dict[bytes, bytes],
    config: EncryptionConfig,
    outcomes: list[int],
    findings: set[tuple[str, str | None]],
) -> None:
    report = to_report(run(values, config))
    shown = text.render(report, width=None, color=False, unicode=False, wide=False)
    assert ("<failure" in junit.render(report)) is bool(outcomes)
    assert json.loads(json_report.render(report))["exitCode"] == (outcomes[0] if outcomes else 0)
    assert ("\nXX fail" in shown) is bool(outcomes)
    assert ("\nok: " in shown) is not bool(outcomes)


def test_the_json_report_keeps_its_contract() -> None:
    kms = {at("k"): seal.seal_kms_v2("vault", at("k"), seal.secret("k"))}
    config = seal.config(NEW, OLD, KmsReader("vault", "v2"))
    values = secrets(NEW) | secrets(OLD, 2) | plain("p") | kms | {at("j"): b"junk", at("x"): secrets(NEW)[at("new-0")]}
    document = json.loads(json_report.render(to_report(run(values, config))))
    findings = document.pop("findings")
    resources = document.pop("resources")
    assert document == {
        "apiVersion": "keyctl/v1",
        "kind": "VerifyReport",
        "exitCode": 13,
        "verdict": "plaintext",
        "outcomes": ["plaintext", "unreadable", "stale"],
        "proof": "prefix",
        "source": {
            "type": "etcd",
            "location": "https://127.0.0.1:2379",
            "revision": 1000,
            "clusterId": "cdf818194e3a8c32",
        },
        "summary": {
            "values": 11,
            "encrypted": 9,
            "plaintext": 1,
            "stale": 3,
            "unreadable": 1,
            "unrecognised": 1,
            "decrypted": 7,
            "notDecrypted": 1,
        },
        "coverage": {
            "live": "scanned",
            "history": "not-scanned",
            "freePages": "absent",
            "wal": "absent",
            "snapDir": "absent",
        },
        "remarks": [],
        "otherPrefixes": {"values": 0, "first": [], "live": {"values": 0, "first": []}},
        "history": {"values": 0, "plaintext": 0, "encrypted": []},
        "residue": {"plaintext": 0, "encrypted": [], "plaintextIn": {}},
    }
    (resource,) = resources
    encrypted = {one["key"]: one for one in resource.pop("encrypted")}
    assert resource == {
        "resource": "secrets",
        "required": True,
        "values": 11,
        "plaintext": 1,
        "unrecognised": 1,
        "missing": 0,
    }
    assert encrypted["new"] == {
        "provider": "aescbc",
        "version": "v1",
        "key": "new",
        "keyId": None,
        "values": 6,
        "role": "write",
        "decrypted": 5,
        "failed": 1,
        "state": "unreadable",
    }
    assert (encrypted["old"]["role"], encrypted["vault"]["keyId"]) == ("read", "kid-1")
    assert (encrypted["old"]["state"], encrypted["vault"]["state"]) == ("stale", "stale")
    assert findings[0] == {
        "id": "KC-DAT-001",
        "severity": "critical",
        "status": "fail",
        "message": "plaintext in secrets",
        "location": {"etcdKey": "/registry/secrets/default/p"},
        "evidence": {"level": "E3"},
        "mappings": [],
    }


def test_a_clean_scan_says_that_everything_was_opened() -> None:
    report = to_report(run(secrets(NEW)))
    assert report.data["proof"] == "decrypted"
    assert report.data["verdict"] == "pass"
    assert report.verdict == "5 values of secrets: all encrypted, an object came out of each"
    assert [one.status for one in report.findings] == [Status.PASS]


def test_the_verdict_of_many_resources_stays_one_sentence() -> None:
    many = tuple(f"r{n}.e.io" for n in range(30))
    assert to_report(run(secrets(NEW), required=many)).verdict.startswith("5 values of secrets and 30 other resources:")


def test_plaintext_that_no_identity_reads_is_named_once() -> None:
    result = run(plain("p") | secrets(NEW), seal.config(NEW, identity=False))
    assert list(result.outcomes) == [13]
    assert failed(to_report(result)) == named("KC-DAT-001", "p")


def test_without_a_configuration_the_proof_is_the_prefix() -> None:
    report = to_report(run(secrets(NEW), None))
    assert report.exit_code is ExitCode.OK
    assert report.data["proof"] == "prefix"
    assert [one.status for one in report.findings] == [Status.UNKNOWN]
    assert "not all opened" in report.verdict


def test_plaintext_is_found_without_a_configuration() -> None:
    assert run(secrets(NEW) | plain("p"), None).exit_code is ExitCode.PLAINTEXT


def test_kms_values_are_never_called_opened() -> None:
    values = {at("k"): seal.seal_kms_v2("vault", at("k"), seal.secret("k"))}
    report = to_report(run(values, seal.config(KmsReader("vault", "v2"))))
    assert report.exit_code is ExitCode.OK
    assert report.data["proof"] == "prefix"
    assert [one.id for one in report.findings if one.status is Status.UNKNOWN] == ["KC-DAT-007"]


@pytest.mark.parametrize(
    ("require", "code"),
    [
        (NEW.ref, 11),
        (OLD.ref, 11),
        (Provider.AESCBC, 11),
        (Provider.SECRETBOX, 11),
        (KeyRef(Provider.AESGCM, "new"), 11),
        (None, 11),
    ],
)
def test_values_under_two_keys_are_never_all_right(require: KeyRef | Provider | None, code: int) -> None:
    assert run(secrets(NEW) | secrets(OLD), require=require).exit_code == code


def test_a_required_key_decides_instead_of_the_configured_role() -> None:
    assert run(secrets(OLD), require=OLD.ref).exit_code == 0
    assert run(secrets(NEW), require=OLD.ref).exit_code == 11
    assert run(secrets(NEW), None, require=NEW.ref).exit_code == 0
    assert run(secrets(NEW), None, require=OLD.ref).exit_code == 11


def test_a_required_provider_does_not_excuse_an_old_key() -> None:
    assert run(secrets(NEW), require=Provider.AESCBC).exit_code == 0
    assert run(secrets(OLD), require=Provider.AESCBC).exit_code == 11
    assert run(secrets(NEW), require=Provider.SECRETBOX).exit_code == 11


def test_every_resource_that_is_encrypted_is_required() -> None:
    values = secrets(NEW) | {at("c", "configmaps"): seal.config_map("c")}
    assert run(values, seal.config(NEW, resources=("secrets", "configmaps"))).exit_code == 13
    assert run(values, seal.config(NEW, resources=("*.*",))).exit_code == 13
    assert run(values, CONFIG, required=("configmaps",)).exit_code == 13
    assert run(values, CONFIG).exit_code == 0


def test_infrastructure_is_not_required_under_a_wildcard() -> None:
    values = secrets(NEW) | {b"/registry/masterleases/10.0.0.1": seal.stored("v1", "Endpoints", "")}
    assert run(values, seal.config(NEW, resources=("*.*",))).exit_code == 0


def test_secrets_are_required_even_where_the_configuration_writes_plaintext() -> None:
    nothing = EncryptionConfig(())
    assert run(plain("p"), nothing).exit_code == 13
    assert run({at("c", "configmaps"): seal.config_map("c")}, nothing, required=("configmaps",)).exit_code == 13


def test_only_replaces_what_is_required_and_says_so() -> None:
    values = plain("p") | {at("c", "configmaps"): seal.seal(NEW, b"", seal.config_map("c"))}
    config = seal.config(NEW, resources=("configmaps",))
    report = to_report(run(values, config, only=("configmaps",)))
    assert report.exit_code is ExitCode.OK
    assert "--only: judged configmaps and nothing else" in report.notes
    assert to_report(run(values, config)).exit_code is ExitCode.PLAINTEXT


def test_only_does_not_excuse_an_unreadable_value_elsewhere() -> None:
    values = secrets(NEW) | {at("c", "configmaps"): seal.seal(NEW, b"", seal.config_map("c"))}
    assert run(values, only=("secrets",)).exit_code == 12


def test_values_that_the_api_knows_and_etcd_lacks_are_missing() -> None:
    report = to_report(run(secrets(NEW), expected={"secrets": 7, "configmaps": 9}))
    assert report.exit_code is ExitCode.UNREADABLE
    (finding,) = (one for one in report.findings if one.status is Status.FAIL)
    assert finding.id == "KC-DAT-005"
    assert finding.message.startswith("2 values of secrets are missing")
    assert run(secrets(NEW), expected={"secrets": 5}).exit_code == 0
    assert run(secrets(NEW), expected={"secrets": 4}).exit_code == 0


def test_an_empty_prefix_names_its_neighbours() -> None:
    asked = []

    def neighbours() -> tuple[tuple[str, int], ...]:
        asked.append(True)
        return (("/kubernetes.io/\x1b", 1200),)

    report = to_report(verify(MemorySource({}), prefix="/registry", config=CONFIG, neighbours=neighbours))
    assert "the etcd holds 1200 values under /kubernetes.io/\\x1b" in report.notes
    assert any("--etcd-prefix" in step for step in report.next_steps)
    verify(MemorySource(secrets(NEW)), prefix="/registry", config=CONFIG, neighbours=neighbours)
    assert asked == [True]


def test_a_truncated_answer_is_an_error_and_no_verdict() -> None:
    with pytest.raises(UnreachableError, match="truncated") as caught:
        verify(MemorySource(secrets(NEW), claimed=6), prefix="/registry", config=CONFIG)
    assert caught.value.cause == "it delivered 5 of 6 values under /registry/"


def test_a_source_that_fails_on_its_second_batch_is_an_error() -> None:
    source = MemorySource(secrets(NEW), batch=2, fails=StoppedError("compacted"))
    with pytest.raises(StoppedError):
        verify(source, prefix="/registry", config=CONFIG)


def test_many_bad_values_are_counted_and_the_first_are_named() -> None:
    report = to_report(run({at(f"p{n:03}"): seal.secret(f"p{n:03}") for n in range(200)}))
    names = [one.location.etcd_key for one in report.findings if one.location.etcd_key]
    assert names == [at(f"p{n:03}").decode() for n in range(10)]
    assert report.findings[-1].message == "plaintext in secrets: 190 more"
    assert report.verdict == "200 values of secrets: 200 plaintext"


def test_many_unreadable_values_are_counted_and_the_first_are_named() -> None:
    report = to_report(run(secrets(seal.key("gone"), 30)))
    assert len([one for one in report.findings if one.location.etcd_key]) == 10
    assert report.findings[10].message == "20 more like that in secrets (unknown-key)"


def test_the_next_step_fits_what_was_found() -> None:
    def steps(values: dict[bytes, bytes], config: EncryptionConfig | None = CONFIG) -> str:
        return " ".join(to_report(run(values, config)).next_steps)

    assert steps(secrets(NEW)) == ""
    assert "keyctl enable --dry-run" in steps(plain("p"), EncryptionConfig(()))
    assert "keyctl enable --dry-run" in steps(plain("p"), None)
    assert "keyctl rotate --dry-run" in steps(plain("p"))
    assert "keyctl rotate --dry-run" in steps(plain("p") | secrets(NEW))
    assert "keyctl rotate --dry-run" in steps(plain("p") | secrets(NEW), None)
    assert "keyctl rotate --dry-run" in steps(secrets(OLD))
    unknown = steps(secrets(OLD) | secrets(seal.key("gone")))
    assert "restart no API server" in unknown
    assert "as a read key" in unknown
    assert "rotate" not in unknown
    assert "put the bytes back" in steps(secrets(SWAPPED))
    junk = steps({at("x"): b"junk"})
    assert "who wrote the named values" in junk
    assert "restart no API server" not in junk


def test_the_next_step_names_what_the_user_asked_about() -> None:
    off = to_report(run(secrets(NEW) | {at("c", "configmaps"): seal.config_map("c")}, required=("configmaps",)))
    assert [step.partition("    ")[0] for step in off.next_steps] == ["keyctl enable --resources configmaps --dry-run"]
    other = to_report(run(secrets(NEW), require=Provider.SECRETBOX))
    assert [step.partition("    ")[0] for step in other.next_steps] == ["keyctl rotate --provider secretbox --dry-run"]
    missing = to_report(run({at("c", "configmaps"): seal.config_map("c")}, expected={"secrets": 2}))
    assert missing.next_steps == (
        "compare etcd and prefix with kube-apiserver's --etcd-servers, --etcd-servers-overrides and --etcd-prefix",
    )
    nothing = to_report(run({at("c", "configmaps"): seal.config_map("c")}))
    assert nothing.next_steps == (
        "an empty answer proves nothing: create an object of these resources, then verify again",
    )


def test_nothing_hostile_or_secret_reaches_a_report() -> None:
    values = {
        b"/registry/secrets/default/\x1b[2J\xe2\x80\xae": seal.secret("a", filler=b"hunter2"),
        at("x"): seal.seal(SWAPPED, b"", seal.secret("x", filler=b"hunter2")),
        b"/registry/\x1b]0;x\x07/d/n": b"k8s:enc:aescbc:v1:\x1b[1m:body",
        at("long" * 500): b"junk",
        at("moved"): seal.seal(NEW, b"", seal.secret("evil\x1b[31m")),
    }
    report = to_report(run(values))
    for shown in (
        text.render(report, width=None, color=False, unicode=True, wide=True),
        json_report.render(report),
        junit.render(report),
    ):
        assert re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", shown) is None
        assert "hunter2" not in shown
        assert "long" * 70 not in shown
        for key in (NEW, OLD, SWAPPED):
            assert key.material.hex() not in shown
            assert key.material.decode("latin-1") not in shown


def test_the_table_shows_each_key_with_its_role() -> None:
    (table,) = to_report(run(secrets(NEW) | secrets(OLD, 2))).tables
    assert table.rows == (
        ("secrets", "yes", "2", "aescbc", "old", "read", "2", "stale"),
        ("secrets", "yes", "5", "aescbc", "new", "write", "5", "ok"),
    )


def test_a_required_resource_without_values_is_listed_and_noted() -> None:
    report = to_report(run(secrets(NEW), seal.config(NEW, resources=("secrets", "configmaps"))))
    assert report.exit_code is ExitCode.OK
    assert report.tables[0].rows[0] == ("configmaps", "yes", "0", "-", "-", "-", "-", "none")
    assert "no value of configmaps is stored" in report.notes
