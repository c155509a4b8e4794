"""Files of waivers: what is missing, unknown or endless is refused with its line."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keyctl.audit.waivers import MalformedWaiverError, read
from keyctl.errors import ExitCode
from tests.unit.audit.given import TODAY

GOOD = """\
waivers:
- id: KC-TLS-006
  owner: ann
  reason: the hosts are replaced in March
  expires: 2026-12-31
  files: [manifests/*.yaml]
"""


def waivers(text: str) -> tuple[object, ...]:
    return read(text.encode(), name="waivers.yaml", today=TODAY, known={"KC-TLS-006"})


def test_a_waiver_has_an_owner_a_reason_an_end_and_a_place() -> None:
    (one,) = read(GOOD.encode(), name="waivers.yaml", today=TODAY, known={"KC-TLS-006"})
    assert (one.id, one.owner, one.reason) == ("KC-TLS-006", "ann", "the hosts are replaced in March")
    assert (one.expires.isoformat(), one.files, one.location.line) == ("2026-12-31", ("manifests/*.yaml",), 2)
    assert not one.is_expired(one.expires)
    assert one.is_expired(one.expires + timedelta(days=1))


def test_a_waiver_without_files_is_for_all_of_them() -> None:
    text = GOOD.replace("  files: [manifests/*.yaml]\n", "")
    (one,) = read(text.encode(), name="waivers.yaml", today=TODAY, known={"KC-TLS-006"})
    assert one.fits("KC-TLS-006", "any", {})
    assert not one.fits("KC-TLS-007", "any", {})


def test_an_expired_waiver_is_read_so_that_it_can_be_told() -> None:
    assert len(waivers(GOOD.replace("2026-12-31", "2020-01-01"))) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  owner: ann\n", "", "waivers.yaml:2:3: a waiver without owner"),
        ("the hosts are replaced in March", "''", "waivers.yaml:4:11: a waiver without reason"),
        ("  expires: 2026-12-31\n", "", "a waiver without expires"),
        ("KC-TLS-006", "KC-TLS-999", "waivers.yaml:2:7: a waiver for a check that there is not"),
        ("2026-12-31", "soon", "a day that is not written as 2027-03-31"),
        ("2026-12-31", "2028-12-31", "lasts longer than a year"),
        ("  owner: ann", "  owner: ann\n  severity: low", "a field that a waiver does not have"),
        ("[manifests/*.yaml]", "manifests", "files that are no list"),
        ("[manifests/*.yaml]", "[]", "files that are no list"),
        ("waivers:", "waviers:", "has one field, waivers"),
        (GOOD, "- a list\n", "waivers.yaml:1:1: a file of waivers has one field"),
        (GOOD, f"{GOOD}---\n{GOOD}", "a second document"),
        (GOOD[9:], "- KC-TLS-006\n", "waivers.yaml:2:3: a waiver that is no mapping"),
        ("- id", "-\tid: [", "waivers.yaml:2"),
    ],
)
def test_a_malformed_waiver_is_refused_with_its_place(old: str, new: str, words: str) -> None:
    with pytest.raises(MalformedWaiverError) as caught:
        waivers(GOOD.replace(old, new))
    assert words in str(caught.value)
    assert caught.value.exit_code is ExitCode.WAIVER
    assert caught.value.hints
