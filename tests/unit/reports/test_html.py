"""The HTML page: its structure, that it loads nothing, that no text acts, that nothing is dropped."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyctl.errors import ExitCode
from keyctl.findings import Evidence, Finding, Location, Report, Rule, Severity, Status, Table
from keyctl.reports import json as json_report
from keyctl.reports.html import page
from keyctl.reports.html.palette import COLOURS, WRITTEN_ON
from keyctl.reports.html.style import STYLE
from tests.support.html_tree import Node, read
from tests.support.shown_reports import SCENES

HOSTILE = "<script>alert(1)</script>\"'&lt;\x1b[31m\x00\u202e\u200f\ud800]]>-->\n</style></title>"
SCENE = pytest.mark.parametrize("scene", SCENES)


def shown(report: Report) -> Node:
    return read(page.render(report))


def finding(number: int = 1, message: str = "bad", where: str | None = None) -> Finding:
    return Finding(f"KC-X-{number:03}", Severity.HIGH, Status.FAIL, message, Location(etcd_key=where))


@SCENE
def test_the_verdict_comes_first_in_the_only_heading_of_its_level(scene: str) -> None:
    report = SCENES[scene]()
    root = shown(report)
    heading = root.one("h1")
    assert heading.text.endswith(f": {report.verdict}")
    assert root.all(*(f"h{level}" for level in range(1, 7)))[0] is heading
    assert root.one("html").attributes["lang"] == "en"
    assert [node.tag for node in root.one("body").elements] == ["a", "header", "nav", "main", "footer"]


@SCENE
def test_headings_leave_no_level_out_and_every_section_is_named_by_its_own(scene: str) -> None:
    root = shown(SCENES[scene]())
    levels = [int(node.tag[1]) for node in root.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for section in root.all("section"):
        assert root.by_id(section.attributes["aria-labelledby"]).tag == "h2"


@SCENE
def test_every_link_leads_to_a_place_on_the_page_and_no_id_is_there_twice(scene: str) -> None:
    root = shown(SCENES[scene]())
    ids = [node.attributes["id"] for node in root.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    links = [node.attributes["href"] for node in root.all("a")]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert {link.removeprefix("#") for link in links[1:]} == {node.attributes["id"] for node in root.all("section")}


@SCENE
def test_every_table_has_a_caption_and_names_its_columns_and_rows(scene: str) -> None:
    for table in shown(SCENES[scene]()).all("table"):
        assert table.one("caption").text
        (heads,) = table.one("thead").elements
        assert {(cell.tag, cell.attributes["scope"]) for cell in heads.elements} == {("th", "col")}
        for row in table.one("tbody").elements:
            first, *rest = row.elements
            assert (first.tag, first.attributes["scope"]) == ("th", "row")
            assert {cell.tag for cell in rest} <= {"td"}
            assert len(row.elements) == len(heads.elements)


@SCENE
def test_every_picture_says_in_words_what_it_shows(scene: str) -> None:
    for picture in shown(SCENES[scene]()).all("svg"):
        named = picture.attributes.get("role") == "img" and picture.attributes["aria-label"]
        assert named or picture.attributes.get("aria-hidden") == "true"


@SCENE
def test_no_state_is_told_by_its_colour_alone(scene: str) -> None:
    for node in shown(SCENES[scene]()).all("span"):
        kind = node.attributes.get("class", "")
        if kind.startswith("mark "):
            sign, *words = node.text.split()
            assert sign in "✓!✗?-"
            assert words


@SCENE
def test_a_page_loads_nothing_and_runs_nothing(scene: str) -> None:
    text = page.render(SCENES[scene]())
    root = read(text)
    active = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "audio", "video", "source", "image"}
    assert {node.tag for node in root.all()} & active == set()
    for node in root.all():
        assert {"src", "srcset", "style", "action", "data", "xlink:href"} & node.attributes.keys() == set()
        assert not [name for name in node.attributes if name.startswith("on")]
        assert node.attributes.get("href", "#").startswith("#")
    assert "@import" not in STYLE
    assert set(re.findall(r"url\(([^)]*)\)", STYLE)) == {"#hatch"}


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else() -> None:
    root = shown(Report("X", ExitCode.OK, "fine"))
    (policy,) = (n.attributes["content"] for n in root.all("meta") if "http-equiv" in n.attributes)
    (style,) = root.one("style").children
    assert isinstance(style, str)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{allowed}'"]


def everywhere(text: str) -> Report:
    """A report with `text` wherever a text can stand."""
    one = Finding(text, Severity.HIGH, Status.FAIL, text, Location(etcd_key=text), fix=text, mappings=(text,))
    waived = Finding(text, Severity.HIGH, Status.WAIVED, text, Location(file=text), excuse=text)
    group = {"provider": text, "key": text, "keyId": text, "values": 3, "role": text, "state": text, "area": "wal"}
    moment = {"at": text, "kind": "proof", "of": text, "server": text, "stage": text, "loadedBy": text}
    data = {
        **dict.fromkeys(("cluster", "profile", "file", "at", "who", "path", "proof", text), text),
        "source": {"type": text, "location": text, "clusterId": text, "integrity": text},
        "resources": [{"resource": text, "required": True, "values": 4, "plaintext": 1, "encrypted": [group]}],
        "coverage": {"wal": "scanned", "applicable": 1, "evaluated": 1},
        "residue": {"encrypted": [group]},
        "remarks": [{"area": text, "text": text}],
        "servers": [{"name": text, "file": {"hash": text}, "loaded": {"hash": text, "by": text}, "problem": text}],
        "rotation": {"id": text, "state": text, "problem": text, "moments": [moment]},
        "checks": [{"id": text, "status": text}],
    }
    table = Table((text, "STATE"), ((text, text),), title=text)
    rule = Rule(text, Severity.HIGH, text, text, text)
    return Report(
        text, ExitCode.PLAINTEXT, text, (one, waived), data, (table,), (text,), (f"keyctl {text}",), rules=(rule,)
    )


def skeleton(report: Report) -> list[tuple[str, list[str]]]:
    """Every element and the names of its attributes."""
    return [(node.tag, sorted(node.attributes)) for node in shown(report).all()]


def test_hostile_text_stays_text_wherever_it_stands() -> None:
    text = page.render(everywhere(HOSTILE))
    # In the quotes of an attribute that bracket is a character like any other.
    assert "<script" not in re.sub(r'="[^"]*"', "", text)
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    text.encode()
    heading = read(text).one("h1").text
    assert heading.endswith("\\x1b[31m\\x00\\u202e\\u200f\\ud800]]>-->\\n</style></title>")
    assert skeleton(everywhere(HOSTILE)) == skeleton(
        everywhere("harmless but long enough, as the hostile text is long:" * 2)
    )


HARMLESS = skeleton(everywhere("harmless"))


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_no_text_makes_an_element_or_an_attribute_of_its_own(text: str) -> None:
    found = skeleton(everywhere(text))
    assert {tag for tag, _ in found} <= {tag for tag, _ in HARMLESS}
    assert {name for _, names in found for name in names} <= {name for _, names in HARMLESS for name in names}


FIELDS = ("resources", "encrypted", "servers", "rotation", "moments", "coverage", "checks", "residue", "source")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_data_of_any_shape_makes_a_page(data: dict[str, object]) -> None:
    shown(Report("X", ExitCode.OK, "fine", data=data))


def test_ten_thousand_findings_are_all_there_most_of_them_folded() -> None:
    same = tuple(finding(1, "plaintext in secrets", f"/registry/secrets/a/{n}") for n in range(5_000))
    other = tuple(finding(2, f"message {n}", f"/registry/secrets/b/{n}") for n in range(5_000))
    text = page.render(Report("X", ExitCode.PLAINTEXT, "bad", (*same, *other)))
    root = read(text)
    assert root.by_id("findings-title").text == "Findings: 10000"
    assert {f"/registry/secrets/{part}/{n}" for part in "ab" for n in range(5_000)} <= {n.text for n in root.all("li")}
    summaries = [node.text for node in root.all("summary")]
    assert "4992 more places" in summaries
    assert "4992 more like that" in summaries
    folded = {id(node) for details in root.all("details") for node in details.all("li")}
    assert len([node for node in root.by_id("findings").all("li") if id(node) not in folded]) == 16
    assert len(text) < 2_000_000


def test_few_findings_are_not_folded() -> None:
    root = shown(Report("X", ExitCode.PLAINTEXT, "bad", tuple(finding(1, f"m{n}", f"/{n}") for n in range(8))))
    assert root.by_id("findings").all("details") == []


def test_findings_are_told_by_what_came_of_them_and_worst_first() -> None:
    found = (
        Finding("KC-1", Severity.LOW, Status.FAIL, "little"),
        Finding(
            "KC-2", Severity.CRITICAL, Status.FAIL, "much", fix="mend it", evidence=Evidence.E1, mappings=("CIS 1",)
        ),
        Finding("KC-3", Severity.HIGH, Status.PASS, "right"),
        Finding("KC-4", Severity.HIGH, Status.UNKNOWN, "who knows"),
        Finding("KC-5", Severity.HIGH, Status.WAIVED, "known", excuse="ann, until March"),
    )
    rule = Rule("KC-2", Severity.CRITICAL, "a title", "a reason", "a fix")
    section = shown(Report("X", ExitCode.FINDINGS, "bad", found, rules=(rule,))).by_id("findings")
    articles = section.all("article")
    assert [node.attributes["id"] for node in articles] == [
        "fail-critical-kc-2",
        "fail-low-kc-1",
        "unknown-high-kc-4",
        "waived-high-kc-5",
        "pass-high-kc-3",
    ]
    for said in ("critical", "KC-2", "a title", "a reason", "much", "What to do: mend it", "evidence E1", "CIS 1"):
        assert said in articles[0].text
    assert "Excused: ann, until March" in articles[3].text
    (folded,) = section.all("details")
    assert [node.attributes["id"] for node in folded.all("article")] == ["pass-high-kc-3"]


def test_a_failure_that_does_not_count_says_so_beside_one_that_does() -> None:
    found = (finding(1, "old", "/a"), replace(finding(1, "old", "/b"), counts=False))
    (article,) = shown(Report("X", ExitCode.FINDINGS, "bad", found)).all("article")
    counting, known = article.elements[1:3]
    assert ("Does not count" in counting.text, "/a" in counting.text) == (False, True)
    assert ("Does not count" in known.text, "/b" in known.text) == (True, True)


def test_two_ways_to_mend_under_one_rule_stand_each_with_its_message() -> None:
    found = (replace(finding(1, "one"), fix="this"), replace(finding(1, "two"), fix="that"))
    (article,) = shown(Report("X", ExitCode.FINDINGS, "bad", found)).all("article")
    assert [node.text for node in article.all("p") if node.attributes.get("class") == "fix"] == [
        "What to do: this",
        "What to do: that",
    ]


def test_a_kind_that_nobody_knows_shows_all_that_it_has() -> None:
    data = {"colour": "blue", "deep": {"er": [1, {"est": "bottom"}]}, "nothing": None, "flag": True}
    table = Table(("A", "STATE"), (("x", "stale"),), title="a table")
    report = Report(
        "NewReport", ExitCode.STALE, "so so", data=data, tables=(table,), notes=("a note",), next_steps=("go",)
    )
    root = shown(report)
    for words in ("NewReport", "so so", "a table", "! stale", "a note", "go", "colour", "blue", "bottom", "yes"):
        assert words in root.one("body").text, words
    assert root.one("header").text.endswith("11")


def test_nothing_in_a_report_is_an_empty_section() -> None:
    root = shown(Report("X", ExitCode.OK, "fine"))
    assert [node.attributes["id"] for node in root.all("section")] == ["findings", "evidence"]
    assert "No finding." in root.by_id("findings").text


@SCENE
def test_the_same_report_gives_the_same_bytes(scene: str) -> None:
    report = SCENES[scene]()
    assert page.render(report) == page.render(report)


def test_the_page_names_the_time_it_was_made_and_the_hash_of_the_same_report_as_json() -> None:
    report = Report("X", ExitCode.OK, "fine", data={"sha256": "ab" * 32}, made=datetime(2026, 11, 22, 9, tzinfo=UTC))
    root = shown(report)
    assert "report made 2026-11-22T09:00:00+00:00" in root.one("header").text
    written = f"{json_report.render(report)}\n".encode()
    assert hashlib.sha256(written).hexdigest() in root.by_id("evidence").text
    assert "ab" * 32 in root.by_id("evidence").text
    assert root.all("section")[-1].attributes["id"] == "evidence"


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_written_can_be_read_on_what_it_is_written_on(dark: bool) -> None:
    pairs = [(text, ground) for text, grounds in WRITTEN_ON.items() for ground in grounds] + [("page", "good")]
    found = {pair: contrast(*(COLOURS[name][dark] for name in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}


def test_every_colour_of_the_style_is_one_of_the_palette() -> None:
    rules = re.sub(r"--[a-z0-9-]+:#[0-9a-f]{6};", "", STYLE)
    assert re.findall(r"#[0-9a-f]{3,8}\b", rules) == []
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", rules)) <= COLOURS.keys()


def test_a_page_is_for_paper_and_for_the_night_too() -> None:
    assert "@media print" in STYLE
    assert "prefers-color-scheme:dark" in STYLE
