"""Vectors in, adapter out: it learns what can be learned, refuses what cannot, and never ranks dev worse."""

from __future__ import annotations

import numpy as np
import pytest

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.train.adapter import AdapterOptions, fit_adapter
from ragwheel.train.adapter.closed_form import ClosedForm, procrustes, ridge
from ragwheel.train.adapter.examples import AdapterExamples, collect, unit
from ragwheel.train.adapter.fit import _Judge, _Trial
from ragwheel.train.adapter.ranking import per_query, top
from ragwheel.train.adapter.refine import _Relevant, refined

D = 24
METHODS = ["ridge", "procrustes", "contrastive"]


def world(n=240, noise=0.3, seed=0, angle=1.0):
    """Queries that a rotation carries off their documents, and negatives near to these."""
    draw = np.random.default_rng(seed)
    documents = draw.normal(size=(n, D))
    turn = np.eye(D)
    for i in range(0, D, 2):
        turn[i : i + 2, i : i + 2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    queries = documents @ turn + noise * draw.normal(size=(n, D))
    negatives = documents[:, None] + 0.8 * draw.normal(size=(n, 3, D))
    return queries, documents, negatives


def quick(**changes):
    return AdapterOptions(**{"epochs": 5, "learning_rate": 1e-3, **changes})


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_a_map_that_holds_for_other_queries(method):
    fit = fit_adapter(*world(), options=quick(method=method), base="some-model")
    assert fit.adapted > fit.base + 0.05
    assert fit.low > 0
    assert (fit.adapter.base, fit.note, fit.n_train + fit.n_dev) == ("some-model", "", 240)
    queries, documents, _ = (unit(np.asarray(each, np.float32)) for each in world(seed=7))
    wanted = [np.array([n]) for n in range(len(queries))]
    before, after = (
        per_query("mrr@10", top(asked, documents), wanted).mean()
        for asked in (queries, fit.adapter.query(queries))
    )
    assert after > before + 0.05


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_can_be_learned_the_base_stays_and_it_says_so(method):
    draw = np.random.default_rng(0)
    documents = draw.normal(size=(200, D))
    fit = fit_adapter(documents, documents, options=quick(method=method))  # already perfect
    assert fit.adapter.is_identity
    assert fit.adapted == fit.base == 1.0
    assert "changes nothing" in fit.note
    assert fit.chosen == "identity"


def test_what_is_learned_by_heart_is_refused():
    """Half of the queries ask about one document each side of the split; the map may not lose on others."""
    draw = np.random.default_rng(1)
    popular, others = draw.normal(size=(4, D)), draw.normal(size=(120, D))
    queries = np.concatenate([draw.normal(size=(120, D)), others + 0.3 * draw.normal(size=(120, D))])
    positives = np.concatenate([np.repeat(popular, 30, axis=0), others])
    fit = fit_adapter(queries, positives, options=quick(method="ridge"))
    adapted = unit(fit.adapter.query(unit(others.astype(np.float32))))
    plain = per_query(
        "ndcg@10", top(adapted, unit(positives.astype(np.float32))), [np.array([120 + n]) for n in range(120)]
    )
    assert plain.mean() > 0.9


def test_the_same_seed_gives_the_same_adapter():
    fits = [fit_adapter(*world(), options=quick(seed=seed)) for seed in (0, 0, 1)]
    assert fits[0].adapter.id == fits[1].adapter.id != fits[2].adapter.id


def test_rows_without_confidence_teach_nothing():
    queries, documents, _ = world()
    wrong = np.roll(documents, 1, axis=0)
    weights = np.r_[np.ones(240), np.zeros(240)]
    taught = ridge(collect(queries, documents), 1.0)
    both = (np.concatenate([queries, queries]), np.concatenate([documents, wrong]))
    assert ridge(collect(*both, weights=weights), 1.0) == pytest.approx(taught, abs=1e-4)
    assert ridge(collect(*both), 1.0) != pytest.approx(taught, abs=1e-2)


def test_closed_forms_are_what_they_say():
    queries, documents, _ = world(noise=0)
    examples = collect(queries, documents)
    rotation = procrustes(examples) + np.eye(D)
    assert rotation @ rotation.T == pytest.approx(np.eye(D), abs=1e-4)
    assert unit(examples.queries @ rotation) == pytest.approx(examples.documents[examples.positive], abs=1e-4)
    assert np.abs(ridge(examples, 1e6)).max() < 1e-3
    assert not ClosedForm("identity").of(examples).any()
    assert str(ClosedForm("ridge", 3.0, 0.5)) == "ridge, pull 3, share 0.5"


def test_refinement_lowers_the_loss_and_a_known_document_is_no_negative():
    examples = collect(*world())
    start = np.zeros((D, D), np.float32)
    last = start
    for rank in (0, 4):
        last = list(refined(examples, start, quick(rank=rank, epochs=8)))[-1]
        moved = unit(examples.queries + examples.queries @ last)
        gained = (moved - examples.queries) * examples.documents[examples.positive]
        assert gained.sum() > 0
    assert np.linalg.matrix_rank(last) == 4
    two = collect(*(np.repeat(each, 2, axis=0) for each in world()[:2]))
    assert len(two.queries) == 240
    assert len(two.query) == 480


def test_a_loss_that_is_no_number_ends_training():
    with pytest.raises(ModelError, match="loss is not a number"):
        fit_adapter(*world(), options=quick(learning_rate=1e30))


def test_both_sides_can_be_adapted():
    draw = np.random.default_rng(0)
    signal, noise = draw.normal(size=(200, D // 2)), 2 * draw.normal(size=(2, 200, D // 2))
    queries, documents = (np.concatenate([signal, each], axis=1) for each in noise)
    fit = fit_adapter(queries, documents, options=quick(side="both", epochs=10, learning_rate=3e-3))
    assert fit.adapted > fit.base + 0.02


def two_types(n=300):
    """Two types of queries, each carried off in its own direction."""
    left, right = world(n, seed=1, angle=0.9), world(n, seed=2, angle=-0.9)
    shift = np.zeros(D)
    shift[0] = 6.0
    queries = np.concatenate([left[0] + shift, right[0] - shift])
    documents = np.concatenate([left[1] + shift, right[1] - shift])
    return queries, documents, ["code"] * n + ["law"] * n


@pytest.mark.parametrize("how", ["column", 2])
def test_each_type_of_query_gets_a_map_of_its_own(how):
    queries, documents, names = two_types()
    one = fit_adapter(queries, documents, options=quick(method="ridge"))
    fit = fit_adapter(queries, documents, segments=names, options=quick(method="ridge", segments=how))
    assert fit.adapted > one.adapted + 0.02
    assert {part.chosen for part in fit.segments} == {"own"}
    assert all(part.adapted > part.base for part in fit.segments)
    found = fit.adapter.segment_of(queries)
    assert np.mean([a == b for a, b in zip(found, names, strict=True)]) > 0.98 or how == 2
    assert len(set(found)) == 2


def test_a_type_with_too_few_queries_takes_the_map_of_all():
    queries, documents, names = two_types(100)
    few = np.r_[:100, 100:130]
    fit = fit_adapter(
        queries[few], documents[few], segments=[names[n] for n in few],
        options=quick(method="ridge", segments="column", dev_share=0.2),
    )  # fmt: skip
    assert {part.name: part.chosen for part in fit.segments}["law"] == "all"


def test_queries_unlike_all_others_keep_the_base_models_vector():
    queries, documents, _ = world(600)
    queries[:, 0], documents[:, 0] = queries[:, 0] + 6, documents[:, 0] + 6
    fit = fit_adapter(queries, documents, options=quick(method="ridge", gate=0.05))
    strange = np.zeros((1, D), np.float32)
    strange[0, 5] = 1.0
    assert fit.adapter.segment_of(strange) == [None]
    assert np.array_equal(fit.adapter.query(strange), strange)
    assert fit.adapter.segment_of(queries).count("all") > 500


def test_dev_rows_can_be_given():
    queries, documents, negatives = world()
    fit = fit_adapter(
        queries, documents, negatives, dev_rows=np.arange(240) >= 200, options=quick(method="ridge")
    )
    assert (fit.n_train, fit.n_dev) == (200, 40)


@pytest.mark.parametrize("marked", [0, 3, 9])
def test_where_too_few_queries_are_marked_others_are_held_out_beside_them(marked):
    queries, documents, _ = world()
    dev = np.arange(240) < marked
    fit = fit_adapter(queries, documents, dev_rows=dev, options=quick(method="ridge"))
    assert (fit.n_train, fit.n_dev) == (180, 60)
    assert not fit.adapter.is_identity


def test_thirty_queries_suffice_twenty_to_learn_and_ten_to_choose():
    fit = fit_adapter(Q[:30], P[:30], options=quick(method="ridge"))
    assert (fit.n_train, fit.n_dev) == (20, 10)


def test_progress_is_told():
    told = []
    fit_adapter(*world(), options=quick(), progress=lambda *args: told.append(args))
    assert told[0] == ("all queries", 1, 5)


Q, P, N = world(60)
WITH_NAN = np.where(np.arange(60)[:, None] == 3, np.nan, Q)


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        ((Q[:30], P[:20]), {}, r"positive_vectors: got shape \(20, 24\), allowed: \(30, 24\)"),
        ((Q, P[:, :5]), {}, "positive_vectors"),
        ((Q, P, N[:5]), {}, "negative_vectors"),
        ((Q[0], P[0]), {}, "allowed: .rows, dimension."),
        ((Q[:0], P[:0]), {}, "at least one row"),
        ((["text"], P), {}, "allowed: an array"),
        ((WITH_NAN, P), {}, "query_vectors: 1 of 60 vectors hold NaN"),
        ((Q, P), {"weights": np.ones(3)}, "weights"),
        ((Q, P), {"weights": -np.ones(60)}, "weights: allowed"),
        ((Q[:15], P[:15]), {}, "5 training queries beside 10 dev queries, needed: 20"),
        ((Q[:29], P[:29]), {}, "19 training queries beside 10 dev queries"),
        ((Q, P), {"dev_rows": np.arange(60) >= 15}, "15 training queries beside 45 dev queries"),
        ((Q, P), {"dev_rows": np.zeros(3)}, "dev_rows"),
        ((Q, P), {"options": AdapterOptions(segments="column")}, "without names"),
        ((Q, P), {"options": AdapterOptions(segments=9)}, "make no 9 clusters"),
        ((Q, P), {"options": AdapterOptions(segments="column"), "segments": ["a"] * 60}, "two or more"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_says_why(vectors, options, message):
    with pytest.raises(ModelError, match=message):
        fit_adapter(*vectors, **options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "svm"}, {"side": "document"}, {"metric": "map"}, {"epochs": 0}, {"temperature": 0},
        {"pull": -1}, {"gate": 1.0}, {"dev_share": 0.9}, {"segments": 1}, {"segments": "many"},
    ],
)  # fmt: skip
def test_options_are_checked(wrong):
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))}.*allowed: "):
        AdapterOptions(**wrong)


