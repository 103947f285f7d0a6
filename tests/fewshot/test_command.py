"""``ragwheel fewshot`` as it is typed."""

from __future__ import annotations

import json

import pytest
from tests.fewshot.helpers import chat_server, said
from typer.testing import CliRunner

from ragwheel import fewshot
from ragwheel.cli.app import app
from ragwheel.fewshot import Library

run = CliRunner().invoke

PIPELINE = "def answer(question, examples):\n    return examples[0]['answer'] if examples else 'no idea'\n"


@pytest.fixture
def built(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAGWHEEL_DB", str(full.path))
    monkeypatch.setenv("COLUMNS", "140")
    fewshot.save(fewshot.build(full.path, fewshot.FewshotOptions(n=10)), "lib.json")
    return full


def fewshot_(*typed):
    return run(app, ["fewshot", *typed])


def test_build(built):
    done = fewshot_("build", "--out", "made", "-n", "6", "--groups", "2")
    assert done.exit_code == 0, done.output
    assert "6 examples of" in done.output
    assert "next  ragwheel fewshot test made" in done.output
    assert len(Library.load("made").examples) == 6
    told = json.loads(fewshot_("build", "--out", "made", "-n", "6", "--groups", "2", "--json").stdout)
    assert told["examples"] == 6
    assert len(told["groups"]) == 2


def test_build_with_written_reasoning(built, monkeypatch):
    with chat_server(lambda body: said("Because.")) as (url, _):
        done = fewshot_(
            "build", "--out", "w.json", "-n", "3", "--groups", "1", "--write-reasoning", "--llm-url", url
        )
    assert done.exit_code == 0, done.output
    assert "3 written by an LLM" in done.output
    assert {one.reasoning_by for one in Library.load("w.json").examples} == {"llm"}
    again = fewshot_(
        "build", "--out", "w.json", "-n", "3", "--groups", "1", "--write-reasoning", "--llm-url", url
    )  # nobody answers there any more, and nobody has to
    assert again.exit_code == 0, again.output
    assert {one.reasoning for one in Library.load("w.json").examples} == {"Because."}
    lost = fewshot_(
        "build", "--out", "v.json", "-n", "3", "--groups", "1", "--write-reasoning", "--llm-url", url
    )
    assert lost.exit_code == 1
    assert "cannot be reached" in lost.stderr
    assert len(Library.load("v.json").examples) == 3  # what was picked is kept


def test_render(built):
    done = fewshot_("render", "lib.json", "--question", "rotate signing key", "-k", "2")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("Question: ") == 3
    assert done.stdout.endswith("Question: rotate signing key\nAnswer:\n")
    chat = fewshot_("render", "lib.json", "--chat", "--budget", "60")
    assert 0 < len(json.loads(chat.stdout)) < 20
    assert "left out, over the budget of 60 tokens" in chat.stderr
    assert fewshot_("render", "lib.json", "--examples", "--format", "yaml").stdout.startswith("- id: ")
    assert "No example fits" in fewshot_("render", "lib.json", "--budget", "3").stderr


def test_the_test(built, tmp_path):
    (tmp_path / "pipeline_under_test.py").write_text(PIPELINE)
    typed = ("test", "lib.json", "--pipeline", "pipeline_under_test:answer", "--questions", "12")
    done = fewshot_(*typed)
    assert done.exit_code == 0, done.output
    assert "adopt   met" in done.output
    with chat_server(lambda body: said("always this")) as (url, _):
        told = json.loads(
            fewshot_("test", "lib.json", "--llm-url", url, "--questions", "12", "--json").stdout
        )
    assert told["decision"] != "adopt"
    assert len(list((tmp_path / "experiments").glob("*/experiment.json"))) == 2
    neither = fewshot_("test", "lib.json")
    assert neither.exit_code == 1
    assert "say what answers" in neither.stderr


def test_rotate_and_show(built):
    shown = fewshot_("show", "lib.json")
    assert shown.exit_code == 0, shown.output
    assert "used" in shown.output
    items = json.loads(fewshot_("show", "lib.json", "--json").stdout)["items"]
    assert items[0]["usage"] == {"used": 0, "liked": 0, "disliked": 0, "last_ns": None}
    before = Library.load("lib.json")
    dry = fewshot_("rotate", "lib.json", "--older-than", "1d", "--dry-run")
    assert "10 retired" in dry.output
    assert Library.load("lib.json") == before
    told = json.loads(fewshot_("rotate", "lib.json", "--older-than", "1d", "--json").stdout)
    assert len(told["retired"]) == 10
    assert len(Library.load("lib.json").retired) == 10
    assert "10 before" in fewshot_("show", "lib.json").output


def test_what_was_erased_is_not_rotated_on(built):
    fewshot.save(Library.load("lib.json"), "lib.json", db=built.path)
    gone = run(app, ["erase", "--user", "u1", "--yes"])
    assert gone.exit_code == 0, gone.output
    assert "lib.json: a fewshot made from it" in gone.output.replace("\n", "")
    refused = fewshot_("rotate", "lib.json", "--older-than", "1d")
    assert refused.exit_code == 1
    assert "Build it again: ragwheel fewshot build --out lib.json" in refused.stderr
    assert fewshot_("build", "--out", "lib.json", "-n", "6").exit_code == 0
    assert fewshot_("rotate", "lib.json", "--older-than", "1d").exit_code == 0


def test_what_is_not_there(built, tmp_path):
    assert "There is no few-shot library" in fewshot_("show", "none.json").stderr
    assert "There is no database" in fewshot_("build", "--db", "none.db", "--out", "x").stderr
    assert "an LLM is needed" in fewshot_("build", "--out", "x", "--write-reasoning").stderr
