"""What the pictures of the HTML page show: every count in its place, and no state that is not there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import ExitCode
from keyctl.findings import Report
from keyctl.reports.html import course, page, timescale
from keyctl.reports.html.convergence import STATES
from keyctl.reports.html.course import Band, lanes, milestones
from keyctl.rotation.moments import moments
from keyctl.rotation.plan import Stage, State
from tests.support import shown_reports
from tests.support.html_tree import Node, read
from tests.unit.rotation import evidence_stories

START = datetime(2026, 11, 22, 9, tzinfo=UTC)


def shown(data: Mapping[str, object]) -> Node:
    return read(page.render(Report("X", ExitCode.OK, "fine", data=data)))


def cells(table: Node) -> dict[str, dict[str, str]]:
    """The text of each cell, by the heads of its row and its column."""
    heads = [cell.text for cell in table.one("thead").elements[0].elements]
    rows = [[cell.text for cell in row.elements] for row in table.one("tbody").elements]
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


def kind_of(table: Node, row: str, column: str) -> str:
    heads = [cell.text for cell in table.one("thead").elements[0].elements]
    (found,) = (one for one in table.one("tbody").elements if one.elements[0].text == row)
    return found.elements[heads.index(column)].attributes["class"]


def test_every_count_of_the_values_stands_under_its_key() -> None:
    section = read(page.render(shown_reports.plaintext())).by_id("values")
    required, others = section.all("table")
    new, old = "aescbc/key-20261121t183536z-e2b6 writes", "aescbc/key1 only reads"
    assert cells(required) == {
        "certificates.cert-manager.io": {new: "0", old: "0", "plaintext": "0", "not recognised": "0", "all": "0"},
        "configmaps": {new: "0", old: "0", "plaintext": "19 ✗ plaintext", "not recognised": "0", "all": "19"},
        "secrets": {
            new: "81 ✗ unreadable: 1",
            old: "40 ! stale",
            "plaintext": "12 ✗ plaintext",
            "not recognised": "1 ✗ unrecognised",
            "all": "134",
        },
    }
    assert {row: found["plaintext"] for row, found in cells(others).items()} == dict.fromkeys(
        ("apiservices.apiregistration.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io", "pods"), "7"
    )
    assert id(others) in {id(table) for details in section.all("details") for table in details.all("table")}


def test_a_clean_cluster_has_no_cell_that_is_wrong() -> None:
    section = read(page.render(shown_reports.clean())).by_id("values")
    assert {"is-warn", "is-bad", "is-open"} & {
        kind for cell in section.all("td") for kind in cell.attributes["class"].split()
    } == set()
    assert kind_of(section.all("table")[1], "pods", "plaintext") == "count unjudged"
    table = section.all("table")[0]
    assert kind_of(table, "secrets", "aescbc/key-20261121t183536z-e2b6 writes") == "count shade-4"
    assert kind_of(table, "secrets", "plaintext") == "count nothing"


def group(key: str, values: int, **more: object) -> dict[str, object]:
    return {"provider": "kms", "version": "v2", "key": key, "values": values, "role": "write", "state": "ok"} | more


def test_keys_of_one_plugin_with_two_ids_are_two_columns() -> None:
    groups = [group("vault", 3, keyId="one"), group("vault", 4, keyId="two", state="unknown")]
    data = {"resources": [{"resource": "secrets", "required": True, "values": 7, "encrypted": groups}]}
    (found,) = cells(shown(data).by_id("values").one("table")).values()
    assert found == {
        "kms/vault v2 (one) writes": "3",
        "kms/vault v2 (two) writes": "4 ? unknown",
        "plaintext": "0",
        "all": "7",
    }


def test_values_that_the_api_knows_and_etcd_has_not_are_a_column() -> None:
    data = {"resources": [{"resource": "secrets", "required": True, "values": 0, "missing": 5, "encrypted": []}]}
    (found,) = cells(shown(data).by_id("values").one("table")).values()
    assert found == {"plaintext": "0", "missing": "5 ✗ missing", "all": "0"}


def test_leftovers_stand_where_they_lie_and_what_was_not_looked_at_is_not_clean() -> None:
    table = read(page.render(shown_reports.plaintext())).by_id("leftovers").one("table")
    retired = "aescbc/key0 retired key"
    assert cells(table) == {
        "history": {"looked at": "✓ looked at", "plaintext": "1 ✗ plaintext", retired: "1 ✗ retired key"},
        "free pages": {"looked at": "✓ looked at", "plaintext": "1 ✗ plaintext", retired: "1 ✗ retired key"},
        "WAL": {"looked at": "✓ looked at", "plaintext": "0", retired: "1 ✗ retired key"},
        "other files": {"looked at": "? not looked at", "plaintext": "0", retired: "0"},
    }


def test_a_live_etcd_that_shows_no_files_has_no_map_of_leftovers() -> None:
    root = read(page.render(shown_reports.clean()))
    assert [node for node in root.all("section") if node.attributes["id"] == "leftovers"] == []


def test_servers_with_equal_hashes_have_one_letter_and_the_one_that_waits_has_another() -> None:
    root = read(page.render(shown_reports.half_rotated()))
    found = cells(root.by_id("servers").one("table"))
    assert [found[name]["state"] for name in ("cp1", "cp2", "cp3")] == ["✓ ok", "✓ ok", "! waiting"]
    assert [found[name]["file"][0] for name in ("cp1", "cp2", "cp3")] == ["A", "A", "A"]
    assert [found[name]["loaded"][0] for name in ("cp1", "cp2", "cp3")] == ["A", "A", "B"]
    assert "1 of 3 servers not as it should be" in root.by_id("servers").text


def test_a_rotation_under_way_stands_among_its_states() -> None:
    root = read(page.render(shown_reports.half_rotated()))
    steps = root.by_id("rotation").one("ol").elements
    assert [step.text for step in steps if step.attributes["class"] == "done"] == list(STATES[:5])
    assert [step.text for step in steps if step.attributes.get("aria-current") == "step"] == ["promoting (now)"]
    assert len(steps) == len(STATES)


def test_the_states_and_stages_of_the_pictures_are_those_of_a_rotation() -> None:
    assert list(STATES) == [state.value for state in State if state not in (State.ABORTING, State.ABORTED)]
    assert list(course.STAGES) == [stage.name for stage in Stage]


def story() -> list[dict[str, object]]:
    """A rotation of two servers that ended; `cp1` is proven before `cp2` is."""
    return moments(evidence_stories.retired())


def test_a_server_is_at_a_stage_from_the_proof_on_that_it_has_loaded_it() -> None:
    first, second = lanes(story())
    assert (first.server, second.server) == ("cp1", "cp2")
    assert [band.stage for band in first.loaded] == ["BASE", "ADDED", "PROMOTED", "RETIRED"]
    assert [band.stage for band in first.waiting] == ["ADDED", "PROMOTED", "RETIRED"]
    for lane in (first, second):
        assert lane.loaded[0].start == 0
        assert lane.loaded[-1].end == 100
        assert all(one.end == after.start for one, after in zip(lane.loaded, lane.loaded[1:], strict=False))
    # A file is waited for until the very proof that begins the next band.
    assert [band.end for band in first.waiting] == [band.start for band in first.loaded[1:]]


def test_a_file_that_nobody_has_loaded_yet_waits_to_the_end_of_the_line() -> None:
    told = evidence_stories.Story()
    told.add("begin")
    told.write("ADDED", "cp1")
    told.wait(10)
    told.add("state", state="adding")
    (lane,) = lanes(moments(told.records))
    assert lane.loaded == (Band(0.0, 100.0, "BASE"),)
    assert [(band.end, band.stage) for band in lane.waiting] == [(100.0, "ADDED")]


def test_a_server_that_joins_has_no_lane_before() -> None:
    told = evidence_stories.Story()
    told.prove_one("cp1", "ADDED")
    told.wait(30)
    told.add("joined", server="cp9", like="cp1", stage="ADDED")
    told.wait(30)
    told.prove_one("cp9", "ADDED")
    told.wait(30)
    told.prove_one("cp1", "ADDED")
    _, joined = lanes(moments(told.records))
    assert [band.stage for band in joined.loaded] == ["", "ADDED"]
    assert joined.loaded[0].start > 0


def test_what_was_proven_stands_over_the_lanes_in_order_and_in_the_table() -> None:
    root = read(page.render(shown_reports.rotated()))
    section = root.by_id("timeline")
    rows = cells(section.all("table")[0])
    assert rows["7"]["what was proven"] == "a value landed late: the key that went was put back"
    assert rows["13"]["what was proven"] == "it ended: retired"
    knobs = [float(node.attributes["cx"].rstrip("%")) for node in section.all("circle")]
    assert knobs == sorted(knobs)
    assert len(knobs) == len(rows) == 13
    assert "every step: 40 records" in [node.text for node in section.all("summary")]


def test_a_rotation_under_way_is_drawn_up_to_the_time_of_the_report() -> None:
    section = read(page.render(shown_reports.half_rotated())).by_id("timeline")
    assert "to 2026-11-22 09:14:00Z, 14.0 min" in section.text
    waits = [node for node in section.all("rect") if node.attributes.get("class") == "waiting"][1:]
    last = waits[-1].attributes
    assert float(last["x"].rstrip("%")) + float(last["width"].rstrip("%")) == pytest.approx(100, abs=0.02)


def test_only_turns_and_proofs_of_all_servers_are_milestones() -> None:
    found = [one.what for one in milestones(story())]
    assert found == ["readable", "readable", "switched", "verified", "history", "resecured", "retired", "end"]


@given(st.lists(st.integers(-50, 100_000), min_size=1, max_size=30))
def test_places_go_from_0_to_100_and_never_back(steps: list[int]) -> None:
    times, at = [], START
    for step in steps:
        at += timedelta(seconds=step)
        times.append(at)
    found = timescale.places(times)
    assert found[0] == 0
    assert list(found) == sorted(found)
    assert found[-1] == (100 if len(steps) > 1 else 0)


def test_a_longer_wait_is_wider_and_a_time_that_is_not_known_moves_on() -> None:
    times = [START, START + timedelta(seconds=1), START + timedelta(hours=1), None, START]
    at = timescale.places(times)
    assert at[1] - at[0] < at[2] - at[1] < 100
    assert at[2] < at[3] < at[4]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0.0 s"), (59.94, "59.9 s"), (90, "1.5 min"), (5400, "1.5 h"), (129600, "1.5 d")]
)
def test_spans_have_one_unit(seconds: float, said: str) -> None:
    assert timescale.lasted(seconds) == said


def test_checks_are_counted_by_area_and_what_was_not_judged_is_said() -> None:
    data = {
        "checks": [
            {"id": "KC-TLS-001", "status": "pass"},
            {"id": "KC-TLS-002", "status": "pass"},
            {"id": "KC-TLS-003", "status": "unknown"},
            {"id": "KC-NEW-001", "status": "fail"},
        ],
        "coverage": {"applicable": 4, "evaluated": 3},
    }
    section = shown(data).by_id("checks")
    assert cells(section.one("table")) == {
        "KC-NEW": {"✗ fail": "1", "? unknown": "0", "✓ pass": "0"},
        "KC-TLS certificates and TLS": {"✗ fail": "0", "? unknown": "1", "✓ pass": "2"},
    }
    assert "3 of the 4 checks that apply were judged" in section.text
    assert section.one("svg").attributes["aria-label"].startswith("75 percent")


def test_nothing_judged_is_no_full_bar() -> None:
    data = {"checks": [{"id": "KC-A-1", "status": "not-applicable"}], "coverage": {"applicable": 0, "evaluated": 0}}
    assert shown(data).by_id("checks").all("svg") == []
