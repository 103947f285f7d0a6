"""What stands on the page, and what must not."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from ragwheel.cli.app import app
from ragwheel.datasets import build, open_dataset
from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.report import ReportOptions, make_report
from ragwheel.testing import TraceSpec, TraceStore, write_traces

VOID = {"meta", "progress", "path", "use", "br"}
SECTIONS = [
    "short", "milestones", "results", "next", "failing", "coverage", "examination", "grades", "trust",
    "negatives", "experiments", "models", "cost",
]  # fmt: skip


class Outline(HTMLParser):
    """Every tag with its attributes, the text outside style sheets, and ids."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.ids, self.open = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def test_every_section_is_there_with_its_figures(made):
    assert [one.name for one in made.sections] == SECTIONS
    assert {"coverage", "examination", "grades", "confidence", "evidence", "negatives"} <= set(made.figures)
    assert any(name.startswith("gain-0-") for name in made.figures)
    words = Outline(made.html()).words
    for said in (
        "training examples from 600 retrievals",
        "Do first: high impact, low effort",
        "in perfect order",
        "exact names are typed",
        "+5% recall@10",
        "+.100 [+.020, +.180]",
        "Trained models",
        "0.6123",
        "retrieval, 95th percentile",
        "captured",
        "The policy's default",
    ):
        assert said in words, said


def test_the_page_is_well_formed_and_needs_nothing(made):
    html = made.html()
    outline = Outline(html)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    tags = {tag for tag, _ in outline.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "form", "base", "foreignobject"}
    for tag, attributes in outline.tags:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("href", "src", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), attributes
        if tag == "use" or "clip-path" in attributes:
            target = attributes.get("href") or attributes["clip-path"][4:-1]
            assert target[1:] in outline.ids
    assert not re.search(r"@import|url\((?!#)", html)


