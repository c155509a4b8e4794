from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keyctl.documents import Document, Kind, Mapping, Node, Scalar, Sequence, parse, splice
from keyctl.errors import UnusableInputError
from keyctl.go_scalars import go_kind


def _parse(text: str | bytes) -> Document:
    return parse(text if isinstance(text, bytes) else text.encode(), name="enc.yaml")


def _fields(node: Node) -> dict[str, Node]:
    assert isinstance(node, Mapping)
    return {key.text: value for key, value in node.items}


def _refusal(text: str | bytes) -> UnusableInputError:
    with pytest.raises(UnusableInputError) as caught:
        _parse(text)
    assert caught.value.hints
    return caught.value


# Each of these was given to kube-apiserver 1.37's own decoder as a key name; only what it takes for text is STRING.
@pytest.mark.parametrize(
    "text",
    [
        "20261121",
        "1e3",
        "0x1f",
        "12_30",
        "0644",
        ".5",
        ".inf",
        "-.INF",
        "+.inf",
        "+1",
        "1_",
        "08",
        "0o17",
        "0b1",
        "0b-1",
        "-0b1",
        "1.5",
        "1.",
        "1.e3",
        ".nan",
        ".1_0",
        "1__2",
        "0_7",
        "0x_1",
        "1e+3",
        "-.5e-3",
        "0O17",
        "0B1",
        "0X1f",
        "-0",
        "+0x1",
        "00",
        "0.0",
        "1_000.5",
        "0xFFFFFFFFFFFFFFFF",
        "-0x8000000000000000",
        "999999999999999999999",
    ],
)
def test_go_reads_a_number(text: str) -> None:
    assert go_kind(text) is Kind.NUMBER


@pytest.mark.parametrize("text", ["yes", "on", "n", "Y", "True", "NO", "off", "OFF", "false", "y", "No"])
def test_go_reads_a_bool(text: str) -> None:
    assert go_kind(text) is Kind.BOOL


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_go_reads_a_null(text: str) -> None:
    assert go_kind(text) is Kind.NULL


@pytest.mark.parametrize(
    "text",
    [
        "key1",
        "2026-11-21",
        "12:30",
        "2026-11-21T10:00:00Z",
        "tRue",
        "nO",
        "oFF",
        ".",
        "+",
        "-",
        "_1",
        "1e400",
        "0xFFFFFFFFFFFFFFFFF",
        "-0x8000000000000001",
        "1e",
        "0x",
        "0b2",
        "-0b+1",
        ".Nan",
        "+.inF",
        ".5e",
        "--1",
        "1-1",
        "0x1p3",
        ".1_",
        ".1__0",
        "a:b",
        "${X}",
        "=",
        "nULL",
        "9" * 400,
        "0b" + "1" * 70,
        "a b",
    ],
)
def test_go_reads_a_string(text: str) -> None:
    assert go_kind(text) is Kind.STRING


def test_quotes_make_text_of_anything() -> None:
    fields = _fields(_parse("a: 'yes'\nb: \"12\"\nc: |\n  12\nd: !!str 12\n").root)
    assert [(value.kind, value.text) for value in fields.values() if isinstance(value, Scalar)] == [
        (Kind.STRING, "yes"),
        (Kind.STRING, "12"),
        (Kind.STRING, "12\n"),
        (Kind.STRING, "12"),
    ]


def test_places_count_characters_and_are_one_based() -> None:
    document = _parse("# ü\na: 😀\nb:\n  - c\n")
    fields = _fields(document.root)
    first, second = fields["a"], fields["b"]
    assert isinstance(second, Sequence)
    assert (first.span.line, first.span.column) == (2, 4)
    assert document.text[first.span.start : first.span.end] == "😀"
    item = second.items[0].span
    assert (item.line, item.column, document.text[item.start : item.end]) == (4, 5, "c")


def test_a_byte_order_mark_and_crlf_are_read_and_counted() -> None:
    document = _parse("\ufeffa: b\r\nc: d\r\n")
    span = _fields(document.root)["c"].span
    assert document.text[span.start : span.end] == "d"
    assert (span.line, span.column) == (2, 4)


@pytest.mark.parametrize("rest", ["---\nx: y\n", "--- [\n", "...\n---\n", "--- !foo {\n"])
def test_only_the_first_document_is_read_and_others_are_told(rest: str) -> None:
    document = _parse("a: b\n" + rest)
    assert document.others
    assert list(_fields(document.root)) == ["a"]


