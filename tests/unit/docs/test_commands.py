"""Every command line of every page is one that keyctl takes, and is run by a test, or not for a reason that is said."""

from __future__ import annotations

import re

import pytest

from tests.support import page_sites
from tests.support.pages import GENERATED, ROOT, blocks, invocations, mention_error, pages, usage_error

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
STEPS = [(block, step) for block in BLOCKS for step in block.steps]
CALLS = [(f"{block.page}:{step.line}", call) for block, step in STEPS for call in invocations(step.command)]
_SPAN = re.compile(r"`((?:kube-|kubectl-)?keyctl [^`]+)`")
# Commands of a page that need what no test has are few: each is looked at by whoever reads this page.
_SHORTEST_REASON = 20


@pytest.mark.parametrize(("place", "call"), CALLS, ids=[place for place, _ in CALLS])
def test_a_command_line_in_a_block_is_one_that_keyctl_takes(place: str, call: list[str]) -> None:
    assert usage_error(call) == ""


@pytest.mark.parametrize("page", PAGES)
def test_a_command_within_a_sentence_is_one_that_keyctl_takes(page: str) -> None:
    prose = re.sub(r"^ *```.*?^ *```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    named = [span.partition("…")[0].split()[1:] for span in _SPAN.findall(re.sub(r"\s+", " ", prose))]
    assert [(words, error) for words in named if (error := mention_error(words))] == []


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
def test_no_command_line_stands_in_a_block_that_is_not_checked(page: str) -> None:
    assert [line for block in blocks(page) for line in block.misplaced] == []


@pytest.mark.parametrize("page", sorted({block.page for block, _ in STEPS}))
def test_every_block_of_commands_says_where_it_is_run_or_why_it_is_not(page: str) -> None:
    commands = [block for block in blocks(page) if block.steps]
    unsaid = [f"{page}:{block.line}" for block in commands if not block.site and len(block.reason) < _SHORTEST_REASON]
    assert unsaid == []
    assert {block.site for block in commands if block.site} <= set(page_sites.SITES)


@pytest.mark.parametrize(("site", "test"), page_sites.SITES.items())
def test_every_site_has_pages_and_a_test_that_types_what_is_for_it(site: str, test: str) -> None:
    assert page_sites.pages_of(site)
    assert f'"{site}"' in (ROOT / test).read_text()


def test_pages_and_their_commands_were_found() -> None:
    assert {"README.md", "docs/tutorial.md", "docs/audit.md", "examples/README.md"} <= set(PAGES)
    assert len(CALLS) > 100
    typed = [block.site for block, _ in STEPS if block.page not in GENERATED]
    assert sum(map(bool, typed)) > len(typed) / 2, "most of them are run"
