"""``ragwheel show --why``: the verdict on a chunk, for people and for scripts."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.labels.policy import load_policy
from ragwheel.testing import TraceStore

QUERY = "How do I rotate a log file?"


@pytest.fixture
def db(tmp_path):
    with TraceStore(tmp_path / "app.db") as store:
        asked = store.ask(QUERY, ["man", "logrotate", "split"], cited=[2], user_id="u1")
        store.signal(asked, "click", "logrotate", subject="u1")
        for n in range(3):
            store.signal(asked, "thumbs_up", "split", subject=f"u{n}")
            store.signal(asked, "thumbs_down", "split", subject=f"v{n}")
        store.judge(QUERY, "man", 2)
    return store.path


def said(db, chunk, *args):
    command = ["show", "--db", str(db), "--why", QUERY.upper(), chunk, *args]
    ended = CliRunner(env={"COLUMNS": "100"}).invoke(app, command)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_every_piece_of_evidence_with_its_exposure_and_what_it_says(db):
    lines = [" ".join(line.split()) for line in said(db, "logrotate").splitlines()]
    assert any(line.startswith("verdict positive, grade 4.") for line in lines)
    weights = load_policy().weights
    for words, kind in (
        ("for cited in the answer 1 1 2 shown?", "cited"),
        ("for clicked 1 1 2 shown?", "click"),
    ):
        (line,) = (line for line in lines if line.startswith(words))
        assert float(line.split()[-1]) == pytest.approx(weights[kind], abs=0.3), (
            "so few readings teach little"
        )
    assert any(line.startswith("weights the policy's; this store cannot tell yet") for line in lines)
    assert lines[-1].startswith(f"next ragwheel show --db {db} ")


def test_opposite_votes_are_called_what_they_are(db):
    printed = " ".join(said(db, "split").split())
    assert "abstains: opposite votes cancel each other" in printed
    assert re.search(r"for given a thumbs-up 3 3 3 shown\? \+7\.\d\d", printed)
    assert re.search(r"against given a thumbs-down 3 3 3 shown\? -7\.\d\d", printed)


def test_a_judgment_has_no_place(db):
    assert "is graded by a person: 2 by ann" in " ".join(said(db, "man").split())


def test_json_has_the_model_and_its_values(db):
    (verdict,) = json.loads(said(db, "logrotate", "--json"))
    clicks = next(reason for reason in verdict["reasons"] if reason["kind"] == "click")
    seen = clicks["seen"][0]
    assert (seen["n"], seen["rank"], seen["exposure"], seen["assumed"]) == (1, 2, "shown", True)
    assert seen["log_odds"] == seen["weight"] > 0
    assert verdict["examination"]["why_not"] == "1 clicks, at least 500 needed"


def test_nothing_known_says_what_to_type(db):
    ended = CliRunner().invoke(app, ["show", "--db", str(db), "--why", QUERY, "zzz"])
    assert ended.exit_code == 1
    assert "There is no evidence on chunk 'zzz'" in ended.stderr
    assert "--list" in ended.stderr
