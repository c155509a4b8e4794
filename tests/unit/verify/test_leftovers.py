from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from keyctl.cli import main, verification
from keyctl.errors import ExitCode
from keyctl.findings import Report, Status
from keyctl.keys.key import KeyRef, Provider
from keyctl.reports.formats import FORMATS
from keyctl.stored.source import (
    OTHER_THAN_SECRETS,
    PERHAPS_SECRETS,
    SECRETS,
    Area,
    Coverage,
    Fragment,
    Remark,
    Value,
)
from keyctl.verify.report import to_report
from keyctl.verify.values import VerifyResult, verify
from tests.support import seal
from tests.support.memory_source import MemorySource

_NEW, _OLD = seal.key("new", fill=1), seal.key("old", fill=2)
_CONFIG = seal.config(_NEW)
_AT = b"/registry/secrets/default/demo"
_PLAIN = seal.secret("demo")
_CLEAN = {_AT: seal.seal(_NEW, _AT, _PLAIN)}
_SNAPSHOT = dict.fromkeys((Area.LIVE, Area.HISTORY, Area.FREE_PAGES), Coverage.SCANNED) | {
    Area.WAL: Coverage.ABSENT,
    Area.SNAP_DIR: Coverage.ABSENT,
}


class MemoryFile(MemorySource):
    """A `FileSource` over lists."""

    def __init__(
        self,
        values: Mapping[bytes, bytes],
        *,
        history: tuple[Value, ...] = (),
        fragments: tuple[Fragment, ...] = (),
        coverage: Mapping[Area, Coverage] = _SNAPSHOT,
        remarks: tuple[Remark, ...] = (),
    ) -> None:
        super().__init__(values)
        self._remarks = remarks
        self._history, self._fragments, self._coverage = history, fragments, coverage

    def history(self, prefix: bytes) -> Iterator[list[Value]]:
        yield [value for value in self._history if value[0].startswith(prefix)]

    def fragments(self) -> Iterator[list[Fragment]]:
        yield list(self._fragments)

    def coverage(self) -> Mapping[Area, Coverage]:
        return self._coverage

    def remarks(self) -> tuple[Remark, ...]:
        return self._remarks


def _verified(source: MemorySource, *, residue: bool = True, only: tuple[str, ...] = ()) -> VerifyResult:
    return verify(source, prefix="/registry", config=_CONFIG, residue=residue, only=only)


def _fragment(value: bytes, area: Area = Area.FREE_PAGES) -> Fragment:
    return Fragment(area, "page 7", _AT, 3, value, whole=True)


def _text(report: Report) -> str:
    return FORMATS["json"](report)


@pytest.mark.parametrize(
    ("source", "outcomes"),
    [
        pytest.param(MemoryFile(_CLEAN), (), id="clean"),
        pytest.param(MemoryFile(_CLEAN, history=((_AT, _CLEAN[_AT], 2),)), (), id="history under the key that writes"),
        pytest.param(MemoryFile(_CLEAN, history=((_AT, _PLAIN, 2),)), (14,), id="plaintext in history"),
        pytest.param(
            MemoryFile(_CLEAN, history=((_AT, seal.seal(_OLD, _AT, _PLAIN), 2),)), (14,), id="a retired key in history"
        ),
        pytest.param(MemoryFile(_CLEAN, fragments=(_fragment(_PLAIN),)), (14,), id="plaintext in a freed page"),
        pytest.param(MemoryFile(_CLEAN, fragments=(_fragment(_PLAIN, Area.WAL),)), (14,), id="plaintext in the WAL"),
        pytest.param(
            MemoryFile(_CLEAN, fragments=(Fragment(Area.FREE_PAGES, "page 7", None, None, _PLAIN[:9], whole=False),)),
            (14,),
            id="an object cut before it says what it is",
        ),
        pytest.param(
            MemoryFile(_CLEAN, history=((b"/registry/pods/default/a", seal.stored("v1", "Pod", "a"), 2),)),
            (),
            id="plaintext of what need not be encrypted",
        ),
        pytest.param(
            MemoryFile(_CLEAN, coverage=_SNAPSHOT | {Area.WAL: Coverage.NOT_SCANNED}), (15,), id="a WAL not looked at"
        ),
        pytest.param(
            MemoryFile(_CLEAN, fragments=(_fragment(_PLAIN),), coverage=_SNAPSHOT | {Area.WAL: Coverage.NOT_SCANNED}),
            (14, 15),
            id="both",
        ),
        pytest.param(MemoryFile({_AT: _PLAIN}, history=((_AT, _PLAIN, 2),)), (13, 14), id="live plaintext comes first"),
        pytest.param(MemoryFile({}, history=((_AT, _PLAIN, 2),)), (14, 10), id="nothing live, plaintext behind"),
        pytest.param(MemorySource(_CLEAN), (15,), id="a source that cannot look behind"),
    ],
)
def test_with_residue_what_is_left_behind_decides(source: MemorySource, outcomes: tuple[int, ...]) -> None:
    assert _verified(source).outcomes == outcomes


