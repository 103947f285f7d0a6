"""The benchmark on random crowds: its measures, its optimum, and the store that it plays turns into."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra evaluate")
pytest.importorskip("ibis", reason="needs the extra build")

from labels.crowds.bound import bayes_beliefs, pairs_of
from labels.crowds.copies import enlarge
from labels.crowds.crowd import draw_crowd
from labels.crowds.figures import BeliefQuality, CrowdResult, RowQuality, Share, Units, compare
from labels.crowds.measures import calibration_error, recall_at_precision
from labels.crowds.replay import replay
from labels.crowds.run import main, plain
from labels.crowds.tables import crowd_tables
from labels.crowds.turns import simulate
from labels.crowds.wordings import paraphrases
from labels.systems import Labels
from labels.worlds import World

from ragwheel.labels.traces.text import jaccard, query_key, tokens
from ragwheel.store import open_store

QUESTIONS = 30
TURNS = 200


@pytest.fixture(scope="module")
def world():
    """30 needs in two wordings each; of 12 chunks per need the first, fourth and tenth are relevant."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("bcdfgklmnprstv"), 7)) for _ in range(400)]
    texts = {f"c{i}": " ".join(rng.choice(words, 12)) for i in range(QUESTIONS * 12)}
    grades, rankings, wordings = {}, {}, {}
    for number in range(QUESTIONS):
        query, other = (" ".join(rng.choice(words, 6)) for _ in range(2))
        ids = [f"c{number * 12 + i}" for i in range(12)]
        grades[query] = {ids[0]: 2, ids[3]: 1, ids[9]: 2}
        rankings |= {query: ids, other: [*ids[6:], *ids[:6]]}
        wordings[query] = [query, other]
    return World("invented", True, texts, rankings, grades, {}, wordings=wordings)


@pytest.fixture(scope="module")
def crowd():
    """A crowd with every channel, whose app reports the prompt but not what was shown."""
    return replace(
        draw_crowd(3), turns_per_question=5.0, shown=8, prompted=5, cite_shape=(1.0,) * 5, cite=(0.1, 0.8),
        clickers=0.8, timed=0.7, vote=0.1, people=20, tells_prompted=True, tells_shown=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows(world, crowd):
    return simulate(world, crowd, TURNS)


@pytest.fixture(scope="module")
def db(rows, crowd, tmp_path_factory):
    path = tmp_path_factory.mktemp("crowd") / "traces.db"
    assert replay(path, rows, crowd) == TURNS
    return path


def test_recall_is_the_most_that_a_threshold_keeps_at_the_precision() -> None:
    relevant = np.array([True, True, False, True, False, True])
    beliefs = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert recall_at_precision(beliefs, relevant, 0.9) == 2 / 4
    assert recall_at_precision(beliefs, relevant, 0.75) == 3 / 4
    assert recall_at_precision(beliefs, relevant, 0.6) == 4 / 4
    assert recall_at_precision(-beliefs, relevant, 0.9) == 1 / 4


def test_a_threshold_does_not_part_equal_beliefs() -> None:
    assert recall_at_precision(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]), 0.9) == 0.0
    assert recall_at_precision(np.array([0.5, 0.5, 0.1]), np.array([False, True, False]), 0.5) == 1.0


def test_calibration_error_is_the_mean_gap_between_belief_and_truth() -> None:
    beliefs = np.array([0.05, 0.05, 0.95, 0.95])
    assert calibration_error(beliefs, np.array([False, False, True, True])) == pytest.approx(0.05)
    assert calibration_error(beliefs, np.array([False, True, True, True])) == pytest.approx(0.25)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_no_shuffled_or_constant_belief_beats_the_optimum(world, seed) -> None:
    crowd = replace(draw_crowd(seed), turns_per_question=10.0)
    rows = simulate(world, crowd, 300)
    *_, grade = pairs_of(rows)
    relevant, beliefs = grade > 0, bayes_beliefs(rows, crowd, world.top)

    def loss(values):
        return -np.log(np.clip(np.where(relevant, values, 1 - values), 1e-9, 1)).mean()

    shuffled = np.random.default_rng(seed).permutation(beliefs)
    assert loss(beliefs) < loss(np.full(len(relevant), relevant.mean()))
    assert loss(beliefs) < loss(shuffled)
    assert recall_at_precision(beliefs, relevant) > recall_at_precision(shuffled, relevant)
    assert calibration_error(beliefs, relevant) < calibration_error(shuffled, relevant)


