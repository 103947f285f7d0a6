"""A re-ranker on features, trained from a dataset folder and the store that it was built from."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import ragwheel
from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.deploy.features import NAMES, CandidateChunk, FeatureReranker
from ragwheel.deploy.features.scoring import LinearScorer
from ragwheel.deploy.features.words import hashed, words_in
from ragwheel.errors import ConfigurationError, DatasetError, ModelError, TrainingError
from ragwheel.evaluate import evaluate, read_traces, reranked
from ragwheel.evaluate.systems import captured
from ragwheel.train import FeatureOptions, choose_kind, read_model_card, train_feature_reranker
from ragwheel.train.beliefs import beliefs
from ragwheel.train.features.choose import FeatureRecipe, choose, cross_fitted, gain_on, recipes
from ragwheel.train.features.linear import fit_linear
from ragwheel.train.features.lists import read_traffic
from ragwheel.train.features.matrix import fill_by_rank, matrix_of
from ragwheel.train.features.remember import remember
from ragwheel.train.features.train import without_gaps

SUBJECTS = ("zebra", "heron", "otter", "lynx", "moose", "raven", "trout", "bison", "gecko", "ibis")
FACTS = ("diet", "habitat", "lifespan", "weight", "speed", "mating", "predators", "plumage", "range", "song")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A retriever that puts the right chunk anywhere in its first six, and people who like it there."""
    path = tmp_path_factory.mktemp("features") / "traces.db"
    texts = {
        f"{animal}-{fact}": f"About the {fact}. The {fact} of the {animal} is described here at some length."
        for animal in SUBJECTS
        for fact in FACTS
    }
    names = list(texts)
    rng = np.random.default_rng(0)
    ragwheel.configure(str(path))
    try:

        @ragwheel.retriever(source="kb", version="1")
        def search(query, right):
            others = [names[n] for n in rng.permutation(len(names)) if names[n] != right][:11]
            place = int(rng.integers(0, 6))
            ranking = [*others[:place], right, *others[place:]]
            return [{"id": n, "text": texts[n], "score": 1 - rank / 20} for rank, n in enumerate(ranking)]

        for name in names:
            animal, fact = name.split("-")
            for person in range(4):
                with ragwheel.turn(f"{animal} {fact}?", user_id=f"p{person}") as turn:
                    chunks = search(f"{animal} {fact}?", name)
                    turn.prompted(chunks)
                    turn.shown(chunks)
                    rank = [chunk["id"] for chunk in chunks].index(name) + 1
                    turn.answer(f"So it is [{rank}].")
                    ragwheel.signal(turn.handle, "thumbs_up", chunk=name, subject=f"p{person}")
        assert ragwheel.flush(60)
    finally:
        ragwheel.shutdown()
    return path


@pytest.fixture(scope="module")
def answered(store):
    """The dataset of the store."""
    out = store.with_name("dataset")
    build(store, out, options=BuildOptions(dev=0.15, test=0.25))
    return open_dataset(out)


@pytest.fixture(scope="module")
def trained(answered, store):
    """A linear model of it."""
    options = FeatureOptions(model="linear", min_examples=20)
    return train_feature_reranker(answered, store.with_name("model"), db=store, options=options)


def matrix_without_gaps(answered, store):
    rows = beliefs(answered, store)["train"]
    traffic = read_traffic(store, frozenset(row.query_key for row in rows))
    tables, families = remember(list(traffic.chunks.values()), rows, traffic.asked_ns)
    matrix = matrix_of(traffic.lists(rows), tables, families)
    return without_gaps(matrix, fill_by_rank(matrix)), tables, families


def test_it_ranks_questions_that_it_never_saw_better_than_the_retriever(answered, store, trained):
    collection = read_traces(answered.folder, store)
    systems = [captured(), reranked(trained.folder, captured(), "features")]
    measured = evaluate(collection, systems).measured
    labels = next(iter(measured["captured"].judged))
    before, after = (measured[name].mean(labels, "MRR@10") for name in ("captured", "features"))
    assert trained.recommended
    assert before < 0.7
    assert after > before + 0.1