def test_without_residue_it_is_told_and_does_not_decide() -> None:
    result = _verified(MemoryFile(_CLEAN, history=((_AT, _PLAIN, 2),)), residue=False)
    report = to_report(result)
    assert result.exit_code is ExitCode.OK
    assert "behind the live values: 1 plaintext in history; --residue makes it count" in report.notes
    assert not [one for one in report.findings if one.status is Status.FAIL]


def test_the_report_counts_what_lies_where() -> None:
    old = seal.seal(_OLD, _AT, _PLAIN)
    source = MemoryFile(
        _CLEAN,
        history=((_AT, _PLAIN, 2), (_AT, old, 3)),
        fragments=(_fragment(_PLAIN), _fragment(old, Area.WAL), _fragment(old, Area.SNAP_DIR)),
        coverage=dict.fromkeys(Area, Coverage.SCANNED),
    )
    report = to_report(_verified(source))
    shown = json.loads(_text(report))
    assert (shown["verdict"], shown["exitCode"]) == ("residue", 14)
    assert shown["coverage"] == dict.fromkeys(("live", "history", "freePages", "wal", "snapDir"), "scanned")
    assert (shown["history"]["values"], shown["history"]["plaintext"], shown["residue"]["plaintext"]) == (2, 1, 1)
    assert shown["residue"]["plaintextIn"] == {"freePages": 1}
    assert [(one["area"], one["key"], one["values"], one["retired"]) for one in shown["residue"]["encrypted"]] == [
        ("wal", "old", 1, True),
        ("snapDir", "old", 1, True),
    ]
    assert "1 plaintext and 1 under retired keys in history, 1 plaintext in free pages" in report.verdict


def test_each_leftover_is_named_with_its_place() -> None:
    report = to_report(_verified(MemoryFile(_CLEAN, fragments=(_fragment(_PLAIN),))))
    (found,) = [one for one in report.findings if one.status is Status.FAIL]
    assert (found.id, found.location.etcd_key) == ("KC-DAT-010", "/registry/secrets/default/demo (page 7)")
    assert found.message == "free pages: plaintext of secrets"


def test_an_area_that_was_not_looked_at_is_unknown_and_named() -> None:
    report = to_report(_verified(MemoryFile(_CLEAN, coverage=_SNAPSHOT | {Area.WAL: Coverage.NOT_SCANNED})))
    (found,) = [one for one in report.findings if one.id == "KC-DAT-012"]
    assert (found.status, found.message) == (Status.UNKNOWN, "WAL: not looked at")
    assert report.verdict.endswith("; not looked at: wal")


def test_an_area_that_was_looked_at_in_part_is_told_with_the_reason() -> None:
    why = Remark(Area.SNAP_DIR, "db.gz is compressed: not looked at")
    coverage = _SNAPSHOT | {Area.SNAP_DIR: Coverage.NOT_SCANNED}
    report = to_report(_verified(MemoryFile(_CLEAN, coverage=coverage, remarks=(why,))))
    (found,) = [one for one in report.findings if one.id == "KC-DAT-012"]
    assert found.message == "other files: db.gz is compressed: not looked at"
    assert "other files: db.gz is compressed: not looked at" in report.notes
    shown = json.loads(_text(report))
    assert shown["remarks"] == [{"area": "snapDir", "text": "db.gz is compressed: not looked at"}]
    assert shown["coverage"]["snapDir"] == "not-scanned"


def _tail(what: str) -> Fragment:
    return Fragment(Area.FREE_PAGES, "page 7", None, None, b"xxxx", whole=False, tail_of=what)