def test_a_seed_is_one_crowd_and_one_simulation(world, crowd, rows) -> None:
    assert draw_crowd(7) == draw_crowd(7) != draw_crowd(8)
    again = simulate(world, crowd, TURNS)
    assert np.array_equal(again.chunk, rows.chunk)
    assert np.array_equal(again.cited, rows.cited)


def test_copies_share_no_chunk_and_no_wording(world) -> None:
    larger = enlarge(world, 3 * QUESTIONS - 1, seed=5)
    assert len(larger.queries) == 3 * QUESTIONS
    assert [*map(list, (g.values() for g in larger.grades.values()))] == 3 * [
        list(grades.values()) for grades in world.grades.values()
    ]
    copies = [larger.queries[i::QUESTIONS] for i in range(QUESTIONS)]
    for first, second, _third in copies:
        chunks = [
            {chunk for wording in larger.wordings_of(query) for chunk in larger.rankings[wording]}
            for query in (first, second)
        ]
        assert not chunks[0] & chunks[1]
        assert jaccard(tokens(first), tokens(second)) < 0.6
    assert {chunk for ranking in larger.rankings.values() for chunk in ranking} == set(larger.texts)
    assert enlarge(world, QUESTIONS, seed=5) is world


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("Aspirin inhibits the growth of tumours in mice.", 3),
        ("Who was the arch rival to The Office series?", 2),  # no word of it has a synonym
    ],
)
def test_paraphrases_are_query_groups_of_their_own(text, others) -> None:
    wordings = paraphrases(text)
    assert len(wordings) == others
    assert len({query_key(wording) for wording in [text, *wordings]}) == others + 1
    assert wordings == paraphrases(text)


def test_the_store_has_every_retrieval_citation_and_signal_that_was_simulated(db, rows) -> None:
    names = [(rows.wordings[w], rows.chunks[c]) for w, c in zip(rows.wording, rows.chunk)]
    seconds = Counter()
    for name, value in zip(names, rows.seconds):
        seconds[name] += 0 if np.isnan(value) else round(value, 2)
    expected = {
        "click": Counter(name for name, clicked in zip(names, rows.clicked) if clicked),
        "dwell": Counter(name for name, value in zip(names, rows.seconds) if not np.isnan(value)),
        "thumbs_up": Counter(name for name, vote in zip(names, rows.vote) if vote > 0),
        "against": Counter(name for name, vote in zip(names, rows.vote) if vote < 0),
    }
    with closing(open_store(db)) as connection:
        ranked = Counter(
            connection.execute(
                "SELECT r.query, i.chunk_id, i.rank FROM impressions i JOIN retrievals r USING (retrieval_id)"
            ).fetchall()
        )
        cited = Counter(
            connection.execute(
                "SELECT r.query, c.chunk_id FROM citations c JOIN retrievals r USING (retrieval_id)"
                " WHERE c.matched"
            ).fetchall()
        )
        signals = connection.execute(
            "SELECT s.kind, r.query, s.chunk_id, s.value, s.subject"
            " FROM signals s JOIN retrievals r USING (retrieval_id)"
        ).fetchall()
    assert ranked == Counter((*name, int(place)) for name, place in zip(names, rows.place))
    assert cited == Counter(name for name, cited in zip(names, rows.cited) if cited)
    stored = {kind: Counter() for kind in expected}
    for kind, query, chunk, *_ in signals:
        stored["against" if kind in {"thumbs_down", "delete"} else kind][query, chunk] += 1
    assert stored == expected
    assert all(expected.values())
    assert {kind for kind, *_ in signals} == {"click", "dwell", "thumbs_up", "thumbs_down", "delete"}
    dwelled = Counter()
    for kind, query, chunk, value, _ in signals:
        dwelled[query, chunk] += value if kind == "dwell" else 0
    assert {name: value for name, value in dwelled.items() if value} == pytest.approx(
        {name: value for name, value in seconds.items() if value}
    )
    assert {subject for *_, subject in signals} <= {f"p{person}" for person in range(20)}


def test_the_store_knows_only_the_exposure_that_the_app_reports(db, rows) -> None:
    signalled = rows.clicked | (rows.vote != 0)  # what somebody clicked was shown, whoever reports it
    with closing(open_store(db)) as connection:
        exposures = Counter(kind for (kind,) in connection.execute("SELECT exposure FROM impressions"))
    assert exposures["shown"] == signalled.sum()
    assert exposures["prompted"] == (rows.prompted & ~signalled).sum()
    assert exposures["returned"] == (~rows.prompted & ~signalled).sum() > 0