def test_the_card_says_what_was_chosen_and_what_each_group_of_features_is_worth(trained):
    facts = read_model_card(trained.folder)
    assert facts.kind == "reranker"
    assert facts.configuration["kind"] == "features"
    without = facts.figures["expected gain without a group"]
    assert {"retriever", "words"} <= set(without)
    assert without["words"] < facts.figures["expected gain, cross-fitted"]["mean"]
    assert any(why.startswith("without the words features") for why in trained.why)


def test_nothing_of_dev_and_test_is_remembered(answered, store, trained):
    model = FeatureReranker.load(trained.folder)
    split = dict(zip(*(answered.provenance("pairs")[name].to_pylist() for name in ("query_key", "split"))))
    assert {"train", "dev", "test"} <= set(split.values())
    remembered = {hashed(word) for row in beliefs(answered, store)["train"] for word in words_in(row.query)}
    assert set(model.tables.question_terms.tolist()) == remembered
    assert len(model.tables.question_starts) - 1 == Counter(split.values())["train"]


def test_a_question_is_not_scored_by_its_own_evidence(answered, store):
    rows = beliefs(answered, store)["train"]
    traffic = read_traffic(store, frozenset(row.query_key for row in rows))
    tables, families = remember(list(traffic.chunks.values()), rows, traffic.asked_ns)
    lists = traffic.lists(rows)
    own = matrix_of(lists, tables, {})
    left_out = matrix_of(lists, tables, families)
    right = np.nan_to_num(own.belief) > 0.6
    asked = NAMES.index("asked")
    assert (own.rows[right][:, asked] > 0.8).all()  # it would know every answer by heart
    assert left_out.rows[right][:, asked].max() < 0.8


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_more_of_what_speaks_for_a_chunk_never_lowers_it(answered, store, kind):
    if kind == "trees":
        pytest.importorskip("lightgbm", reason="needs the extra rerank")
    from ragwheel.deploy.features import FEATURES
    from ragwheel.train.features.choose import fitted

    matrix, *_ = matrix_without_gaps(answered, store)
    columns = np.flatnonzero(matrix.rows.std(axis=0) > 1e-9)
    scorer = fitted(matrix, recipes(kind, 0)[0], np.arange(len(matrix)), columns)
    rows = matrix.rows[:100][:, columns]
    before = scorer(rows)
    for place, column in enumerate(columns):
        changed = rows.copy()
        changed[:, place] += rows[:, place].std() + 0.1
        difference = scorer(changed) - before
        if FEATURES[column].sign:
            assert (FEATURES[column].sign * difference >= -1e-9).all(), FEATURES[column].name


def test_of_labels_that_say_nothing_no_gain_is_expected(answered, store):
    matrix, *_ = matrix_without_gaps(answered, store)
    columns = np.flatnonzero(matrix.rows.std(axis=0) > 1e-9)
    gains = []
    for seed in range(5):
        draw, shuffled = np.random.default_rng(seed), matrix.belief.copy()
        for rows in matrix.slices():  # the same beliefs, each of a chunk that is drawn
            shuffled[rows] = draw.permutation(shuffled[rows])
        drawn = replace(matrix, belief=shuffled)
        gains.append(gain_on(drawn, cross_fitted(drawn, recipes("linear", 0)[1], columns)))
    real = gain_on(matrix, cross_fitted(matrix, recipes("linear", 0)[1], columns))
    assert all(gain.low <= 0 for gain in gains)
    assert max(gain.mean for gain in gains) < real.low