def test_the_end_of_a_secret_is_plaintext_of_secrets() -> None:
    report = to_report(_verified(MemoryFile(_CLEAN, fragments=(_tail(SECRETS),))))
    assert report.exit_code == ExitCode.RESIDUE
    (found,) = [one for one in report.findings if one.status is Status.FAIL]
    assert (found.message, found.location.etcd_key) == ("free pages: plaintext of secrets", "page 7")


@pytest.mark.parametrize(
    ("resources", "only", "outcomes"),
    [
        (("secrets",), (), ()),
        (("secrets", "configmaps"), (), (15,)),
        (("secrets", "configmaps"), ("secrets",), ()),
        (("*.*",), (), (15,)),
        (("*.*",), ("secrets",), ()),
        (("secrets",), ("configmaps",), (10, 15)),
    ],
)
def test_the_end_of_an_object_that_is_no_secret_leaves_a_doubt_where_others_must_be_encrypted(
    resources: tuple[str, ...], only: tuple[str, ...], outcomes: tuple[int, ...]
) -> None:
    source = MemoryFile(_CLEAN, fragments=(_tail(OTHER_THAN_SECRETS),))
    config = seal.config(_NEW, resources=resources)
    result = verify(source, prefix="/registry", config=config, residue=True, only=only)
    assert set(result.outcomes) == set(outcomes)
    report = to_report(result)
    assert json.loads(_text(report))["coverage"]["freePages"] == ("not-scanned" if 15 in outcomes else "scanned")
    said = [one.message for one in report.findings if one.id == "KC-DAT-012"]
    expected = "free pages: 1 value in plaintext, of which only the end is left: no secrets, but what else?"
    assert said == [expected] * (15 in outcomes)


def test_a_kind_whose_plural_nobody_knows_is_not_missed() -> None:
    config = seal.config(_NEW, resources=("secrets", "apikeys.example.com"))
    left = b'{"apiVersion":"example.com/v1","kind":"ApiKey","spec":'
    for version, outcomes in (("example.com", (14,)), ("example.org", ())):
        value = left.replace(b"example.com", version.encode())
        fragment = Fragment(Area.FREE_PAGES, "page 7", None, None, value, whole=False)
        source = MemoryFile(_CLEAN, fragments=(fragment,))
        assert verify(source, prefix="/registry", config=config, residue=True).outcomes == outcomes


def test_leftovers_under_another_prefix_are_said_and_not_judged() -> None:
    history = ((b"/elsewhere/secrets/default/a", _PLAIN, 2), (b"compact_rev_key", b"1", 3))
    result = _verified(MemoryFile(_CLEAN, history=history))
    report = to_report(result)
    assert result.outcomes == ()
    assert (
        "behind the live values also 2 values under other prefixes, not judged: /elsewhere, compact_rev_key"
        in report.notes
    )
    shown = json.loads(_text(report))
    assert shown["otherPrefixes"] == {
        "values": 2,
        "first": ["/elsewhere", "compact_rev_key"],
        "live": {"values": 0, "first": []},
    }
    assert shown["history"]["values"] == 0


def test_live_values_under_other_prefixes_are_said_and_not_judged() -> None:
    others = {b"/elsewhere/secrets/default/%d" % number: _PLAIN for number in range(3)}
    values = _CLEAN | others | {b"/else": b"x", b"compact_rev_key": b"1"}
    result = _verified(MemoryFile(values))
    report = to_report(result)
    assert (result.outcomes, result.source.count) == ((), 1)
    assert (
        "4 live values under other prefixes: /elsewhere (3), /else (1); judge them with --etcd-prefix" in report.notes
    )
    shown = json.loads(_text(report))
    assert shown["otherPrefixes"]["live"] == {"values": 4, "first": ["/elsewhere", "/else"]}
    assert shown["summary"]["values"] == 1


def test_of_a_live_etcd_only_what_lies_under_the_prefix_is_read() -> None:
    result = _verified(MemorySource(_CLEAN | {b"/elsewhere/a": b"x"}))
    assert (result.source.count, result.elsewhere) == (1, (0, ()))


def test_a_value_under_other_bytes_of_a_name_that_is_configured_is_one_under_a_retired_key() -> None:
    reused = seal.key("new", fill=7)
    history = ((_AT, seal.seal(reused, _AT, _PLAIN), 2), (_AT, _CLEAN[_AT], 3))
    source = MemoryFile(_CLEAN, history=history, fragments=(_fragment(history[0][1]),))
    result = _verified(source)
    assert result.outcomes == (14,)
    report = to_report(result)
    said = [one.message for one in report.findings if one.status is Status.FAIL]
    assert said == [
        "history: values of secrets under aescbc/new, but other bytes of that name",
        "free pages: values of secrets under aescbc/new, but other bytes of that name",
    ]
    shown = json.loads(_text(report))["history"]
    assert [(one["retired"], one["otherBytes"], one["values"]) for one in shown["encrypted"]] == [
        (False, False, 1),
        (True, True, 1),
    ]
    assert verify(source, prefix="/registry", config=_CONFIG, residue=True, decrypt=False).outcomes == ()


