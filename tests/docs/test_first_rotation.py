"""Pages that change the key of a cluster: minutes, on a lab that is theirs alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.page_lab import running_desk
from tests.support.page_sites import pages_of

pytestmark = pytest.mark.live

SITE = "a lab of its own"


@pytest.mark.parametrize("page", pages_of(SITE))
def test_what_the_page_shows_is_what_is_said(page: str, tmp_path: Path) -> None:
    with running_desk(tmp_path / "desk") as desk:
        desk.type(page, SITE, tmp_path)
