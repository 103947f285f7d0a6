"""Several rankings as one: by ranks, by scores, and whatever the retrievers give."""

from __future__ import annotations

import json
import math

import pytest

from ragwheel.deploy import FusedSearch, Fusion
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.guard import guard


def ids(fused):
    return [name for name, _ in fused]


def test_ranks_are_fused_as_the_formula_says():
    fusion = Fusion("rrf", (1.0, 2.0), k=10)
    fused = dict(fusion.fuse([[("a", None), ("b", None)], [("b", None)]]))
    assert fused == {"a": pytest.approx(1 / 11), "b": pytest.approx(1 / 12 + 2 / 11)}


def test_scores_are_scaled_within_each_ranking_before_they_are_added():
    first = [("a", 30.0), ("b", 20.0), ("c", 10.0)]
    second = [("c", 0.9), ("b", 0.8), ("d", 0.1)]
    fused = dict(Fusion("convex", (0.4, 0.6)).fuse([first, second]))
    assert fused["a"] == pytest.approx(0.4)
    assert fused["b"] == pytest.approx(0.4 * 0.5 + 0.6 * 0.875)
    assert fused["c"] == pytest.approx(0.6)
    assert fused["d"] == 0


def test_the_scale_of_a_score_and_its_direction_do_not_matter():
    other = [("c", 1.0), ("b", 0.5), ("a", 0.2)]
    similar = [("a", 0.9), ("b", 0.7), ("c", 0.1)]
    fusion = Fusion("convex", (0.5, 0.5))
    plain = fusion.fuse([similar, other])
    scaled = fusion.fuse([[(name, 1e6 * score - 3) for name, score in similar], other])
    distances = fusion.fuse([[(name, 1 - score) for name, score in similar], other])
    for found in (scaled, distances):
        assert ids(found) == ids(plain)
        assert dict(found) == pytest.approx(dict(plain), abs=1e-6)


@pytest.mark.parametrize("scores", [(None, None), (math.nan, 0.5), (0.5, None), (0.5, 0.5)], ids=str)
def test_scores_that_cannot_be_scaled_leave_the_ranks(scores):
    ranking = list(zip("ab", scores))
    assert ids(Fusion("convex", (1.0, 0.0)).fuse([ranking, []])) == ["a", "b"]


def test_an_empty_ranking_leaves_the_other_one():
    assert ids(Fusion().fuse([[], [("a", 1.0), ("b", 0.5)]])) == ["a", "b"]


@pytest.mark.parametrize(
    "given",
    [{"method": "sum"}, {"weights": ()}, {"weights": (0.0, 0.0)}, {"weights": (-1.0, 2.0)},
     {"weights": (math.nan, 1.0)}, {"k": 0}],
    ids=str,
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_named(given):
    with pytest.raises(ConfigurationError, match="allowed"):
        Fusion(**given)


def test_what_is_saved_is_loaded(tmp_path):
    fusion = Fusion("convex", (0.3, 0.7), retrievers=("bm25", "embedder:minilm"))
    fusion.save(tmp_path)
    assert Fusion.load(tmp_path) == fusion


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", json.dumps({"format": "ragwheel-fusion", "format_version": 1, "weights": "x"})]
)
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "fusion.json").write_text(text)
    with pytest.raises(ModelError, match="damaged"):
        Fusion.load(tmp_path)


def test_a_folder_without_one_says_how_to_make_it(tmp_path):
    with pytest.raises(ModelError, match="ragwheel train fusion"):
        Fusion.load(tmp_path)


def by(*names):
    return lambda query, k: [{"id": name, "text": f"text of {name}", "score": 1 / n} for n, name in
                             enumerate(names, 1)][:k]  # fmt: skip


def test_a_search_asks_all_and_gives_the_best_k():
    search = FusedSearch([by("a", "b", "c"), by("b", "d")], Fusion("rrf", (1.0, 1.0)), k=2)
    assert [chunk["id"] for chunk in search("anything")] == ["b", "a"]
    assert len(search("anything", k=4)) == 4


def test_a_retriever_that_fails_is_left_out_and_when_all_fail_the_app_hears_it(monkeypatch):
    def broken(query, k):
        raise TimeoutError("the index sleeps")

    before = guard.counts().get("fusing", 0)
    assert [chunk["id"] for chunk in FusedSearch([broken, by("a")])("anything")] == ["a"]
    assert guard.counts()["fusing"] == before + 1
    with pytest.raises(TimeoutError, match="the index sleeps"):
        FusedSearch([broken, broken])("anything")


def test_results_that_nobody_can_read_reach_the_app_in_their_order():
    opaque = [object(), object()]
    search = FusedSearch([lambda query, k: opaque, by("a")], Fusion("rrf", (3.0, 1.0)), k=3)
    assert search("anything")[:2] == opaque


@pytest.mark.parametrize(
    ("retrievers", "options"),
    [([], {}), ([by("a"), "kb"], {}), ([by("a")], {"fusion": Fusion()}), ([by("a")], {"k": 50})],
    ids=["none", "no function", "other weights", "k"],
)
def test_a_search_that_cannot_be_is_refused_at_once(retrievers, options):
    with pytest.raises(ConfigurationError):
        FusedSearch(retrievers, **options)