def test_with_only_a_retired_key_counts_for_the_resources_it_names() -> None:
    at = b"/registry/configmaps/default/a"
    config = seal.config(_NEW, resources=("secrets", "configmaps"))
    values = _CLEAN | {at: seal.seal(_NEW, at, seal.config_map("a"))}
    old = seal.seal(_OLD, _AT, _PLAIN)
    raw = Fragment(Area.FREE_PAGES, "page 7", None, None, old, whole=False)
    for source, only, outcomes in (
        (MemoryFile(values, history=((_AT, old, 2),)), ("configmaps",), ()),
        (MemoryFile(values, history=((_AT, old, 2),)), ("secrets",), (14,)),
        (MemoryFile(values, fragments=(raw,)), ("configmaps",), (14,)),
    ):
        assert verify(source, prefix="/registry", config=config, residue=True, only=only).outcomes == outcomes


@pytest.mark.parametrize("only", [(), ("secrets",)])
def test_an_end_that_may_be_a_secrets_is_a_doubt(only: tuple[str, ...]) -> None:
    result = _verified(MemoryFile(_CLEAN, fragments=(_tail(PERHAPS_SECRETS),)), only=only)
    assert result.outcomes == (15,)
    said = [one.message for one in to_report(result).findings if one.id == "KC-DAT-012"]
    assert said == ["free pages: 1 value in plaintext, of which only the end is left: secrets, or something else?"]


@pytest.mark.parametrize("integrity", ["sha256-ok", "sha256-absent", None])
def test_a_file_without_a_digest_is_said_to_have_none(integrity: str | None) -> None:
    result = _verified(MemoryFile(_CLEAN))
    result = replace(result, source=replace(result.source, integrity=integrity))
    said = [note for note in to_report(result).notes if note.startswith("no SHA-256 vouches for the file")]
    assert len(said) == (integrity == "sha256-absent")


def test_only_judges_what_it_names_behind_the_live_values_too() -> None:
    at = b"/registry/configmaps/default/a"
    values = _CLEAN | {at: seal.seal(seal.key("new", Provider.AESCBC, 1), at, seal.config_map("a"))}
    config = seal.config(_NEW, resources=("secrets", "configmaps"))
    source = MemoryFile(values, history=((_AT, _PLAIN, 2),))
    assert verify(source, prefix="/registry", config=config, residue=True, only=("configmaps",)).outcomes == ()


def test_no_report_holds_a_value() -> None:
    report = to_report(_verified(MemoryFile(_CLEAN, history=((_AT, _PLAIN, 2),), fragments=(_fragment(_PLAIN),))))
    assert "xxxx" not in _text(report)
    assert "xxxx" not in repr(report)


def test_plaintext_of_what_a_wildcard_encrypts_counts_although_nothing_of_it_is_live() -> None:
    at = b"/registry/configmaps/default/a"
    config = seal.config(_NEW, resources=("*.*",))
    source = MemoryFile(_CLEAN, history=((at, seal.config_map("a"), 2),))
    assert verify(source, prefix="/registry", config=config, residue=True).outcomes == (14,)
    assert verify(source, prefix="/registry", config=config, residue=True, only=("secrets",)).outcomes == ()


def test_the_command_asks_the_ledger_which_keys_are_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    source = MemoryFile(_CLEAN, history=((_AT, _CLEAN[_AT], 2),))
    retired: frozenset[KeyRef] = frozenset()
    target = verification.Target((), "/registry", (_CONFIG,), None, 0, file=source)
    monkeypatch.setattr(verification, "target", lambda *_, **__: contextlib.nullcontext(target))
    monkeypatch.setattr(verification.Target, "register", lambda _: ((), retired))
    command = ["verify-secrets", "--snapshot", "any.db", "--residue"]
    assert main.run(command) == ExitCode.OK
    retired = frozenset({_NEW.ref})
    assert main.run(command) == ExitCode.RESIDUE