def test_every_wording_of_a_need_has_the_same_optimum(rows, crowd) -> None:
    units = Units(rows)
    needs = rows.world.needs
    beliefs = {}
    for (wording, chunk), belief in zip(units.names, units.optimum(crowd)):
        beliefs.setdefault((needs[wording], chunk), set()).add(belief)
    assert len(units) > len(beliefs)
    assert all(len(values) == 1 for values in beliefs.values())


def test_the_optimum_is_worse_where_wordings_are_kept_apart(world) -> None:
    crowd = replace(draw_crowd(3), turns_per_question=4.0)
    units = Units(simulate(world, crowd, 400))
    apart, pooled = units.optimum(crowd, pooled=False), units.optimum(crowd)
    assert units.quality(apart).recall < units.quality(pooled).recall


def test_rows_are_counted_by_the_grades_of_the_need(rows) -> None:
    wording, chunk = Units(rows).names[0]
    grades = rows.world.grades[rows.world.needs[wording]]
    relevant, irrelevant = next(iter(grades)), next(c for c in rows.world.texts if c not in grades)
    other = next(w for w in rows.world.wordings_of(rows.world.needs[wording]) if w != wording)
    labels = Labels(
        positives={(wording, relevant), (other, relevant), (wording, irrelevant)},
        negatives={(wording, chunk): "passed_over", (other, "no such chunk"): "mined"},
    )
    quality = Units(rows).row_quality(labels)
    assert quality.positives == Share(2, 3)
    assert quality.negatives == Share(1 + (chunk not in grades), 2)
    assert quality.traces == Share(int(chunk not in grades), 1)


def test_a_pair_without_a_row_is_believed_with_nothing(rows) -> None:
    units = Units(rows)
    wording, chunk = units.names[3]
    beliefs = units.beliefs({(query_key(wording), chunk): 0.7})
    assert beliefs[3] == 0.7
    assert beliefs.sum() == 0.7


def test_ragwheel_is_compared_with_the_optimum_and_the_naive_recipe(db, rows, crowd) -> None:
    result = compare(db, rows, crowd)
    assert (result.collection, result.turns, result.questions) == ("invented", TURNS, TURNS / 5)
    assert result.beliefs["ragwheel"].recall > 0
    assert result.beliefs["ragwheel"].ece < result.beliefs["naive recipe"].ece
    naive = result.rows["naive recipe"]
    assert naive.positives.n + naive.negatives.n == result.pairs
    assert result.rows["ragwheel"].positives.value > naive.positives.value


def result(seed: int, ours: float, best: float, ece: float) -> CrowdResult:
    return CrowdResult(
        "invented", draw_crowd(seed), 10, 5, 20, 4,
        {
            "ragwheel": BeliefQuality(ours, ece), "optimum": BeliefQuality(best, 0.0),
            "optimum, wordings apart": BeliefQuality(best / 4, 0.0), "naive recipe": BeliefQuality(0.0, 0.5),
        },
        {"ragwheel": RowQuality(Share(9, 10), Share(3, 4), Share(0, 0))},
    )  # fmt: skip


def test_tables_give_the_mean_and_the_worst_crowd() -> None:
    text = crowd_tables([result(0, 0.4, 0.8, 0.02), result(1, 0.9, 0.9, 0.06), result(2, 0.0, 0.01, 0.01)])
    assert "| invented | 3 | 0.75; 0.50 | 0.43 | 0.57 | 0.14 | 0.00 | 0.030; 0.060 | 0.000 | 0.500 |" in text
    assert "| invented | ragwheel | 0.900; 0.900 | 30 | 0.750; 0.750 | 12 | –; – | 0 |" in text
    assert "| recall ÷ optimum, worst, ≥ 0.85 | 0.500 | **missed** |" in text
    assert "| ECE, mean, ≤ 0.03 | 0.030 | met |" in text


def test_tables_of_what_json_printed_are_those_of_one_run(tmp_path, capsys) -> None:
    results = [result(0, 0.4, 0.8, 0.02), result(1, 0.9, 0.9, 0.06)]
    for number, each in enumerate(results):
        (tmp_path / f"{number}.json").write_text(json.dumps({"results": [plain(each)], "failures": []}))
    assert main(["--results", str(tmp_path / "0.json"), str(tmp_path / "1.json")]) == 0
    assert capsys.readouterr().out == crowd_tables(results) + "\n"
