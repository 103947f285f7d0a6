"""The wheel's benchmark on a collection small enough to know: its datasets, its means, its page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("scipy", reason="needs the extra evaluate")

from flywheel.figures import means
from flywheel.rows import LABELS, make
from flywheel.setting import _parts, capture, read_setting
from flywheel.summary import put_into, report

from ragwheel.datasets import open_dataset
from ragwheel.evaluate import evaluate, from_callable, read_beir

ANIMALS = (
    "heron",
    "trout",
    "badger",
    "otter",
    "raven",
    "mole",
    "stoat",
    "hare",
    "viper",
    "newt",
    "vole",
    "wren",
)
ASPECTS = ("diet", "voice", "nest", "winter")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """48 passages; a question of train and a differently worded one of test for each second passage."""
    made = tmp_path_factory.mktemp("collection") / "animals"
    made.mkdir()
    ids = [f"{animal}-{aspect}" for animal in ANIMALS for aspect in ASPECTS]
    rows = [{"_id": one, "text": f"On the {one.replace('-', ' and its ')}, at length."} for one in ids]
    asked = [{"_id": f"a-{one}", "text": f"what is the {one.replace('-', ' s ')} like"} for one in ids]
    tested = [
        {"_id": f"t-{one}", "text": f"tell me of a {one.replace('-', ' and ')} please"} for one in ids[::2]
    ]
    for name, lines in (("corpus", rows), ("queries", asked + tested)):
        (made / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    for split, queries in (("train", asked), ("test", tested)):
        judged = "".join(f"{one['_id']}\t{one['_id'][2:]}\t1\n" for one in queries)
        (made / f"qrels.{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, "utf-8")
    return made


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """A dataset of each kind of labels, and what is told about them."""
    home, setting = tmp_path_factory.mktemp("wheel"), read_setting(folder, "bm25")
    assert capture(home / "traces.db", setting, "together", 6, seed=0) >= 6 * 48
    told = {
        labels: make(labels, home / labels, setting, home / "traces.db", home / "traces", seed=0)
        for labels in LABELS
    }
    return home, setting, told


def test_nobody_asks_a_question_of_the_test(made):
    _, setting, _ = made
    assert set(setting.world.grades).isdisjoint(setting.test.queries.values())


def test_people_are_always_right_and_the_naive_recipe_is_not(made):
    _, _, told = made
    assert told["people"]["positives_right"] == told["people"]["positives"] > 0
    right = {labels: one["positives_right"] / one["positives"] for labels, one in told.items()}
    assert right["naive"] < right["traces"] <= 1


def test_all_labels_have_the_same_questions_in_dev(made):
    home, _, _ = made
    asked = {
        (labels, split): set(open_dataset(home / labels).rows("pairs", split)["query"].to_pylist())
        for labels in LABELS
        for split in ("train", "dev")
    }
    assert asked["traces", "dev"]
    assert asked["traces", "dev"] <= asked["people", "dev"]
    assert all(asked[labels, "train"].isdisjoint(asked["traces", "dev"]) for labels in LABELS)


def test_seeds_become_one_system(folder):
    collection = read_beir(folder)
    right = {text: query.removeprefix("t-") for query, text in collection.queries.items()}
    base = from_callable(lambda text, _k: [right[text]], "base")
    seeds = [from_callable(lambda _text, _k: ["heron-diet"], "it #0"), replace(base, name="it #1")]
    found = means(evaluate(collection, [base, *seeds]))
    assert [one.name for one in found.systems] == ["base", "it"]
    assert found.measured["base"].mean("evalset", "nDCG@10") == 1
    assert 0.5 <= found.measured["it"].mean("evalset", "nDCG@10") < 0.6
    assert found.comparisons["it"].rows[0].difference.high < 0


def test_the_page_says_which_bar_was_hit(tmp_path):
    row = {"mean": 0.02, "low": -0.005, "high": 0.04, "p": 0.01}
    parts = {"all": row, "seen": row, "unseen": {**row, "low": -0.02}}
    queries = {"all": 30, "seen": 20, "unseen": 10}
    name = "adapter of traces"
    system = {
        "system": name,
        "seeds": 1,
        "means": dict.fromkeys(queries, 0.5),
        "recall@10": 0.7,
        "against_base": parts,
    }
    test = {
        "collection": "c", "documents": 5, "queries": queries, "systems": [system], "evaluated_s": 1.0,
        "pairs": [{"step": "adapter", "a": "traces", "b": b, "parts": parts} for b in ("people", "naive")],
        "recommended": {"system": name, "why": [], "refused": {}},
    }  # fmt: skip
    results = {
        "command": "x", "machine": "m", "plan": {"asked": 3, "traffic": "together"}, "app": "base",
        "traffic_says": "all", "train_questions": 9, "seeds": [0], "turns": [{"capture": {"wall_s": 1.0}}],
        "test": test, "others": [],
    }  # fmt: skip
    told = report(results)
    assert "relevant document trained on | lower bound ≥ -0.01 | -0.005 | hit |" in told
    assert "not trained on | lower bound ≥ -0.01 | -0.020 | missed |" in told
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- benchmarks/flywheel -->\nold\n<!-- end of benchmarks/flywheel -->\nafter\n")
    put_into(page, told)
    text = page.read_text("utf-8")
    assert "old" not in text
    assert text.startswith("before")
    assert text.endswith("after\n")


def test_a_collection_without_a_split_is_divided_between_conversations(tmp_path):
    corpus = [{"_id": f"d{n}", "title": "", "text": f"passage {n}"} for n in range(6)]
    queries = [
        {"_id": f"q{talk}-{n}", "text": f"question {talk} {n}", "session": f"talk {talk}"}
        for talk in range(6)
        for n in range(2)
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    grades = [f"{row['_id']}\td{row['_id'][1]}\t1\n" for row in queries]
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(grades))
    test, train = _parts(tmp_path)
    talks = [{name.partition("-")[0] for name in part.queries} for part in (test, train)]
    assert [len(each) for each in talks] == [2, 4]
    assert talks[0].isdisjoint(talks[1])
    assert test.seen == {f"d{name[1]}" for name in train.queries}
