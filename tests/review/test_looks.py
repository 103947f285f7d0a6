"""Every page fits, has enough contrast and names for its fields, and works by keyboard alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from ragwheel import datasets
from ragwheel.testing import TraceSpec, write_traces

PAGES = ("grade", "compare", "traces", "trace", "documents", "agreement", "training", "nothing-here")

CONTRAST = """() => {
  const channel = c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const ratios = {};
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest('.unseen, .jump, dialog, option')) continue;
    const style = getComputedStyle(node);
    const colour = node.closest('svg') ? style.fill : style.color;
    const [ink, paper] = [light(rgb(colour)), light(behind(node))];
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    const name = `${node.tagName}.${node.getAttribute('class')}`;
    ratios[name] = Math.min(ratios[name] ?? 99, ratio);
  }
  return ratios;
}"""

NAMELESS = """() => [...document.querySelectorAll('input, select, textarea, button, a, summary')]
  .filter(node => node.checkVisibility() && node.type !== 'hidden')
  .filter(node => !(node.labels?.length || node.textContent.trim() || node.getAttribute('aria-label')))
  .map(node => node.outerHTML)"""

CLIPPED = """() => [...document.querySelectorAll('button, th, td, summary, h1, h2')]
  .filter(node => node.checkVisibility() && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0)
  .map(node => node.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Traffic, a build of it, two versions of the retriever, and grades of two people and a judge."""
    folder = tmp_path_factory.mktemp("looks")
    path = folder / "app.db"
    write_traces(path, TraceSpec(turns=150, queries=25, k=8, returned=8))
    datasets.build(path, folder / "set")
    with closing(sqlite3.connect(path)) as connection:
        (retriever, source, name, _version, app) = connection.execute("SELECT * FROM _retriever").fetchone()
        connection.execute(
            "INSERT INTO _retriever VALUES (?, ?, ?, 'next', ?)", (retriever + 1, source, name, app)
        )
        rows = connection.execute("SELECT id, query, chunks FROM _retrieval ORDER BY id").fetchall()
        for number, _query, chunks in rows[::2]:
            turned = json.dumps(json.loads(chunks)[::-1])
            connection.execute(
                "UPDATE _retrieval SET retriever_id = ?, chunks = ? WHERE id = ?",
                (retriever + 1, turned, number),
            )
        pairs = connection.execute(
            "SELECT DISTINCT r.query, i.source, i.chunk_id FROM impressions i"
            " JOIN retrievals r USING (retrieval_id) WHERE i.rank <= 4 ORDER BY 1, 3 LIMIT 60"
        ).fetchall()
        connection.executemany(
            "INSERT INTO _judgment (query, source, chunk, grade, judge, judge_kind, at_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (*pair, (n + shift) % 6, judge, kind, n + 1)
                for n, pair in enumerate(pairs)
                for judge, kind, shift in (
                    ("ann", "human", 0),
                    ("bob", "human", n % 3),
                    ("llm", "llm", n % 4),
                )
            ],
        )
        connection.commit()
    return path


@pytest.fixture(scope="module")
def server(filled, make):
    page = make.PageThread(filled)
    page.ready()
    yield page
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_reads_well_and_names_its_fields(server, tab, scheme, width):
    page = tab(server.address, scheme=scheme, width=width)
    seen, address = {}, {name: f"{server.url}/{name}?as=ann" for name in PAGES}
    for name in (*PAGES, "why"):
        page.goto(address[name])
        if name in {"grade", "compare"}:
            page.wait_for_selector("#card .card, #card .sides")
        if name == "grade":
            page.keyboard.press("ArrowLeft")
            page.wait_for_selector("#reveal a")
            address["why"] = server.url + page.get_attribute("#reveal a", "href")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        ratios = page.evaluate(CONTRAST)
        assert ratios, name
        assert min(ratios.values()) >= 4.5, (name, ratios)
        assert page.evaluate(NAMELESS) == [], name
        assert page.evaluate(CLIPPED) == [], name
        seen[name] = page.inner_text("body")
    assert "weighted κ" in seen["agreement"]
    assert "Grade them again" in seen["agreement"]
    assert "strike this row" in seen["training"]
    assert "in training" in seen["why"]
    assert "There is no such page" in seen["nothing-here"]


def test_the_training_set_is_struck_out_by_keys_alone(server, tab, make):
    page = tab(server.address)
    page.goto(f"{server.url}/training?as=ann")
    page.wait_for_selector(".triplet:focus")  # ready for keys
    page.keyboard.press("j")
    page.keyboard.press("n")
    page.wait_for_selector(".triplet.struck:focus")
    assert page.inner_text(".triplet.struck .state") == "struck out (negative)"
    assert [row[4] for row in make.reviews(server.db) if row[0] == "strike"] == ["negative"]
    page.keyboard.press("u")
    page.wait_for_selector(".triplet.struck", state="hidden")
    assert [row for row in make.reviews(server.db) if row[0] == "strike"] == []


def test_tab_reaches_everything_on_the_other_pages_and_shows_where_it_is(server, tab):
    page = tab(server.address)
    for name in ("traces", "documents", "agreement"):
        page.goto(f"{server.url}/{name}?as=ann")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content", name
        reachable = page.evaluate(
            "[...document.querySelectorAll('main a, main input:not([type=hidden]), main select, main button,"
            " main summary')].filter(node => node.checkVisibility() && node.tabIndex < 0).length"
        )
        assert reachable == 0, name
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", name
