"""The config ``positives``: every question with a positive, whether a negative could be had or not."""

from __future__ import annotations

import datasets as hub
import pyarrow.parquet as pq
import pytest

from ragwheel import offline
from ragwheel.datasets import SPLITS, BuildOptions, build, open_dataset
from ragwheel.exporting import export_dataset


@pytest.fixture
def mixed(store, ask_many):
    """Six questions whose chunks a person graded 5 and 0, and one whose only chunk was cited."""
    for n, query in enumerate(ask_many(6)):
        store.judge(query, f"question{n}-x", 5)
        store.judge(query, f"question{n}-y", 0)
    for user in ("ann", "bob"):
        store.ask("what is tea made of", ["leaves"], cited=[1], prompted=[1], user_id=user)
    return store.path


def anchors(data, config, column="anchor"):
    return {text for split in SPLITS for text in data.rows(config, split)[column].to_pylist()}


def test_a_question_without_a_usable_negative_is_in_positives_and_not_in_triplets(mixed, tmp_path):
    report = build(mixed, tmp_path / "data")
    data = open_dataset(report.out)
    assert anchors(data, "positives") - anchors(data, "triplets") == {"what is tea made of"}
    assert (
        report.dropped["positive: its query has no usable negative (it is still in positives and pairs)"] == 1
    )


def test_positives_are_those_of_triplets_once_each_and_never_a_negative(built):
    data = open_dataset(built.out)
    for split in SPLITS:
        rows = [tuple(row.values()) for row in data.rows("positives", split).to_pylist()]
        assert len(rows) == len(set(rows)) > 0
        triplets = data.rows("triplets", split).to_pylist()
        assert {(row["anchor"], row["positive"]) for row in triplets} <= set(rows)
        assert not {(row["anchor"], row["negative"]) for row in triplets} & set(rows)


def test_provenance_leads_every_positive_back_to_its_evidence(mixed, tmp_path):
    data = open_dataset(build(mixed, tmp_path / "data").out)
    rows = data.rows("positives", "train").to_pylist()
    origins = data.provenance("positives", "train").to_pylist()
    assert [origin["row"] for origin in origins] == list(range(len(rows)))
    for origin in origins:
        assert (origin["role"], origin["strategy"]) == ("positive", None)
        assert "cited" in origin["kinds"]
        assert origin["turn_ids"]


def test_the_caps_per_query_and_per_chunk_hold(store, tmp_path):
    for n in range(6):
        words = " ".join(f"ask{n}{letter}" for letter in "abcd")
        ranked = ["shared", *(f"own{n}{m}" for m in range(3))]
        asked = store.ask(words, ranked, cited=[1, 2, 3, 4], prompted=[1, 2, 3, 4])
        for name in ranked:
            store.signal(asked, "thumbs_up", name)
    policy = tmp_path / "policy.toml"
    policy.write_text("[balance]\npositives_per_query = 2\nuses_per_chunk = 3\n", "utf-8")
    report = build(store.path, tmp_path / "data", options=BuildOptions(policy=policy))
    rows = open_dataset(report.out).rows("positives", "train").to_pylist()
    questions = [row["anchor"] for row in rows]
    assert max(questions.count(question) for question in questions) == 2
    positives = [row["positive"] for row in rows]
    assert max(positives.count(positive) for positive in positives) <= 3


@pytest.mark.parametrize("file_format", ["st-positive", "parquet", "jsonl"])
def test_export_writes_positives(mixed, tmp_path, file_format):
    data = build(mixed, tmp_path / "data").out
    names = export_dataset(data, file_format, tmp_path / "out")
    folder = "" if file_format == "st-positive" else "positives/"
    assert f"{folder}train.{'jsonl' if file_format == 'jsonl' else 'parquet'}" in names


def test_what_is_erased_leaves_positives_too(store, ask_many, tmp_path):
    kept = ask_many(3, "kept", user_id="bob")
    ask_many(2, "erased", user_id="ada")
    out = build(store.path, tmp_path / "data", options=BuildOptions(formats=("jsonl",))).out
    offline.erase(store.path, offline.Selection(user="ada"))
    data = open_dataset(out)
    assert anchors(data, "positives") == set(kept)
    assert sum(data.manifest["rows"]["positives"].values()) == 3
    assert "erased" not in (out / "jsonl" / "positives" / "train.jsonl").read_text("utf-8")


def test_a_card_without_triplets_opens_positives_and_lists_what_has_rows(store, tmp_path, monkeypatch):
    monkeypatch.setattr(hub.config, "HF_HUB_OFFLINE", True)
    store.ask("what is tea made of", ["leaves"], cited=[1], prompted=[1])
    out = build(store.path, tmp_path / "data").out
    card = (out / "README.md").read_text("utf-8")
    assert "| `positives` | `anchor`, `positive` | 1 / 0 / 0 |" in card
    assert "| `triplets` |" not in card
    assert "| `lists` |" not in card
    assert hub.get_dataset_config_names(str(out)) == ["positives", "pairs"]
    loaded = hub.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].column_names == ["anchor", "positive"]
    assert pq.read_table(out / "triplets" / "train.parquet").num_rows == 0
