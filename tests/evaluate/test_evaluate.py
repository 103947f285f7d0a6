"""Verdicts, the guard and the folder of results."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.evaluate import (
    EvaluateOptions,
    Evaluation,
    baselines,
    compare,
    embedder,
    evaluate,
    markdown,
    read_results,
    recommend,
    summary,
    write_results,
)  # fmt: skip

OPTIONS = EvaluateOptions(cache=None)
GOOD, FAIR = [1] * 40, [3] * 40


@pytest.fixture
def judged(small, at_ranks):
    """Evaluate systems given by their ranks against ``base``, which answers at rank 3."""

    def run(labels="evalset", collection=None, costs=(), **systems):
        made = [at_ranks("base", FAIR)]
        made += [at_ranks(name, r, **({"cost": dict(costs)[name]} if name in dict(costs) else {}))
                 for name, r in systems.items()]  # fmt: skip
        return evaluate(collection or small(labels=labels), made, options=OPTIONS)

    return run


def test_figures_and_verdicts(judged):
    found = judged(good=GOOD, bad=[9] * 40, same=FAIR, lucky=[1, 12] * 20)
    words = {name: one.verdict.word for name, one in found.comparisons.items()}
    assert words == {"good": "better", "bad": "worse", "same": "can't tell", "lucky": "can't tell"}
    assert found.measured["good"].mean("evalset", "nDCG@10") == 1
    assert found.measured["base"].mean("evalset", "nDCG@10") == pytest.approx(0.5)
    assert found.measured["bad"].mean("evalset", "MRR@10") == pytest.approx(1 / 9)
    assert "more queries needed" in found.comparisons["lucky"].verdict.why
    assert found.comparisons["good"].rows[0].difference.mean == pytest.approx(0.5)
    assert found.reference == "base"


def test_inferred_labels_prove_nothing_but_warn(judged):
    found = judged("inferred", good=GOOD, bad=[9] * 40)
    assert found.comparisons["good"].rows[0].difference.low > 0
    assert found.comparisons["good"].verdict.word == "can't tell"
    assert "prove nothing by themselves" in found.comparisons["good"].verdict.why
    assert found.comparisons["bad"].verdict.word == "worse"
    advice = recommend(found)
    assert advice.system == "base"
    assert "good is ahead by labels inferred" in advice.why[1]
    assert judged("explicit", good=GOOD).comparisons["good"].verdict.word == "better"


def test_many_systems_are_corrected_for(judged):
    alone = judged(a=7).comparisons["a"].rows[0]
    among = judged(a=7, b=8, c=9, d=10).comparisons["a"].rows[0]
    assert alone.p_corrected == alone.difference.p == among.difference.p
    assert among.p_corrected >= alone.p_corrected


def test_slices_are_measured_apart(small, judged):
    collection = small(seen=frozenset(f"d{i}" for i in range(20)))
    found = judged(collection=collection, mine=[1] * 20 + [9] * 20)
    rows = {row.part: row for row in found.comparisons["mine"].rows}
    assert set(rows) == {"all", "seen", "unseen"}
    assert rows["seen"].verdict.word == "better"
    assert rows["unseen"].verdict.word == "worse"
    assert rows["unseen"].difference.queries == 20
    assert {row["slice"]: row["queries"] for row in summary(found)} == {"all": 40, "seen": 20, "unseen": 20}
    assert "on unseen queries" in recommend(found).refused["mine"]
    assert recommend(found).system == "base"


def test_the_guard_takes_the_cheapest_of_equals(judged):
    costs = {"model": "model per query", "adapter": "light"}
    found = judged(costs=costs, model=GOOD, adapter=[1] * 39 + [2], bad=[9] * 40)
    advice = recommend(found)
    assert advice.system == "adapter"
    assert advice.equals == ("model",)
    assert "cannot be told apart" in advice.why[1]
    assert set(advice.refused) == {"bad"}
    assert "below base by" in advice.refused["bad"]
    clear = judged(costs=costs, model=GOOD, adapter=[2] * 40)
    assert recommend(clear).system == "model"


def test_the_guard_refuses_what_fails_elsewhere(judged):
    here, elsewhere = judged(mine=GOOD), judged(mine=[9] * 40)
    assert recommend([here]).system == "mine"
    assert recommend([here, elsewhere]).system == "base"
    with pytest.raises(ConfigurationError, match="got no evaluation"):
        recommend([])


def test_baselines_stand_in_every_table(small):
    def encode(texts, role):
        return np.eye(64, dtype=np.float32)[[len(text) for text in texts]]

    systems = baselines(embedder(encode, "base"))
    assert [one.name for one in systems] == ["bm25", "base", "hybrid"]
    assert [one.spec for one in baselines()][1:] == ["embedder:minilm", "hybrid of bm25 and embedder:minilm"]
    assert [one.name for one in baselines(None)] == ["bm25"]
    assert evaluate(small(), systems, options=OPTIONS).reference == "base"


def test_names_must_be_clear(small, at_ranks):
    with pytest.raises(ConfigurationError, match="Two systems are called 'a'"):
        evaluate(small(), [at_ranks("a", 1), at_ranks("a", 2)], options=OPTIONS)
    with pytest.raises(ConfigurationError, match="No system is called 'z'; there are: a"):
        evaluate(small(), [at_ranks("a", 1)], options=EvaluateOptions(reference="z", cache=None))
    with pytest.raises(ConfigurationError, match="no system to evaluate"):
        evaluate(small(), [])


def test_progress_is_told_and_can_stop(small, at_ranks):
    told = []
    evaluate(small(), [at_ranks("a", 1)], options=OPTIONS, progress=lambda *step: told.append(step))
    assert told[0] == ("evaluate", 0, 1)
    assert told[-1] == ("evaluate", 1, 1)
    assert ("a", 40, 40) in told

    def stop(stage, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(small(), [at_ranks("a", 1)], options=OPTIONS, progress=stop)


def test_results_come_back_as_they_were(small, judged, tmp_path):
    collection = small(seen=frozenset({"d1"}))
    found = judged(collection=collection, **{"mine/1": GOOD})
    out = write_results(found, collection, tmp_path / "out")
    assert read_results(out) == found.measured
    about = json.loads((out / "evaluation.json").read_text())
    assert about["collection"]["queries"] == {"evalset": 40}
    assert about["table"][0]["slice"] == "all"
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["00-base.trec", "01-mine-1.trec"]
    assert (out / "qrels" / "evalset.trec").read_text().splitlines()[0] == "q0 0 d0 1"
    assert (out / "README.md").read_text() == markdown(found) + "\n"
    assert "| mine/1 | 1.000 |" in markdown(found)
    assert pq.read_table(out / "per_query.parquet").num_rows == 80
    write_results(found, collection, out)  # replaces its own
    again = compare(*(read_results(out)[name] for name in ("mine/1", "base")))
    assert again.verdict.word == "better"
    assert {row.measure for row in again.rows} >= {"nDCG@10", "MAP", "recall@40"}


def test_other_folders_are_left_alone(small, judged, tmp_path):
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(DatasetError, match=r"not a folder of results, so it was left"):
        write_results(judged(), small(), tmp_path)
    with pytest.raises(DatasetError, match=r"is not a folder of results: .*Make one"):
        read_results(tmp_path)


def test_a_model_of_another_dataset_is_pointed_out(small, at_ranks):
    collection = small(dataset_id="aaa")
    systems = [at_ranks("base", FAIR), at_ranks("mine", GOOD, dataset_id="bbb")]
    (note,) = evaluate(collection, systems, options=OPTIONS).notes
    assert "mine was trained on the dataset bbb, measured here on aaa" in note


def test_systems_of_other_collections_are_not_compared(small, judged):
    a: Evaluation = judged(mine=GOOD)
    b = judged(collection=small(n=30), mine=GOOD)
    with pytest.raises(DatasetError, match="there is no query by query difference"):
        compare(a.measured["mine"], b.measured["mine"])
