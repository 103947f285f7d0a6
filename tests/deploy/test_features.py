"""A re-ranker on features inside an app: files, odd input, and the time that it takes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import ragwheel
from ragwheel.deploy import Reranked
from ragwheel.deploy.features import FEATURES, NAMES, CandidateChunk, FeatureReranker, Tables, features
from ragwheel.deploy.features.scoring import LinearScorer
from ragwheel.deploy.features.tables import chunk_key
from ragwheel.deploy.features.words import hashed, words_in
from ragwheel.errors import ModelError

QUESTION = "Which zebra stripes deter flies?"


def tables_of(answered=()):
    """Tables of a store in which `answered` are (chunk id, question, belief) of the source ``kb``."""
    questions = list(dict.fromkeys(question for _, question, _ in answered))
    rows = sorted(
        (chunk_key("kb", chunk), questions.index(question), belief) for chunk, question, belief in answered
    )
    keys = sorted({key for key, _, _ in rows})
    words = [words_in(question) for question in questions]
    common = sorted((hashed(word), 50) for word in ("which", "the", "of", "a"))
    return Tables(
        n_documents=100,
        mean_length=20.0,
        terms=np.array([key for key, _ in common], dtype=np.uint64),
        frequencies=np.array([df for _, df in common], dtype=np.uint32),
        stems=np.array([key for key, _ in common], dtype=np.uint64),
        stem_frequencies=np.array([df for _, df in common], dtype=np.uint32),
        chunks=np.array(keys, dtype=np.uint64),
        starts=np.cumsum([0, *(sum(row[0] == key for row in rows) for key in keys)]).astype(np.int64),
        question=np.array([row[1] for row in rows], dtype=np.int64),
        belief=np.array([row[2] for row in rows], dtype=np.float32),
        weight=np.ones(len(rows), dtype=np.float32),
        question_starts=np.cumsum([0, *map(len, words)]).astype(np.int64),
        question_terms=np.array([hashed(word) for some in words for word in some], dtype=np.uint64),
        question_weights=np.array(
            [1 / math.sqrt(len(some)) for some in words for _ in some], dtype=np.float32
        ),
        sources=np.array([hashed("kb")], dtype=np.uint64),
        source_odds=np.zeros(1, dtype=np.float32),
        prior=0.3,
    )


def reranker_by(version="", answered=(), **weights):
    """A linear re-ranker with these weights; all others are 0."""
    columns = np.arange(len(NAMES))
    values = np.array([weights.get(name, 0.0) for name in NAMES])
    scorer = LinearScorer(values, np.zeros(len(NAMES)), np.ones(len(NAMES)))
    return FeatureReranker(scorer, columns, np.zeros((40, len(NAMES))), tables_of(answered), version, ("kb",))


def column(name, query, candidates, **options):
    return features(query, candidates, tables_of(**options))[:, NAMES.index(name)]


ZEBRA = CandidateChunk("Zebra stripes deter biting flies.", "zebra", "kb", 0.5)
OTHER = CandidateChunk("The history of the bicycle in the Netherlands.", "bike", "kb", 0.9)


@pytest.mark.parametrize("name", ["bm25", "bm25_share", "coverage", "rare", "stems", "pairs", "title"])
def test_every_feature_of_words_is_higher_for_the_chunk_that_has_them(name):
    values = column(name, QUESTION, [OTHER, ZEBRA])
    assert values[1] > values[0]


@pytest.mark.parametrize("question", ["ฉันจะคืนสินค้าได้อย่างไร", "如何退货", "वापसी कैसे करें"])
def test_words_are_counted_in_scripts_without_spaces_and_with_vowel_signs(question):
    values = column(
        "coverage", question, [CandidateChunk("Something else."), CandidateChunk(f"{question}。")]
    )
    assert list(values) == [0.0, pytest.approx(1.0)]


def test_a_distance_is_a_score_turned_round():
    as_score = [CandidateChunk(str(n), score=score) for n, score in enumerate((0.9, 0.8, 0.2))]
    as_distance = [CandidateChunk(str(n), score=score) for n, score in enumerate((0.1, 0.2, 0.8))]
    for name in ("score_z", "score_gap"):
        np.testing.assert_allclose(column(name, "q", as_score), column(name, "q", as_distance))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_scores_of_another_scale_are_the_same_features(scale):
    scores = (0.9, 0.5, 0.4, 0.1)
    given = [CandidateChunk(str(n), score=5 + scale * score) for n, score in enumerate(scores)]
    plain = [CandidateChunk(str(n), score=score) for n, score in enumerate(scores)]
    np.testing.assert_allclose(column("score_z", "q", given), column("score_z", "q", plain), rtol=1e-4)


def test_a_longer_list_does_not_change_the_scores_of_its_head():
    rows = [CandidateChunk(str(n), score=1 / (n + 1)) for n in range(40)]
    np.testing.assert_allclose(column("score_gap", "q", rows)[:20], column("score_gap", "q", rows[:20]))


def test_an_earlier_question_counts_for_the_chunk_that_answered_it_unless_it_is_left_out():
    answered = [("zebra", QUESTION, 1.0), ("bike", QUESTION, 0.0)]
    asked = column("asked", QUESTION, [OTHER, ZEBRA], answered=answered)
    assert asked[1] > 0.9
    assert asked[0] == 0
    assert column("popularity", QUESTION, [OTHER, ZEBRA], answered=answered)[1] > 0
    left_out = features(QUESTION, [OTHER, ZEBRA], tables_of(answered), frozenset({0}))
    for name in ("asked", "asked_against", "popularity"):
        assert not left_out[:, NAMES.index(name)].any()


def test_an_older_near_copy_is_superseded():
    text = "The limit for returns is thirty days after the purchase of the article in a shop of ours"
    old = CandidateChunk(text, "a", metadata={"date": "2020-01-01"})
    new = CandidateChunk(
        text.replace("thirty", "sixty"), "b", metadata={"updated_at": "2024-05-01T10:00:00Z"}
    )
    assert list(column("superseded", "returns", [old, new])) == [1, 0]
    assert column("age", "returns", [old, new])[0] > column("age", "returns", [old, new])[1]


@pytest.mark.parametrize(
    "scores", [(None, None), (None, 0.5), (math.nan, 0.1), (math.inf, 0.1), (0.5, 0.5)], ids=str
)
def test_scores_that_say_nothing_are_filled_in(scores):
    reranker = reranker_by(score_z=1.0, rank=1.0)
    given = [CandidateChunk(one.text, one.id, score=score) for one, score in zip((OTHER, ZEBRA), scores)]
    assert np.argmax(reranker.score_candidates("q", given)) == 0  # the rank decides


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        [CandidateChunk("")],
        [CandidateChunk("", metadata={"title": 3, "date": "soon"})],
        [CandidateChunk("x" * 10**6)],
    ],
    ids=["none", "empty text", "odd metadata", "a megabyte"],
)
@pytest.mark.parametrize("question", ["", "?", QUESTION, "\ud800", "word " * 10_000], ids=repr)
def test_any_question_and_chunk_gets_a_finite_score(candidates, question):
    scores = reranker_by(**dict.fromkeys(NAMES, 1.0)).score_candidates(question, candidates)
    assert len(scores) == len(candidates)
    assert all(map(math.isfinite, scores))


def test_what_is_saved_scores_the_same_after_loading(tmp_path):
    reranker = reranker_by(bm25=2.0, asked=1.0, answered=[("zebra", QUESTION, 1.0)])
    reranker.save(tmp_path)
    loaded = FeatureReranker.load(tmp_path)
    assert loaded.score_candidates(QUESTION, [OTHER, ZEBRA]) == reranker.score_candidates(
        QUESTION, [OTHER, ZEBRA]
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"features.json", "features.safetensors"}
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"zebra" not in raw.lower()  # neither words nor ids are kept


def test_trees_are_kept_as_text(tmp_path):
    lightgbm = pytest.importorskip("lightgbm", reason="needs the extra rerank")
    from ragwheel.deploy.features.scoring import read_trees

    rng = np.random.default_rng(0)
    rows = rng.random((200, len(NAMES)))
    data = lightgbm.Dataset(rows, rows[:, 4])
    params = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
    text = lightgbm.train(params, data, num_boost_round=3).model_to_string()
    plain = reranker_by()
    reranker = FeatureReranker(read_trees(text), plain.columns, plain.fill, plain.tables)
    reranker.save(tmp_path)
    assert (tmp_path / "features.trees.txt").read_text().startswith("tree")
    expected = reranker.score_candidates(QUESTION, [OTHER, ZEBRA])
    assert FeatureReranker.load(tmp_path).score_candidates(QUESTION, [OTHER, ZEBRA]) == expected
    (tmp_path / "features.trees.txt").write_text("tree\nnonsense")
    with pytest.raises(ModelError, match="damaged"):
        FeatureReranker.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "not ragwheel's"),
        ({"format_version": 99}, "format version 99"),
        ({"features": ["no such feature"]}, "damaged"),
        ({"scale": [0.0] * len(NAMES)}, "damaged"),
        ({"mean": [1.0]}, "damaged"),
    ],
    ids=str,
)
def test_a_damaged_folder_is_refused(tmp_path, change, says):
    reranker_by().save(tmp_path)
    path = tmp_path / "features.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=says):
        FeatureReranker.load(tmp_path)


def test_a_folder_without_a_reranker_says_how_to_make_one(tmp_path):
    with pytest.raises(ModelError, match="ragwheel train reranker"):
        FeatureReranker.load(tmp_path)


def test_reranked_gives_ids_scores_and_metadata_to_the_features(tmp_path):
    ragwheel.configure(str(tmp_path / "ragwheel.db"))

    @ragwheel.retriever(source="kb", version="1")
    def search(query, k=40):
        return [{"id": one.id, "text": one.text, "score": one.score} for one in (OTHER, ZEBRA)][:k]

    answered = [("zebra", "what keeps flies from zebras", 1.0)]
    rerank = Reranked(search, reranker_by(popularity=1.0, answered=answered), k=1)
    assert [chunk["id"] for chunk in rerank("anything")] == ["zebra"]


def test_scores_of_another_retriever_version_are_not_used(tmp_path, caplog):
    ragwheel.configure(str(tmp_path / "ragwheel.db"))
    reranker = reranker_by("search 1", score_z=-1.0)

    def ids_of(version):
        @ragwheel.retriever(source="kb", version=version)
        def search(query, k=40):
            return [{"id": one.id, "text": one.text, "score": one.score} for one in (OTHER, ZEBRA)][:k]

        return [chunk["id"] for chunk in Reranked(search, reranker, k=2)("anything")]

    assert ids_of("1") == ["zebra", "bike"]
    assert ids_of("2") == ["bike", "zebra"]
    assert "learned from the retriever 'search 1'" in caplog.text


@pytest.mark.parametrize(
    "encoder",
    [
        lambda query, candidates: 1 / 0,
        lambda query, candidates: [0.5],
        lambda query, candidates: None,
        lambda query, candidates: ["near", "far"],
    ],
    ids=["raises", "too few", "none", "words"],
)
def test_an_encoder_that_breaks_costs_the_app_nothing(encoder, tmp_path):
    ragwheel.configure(str(tmp_path / "ragwheel.db"))
    reranker = reranker_by(score_z=-1.0).with_encoder(encoder)

    def search(query, k=40):
        return [{"id": entry.id, "text": entry.text, "score": entry.score} for entry in (OTHER, ZEBRA)][:k]

    assert [chunk["id"] for chunk in Reranked(search, reranker, k=2)("anything")] == ["bike", "zebra"]


@pytest.mark.parametrize("similarities", [[math.nan, math.inf], [-1e300, 1e300], [0.0, 0.0]])
def test_similarities_that_say_nothing_are_filled_in(similarities):
    reranker = reranker_by(score_z=1.0).with_encoder(lambda query, candidates: similarities)
    scores = reranker.score_candidates("anything", [OTHER, ZEBRA])
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    "chunks",
    [
        [{"id": "new", "text": "never seen before"}, {"id": "newer", "text": "nor this"}],
        [{"id": "a", "text": "x", "score": 9.5e9}, {"id": "b", "text": "y", "score": -3}],
        [{"id": "a", "text": "x", "score": math.nan}, {"id": "b", "text": "", "score": None}],
        [{"text": "without an id"}, {"text": "nor one here", "metadata": {"title": 3}}],
        ["plain text", "another one"],
    ],
    ids=["never seen", "another scale", "no scores", "no ids", "texts"],
)
def test_chunks_of_any_kind_are_ordered_and_none_is_lost(chunks, tmp_path):
    ragwheel.configure(str(tmp_path / "ragwheel.db"))
    answered = [("zebra", "what keeps flies from zebras", 1.0)]
    reranker = reranker_by(score_z=1.0, popularity=1.0, answered=answered)
    best = Reranked(lambda query, k: list(chunks), reranker, k=2)(QUESTION)
    assert sorted(map(str, best)) == sorted(map(str, chunks))


def test_every_feature_says_what_it_is():
    assert len(set(NAMES)) == len(FEATURES)
    assert all(feature.description and feature.sign in (-1, 0, 1) for feature in FEATURES)