def test_a_single_document_has_no_others() -> None:
    assert not _parse("--- # start\na: b\n...\n").others


def test_a_repeated_field_names_both_lines() -> None:
    error = _refusal("a: 1\nb: 2\n'a': 3\n")
    assert str(error) == "enc.yaml:3:1: a field that stands twice in one mapping"
    assert error.cause == "the first is on line 1, the second on line 3"


def test_an_alias_is_resolved_and_makes_the_document_not_plain() -> None:
    document = _parse("a: &x [b]\nc: *x\n")
    fields = _fields(document.root)
    assert fields["a"] == fields["c"]
    assert not document.plain
    assert _parse("a: b").plain


@pytest.mark.parametrize("text", ["a: &x b\n", "a: !!str b\n"])
def test_anchors_and_tags_alone_make_a_document_not_plain(text: str) -> None:
    assert not _parse(text).plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x\n  - *x\n", "enc.yaml:2:5: an alias without a complete anchor before it"),
        ("a: *x\n", "enc.yaml:1:4: an alias without a complete anchor before it"),
        ("a: &x {b: c}\nd:\n  <<: *x\n", "enc.yaml:3:3: YAML merge keys are not read by keyctl"),
        ("a: !foo b\n", "enc.yaml:1:4: a YAML tag that keyctl does not read"),
        ("a: !!binary YQ==\n", "enc.yaml:1:4: a YAML tag that keyctl does not read"),
        ("a: !!int 1\n", "enc.yaml:1:4: a YAML tag that keyctl does not read"),
        ("a: ! 1\n", "enc.yaml:1:4: a YAML tag that keyctl does not read"),
        ("a: !!map [b]\n", "enc.yaml:1:4: a YAML tag that keyctl does not read"),
        ("%YAML 1.2\n---\na: b\n", "enc.yaml:1:1: YAML directives are not read by keyctl"),
        ("%TAG ! !x\n---\na: b\n", "enc.yaml:1:1: YAML directives are not read by keyctl"),
        ('a: "x\\/y"\n', "enc.yaml:1:4: an escaped slash in double quotes"),
        ("a: {{ .Values.key }}\n", "enc.yaml:1:4: an unrendered template"),
        ("[a]: b\n", "enc.yaml:1:1: a field name that is not text"),
        ("a:\n\t- b\n", "enc.yaml:2:1: not YAML"),
        ("a: 'b\n", "enc.yaml:2:1: not YAML"),
        ("", "enc.yaml: the file is empty"),
        ("# only a comment\n", "enc.yaml: the file holds no document"),
        ("a: b\nc: \x07\n", "enc.yaml:2:4: a control character that YAML does not allow, U+0007"),
        ("a: b\ufeff\n", "enc.yaml:1:5: a byte order mark inside the text"),
        ("\ufeff\ufeffa: b\n", "enc.yaml:1:1: a byte order mark inside the text"),
        ("a: " + "[" * 60 + "]" * 60, "enc.yaml:1:54: nested more than 50 levels deep"),
        ('{"a": 1,}', "enc.yaml:1:8: not JSON"),
        ("{a: 1}", "enc.yaml:1:2: not JSON"),
        ('{"a": 1} # b', "enc.yaml:1:10: not JSON"),
        ('{"a": 1} {}', "enc.yaml:1:10: not JSON"),
        ('{"a": NaN}', "enc.yaml: not JSON"),
        ('\v{"a": 1}', "enc.yaml:1:1: a control character that YAML does not allow, U+000B"),
        ('{"a": 1, "a": 2}', "enc.yaml:1:10: a field that stands twice in one mapping"),
        ('{"a": "\\ud800"}', "enc.yaml:1:10: not JSON that keyctl reads"),
        ('{"a":\n"b\u2028"}', "enc.yaml:2:3: a line separator that YAML and JSON read differently, U+2028"),
    ],
)
def test_what_is_refused_is_refused_by_name_and_place(text: str, message: str) -> None:
    assert str(_refusal(text)) == message


def test_an_escaped_backslash_before_a_slash_is_no_escaped_slash() -> None:
    value = _fields(_parse('a: "x\\\\/y"\n').root)["a"]
    assert isinstance(value, Scalar)
    assert value.text == "x\\/y"