def test_measures_are_those_of_the_field():
    ranked = np.array([[3, 1, 2], [5, 6, 7]])
    relevant = [np.array([1, 2]), np.array([9])]
    ideal = 1 + 1 / np.log2(3)
    assert per_query("ndcg@10", ranked, relevant) == pytest.approx([(1 / np.log2(3) + 0.5) / ideal, 0])
    assert per_query("mrr@10", ranked, relevant) == pytest.approx([0.5, 0])


def test_the_interval_is_the_usual_one_of_the_mean_difference():
    queries, documents, _ = world()
    dev = np.arange(240) >= 160
    fit = fit_adapter(queries, documents, dev_rows=dev, options=quick(method="ridge"))
    asked, ranked = (unit(each.astype(np.float32)) for each in (queries[dev], documents))
    wanted = [np.array([n]) for n in np.flatnonzero(dev)]
    base, adapted = (
        per_query(fit.metric, top(each, ranked), wanted) for each in (asked, fit.adapter.query(asked))
    )
    gaps = adapted - base
    reach = 1.96 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    assert (fit.low, fit.high) == pytest.approx((gaps.mean() - reach, gaps.mean() + reach), abs=1e-6)


def test_a_map_that_loses_on_documents_not_trained_on_is_refused_however_well_it_does_on_others():
    examples = collect(*world(n=60))
    judge = _Judge(examples, quick())
    good, bad = np.zeros((D, D), np.float32), -2 * np.eye(D, dtype=np.float32)
    trial = _Trial(examples, examples, judge, judge, quick())
    assert trial.score(good, good) == judge.base
    assert trial.score(good, bad) == -1.0
    assert trial.score(bad, good) == judge.mean(bad) < judge.base


