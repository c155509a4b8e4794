"""What the answers of a plugin mean: a plugin in memory answers what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from keyctl.errors import ExitCode
from keyctl.findings import Severity
from keyctl.findings import Status as Outcome
from keyctl.kms import rules
from keyctl.kms.checks import Judged, Subject, is_domain_name, judge, percentile
from keyctl.kms.examine import SEED_BYTES, Seen, examine
from keyctl.kms.interface import Failed, Sealed, SocketFile, Status, Timed
from keyctl.kms.kept import Kept, keep
from keyctl.kms.report import to_report

PRIVATE = SocketFile(mode=0o600, uid=0, gid=0, connectable=False, replaceable=None)
DEAD = Failed("UNAVAILABLE", "gone", 0.0)


@dataclass
class FakePlugin:
    """Seals by adding a first byte. `ids` are the key ids that Status names, the last of them for ever."""

    ids: list[str] = field(default_factory=lambda: ["key-1"])
    sealing_id: str | None = None
    seconds: float = 0.01
    version: str = "v2"
    asked: list[str] = field(default_factory=list)
    annotations: dict[str, bytes] = field(default_factory=dict)
    on_status: Callable[[int], Timed[Status] | Failed | None] = lambda _: None
    on_decrypt: Callable[[Sealed], Timed[bytes] | Failed] | None = None

    def status(self) -> Timed[Status] | Failed:
        self.asked.append("Status")
        said = self.on_status(self.asked.count("Status"))
        if said is not None:
            return said
        key_id = self.ids.pop(0) if len(self.ids) > 1 else self.ids[0]
        return Timed(Status(self.version, "ok", key_id), self.seconds)

    def encrypt(self, plaintext: bytes, uid: str) -> Timed[Sealed] | Failed:
        self.asked.append("Encrypt")
        turned = bytes(byte ^ 0xFF for byte in plaintext)
        return Timed(Sealed(b"S" + turned + b"E", self.sealing_id or self.ids[0], self.annotations), self.seconds)

    def decrypt(self, sealed: Sealed, uid: str) -> Timed[bytes] | Failed:
        self.asked.append("Decrypt")
        if self.on_decrypt is not None:
            return self.on_decrypt(sealed)
        body = sealed.ciphertext[1:-1]
        whole = sealed.ciphertext[:1] == b"S" and sealed.ciphertext[-1:] == b"E" and body[16] == 16 ^ 0xFF
        return Timed(bytes(byte ^ 0xFF for byte in body), self.seconds) if whole else Failed("INTERNAL", "", 0.0)


SEED = bytes(range(SEED_BYTES))


def seen_of(plugin: FakePlugin, *, rounds: int = 3, olds: tuple[Kept, ...] = ()) -> Seen:
    return examine(plugin, rounds=rounds, olds=olds, new_seed=lambda: SEED, new_uid=lambda: "uid")


def judged(plugin: FakePlugin, *, socket: SocketFile | None = PRIVATE, olds: tuple[Kept, ...] = ()) -> Iterator[Judged]:
    return iter(judge(Subject(seen_of(plugin, olds=olds), socket, 3.0)))


def outcome(plugin: FakePlugin, rule: str, *, socket: SocketFile | None = PRIVATE, olds: tuple[Kept, ...] = ()) -> str:
    return str(next(one.outcome for one in judged(plugin, socket=socket, olds=olds) if one.rule.id == rule))


def failing(plugin: FakePlugin, *, socket: SocketFile | None = PRIVATE, olds: tuple[Kept, ...] = ()) -> list[str]:
    return [one.rule.id for one in judged(plugin, socket=socket, olds=olds) if one.outcome is Outcome.FAIL]


def test_a_plugin_that_keeps_the_contract_fails_nothing() -> None:
    outcomes = {one.outcome for one in judged(FakePlugin())}
    assert outcomes == {Outcome.PASS, Outcome.NOT_APPLICABLE}


def test_every_rule_is_applied_once() -> None:
    assert [one.rule for one in judged(FakePlugin())] == list(rules.RULES)


def test_a_key_that_is_rotated_between_status_and_encrypt_is_no_lie() -> None:
    assert outcome(FakePlugin(ids=["key-1", "key-2"]), rules.SAME_KEY_ID.id) == "pass"


def test_encrypt_that_names_neither_the_key_before_nor_after_lies() -> None:
    assert failing(FakePlugin(sealing_id="key-9")) == [rules.SAME_KEY_ID.id]


def test_one_change_of_the_key_id_is_not_judged_but_not_passed_either() -> None:
    plugin = FakePlugin(ids=["key-1", "key-1", "key-2"])
    assert outcome(plugin, rules.STEADY_KEY_ID.id) == "unknown"
    subject = Subject(seen_of(FakePlugin(ids=["key-1", "key-1", "key-2"])), PRIVATE, 3.0)
    assert to_report(judge(subject), subject, "unix:///x").exit_code is ExitCode.FINDINGS


@pytest.mark.parametrize("ids", [["a", "b", "a"], ["a", "b", "c"]], ids=["comes back", "changes twice"])
def test_a_key_id_without_rest_fails(ids: list[str]) -> None:
    assert rules.STEADY_KEY_ID.id in failing(FakePlugin(ids=ids))


@pytest.mark.parametrize(
    ("size", "passed"), [(1024, True), (1025, False)], ids=["as long as it may be", "one byte longer"]
)
def test_the_limit_of_the_key_id_is_that_of_kube_apiserver(size: int, passed: bool) -> None:
    assert (rules.KEY_ID.id not in failing(FakePlugin(ids=["k" * size]))) is passed


@pytest.mark.parametrize(
    ("annotations", "passed"),
    [
        pytest.param({"a.example": b"x" * (32 * 1024 - 9)}, True, id="as large as they may be"),
        pytest.param({"a.example": b"x" * (32 * 1024 - 8)}, False, id="one byte larger"),
        pytest.param({"one": b""}, False, id="a name of one part"),
    ],
)
def test_the_limits_of_annotations_are_those_of_kube_apiserver(annotations: dict[str, bytes], passed: bool) -> None:
    assert (rules.ANNOTATIONS.id not in failing(FakePlugin(annotations=annotations))) is passed


@pytest.mark.parametrize("name", ["a.b", "a.b.", "kms-1.example", "1.2", "a." + "b" * 63])
def test_a_domain_name_with_two_parts_is_taken(name: str) -> None:
    assert is_domain_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "a", "a.", "A.b", "a_b.c", "-a.b", "a-.b", "a..b", "a.b..", "a.b\n", "a." + "b" * 64, "a." * 128]
)
def test_other_names_are_no_domain_names(name: str) -> None:
    assert not is_domain_name(name)


def test_a_plugin_that_failed_once_is_not_asked_that_again() -> None:
    plugin = FakePlugin(on_decrypt=lambda _: Failed("DEADLINE_EXCEEDED", "", 3.0))
    seen_of(plugin, rounds=50)
    assert plugin.asked == ["Status", "Encrypt", "Decrypt", "Status"]


def test_what_was_not_asked_is_unknown_and_never_passed() -> None:
    plugin = FakePlugin(on_status=lambda _: DEAD)
    outcomes = {one.rule.id: one.outcome for one in judged(plugin)}
    assert outcomes.pop(rules.VERSION.id) is Outcome.FAIL
    assert outcomes.pop(rules.SOCKET.id) is Outcome.PASS
    assert outcomes.pop(rules.OLD.id) is Outcome.NOT_APPLICABLE
    assert set(outcomes.values()) == {Outcome.UNKNOWN}


def test_a_status_that_stops_answering_is_not_honest() -> None:
    plugin = FakePlugin(on_status=lambda number: DEAD if number > 2 else None)
    assert rules.HONEST.id in failing(plugin)


def test_a_kept_value_that_opens_passes_and_one_that_does_not_names_a_reused_key_id() -> None:
    kept = keep(SEED, Sealed(b"S" + bytes(b ^ 0xFF for b in SEED) + b"E", "key-1", {}), name="f", endpoint="e", at="t")
    assert outcome(FakePlugin(), rules.OLD.id, olds=(kept,)) == "pass"
    foreign = replace(kept, sealed=replace(kept.sealed, ciphertext=b"X"))
    (lost,) = [one for one in judged(FakePlugin(), olds=(kept, foreign)) if one.rule is rules.OLD]
    assert lost.outcome is Outcome.FAIL
    assert "its key id is that of today's key" in lost.seen
    older = replace(foreign, sealed=replace(foreign.sealed, key_id="key-0"))
    (lost,) = [one for one in judged(FakePlugin(), olds=(older,)) if one.rule is rules.OLD]
    assert "today's" not in lost.seen


def test_a_kept_value_that_opens_to_other_bytes_is_lost() -> None:
    kept = keep(
        b"other", Sealed(b"S" + bytes(b ^ 0xFF for b in SEED) + b"E", "key-1", {}), name="f", endpoint="e", at="t"
    )
    assert failing(FakePlugin(), olds=(kept,)) == [rules.OLD.id]


@pytest.mark.parametrize(
    "socket",
    [None, replace(PRIVATE, connectable=True), replace(PRIVATE, replaceable="/run/kms")],
    ids=["abstract", "open to all", "in a directory that is open to all"],
)
def test_a_socket_that_others_reach_is_a_finding_and_not_the_end(socket: SocketFile | None) -> None:
    assert failing(FakePlugin(), socket=socket) == [rules.SOCKET.id]
    subject = Subject(seen_of(FakePlugin()), socket, 3.0)
    assert to_report(judge(subject), subject, "unix:///x").exit_code is ExitCode.FINDINGS


def test_a_plugin_that_takes_more_than_half_of_the_timeout_is_slow() -> None:
    assert failing(FakePlugin(seconds=1.6)) == [rules.SLOW.id]
    assert failing(FakePlugin(seconds=1.4)) == []


def test_slow_alone_leaves_exit_0_and_says_so() -> None:
    subject = Subject(seen_of(FakePlugin(seconds=1.6)), PRIVATE, 3.0)
    report = to_report(judge(subject), subject, "unix:///x")
    assert (report.exit_code, rules.SLOW.severity) == (ExitCode.OK, Severity.MEDIUM)
    assert "see the findings" in report.verdict


def test_what_passed_names_no_mending() -> None:
    subject = Subject(seen_of(FakePlugin(sealing_id="key-9")), PRIVATE, 3.0)
    findings = to_report(judge(subject), subject, "unix:///x").findings
    assert {finding.status for finding in findings if finding.fix} == {Outcome.FAIL}


@pytest.mark.parametrize(("rank", "value"), [(50, 5), (99, 10), (100, 10), (1, 1)])
def test_percentiles_are_values_that_were_seen(rank: int, value: float) -> None:
    assert percentile([float(n) for n in range(10, 0, -1)], rank) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_what_a_plugin_opened_is_in_no_repr() -> None:
    seen = seen_of(FakePlugin())
    assert repr(SEED)[2:-1] not in repr(seen)
    assert "key-1" in repr(seen.statuses)
