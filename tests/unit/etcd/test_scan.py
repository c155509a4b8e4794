from __future__ import annotations

import weakref
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnreachableError
from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import CallError, RangeAnswer
from keyctl.etcd.scan import LiveSource, prefix_range
from keyctl.stored.source import JoinedSource, Value
from tests.support.scripted_etcd import Answer, Header, Pair, ScriptedEtcd, ScriptedSession, Step, install

TOO_LARGE = CallError("RESOURCE_EXHAUSTED", "Received message larger than max")


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def pairs(start: int, stop: int, size: int = 1) -> list[Pair]:
    return [Pair(b"/r/%06d" % number, b"v" * size, number) for number in range(start, stop)]


def pin(count: int, revision: int = 42, cluster_id: int = 0xABC) -> Answer:
    """The answer to what a scan asks first."""
    return Answer(count=count, header=Header(cluster_id=cluster_id, revision=revision))


def part(start: int, stop: int) -> Answer:
    """A chunk of a stream that is not its last one."""
    return Answer(pairs(start, stop), with_header=False)


def last(start: int, stop: int) -> Answer:
    # etcd puts the revision of that moment into the header, not the one that it read at.
    return Answer(pairs(start, stop), count=stop - start, header=Header(revision=99))


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
    session = ScriptedSession([pin(31)], stream=[part(0, 10), part(10, 30), last(30, 31)])
    source, values = read(scripted.connect(session))
    assert values == [(pair.key, pair.value, pair.mod_revision) for pair in pairs(0, 31)]
    info = source.info()
    assert (info.type, info.location, info.revision) == ("etcd", "https://etcd1:2379", 42)
    assert (info.cluster_id, info.count, info.integrity) == ("abc", 31, None)


def test_a_linearizable_count_pins_the_revision_that_is_streamed(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([pin(3)], stream=[last(0, 3)])
    read(scripted.connect(session))
    assert session.asked == [
        {"key": b"/r/", "range_end": b"/r0", "revision": 0, "count_only": True},
        {"key": b"/r/", "range_end": b"/r0", "revision": 42},
    ]


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        pytest.param([part(0, 10)], "ended without the last chunk", id="no last chunk"),
        pytest.param([part(0, 12)], "ended without the last chunk", id="no last chunk though all came"),
        pytest.param([], "ended without the last chunk", id="nothing"),
        pytest.param([part(0, 10), last(10, 11)], "11 of 12 values", id="one missing"),
        pytest.param([part(0, 10), last(10, 13)], "13 of 12 values", id="one too many"),
    ],
)
def test_a_truncated_stream_is_an_error_and_no_short_list(
    scripted: ScriptedEtcd, stream: list[Step], words: str
) -> None:
    whole = ScriptedSession([pin(12)], stream=[last(0, 12)])
    source = LiveSource(scripted.connect(ScriptedSession([pin(12)], stream=stream), whole))
    with pytest.raises(UnreachableError, match="truncated") as caught:
        list(source.batches(b"/r/"))
    assert words in (caught.value.cause or "")
    assert whole.asked == []
    with pytest.raises(RuntimeError):
        source.info()


def test_the_next_endpoint_is_read_when_the_first_does_not_answer(scripted: ScriptedEtcd) -> None:
    down = ScriptedSession([CallError("UNAVAILABLE", "connection refused")])
    source, values = read(scripted.connect(down, ScriptedSession([pin(3)], stream=[last(0, 3)])))
    assert len(values) == 3
    assert source.info().location == "https://etcd2:2379"


