from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import StoppedError, UnreachableError
from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import CallError
from keyctl.etcd.scan import LiveSource, prefix_range
from keyctl.stored.source import Value
from tests.support.scripted_etcd import Answer, Header, Pair, ScriptedEtcd, ScriptedSession, Step, install

COMPACTED = CallError("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
TOO_LARGE = CallError("RESOURCE_EXHAUSTED", "Received message larger than max")


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def pairs(start: int, stop: int, size: int = 1) -> list[Pair]:
    return [Pair(b"/r/%06d" % number, b"v" * size, number) for number in range(start, stop)]


def part(start: int, stop: int) -> Answer:
    """A chunk of a stream that is not its last one."""
    return Answer(pairs(start, stop), with_header=False)


def last(start: int, stop: int, count: int) -> Answer:
    return Answer(pairs(start, stop), count=count, header=Header(revision=42))


def read(connections: Connections, revision: int = 0) -> tuple[LiveSource, list[Value]]:
    source = LiveSource(connections, revision)
    return source, [value for batch in source.batches(b"/r/") for value in batch]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"/registry/", (b"/registry/", b"/registry0")),
        (b"a\xff", (b"a\xff", b"b")),
        (b"\xff\xff", (b"\xff\xff", b"\0")),
        (b"", (b"\0", b"\0")),
    ],
)
def test_a_prefix_becomes_a_range(prefix: bytes, expected: tuple[bytes, bytes]) -> None:
    assert prefix_range(prefix) == expected


@given(prefix=st.binary(min_size=1, max_size=4), key=st.binary(min_size=1, max_size=6))
def test_a_key_is_in_the_range_exactly_when_it_has_the_prefix(prefix: bytes, key: bytes) -> None:
    start, end = prefix_range(prefix)
    assert (start <= key and (end == b"\0" or key < end)) == key.startswith(prefix)


def test_a_stream_is_delivered_chunk_by_chunk_with_its_revision(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession(stream=[part(0, 10), part(10, 30), last(30, 31, 31)])
    source, values = read(scripted.connect(session))
    assert values == [(pair.key, pair.value, pair.mod_revision) for pair in pairs(0, 31)]
    info = source.info()
    assert (info.type, info.location, info.revision) == ("etcd", "https://etcd1:2379", 42)
    assert (info.cluster_id, info.count, info.integrity) == ("abc", 31, None)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        pytest.param([part(0, 10)], "10 values without saying", id="no last chunk"),
        pytest.param([], "0 values without saying", id="nothing"),
        pytest.param([part(0, 10), last(10, 11, 12)], "11 values of 12", id="one missing"),
        pytest.param([part(0, 10), last(10, 11, 3)], "11 values of 3", id="too many"),
    ],
)
def test_a_truncated_stream_is_an_error_and_no_short_list(
    scripted: ScriptedEtcd, stream: list[Step], words: str
) -> None:
    source = LiveSource(scripted.connect(ScriptedSession(stream=stream)))
    with pytest.raises(UnreachableError, match="truncated") as caught:
        list(source.batches(b"/r/"))
    assert words in (caught.value.cause or "")
    with pytest.raises(RuntimeError):
        source.info()


@pytest.mark.parametrize(
    ("failure", "error"), [(COMPACTED, StoppedError), (CallError("UNAVAILABLE", "Socket closed"), UnreachableError)]
)
def test_a_stream_may_fail_at_any_chunk(scripted: ScriptedEtcd, failure: CallError, error: type[Exception]) -> None:
    batches = LiveSource(scripted.connect(ScriptedSession(stream=[part(0, 10), failure]))).batches(b"/r/")
    assert len(next(batches)) == 10
    with pytest.raises(error):
        next(batches)


def test_the_next_endpoint_streams_when_the_first_does_not_answer(scripted: ScriptedEtcd) -> None:
    down = ScriptedSession(stream=[CallError("UNAVAILABLE", "connection refused")])
    source, values = read(scripted.connect(down, ScriptedSession(stream=[last(0, 3, 3)])))
    assert len(values) == 3
    assert source.info().location == "https://etcd2:2379"


def test_without_streams_pages_are_pinned_to_the_revision_of_the_first(scripted: ScriptedEtcd) -> None:
    header = Header(revision=42)
    session = ScriptedSession(
        [
            Answer(pairs(0, 500), more=True, count=900, header=header),
            Answer(pairs(500, 800), more=True, count=400, header=Header(revision=50)),
            Answer(pairs(800, 900), more=False, count=100, header=Header(revision=51)),
        ]
    )
    source, values = read(scripted.connect(session))
    assert values == [(pair.key, pair.value, pair.mod_revision) for pair in pairs(0, 900)]
    assert (source.info().revision, source.info().count) == (42, 900)
    first, *others = session.asked[1:]
    assert (first["key"], first["revision"], first["serializable"]) == (b"/r/", 0, False)
    assert [asked["key"] for asked in others] == [b"/r/000499\0", b"/r/000799\0"]
    assert [(asked["revision"], asked["serializable"], asked["limit"]) for asked in others] == [(42, True, 5000)] * 2


def test_a_given_revision_is_read_in_pages_too(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession(
        [Answer(pairs(0, 500), more=True, count=501), Answer(pairs(500, 501), count=1)],
    )
    source, _ = read(scripted.connect(session), revision=7)
    assert [asked["revision"] for asked in session.asked] == [7, 7, 7]
    assert source.info().revision == 7


def test_pages_of_large_values_get_smaller(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession(
        [Answer(pairs(0, 10, 1 << 20), more=True, count=11), Answer(pairs(10, 11), count=1)],
    )
    read(scripted.connect(session))
    assert [asked["limit"] for asked in session.asked[1:]] == [500, 7]


def test_a_page_too_large_to_receive_is_halved(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([TOO_LARGE, TOO_LARGE, Answer(pairs(0, 1), count=1)])
    assert len(read(scripted.connect(session))[1]) == 1
    assert [asked["limit"] for asked in session.asked[1:]] == [500, 250, 125]


def test_a_single_value_too_large_to_receive_is_an_error(scripted: ScriptedEtcd) -> None:
    with pytest.raises(UnreachableError):
        read(scripted.connect(ScriptedSession([TOO_LARGE] * 20)))


def test_compaction_between_pages_stops_the_scan(scripted: ScriptedEtcd) -> None:
    batches = LiveSource(
        scripted.connect(ScriptedSession([Answer(pairs(0, 500), more=True, count=900), COMPACTED]))
    ).batches(b"/r/")
    assert len(next(batches)) == 500
    with pytest.raises(StoppedError, match="no longer has the revision"):
        next(batches)


def test_pages_that_end_early_are_an_error(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([Answer(pairs(0, 500), more=True, count=900), Answer([], more=True)])
    with pytest.raises(UnreachableError, match="truncated"):
        read(scripted.connect(session))


def test_an_empty_prefix_has_no_batch_and_a_count_of_zero(scripted: ScriptedEtcd) -> None:
    source = LiveSource(scripted.connect(ScriptedSession(stream=[last(0, 0, 0)])))
    assert list(source.batches(b"/r/")) == []
    assert source.info().count == 0
