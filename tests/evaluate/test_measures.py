"""Figures are those of the field's own tools."""

from __future__ import annotations

import random

import ir_measures
import pytest
import pytrec_eval

from ragwheel.errors import ConfigurationError
from ragwheel.evaluate import MEASURES, EvaluateOptions, Run, bm25, evaluate, per_query, read_beir
from ragwheel.evaluate.systems import Searcher


def test_a_query_worked_out_by_hand():
    run = Run("x", {"q": ("a", "b", "c", "d"), "other": ("a",)})
    found = per_query(run, {"q": {"b": 1, "d": 1, "z": 1, "a": 0}, "silent": {"a": 1}})
    assert found["MRR@10"] == {"q": 0.5, "silent": 0.0}
    assert found["recall@1"]["q"] == 0
    assert found["recall@5"]["q"] == pytest.approx(2 / 3)
    assert found["MAP"]["q"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert found["judged@10"]["q"] == 3 / 4
    assert found["holes@10"] == {"q": 1.0, "silent": 0.0}
    assert set(found) == set(MEASURES)


@pytest.mark.parametrize("rankings", [{}, {"q": ()}, {"of another": ("a",)}], ids=repr)
def test_a_system_that_finds_nothing_counts_0_everywhere(rankings):
    values = per_query(Run("x", rankings), {"q": {"a": 1}})
    assert values == {measure: {"q": 0.0} for measure in MEASURES}


def test_grades_below_the_positive_one_count_for_ndcg_alone():
    run = Run("x", {"q": ("half", "whole")})
    found = per_query(run, {"q": {"half": 2, "whole": 5}}, positive=3)
    assert found["MRR@10"]["q"] == 0.5
    assert found["recall@1"]["q"] == 0
    assert 0.7 < found["nDCG@10"]["q"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_those_of_pytrec_eval(seed):
    rng = random.Random(seed)
    documents = [f"d{i}" for i in range(60)]
    qrels = {f"q{i}": {d: rng.choice((0, 0, 1, 2)) for d in rng.sample(documents, 12)} for i in range(30)}
    run = Run("x", {query: tuple(rng.sample(documents, rng.randint(1, 60))) for query in qrels})
    agrees(per_query(run, qrels), run, qrels)


def agrees(found, run, qrels):
    scores = {
        q: {d: float(len(ranking) - n) for n, d in enumerate(ranking)} for q, ranking in run.rankings.items()
    }
    names = {"nDCG@10": "ndcg_cut_10", "MAP": "map", "MRR@10": "recip_rank"}
    names |= {f"recall@{k}": f"recall_{k}" for k in (1, 5, 10, 20, 40)}
    wanted = {"ndcg_cut.10", "map", "recip_rank", "recall.1,5,10,20,40"}
    theirs = pytrec_eval.RelevanceEvaluator(
        {q: dict(grades) for q, grades in qrels.items()}, wanted
    ).evaluate(scores)
    for query in qrels:
        for ours, name in names.items():
            expected = theirs[query][name]
            if ours == "MRR@10" and expected < 0.1:
                expected = 0.0  # pytrec_eval has no cut
            assert found[ours][query] == pytest.approx(expected, abs=1e-9), (query, ours)


def test_figures_on_scifact_equal_those_of_pytrec_eval_and_ir_measures(test_data):
    collection = read_beir(test_data / "scifact")
    run, _ = bm25().run(collection, Searcher(cache=None))
    qrels = collection.qrels["evalset"]
    found = per_query(run, qrels)
    agrees(found, run, qrels)
    theirs = ir_measures.calc_aggregate(
        [ir_measures.nDCG @ 10, ir_measures.R @ 40],
        [ir_measures.Qrel(q, d, g) for q, grades in qrels.items() for d, g in grades.items()],
        [ir_measures.ScoredDoc(*row) for row in run.scored(qrels)],
    )
    for measure, name in ((ir_measures.nDCG @ 10, "nDCG@10"), (ir_measures.R @ 40, "recall@40")):
        assert sum(found[name].values()) / 300 == pytest.approx(theirs[measure])


@pytest.mark.parametrize(
    ("name", "expected"), [("scifact", 0.662), ("noveleval", 0.585), ("mtrag_human_sub", 0.617)]
)
def test_zero_shot_bm25_is_what_others_measured(test_data, name, expected):
    collection = read_beir(test_data / name)
    found = evaluate(collection, [bm25()], options=EvaluateOptions(cache=None))
    got = found.measured["bm25"].mean("evalset", "nDCG@10")
    print(name, round(got, 4))
    assert got == pytest.approx(expected, abs=0.01)


def test_unknown_measures_are_refused():
    with pytest.raises(ConfigurationError, match="no measure 'F1'; allowed: nDCG@10, MRR@10"):
        EvaluateOptions(measure="F1")
    assert EvaluateOptions(measure="ndcg@10").measure == "nDCG@10"
    with pytest.raises(ConfigurationError, match="40 or more"):
        EvaluateOptions(depth=10)