def test_trees_are_taken_only_where_they_are_better_than_the_simpler_model_by_more_than_chance(
    answered, store
):
    matrix, *_ = matrix_without_gaps(answered, store)
    columns = np.flatnonzero(matrix.rows.std(axis=0) > 1e-9)
    able = partial(fit_linear, l2=1e-2)
    blind = LinearScorer(np.zeros(len(columns)), np.zeros(len(columns)), np.ones(len(columns)))

    def choice(linear, trees):
        entries = [FeatureRecipe("simple", "linear", linear), FeatureRecipe("deep", "trees", trees)]
        return choose(matrix, entries, columns, lambda *_: None).recipe.name

    assert choice(able, partial(fit_linear, l2=1e-3)) == "simple"  # hardly another order
    assert choice(lambda _lesson: blind, able) == "deep"


def test_too_few_questions_are_refused_with_what_to_do(answered, store, tmp_path):
    with pytest.raises(TrainingError, match=r"needs 1000.*ragwheel status"):
        train_feature_reranker(
            answered, tmp_path / "model", db=store, options=FeatureOptions(min_examples=1000)
        )
    assert not (tmp_path / "model").exists()


def test_without_the_database_it_says_so(answered, tmp_path):
    with pytest.raises(TrainingError, match="--db FILE"):
        train_feature_reranker(answered, tmp_path / "model", db=tmp_path / "none.db")


def test_another_database_is_refused(answered, traces, tmp_path):
    with pytest.raises(DatasetError, match="built from another database"):
        train_feature_reranker(
            answered, tmp_path / "model", db=traces, options=FeatureOptions(min_examples=20)
        )


def test_a_folder_of_somebody_else_is_left_alone(answered, store, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ModelError, match="no model of ragwheel's"):
        train_feature_reranker(answered, tmp_path, db=store)


@pytest.mark.parametrize("given", [{"model": "forest"}, {"min_examples": 3}], ids=str)
def test_an_option_that_cannot_be_used_is_named(given):
    with pytest.raises(ConfigurationError, match="allowed"):
        FeatureOptions(**given)


def test_features_are_taken_where_the_rankings_are_and_a_cross_encoder_where_they_are_not(
    answered, store, tiny, tmp_path
):
    kind, why = choose_kind(answered.folder, db=store)
    assert (kind, len(why)) == ("features", 1)
    assert choose_kind(answered.folder, db=tmp_path / "none.db")[0] == "cross-encoder"
    assert choose_kind(answered.folder, str(tiny), db=store)[0] == "features"  # it has no head for scores


def test_an_encoder_at_hand_is_one_more_group(dataset, traces, tiny, tmp_path):
    options = FeatureOptions(model="linear", min_examples=20, encoder=str(tiny))
    made = train_feature_reranker(dataset, tmp_path / "model", db=traces, options=options)
    assert "encoder" in made.facts.figures["expected gain without a group"]
    model = FeatureReranker.load(made.folder)
    rows = [CandidateChunk("About the diet.", "a"), CandidateChunk("Else.", "b")]
    assert len(model.score_candidates("diet?", rows)) == 2  # filled in where there is none
    asked = []

    def similarities(query, candidates):
        asked.append((query, len(candidates)))
        return [0.1, 0.9]

    model.with_encoder(similarities).score_candidates("diet?", rows)
    assert asked == [("diet?", 2)]


def test_the_same_input_gives_the_same_model(answered, store, trained, tmp_path):
    options = FeatureOptions(model="linear", min_examples=20)
    train_feature_reranker(answered, tmp_path / "again", db=store, options=options)
    for name in ("features.json", "features.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (trained.folder / name).read_bytes()


def test_the_command_takes_features_by_itself_and_says_why(answered, store, tmp_path):
    from typer.testing import CliRunner

    from ragwheel.cli.app import app

    arguments = [
        "train",
        "reranker",
        str(answered.folder),
        "--out",
        str(tmp_path / "model"),
        "--db",
        str(store),
    ]
    result = CliRunner().invoke(app, [*arguments, "--min-examples", "20", "--model", "linear"])
    assert result.exit_code == 0, result.output
    assert "the database has the retriever's rankings" in " ".join(result.output.split())
    assert json.loads((tmp_path / "model" / "features.json").read_text())["model"] == "linear"