def test_without_streams_pages_are_pinned_to_the_revision_of_the_first_read(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession(
        [
            pin(900),
            Answer(pairs(0, 500), more=True, count=900, header=Header(revision=43)),
            Answer(pairs(500, 800), more=True, count=400, header=Header(revision=50)),
            Answer(pairs(800, 900), more=False, count=100, header=Header(revision=51)),
        ]
    )
    source, values = read(scripted.connect(session))
    assert values == [(pair.key, pair.value, pair.mod_revision) for pair in pairs(0, 900)]
    assert (source.info().revision, source.info().count) == (42, 900)
    pages = session.asked[2:]
    assert [asked["key"] for asked in pages] == [b"/r/", b"/r/000499\0", b"/r/000799\0"]
    assert [(asked["revision"], asked["serializable"]) for asked in pages] == [(42, True)] * 3
    assert [asked["limit"] for asked in pages] == [500, 5000, 5000]


def test_a_given_revision_is_counted_and_read(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession(
        [pin(501), Answer(pairs(0, 500), more=True, count=501), Answer(pairs(500, 501), count=1)],
    )
    source, _ = read(scripted.connect(session), revision=7)
    assert [asked["revision"] for asked in session.asked] == [7, 7, 7, 7]
    assert source.info().revision == 7


def test_pages_of_large_values_get_smaller(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession(
        [pin(11), Answer(pairs(0, 10, 1 << 20), more=True, count=11), Answer(pairs(10, 11), count=1)],
    )
    read(scripted.connect(session))
    assert [asked["limit"] for asked in session.asked[2:]] == [500, 7]


def test_a_page_too_large_to_receive_is_halved(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([pin(1), TOO_LARGE, TOO_LARGE, Answer(pairs(0, 1), count=1)])
    assert len(read(scripted.connect(session))[1]) == 1
    assert [asked["limit"] for asked in session.asked[2:]] == [500, 250, 125]


def test_a_chunk_too_large_to_receive_is_read_in_pages(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([pin(12), Answer(pairs(10, 12), count=2)], stream=[part(0, 10), TOO_LARGE])
    source, values = read(scripted.connect(session))
    assert [key for key, _, _ in values] == [pair.key for pair in pairs(0, 12)]
    assert (session.asked[-1]["key"], session.asked[-1]["revision"]) == (b"/r/000009\0", 42)
    assert source.info().count == 12


def test_a_single_value_too_large_to_receive_is_an_error(scripted: ScriptedEtcd) -> None:
    other = ScriptedSession([pin(1)], stream=[last(0, 1)])
    with pytest.raises(UnreachableError, match="a value that is too large") as caught:
        read(scripted.connect(ScriptedSession([pin(1), *[TOO_LARGE] * 20]), other))
    assert other.asked == []
    assert caught.value.cause == TOO_LARGE.detail


@pytest.mark.parametrize("page", [Answer([], more=True), Answer(pairs(500, 899)), Answer(pairs(500, 901))])
def test_pages_that_do_not_add_up_are_an_error(scripted: ScriptedEtcd, page: Answer) -> None:
    session = ScriptedSession([pin(900), Answer(pairs(0, 500), more=True, count=900), page])
    with pytest.raises(UnreachableError, match="truncated"):
        read(scripted.connect(session))


class Forgetful(ScriptedSession):
    """Keeps no chunk that it has given out."""

    def range_stream(self, key: bytes, range_end: bytes, *, revision: int) -> Generator[RangeAnswer]:
        while self.stream:
            yield answer_of(self.stream.pop(0))


def answer_of(step: Step) -> Answer:
    assert isinstance(step, Answer)
    return step


def test_a_chunk_does_not_stay_while_its_values_are_worked_on(scripted: ScriptedEtcd) -> None:
    session = Forgetful([pin(30)], stream=[part(0, 10), part(10, 20), last(20, 30)])
    seen = [weakref.ref(answer_of(step)) for step in session.stream]
    batches = LiveSource(scripted.connect(session)).batches(b"/r/")
    # The first chunk alone shows whether the endpoint answers at all, and stays until the second is asked for.
    next(batches)
    next(batches)
    assert [chunk() is None for chunk in seen] == [True, True, False]


def test_a_page_does_not_stay_while_its_values_are_worked_on(scripted: ScriptedEtcd) -> None:
    session = ScriptedSession([pin(20), Answer(pairs(0, 10), more=True, count=20), Answer(pairs(10, 20), count=10)])
    seen = [weakref.ref(answer_of(step)) for step in session.unary[1:]]
    batches = LiveSource(scripted.connect(session)).batches(b"/r/")
    next(batches)
    assert [page() is None for page in seen] == [True, False]


def test_an_empty_prefix_has_no_batch_and_a_count_of_zero(scripted: ScriptedEtcd) -> None:
    source = LiveSource(scripted.connect(ScriptedSession([pin(0)], stream=[last(0, 0)])))
    assert list(source.batches(b"/r/")) == []
    assert source.info().count == 0


def test_each_of_several_etcds_is_read_at_a_revision_of_its_own(scripted: ScriptedEtcd) -> None:
    main = ScriptedSession([pin(3)], stream=[last(0, 3)])
    other = ScriptedSession(
        [pin(2, revision=7, cluster_id=0xDEF)],
        stream=[Answer(pairs(3, 5), count=2, header=Header(cluster_id=0xDEF))],
    )
    joined = JoinedSource((LiveSource(scripted.connect(main)), LiveSource(scripted.connect(other))))
    assert len([value for batch in joined.batches(b"/r/") for value in batch]) == 5
    assert (main.asked[1]["revision"], other.asked[1]["revision"]) == (42, 7)
    info = joined.info()
    assert (info.count, info.revision, info.cluster_id) == (5, 42, "abc")


def test_what_one_etcd_lacks_another_cannot_make_up_for(scripted: ScriptedEtcd) -> None:
    short = ScriptedSession([pin(3)], stream=[last(0, 2)])
    long = ScriptedSession([pin(2)], stream=[last(2, 5)])
    joined = JoinedSource((LiveSource(scripted.connect(short)), LiveSource(scripted.connect(long))))
    with pytest.raises(UnreachableError, match="truncated"):
        list(joined.batches(b"/r/"))
