"""The page of versions says what is pinned and what `make versions` runs, and nothing of versions that are gone."""

from __future__ import annotations

import re

import pytest

from keyctl.lab.versions import ETCD, KUBERNETES_VERSIONS
from tests.packaging.image import ROOT
from tests.support.oracle import MODULE_FILES
from tests.versions.recipes import BUILT, DEBIAN, LAB, recipe
from tests.versions.test_main_job import ETCD_VERSIONS, PAIRS

PAGE = (ROOT / "docs" / "versions.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
NUMBER = re.compile(r"\d+\.\d+\.\d+")


def test_every_pair_that_is_run_has_a_row_with_its_date_and_no_other_has_one() -> None:
    rows = [row for row in ROWS if len(row) == 4 and NUMBER.fullmatch(row[0])]
    assert [(row[0], row[1]) for row in rows] == [
        (KUBERNETES_VERSIONS[one], ETCD_VERSIONS[other]) for one, other in PAIRS
    ]
    assert [row for row in rows if not re.fullmatch(r"\d{4}-\d\d-\d\d", row[3])] == []


def test_every_pinned_version_is_named_where_its_minor_stands() -> None:
    told = {row[0]: row for row in ROWS if re.fullmatch(r"\d\.\d+", row[0])}
    pinned = {**KUBERNETES_VERSIONS, **ETCD_VERSIONS}
    assert [minor for minor, version in pinned.items() if not told[minor][1].startswith(version)] == []
    assert {
        minor for minor, row in told.items() if row[2].startswith("every run") and minor not in ETCD_VERSIONS
    } == set(MODULE_FILES)
    named = {version for row in told.values() for cell in row for version in NUMBER.findall(cell)}
    assert named == set(pinned.values())


def test_the_versions_that_are_run_are_the_newest_and_the_oldest_of_each() -> None:
    assert {DEBIAN, *BUILT, LAB} == set(ETCD_VERSIONS)
    order = sorted(KUBERNETES_VERSIONS, key=lambda minor: int(minor.partition(".")[2]))
    assert {order[0], order[-1]} <= {kubernetes for kubernetes, _ in PAIRS}
    assert {min(ETCD_VERSIONS), max(ETCD_VERSIONS)} <= {etcd for _, etcd in PAIRS}


@pytest.mark.parametrize("minor", BUILT)
def test_every_other_etcd_is_pinned_to_its_version_and_its_hashes(minor: str) -> None:
    modules, sums = (content.decode() for content in recipe(minor).module_files())
    for module in ETCD.packages.values():
        assert re.search(rf"^\t{module} v{re.escape(BUILT[minor])}( // indirect)?$", modules, re.MULTILINE)
        assert f"{module} v{BUILT[minor]} h1:" in sums
    assert recipe(minor).go_version() >= (1, 24, 0)
