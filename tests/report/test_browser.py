"""The page in a real browser: light, dark, narrow, and under attack.

With ``RAGWHEEL_DOCS_IMAGES`` naming a folder the screenshots of ``docs/report.md`` are taken into it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
IMAGES = os.environ.get("RAGWHEEL_DOCS_IMAGES")
CHROMIUM = os.environ.get("RAGWHEEL_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium found: apt install chromium, or name one in RAGWHEEL_CHROMIUM"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def look(browser, made, tmp_path):
    """Open the page with a colour scheme and a width; fails on any complaint of the browser."""
    path = made.write(tmp_path / "page.html")
    complaints, contexts = [], []

    def open_(scheme="light", width=1100):
        contexts.append(browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda request: complaints.append(request.url) if request.url != page.url else None
        )
        page.goto(path.as_uri())
        complaints[:] = [one for one in complaints if one != path.as_uri()]
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def contrast(page, selector):
    """WCAG's ratio of an element's text to the page behind it."""
    return page.evaluate(
        """selector => {
            const channel = c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
            const light = rgb => {
                const [r, g, b] = rgb.match(/\\d+/g).map(Number).map(channel);
                return .2126 * r + .7152 * g + .0722 * b;
            };
            const style = getComputedStyle(document.querySelector(selector));
            const ink = light(selector.includes('svg') ? style.fill : style.color);
            const paper = light(getComputedStyle(document.body).backgroundColor);
            return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_well_in_light_and_dark(look, scheme):
    page = look(scheme)
    for selector in ("h1", "p.quiet", "figcaption", "td", "a", "svg text.f-ink", "svg text.f-quiet"):
        assert contrast(page, selector) >= 4.5, selector
    assert contrast(page, "svg .f-accent") >= 3
    if IMAGES:
        page.screenshot(path=ROOT / IMAGES / f"report-{scheme}.png")


@pytest.mark.parametrize("width", [320, 390, 1100])
def test_nothing_runs_out_of_the_window(look, width):
    page = look(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect().right)"
    )
    assert sizes
    assert max(sizes) <= width


def test_sections_can_be_reached_from_the_top(look):
    page = look()
    for link in page.query_selector_all("nav a"):
        link.click()
        name = link.get_attribute("href").removeprefix("#")
        assert page.evaluate("location.hash") == f"#{name}"
        assert page.is_visible(f"#{name} h2")


def test_pictures_have_a_size_and_text_in_it(look):
    page = look()
    found = page.evaluate(
        """[...document.querySelectorAll('svg')].map(svg => {
            const box = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect());
            return [box.width, box.height, texts.length,
                    texts.filter(t => t.left < box.left - 8 || t.right > box.right + 8).length];
        })"""
    )
    assert found
    for width, height, texts, outside in found:
        assert width > 250
        assert height > 40
        assert texts > 0
        assert outside == 0
