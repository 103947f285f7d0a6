"""Weights of hybrid search, tuned on the traces of an app that found only half of what there is."""

from __future__ import annotations

import pytest

import ragwheel
from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.deploy import Fusion
from ragwheel.errors import ModelError, TrainingError
from ragwheel.evaluate import evaluate, parse_system, read_traces
from ragwheel.train import FusionOptions, read_model_card, train_fusion

ANIMALS = [f"animal{n}" for n in range(90)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A retriever that finds the right chunk third; BM25 would find it first, another one last."""
    path = tmp_path_factory.mktemp("fusion") / "traces.db"
    ragwheel.configure(str(path))
    try:

        @ragwheel.retriever(source="kb", version="1")
        def search(query, right):
            ranking = [*(f"animal{(right + step) % 90}" for step in (7, 11)), f"animal{right}"]
            ranking += [f"animal{(right + step) % 90}" for step in (17, 23, 31)]
            return [
                {"id": name, "text": f"All there is to say about {name}.", "score": 1 - rank / 10}
                for rank, name in enumerate(ranking)
            ]

        for number, name in enumerate(ANIMALS):
            for person in range(4):
                with ragwheel.turn(f"tell me of {name}", user_id=f"p{person}") as turn:
                    chunks = search(f"tell me of {name}", number)
                    turn.prompted(chunks)
                    turn.shown(chunks)
                    turn.answer("So it is [3].")
                    ragwheel.signal(turn.handle, "thumbs_up", chunk=name, subject=f"p{person}")
        assert ragwheel.flush(60)
    finally:
        ragwheel.shutdown()
    return path


@pytest.fixture(scope="module")
def asked(store):
    build(store, store.with_name("dataset"), options=BuildOptions(dev=0.15, test=0.2))
    return open_dataset(store.with_name("dataset"))


@pytest.fixture
def wrong_run(store, tmp_path):
    """A system that ranks the right chunk last for every question, as a TREC run file."""
    from ragwheel.labels.traces.text import query_key

    lines = []
    for number, name in enumerate(ANIMALS):
        key = query_key(f"tell me of {name}")
        ranking = [f"animal{(number + step) % 90}" for step in range(1, 20)]
        lines += [f"{key} Q0 kb/{one} {rank} {1 / rank} wrong" for rank, one in enumerate(ranking, 1)]
    path = tmp_path / "wrong.run"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_weight_goes_to_the_system_that_finds_what_people_wanted(asked, store, wrong_run, tmp_path):
    options = FusionOptions("bm25", f"run:{wrong_run}", min_examples=20)
    made = train_fusion(asked, tmp_path / "fusion", options=options, db=store)
    fusion = Fusion.load(tmp_path / "fusion")
    assert fusion.weights[0] > fusion.weights[1]
    assert fusion.retrievers == ("bm25", f"run:{wrong_run}")
    assert made.recommended
    assert read_model_card(tmp_path / "fusion").kind == "fusion"
    collection = read_traces(asked.folder, store)
    systems = [
        parse_system(f"untuned=hybrid:bm25+run:{wrong_run}"),
        parse_system(f"tuned=fusion:{tmp_path / 'fusion'}"),
    ]
    measured = evaluate(collection, systems).measured
    labels = next(iter(measured["tuned"].judged))
    assert measured["tuned"].mean(labels, "MRR@10") > measured["untuned"].mean(labels, "MRR@10") - 1e-9
    assert measured["tuned"].mean(labels, "MRR@10") > 0.9


def test_two_systems_that_are_alike_keep_the_fusion_without_weights(asked, store, tmp_path):
    options = FusionOptions("bm25", "bm25", min_examples=20)
    train_fusion(asked, tmp_path / "fusion", options=options, db=store)
    assert Fusion.load(tmp_path / "fusion") == Fusion(retrievers=("bm25", "bm25"))


def test_too_few_questions_and_a_foreign_folder_are_refused(asked, store, tmp_path):
    with pytest.raises(TrainingError, match="hybrid:bm25"):
        train_fusion(asked, tmp_path / "fusion", options=FusionOptions(min_examples=1000), db=store)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ModelError, match="no model of ragwheel's"):
        train_fusion(asked, tmp_path, db=store)
