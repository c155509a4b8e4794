"""The HTML page in a real browser: nothing sticks out, everything can be read, by day and by night, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from keyctl.reports.html import page
from keyctl.reports.html.palette import COLOURS
from tests.support.browser import Browser, browser
from tests.support.shown_reports import SCENES
from tests.unit.reports.test_html import HOSTILE, everywhere

# Of every text that shows: whether it reaches out of the window without a frame that scrolls, or out of its own box,
# and its contrast to the ground it stands on. Texts of pictures stand on shapes: for them the palette is tested.
PROBE = """
(() => {
  const parts = colour => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(p => p / 255)
    .map(p => p <= 0.04045 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4)
    .reduce((sum, p, i) => sum + p * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const found = parts(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const BOXES = 'td, th, caption, li, p, h1, h2, h3, h4, dd, dt, summary, div';
  const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const over = node.parentElement, box = over.getBoundingClientRect();
    if (!node.data.trim() || !box.width || over.closest('svg, .skip, script')) continue;
    const [low, high] = [light(parts(getComputedStyle(over).color)), light(ground(over))].sort((a, b) => a - b);
    const range = document.createRange();
    range.selectNodeContents(node);
    const drawn = range.getBoundingClientRect();
    texts.push({text: node.data.trim().slice(0, 60), contrast: (high + 0.05) / (low + 0.05),
      out: (!over.closest('.scroll') || over.closest('caption')) && drawn.right > innerWidth + 0.5,
      cut: drawn.right > over.closest(BOXES).getBoundingClientRect().right + 1});
  }
  const seen = document.querySelectorAll('.scroll, svg');
  return {texts, width: innerWidth, scrolls: document.documentElement.scrollWidth,
    ground: parts(getComputedStyle(document.body).backgroundColor),
    wide: [...seen].filter(one => one.getBoundingClientRect().right > innerWidth + 0.5).length};
})()
"""
PRINTED = """
[...document.styleSheets[0].cssRules].filter(rule => rule.media && rule.media.mediaText === 'print')
  .flatMap(rule => [...rule.cssRules].map(one => one.selectorText))
"""


@pytest.fixture(scope="module")
def chromium() -> Browser:
    return browser()


def probed(chromium: Browser, text: str, place: Path, *, width: int, dark: bool) -> dict[str, object]:
    return cast("dict[str, object]", chromium.probed(text, PROBE, place, width=width, dark=dark))


def faults(found: dict[str, object]) -> list[str]:
    """What is wrong with a page that was probed."""
    texts = cast("list[dict[str, object]]", found["texts"])
    assert len(texts) > 20
    said = [f"sticks out: {one['text']}" for one in texts if one["out"]]
    said += [f"is cut: {one['text']}" for one in texts if one["cut"]]
    said += [f"{one['contrast']}: {one['text']}" for one in texts if cast("float", one["contrast"]) < 4.5]
    if cast("int", found["scrolls"]) > cast("int", found["width"]):
        said.append(f"the page is {found['scrolls']} pixels wide")
    return said + ["a picture sticks out"] * bool(found["wide"])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scene", SCENES)
def test_a_page_can_be_read_whole(scene: str, width: int, dark: bool, chromium: Browser, tmp_path: Path) -> None:
    found = probed(chromium, page.render(SCENES[scene]()), tmp_path, width=width, dark=dark)
    assert found["width"] == width
    # The style is in force, by its hash alone, and it is the one of the hour.
    colour = COLOURS["page"][dark]
    assert found["ground"] == [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    assert faults(found) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_and_endless_text_breaks_no_page(width: int, chromium: Browser, tmp_path: Path) -> None:
    for text in (HOSTILE, "x" * 3000, "\u05d0\u05d1\u05d2" * 40):
        assert faults(probed(chromium, page.render(everywhere(text)), tmp_path, width=width, dark=False)) == []


def test_a_fault_is_seen(chromium: Browser, tmp_path: Path) -> None:
    text = page.render(SCENES["clean"]())
    for old, new in (
        ("overflow-wrap:anywhere", "white-space:nowrap"),
        ("--muted:#4f5b67", "--muted:#aaaaaa"),
        (".scroll{overflow-x:auto", ".scroll{overflow-x:visible;min-width:60rem"),
    ):
        broken = text.replace(old, new).replace("style-src 'sha256-", "style-src 'unsafe-inline' 'x-")
        assert broken.count("unsafe-inline") == 1
        assert faults(probed(chromium, broken, tmp_path, width=390, dark=False)) != []


def test_the_style_for_paper_is_understood(chromium: Browser, tmp_path: Path) -> None:
    text = page.render(SCENES["clean"]())
    understood = chromium.probed(text, PRINTED, tmp_path, width=1280, dark=False)
    assert {":root", "details::details-content", "nav, .skip"} <= set(cast("list[str]", understood))