def test_its_policy_allows_one_style_sheet_and_nothing_else(made):
    html = made.html()
    (sheet,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(sha256(sheet.encode()).digest()).decode()
    policy = next(a["content"] for _, a in Outline(html).tags if a.get("http-equiv"))
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")


def test_tables_and_pictures_say_what_they_are(made):
    tags = Outline(made.html()).tags
    assert sum(tag == "table" for tag, _ in tags) == sum(tag == "caption" for tag, _ in tags)
    for tag, attributes in tags:
        if tag == "svg":
            assert attributes["role"] == "img"
            label, *readings = attributes["aria-label"].split("; ")
            assert label
            assert readings, "a screen reader says the values, too"
            assert all(
                any(sign.isdigit() for sign in reading) for reading in readings if reading != "and more"
            )
        if tag == "progress":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    assert ("html", {"lang": "en"}) in tags


def test_pictures_take_the_colours_of_the_page(made):
    svg = str(made["coverage"].html())
    assert 'class="f-accent"' in svg
    assert "#2456c6" not in svg
    assert ">turns with an answer</text>" in svg


def test_notebooks_show_sections_and_figures(made):
    shown = made["negatives"]._repr_html_()
    assert shown.startswith('<div class="ragwheel-report"><style>')
    assert "Hard negatives" in shown
    assert "Milestones" in made._repr_html_()
    assert made.figures["grades"].axes
    with pytest.raises(KeyError, match="no section 'x'; there are: short, milestones"):
        made["x"]


def test_without_texts_no_text_is_on_the_page(folder, options):
    texts = make_report(folder / "app.db", options).html()
    bare = Outline(make_report(folder / "app.db", replace(options, texts=False)).html()).words
    rows = open_dataset(folder / "dataset").rows("triplets", "train").to_pylist()
    assert any(row["anchor"] in texts for row in rows)
    assert not [row for row in rows if row["anchor"] in bare or row["positive"][:60] in bare]
    assert "exact names are typed" not in bare
    assert "this report was made without texts" in bare


ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'></code>]]>&lt; $x^2$"


@pytest.fixture
def hostile(tmp_path):
    """Texts that try to become part of the page, wherever a text can stand."""
    db = tmp_path / "app.db"
    with TraceStore(db, source=f"kb{ATTACK}") as store:
        for turn in range(30):
            ids = [f"{ATTACK}{turn}-{place}" for place in range(4)]
            for one in ids:
                store.chunk(one, f"{ATTACK} {' '.join(f'{one[-4:]}w{n}' for n in range(12))}")
            words = " ".join(f"ask{turn}{letter}" for letter in "abcd")
            asked = store.ask(f"{words} {ATTACK}", ids, cited=[1], prompted=[1, 2, 3, 4], user_id=f"u{turn}")
            store.signal(asked, f"kind{ATTACK}", ids[0])
            store.signal(asked, "thumbs_up", ids[0])
            store.signal(asked, "delete", ids[1])
    build(db, tmp_path / "dataset")
    return db


def test_hostile_texts_stay_text(hostile):
    html = make_report(hostile, ReportOptions(dataset=hostile.with_name("dataset"))).html()
    outline = Outline(html)
    assert outline.open == []
    assert not {tag for tag, _ in outline.tags} & {"script", "img"}
    assert "<script>alert(1)</script>" in outline.words  # as text: in questions, chunks and kinds
    assert outline.words.count("alert(1)") > 8


def test_hostile_evaluations_and_models_stay_text(folder, tmp_path, options):
    attack = "</style></svg><script>alert(1)</script>"
    found = json.loads((folder / "results" / "evaluation.json").read_text())
    found["collection"]["name"] = attack
    for row in found["table"]:
        row["system"] += attack
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    html = make_report(folder / "app.db", replace(options, evaluations=(tmp_path,))).html()
    assert "<script" not in html
    assert "&lt;/style&gt;&lt;/svg&gt;&lt;script&gt;" in html
    assert Outline(html).open == []


def test_a_database_that_is_not_there_says_what_to_type(tmp_path):
    html = make_report(tmp_path / "none.db").html()
    words = Outline(html).words
    assert "There is no database" in words
    assert "ragwheel demo" in words
    assert f"ragwheel build --db {tmp_path / 'none.db'}" in words
    assert not (tmp_path / "none.db").exists()


def test_traces_alone_are_a_report_already(folder, tmp_path):
    db = tmp_path / "alone.db"
    write_traces(db, TraceSpec(turns=60, queries=20, chunks=50, k=5))
    words = Outline(make_report(db, ReportOptions()).html()).words
    assert "Signals by kind" in words
    assert "Nothing has been measured on held-out questions yet." in words


def test_the_store_knows_its_newest_dataset(folder):
    found = make_report(folder / "app.db")
    assert "grades" in found.figures


def test_what_was_named_must_be_there(folder, options, tmp_path):
    with pytest.raises(DatasetError, match="not a dataset folder"):
        make_report(folder / "app.db", replace(options, dataset=tmp_path))
    with pytest.raises(DatasetError, match="not a folder of results"):
        make_report(folder / "app.db", replace(options, evaluations=(tmp_path,)))


def test_a_file_appears_whole_or_not_at_all(made, tmp_path):
    path = made.write(tmp_path / "page.html")
    assert path.read_text() == made.html()
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(ConfigurationError, match="cannot be written"):
        made.write(tmp_path / "no" / "page.html")


def test_an_estimated_curve_is_drawn_with_its_interval(folder, tmp_path, options):
    shutil.copytree(folder / "dataset", tmp_path / "dataset")
    path = tmp_path / "dataset" / "manifest.json"
    manifest = json.loads(path.read_text())
    curve = {"theta": [1, 0.6, 0.4], "low": [1, 0.5, 0.3], "high": [1, 0.7, 0.5]}
    manifest["examination"] = {"method": "pbm", "identifiable": True, "clicks": 900, "queries": 50, **curve}
    numbers = {"readings": 120, "informed": 90.0, "learned_share": 0.75, "repeat": 0.1}
    ratios = {"log_likelihood_ratio": 0.2, "prior_log_likelihood_ratio": 2.8}
    manifest["trust"] = {"citation": numbers | ratios}
    bins = [{"from": 0.8, "to": 1.0, "pairs": 60, "belief": 0.9, "relevant": 0.85}]
    after = {"slope": 0.8, "intercept": -0.4, "calibration_error": 0.03, "bins": bins}
    manifest["reliability"] = {
        "judged": 60, "calibration_error": 0.05, "error_by_chance": 0.04, "bins": bins, "recalibrated": after,
    }  # fmt: skip
    path.write_text(json.dumps(manifest))
    made = make_report(folder / "app.db", replace(options, dataset=tmp_path / "dataset"))
    words = Outline(made.html()).words
    assert "estimated (pbm) from 900 clicks on 50 queries" in words
    assert "citation120cited: +0.2+2.875%0.10" in words
    assert "Found to say little about relevance in these traces: citation." in words
    assert "80% to 100%6090%85%" in words
    assert "calibration error 0.050, of which chance alone explains 0.040." in words
    assert "log-odds become -0.40 +0.80 × log-odds" in words
    assert "calibration error 0.030" in words


def test_without_enough_judgments_the_report_says_how_many_would_settle_it(made):
    words = Outline(made.html()).words
    assert "so far 0, so 50 more would settle it" in words
    assert "ragwheel grade --db" in words


def test_the_command(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", "--db", str(folder / "app.db"), "--no-text", "--out", "r.html"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "r.html\n"
    assert "without texts" in (tmp_path / "r.html").read_text()
    done = CliRunner().invoke(app, ["report", "--db", "x.db", "nowhere"])
    assert done.exit_code == 1
    assert done.stderr.startswith("ragwheel: ")