def exposed_world(n=160, seed=3):
    """A world whose base showed eight documents per query, of which the labels know the relevant ones."""
    queries, documents, _ = world(n, seed=seed)
    near = top(unit(queries.astype(np.float32)), unit(documents.astype(np.float32)), 8)
    asked = np.repeat(np.arange(n), 8)
    shown = near.ravel()
    belief = np.where(asked == shown, 0.95, 0.03)
    known = np.flatnonzero((near == np.arange(n)[:, None]).any(axis=1))
    return queries, documents, known, (queries[asked], documents[shown], belief)


def test_what_was_exposed_decides_and_questions_without_a_label_count():
    queries, documents, known, exposures = exposed_world()
    fit = fit_adapter(queries[known], documents[known], exposures=exposures, options=quick(method="ridge"))
    assert fit.gain is not None
    assert fit.gain.all.queries == 160 > fit.n_train + fit.n_dev == len(known)
    assert fit.gain.all.mean > 0
    assert fit.gain.all.rise > 0
    assert not fit.adapter.is_identity


def test_the_promise_tells_answers_that_were_trained_on_from_others():
    queries, documents, known, (asked, shown, belief) = exposed_world()
    fit = fit_adapter(
        queries[known], documents[known], exposures=(asked, shown, belief), options=quick(method="ridge")
    )
    assert fit.gain.seen is None  # no two questions have the same answer
    assert fit.gain.unseen.queries == len(known) < fit.gain.all.queries
    again = queries + 0.05 * np.random.default_rng(1).normal(size=queries.shape)  # everybody asks twice
    both = np.concatenate([known, known + len(queries)])
    fit = fit_adapter(
        np.concatenate([queries, again])[both],
        np.concatenate([documents, documents])[both],
        exposures=(
            np.concatenate([asked, asked + (again - queries).repeat(8, axis=0)]),
            np.concatenate([shown, shown]),
            np.concatenate([belief, belief]),
        ),
        options=quick(method="ridge"),
    )
    gain = fit.gain
    assert gain.seen.queries + gain.unseen.queries == 2 * len(known)
    assert gain.seen.queries > gain.unseen.queries > 0
    assert gain.all.queries == 2 * len(queries)


