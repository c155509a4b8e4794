"""Every link of a page within the repository leads to a file, and to a heading where it names one; no page is lost."""

from __future__ import annotations

import re

import pytest

from tests.support.pages import ROOT, pages

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_OUTSIDE = ("https://", "mailto:")
PAGES = (*pages(), "CHANGELOG.md")


def anchors(page: str) -> set[str]:
    """What `#…` may name on a page: its headings, as GitHub and GitLab call them."""
    text = re.sub(r"^ *```.*?^ *```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def anchor(heading: str) -> str:
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")


def links(page: str) -> list[str]:
    return _LINK.findall(_CODE.sub("", (ROOT / page).read_text()))


def broken(page: str, link: str) -> bool:
    path, _, name = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    if not target.exists():
        return True
    return bool(name) and name not in anchors(target.resolve().relative_to(ROOT).as_posix())


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    inside = [link for link in links(page) if not link.startswith(_OUTSIDE)]
    assert [link for link in inside if broken(page, link)] == []


@pytest.mark.parametrize("link", ["docs/nowhere.md", "docs/keys.md#no-such-heading", "#no-such-heading"])
def test_a_broken_link_is_seen(link: str) -> None:
    assert broken("README.md", link)


def test_a_heading_has_the_name_that_the_forges_give_it() -> None:
    assert anchor("`apiServers[].host`, and why") == "apiservershost-and-why"
    assert "the-register-of-backups" in anchors("docs/keys.md")


def test_the_index_names_every_page_and_every_decision_has_one_of_its_own() -> None:
    named = {link.partition("#")[0] for link in links("docs/README.md")}
    here = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert here <= named
    decisions = {path.name for path in (ROOT / "docs" / "adr").glob("0*.md")}
    assert decisions <= {link.partition("#")[0] for link in links("docs/adr/README.md")}


def test_every_example_is_named_by_the_page_of_the_examples() -> None:
    named = {link.partition("#")[0].rstrip("/") for link in links("examples/README.md")}
    assert {path.name for path in (ROOT / "examples").iterdir()} - {"README.md"} <= named
