"""What may stand in a row and what else is said of it: needs in other words, test sets, robots, curricula."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.judgments import import_evalset
from ragwheel.labels.traces.text import query_key
from ragwheel.testing import TraceStore

ALL = BuildOptions(dev=0, test=0)
HOW, BETTER = "falcon password", "recovery code of the falcon console"
FILLER = ["press", "room", "printed", "many", "pages", "on", "weather", "gardens", "during", "winters"]


@pytest.fixture
def corpus(store):
    """Chunks of which `near` would be mined for `HOW`, among others that nobody would mine."""
    store.chunk(
        "good", "resetting the falcon password needs the admin console and a recovery code sent by mail"
    )
    store.chunk("near", "the falcon warranty covers two years of repair when bought in a certified store")
    for n in range(30):
        store.chunk(f"noise{n}", " ".join([*FILLER[n % 5 :], f"noise{n}"]))
    store.ask("all there is", [f"noise{n}" for n in range(30)])
    return store


def mined(out):
    rows = pq.read_table(out / "provenance.parquet").to_pylist()
    return {row["chunk_id"] for row in rows if row["strategy"] in ("mined", "same_entity")}


def test_a_chunk_that_nobody_ranked_is_mined(corpus, tmp_path):
    corpus.ask(HOW, ["good"], cited=[1])
    corpus.ask("something else entirely", ["near"])
    assert "near" in mined(build(corpus.path, tmp_path / "out", options=ALL).out)


def test_what_was_ranked_for_another_wording_of_the_need_is_not_mined(corpus, tmp_path):
    old = corpus.ask(HOW, ["good"], cited=[1], session_id="s", user_id="u")
    new = corpus.ask(BETTER, ["good", "near"], shown=[1, 2], session_id="s", user_id="u")
    corpus.signal(old, "reformulate", query=BETTER)
    corpus.signal(new, "click", "good", subject="u")
    report = build(corpus.path, tmp_path / "out", options=ALL)
    assert "near" not in mined(report.out)
    assert report.dropped["mined: the retriever ranked it for this query, so it is unknown"] >= 1


def test_what_was_ranked_for_a_near_identical_question_is_not_mined(corpus, tmp_path):
    words = f"{HOW} recovery code admin console mail sent needs resetting"
    corpus.ask(words, ["good"], cited=[1])
    corpus.ask(f"{words} please", ["good", "near"], cited=[1], prompted=[1])
    assert "near" not in mined(build(corpus.path, tmp_path / "out", options=ALL).out)


def test_an_encoder_mines_instead_of_words(store, tmp_path):
    store.ask(HOW, ["good"], cited=[1])
    store.ask("something else entirely", ["half", "off"])
    place = {HOW: [1.0, 0.0], "good": [0.9, 0.1], "half": [0.5, 0.5], "off": [0.0, 1.0]}

    def encoder(texts):
        names = [text if text == HOW else text.partition("word")[0] for text in texts]
        return np.array([place.get(name, [0.0, 0.0]) for name in names], np.float32)

    assert mined(build(store.path, tmp_path / "out", options=ALL, encoder=encoder).out) == {"half"}


def test_robots_are_counted(store, tmp_path):
    asked = store.ask(HOW, ["good", "bad"], cited=[1], prompted=[1, 2])
    for n in range(9):
        store.signal(asked, "thumbs_up", "bad", subject=f"crawler{n}", flags='["bot"]')
    report = build(store.path, tmp_path / "out", options=ALL)
    assert report.dropped["signal: of a known robot"] == 9
    assert "thumbs_up" not in report.evidence
    (tmp_path / "robots.toml").write_text("[signals]\nbots = true\n")
    report = build(
        store.path, tmp_path / "all", options=BuildOptions(dev=0, test=0, policy=tmp_path / "robots.toml")
    )
    assert report.evidence["thumbs_up"] == 9


def test_what_is_near_identical_to_an_abstained_test_question_is_test_too(store, ask_many, tmp_path):
    words = " ".join(f"word{n}" for n in range(12))
    store.ask(f"{words} please", ["a", "b"], cited=[1], prompted=[1, 2])
    ask_many(20)
    rows = "".join(f"{words},a,{grade}\n" for grade in (0,))
    (tmp_path / "held.csv").write_text(f"query,chunk_id,grade\n{rows}")
    import_evalset(store.path, tmp_path / "held.csv", use="test")
    store.judge(words, "a", 5)  # people disagree: the question has no grade of its own
    report = build(store.path, tmp_path / "out")
    splits = {
        row["query_key"]: row["split"] for row in pq.read_table(report.out / "splits.parquet").to_pylist()
    }
    assert splits[query_key(f"{words} please")] == "test"
    provenance = open_dataset(report.out).provenance(split="train").to_pylist()
    assert query_key(f"{words} please") not in {row["query_key"] for row in provenance}


def test_an_evaluation_set_alone_is_enough(tmp_path):
    with TraceStore(tmp_path / "empty.db") as store:
        rows = [
            f'"question {n} {letter}{n}","{letter}{n} is answered by passage {n} of {letter}{n}",{grade}'
            for n in range(12)
            for letter, grade in (("a", 5), ("b", 0))
        ]
        (tmp_path / "set.csv").write_text("\n".join(["query,text,grade", *rows]))
        import_evalset(store.path, tmp_path / "set.csv", use="train")
        report = build(store.path, tmp_path / "out")
    assert report.groups == {"train": 24, "dev": 0, "test": 0}
    assert report.rows["pairs"]["train"] >= 24
    assert Counter(report.evidence) == {"judged_human": 24}


def test_more_like_this_makes_pairs_of_chunks(store, tmp_path):
    asked = store.ask(HOW, ["a", "b", "c"], shown=[1, 2, 3], cited=[1], session_id="s", user_id="u")
    store.signal(asked, "more_like_this", "a", subject="u")
    store.signal(asked, "click", "b", subject="u")
    store.signal(asked, "click", "c", subject="somebody else")
    dataset = open_dataset(build(store.path, tmp_path / "out", options=ALL).out)
    (row,) = dataset.rows("chunk_pairs", "train").to_pylist()
    assert (row["anchor"].split()[0], row["positive"].split()[0]) == ("aword0", "bword0")
    roles = {row["role"]: row for row in dataset.provenance("chunk_pairs").to_pylist()}
    assert (roles["anchor"]["chunk_id"], roles["positive"]["chunk_id"]) == ("a", "b")
    assert len(roles["positive"]["signal_ids"]) == 2


def test_pairs_of_chunks_need_time_texts_and_one_split(store, ask_many, tmp_path):
    store.chunk("blank", "")
    old = store.ask(HOW, ["a", "blank"], shown=[1, 2], cited=[1], session_id="s", user_id="u")
    store.signal(old, "more_like_this", "a", subject="u")
    store.signal(old, "click", "blank", subject="u")
    store.now_ns += 3_600 * 10**9
    store.signal(old, "click", "a", subject="u")  # an hour later, and the chunk itself
    shared = store.ask("elephants", ["x", "y"], shown=[1, 2], cited=[1], session_id="t", user_id="v")
    store.signal(shared, "more_like_this", "x", subject="v")
    ask_many(12)
    newest = store.ask("the newest of all", ["p", "q"], shown=[1, 2], cited=[1], session_id="t", user_id="v")
    store.signal(newest, "click", "p", subject="v")
    report = build(store.path, tmp_path / "out")
    assert "chunk_pairs" not in report.rows
    assert report.dropped["chunk pair: without text, or both have the same"] == 1
    assert report.dropped["chunk pair: used under a query of another split"] == 1


def test_curricula_are_told_how_near_the_negative_was_scored(store, tmp_path):
    for person in range(9):
        store.ask(
            HOW, ["a", "b", "c"], cited=[1], prompted=[1, 2], scores=[9.0, 6.0, 5.0], user_id=f"u{person}"
        )
    (tmp_path / "quiet.toml").write_text("[mining]\nenabled = false\n")
    options = BuildOptions(dev=0, test=0, policy=tmp_path / "quiet.toml")
    dataset = open_dataset(build(store.path, tmp_path / "out", options=options).out)
    assert dataset.manifest["layout"] == 1
    rows = {row["role"]: row for row in dataset.provenance("triplets").to_pylist()}
    assert (rows["positive"]["closeness"], rows["negative"]["closeness"]) == (1.0, 0.25)
    assert (rows["positive"]["score_gap"], rows["negative"]["score_gap"]) == (None, 0.75)
    assert rows["negative"]["difficulty"] == 0.25
    confidences = {row["confidence"] for row in rows.values()}
    assert {row["weight"] for row in rows.values()} == {min(confidences)}
    assert {row["evalset"] for row in rows.values()} == {None}


def test_the_report_counts_older_versions_that_make_no_row(corpus, tmp_path):
    limit = "the upload limit of the falcon scanner is {} megabytes per file"
    corpus.chunk("limit", limit.format(10))
    corpus.ask("what the falcon can do", ["limit"])
    corpus.chunk("limit", limit.format(50))
    corpus.ask("upload limit of the falcon scanner", ["limit"], cited=[1])

    def built(name, policy=None):
        report = build(corpus.path, tmp_path / name, options=BuildOptions(dev=0, test=0, policy=policy))
        rows = pq.read_table(report.out / "provenance.parquet").to_pylist()
        return report.dropped, {row["chunk_id"] for row in rows if row["strategy"] == "outdated_version"}

    dropped, found = built("default")
    assert (dropped["outdated: nothing declares it superseded (outdated.edits is off)"], found) == (1, set())
    (tmp_path / "edits.toml").write_text("[outdated]\nedits = true\n")
    dropped, found = built("edits", tmp_path / "edits.toml")
    assert not [rule for rule in dropped if rule.startswith("outdated: ")]
    assert found == {"limit"}