@pytest.mark.parametrize(
    "content", ["a: b\n".encode("utf-16"), "a: b\n".encode("utf-16-be"), b"a: b # \xe9\n", b"a: \0b\n"]
)
def test_other_encodings_are_refused(content: bytes) -> None:
    assert "not UTF-8 text" in str(_refusal(content))


def test_aliases_may_not_multiply() -> None:
    tens = ", ".join(["*a"] * 10)
    bomb = f"a: &a [x]\nb: &b [{tens}]\nc: &c [{tens.replace('a', 'b')}]\nd: [{tens.replace('a', 'c')}]\n"
    assert "too many values once aliases are expanded" in str(_refusal(bomb))


def test_a_large_document_without_aliases_is_read() -> None:
    root = _parse("a:\n" + "- b\n" * 2000).root
    items = _fields(root)["a"]
    assert isinstance(items, Sequence)
    assert len(items.items) == 2000


@pytest.mark.parametrize(
    "text", ['{"a": [1, true, null, "yes", 1e400]}', '\n {"a"\t:\n\t[1, true, null, "yes", 1e400]}']
)
def test_json_is_read_as_json(text: str) -> None:
    document = _parse(text)
    items = _fields(document.root)["a"]
    assert document.json
    assert isinstance(items, Sequence)
    assert [item.kind for item in items.items if isinstance(item, Scalar)] == [
        Kind.NUMBER,
        Kind.BOOL,
        Kind.NULL,
        Kind.STRING,
        Kind.NUMBER,
    ]


def test_escapes_of_json_are_decoded() -> None:
    value = _fields(_parse('{"a": "\\u0041\\/\\n"}').root)["a"]
    assert isinstance(value, Scalar)
    assert value.text == "A/\n"


def test_a_parser_without_libyaml_is_a_mistake_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    with pytest.raises(RuntimeError, match="libyaml"):
        _parse("a: b")


def test_a_repr_shows_no_scalar() -> None:
    assert "hunter2" not in repr(_parse("a: hunter2\nb: [hunter2]\nc: &d hunter2\n"))


@pytest.mark.parametrize(
    "text",
    ["hunter2: [\n", "a: 'hunter2\n", "a: !hunter2 b\n", "a: *hunter2\n", "hunter2: 1\nhunter2: 2\n", "a: \t@hunter2\n",
     '{"hunter2": hunter2}', '{"a": "hunter2}', "a: hunter2\x07\n", "%hunter2 1\n---\na: b\n", "? [hunter2]\n: b\n"],
)  # fmt: skip
def test_an_error_repeats_nothing_of_the_text(text: str) -> None:
    error = _refusal(text)
    assert "hunter2" not in " ".join((str(error), error.cause or "", *error.hints))
    assert error.__cause__ is None


def test_splice_applies_edits_at_offsets_of_the_original() -> None:
    assert splice("abcdef", [(4, 5, "E"), (0, 0, "<"), (1, 3, "")]) == "<adEf"


def test_insertions_at_one_place_keep_their_order() -> None:
    assert splice("ab", [(1, 1, "1"), (1, 1, "2")]) == "a12b"


@pytest.mark.parametrize("edits", [[(0, 2, ""), (1, 3, "")], [(2, 1, "")], [(0, 9, "")], [(-1, 0, "x")]])
def test_splice_refuses_edits_that_overlap_or_leave_the_text(edits: list[tuple[int, int, str]]) -> None:
    with pytest.raises(ValueError, match="overlaps another or leaves the text"):
        splice("abc", edits)


@given(st.text(alphabet="ab", max_size=20), st.sets(st.integers(0, 20), max_size=6), st.text(max_size=3))
def test_splice_equals_cutting_and_joining(text: str, cuts: set[int], filler: str) -> None:
    places = sorted(cut for cut in cuts if cut <= len(text))
    pairs = list(zip(places[::2], places[1::2], strict=False))
    expected = text
    for start, end in reversed(pairs):
        expected = expected[:start] + filler + expected[end:]
    assert splice(text, [(start, end, filler) for start, end in pairs]) == expected


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        document = _parse(text.encode("utf-8", "surrogatepass"))
    except UnusableInputError:
        return
    assert document.text == text
