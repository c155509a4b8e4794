"""The commands of pages that need no server, run one after the other in a reader's folder, and what they say."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.support.page_runs import Terminal, follow
from tests.support.page_sites import blocks_of, encryption_config, pages_of, reader_environment, reader_folder

EMPTY, FILLED = "an empty folder", "a folder"
RUNS = [(page, site) for site in (EMPTY, FILLED) for page in pages_of(site)]


@pytest.mark.parametrize(("page", "site"), RUNS)
def test_what_the_page_shows_is_what_is_said(page: str, site: str, tmp_path: Path) -> None:
    folder, swaps = tmp_path, dict[str, str]()
    if site == FILLED:
        folder, swaps = reader_folder(tmp_path, encryption_config("key1"))
    with closing(Terminal(folder, reader_environment(tmp_path / "home"))) as terminal:
        assert follow(blocks_of(page, site), terminal, swaps) > 0