def test_where_relevant_chunks_would_sink_the_base_stays():
    draw = np.random.default_rng(0)
    documents = draw.normal(size=(120, D))
    near = top(unit(documents.astype(np.float32)), unit(documents.astype(np.float32)), 8)
    asked = np.repeat(np.arange(120), 8)
    belief = np.where(asked == near.ravel(), 1.0, 0.0)  # already perfect
    fit = fit_adapter(
        documents,
        documents,
        exposures=(documents[asked], documents[near.ravel()], belief),
        options=quick(method="ridge"),
    )
    assert fit.adapter.is_identity
    assert "120 questions that were held out in turn" in fit.note


@pytest.mark.parametrize(
    ("belief", "message"),
    [(np.full(60, 1.5), "beliefs: allowed"), (np.ones(59), "exposures: queries: got shape")],
)
def test_exposures_that_cannot_be_used_are_refused(belief, message):
    with pytest.raises(ModelError, match=message):
        fit_adapter(Q, P, exposures=(Q, P, belief), options=quick(method="ridge"))


def test_a_document_that_answers_a_question_is_no_negative_of_its_other_rows():
    import torch

    vectors = np.eye(4, dtype=np.float32)
    none = np.full((4, 0), -1)
    rows = AdapterExamples(
        vectors[:2], vectors, np.array([0, 0, 1, 1]), np.array([0, 2, 2, 3]), none, np.ones(4, np.float32)
    )
    pool = torch.tensor([0, 1, 2])  # 3 is not in the pool
    others = _Relevant(rows).others(torch.tensor([0, 1]), pool, torch.tensor([0, 2]))
    assert others.tolist() == [[False, False, True], [False, False, False]]
