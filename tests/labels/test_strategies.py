"""Negatives that no evidence names: older versions, and what is mined from all chunks ever seen."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from ragwheel.labels.negatives import ChunkCorpus, CorpusChunk, Finder, GradedChunk
from ragwheel.labels.policy import load_policy

POLICY = load_policy()
FILLER = ["press", "room", "printed", "many", "pages", "on", "weather", "gardens", "during", "winters"]


def corpus(*rows, encoder=None):
    """Rows of (chunk id, text, metadata), in the order in which they were first seen."""
    texts = {n: text for n, (_, text, _) in enumerate(rows)}
    chunks = [
        CorpusChunk(n, "kb", chunk_id, n, n * 1_000, json.dumps(metadata) if metadata else None)
        for n, (chunk_id, _, metadata) in enumerate(rows)
    ]
    return ChunkCorpus(chunks, texts.__getitem__, encoder)


def noise(n=30):
    return [(f"noise{i}", " ".join([*FILLER[i % 5 :], f"noise{i}"]), None) for i in range(n)]


def find(known, query, positive, *, ranked=(), policy=POLICY):
    chunk = known.of[positive]
    graded = GradedChunk(
        chunk_version=positive, source="kb", chunk_id=chunk.chunk_id, text_id=chunk.text_id,
        text=known.text_of(chunk.text_id), status="positive", grade=4.5, confidence=0.9, strategy=None,
        closeness=None, reasons=(),
    )  # fmt: skip
    dropped: Counter[str] = Counter()
    found = Finder(known, policy, dropped).find(query, [graded], ranked)
    return {one.chunk_id: one.strategy for one in found}, dropped


LIMIT = "The upload limit of the Falcon scanner is {} megabytes per file and cannot be raised by users"


HOW = "upload limit of the Falcon scanner?"
EDITS = POLICY.model_copy(
    update={"outdated": POLICY.outdated.model_copy(update={"edits": True, "gone": 0.05})}
)
UNDECLARED = "outdated: nothing declares it superseded (outdated.edits is off)"


def two(old, new, *, query=HOW, policy=POLICY, ids=("limits", "limits"), texts=None):
    """What is found where the second of two texts is relevant; ``old`` and ``new`` are their metadata."""
    before, after = texts or (LIMIT.format(10), LIMIT.format(50))
    known = corpus(*noise(), (ids[0], before, old), (ids[1], after, new))
    return find(known, query, 31, policy=policy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"superseded_by": "limits-2"}, None),
        ({"Status": "Deprecated"}, {"status": "current"}),
        ({"obsolete": True}, None),
        ({"valid_until": "1969-12-31T10:00:00Z"}, None),
        (None, {"supersedes": ["faq", "limits-1"]}),
    ],
)
@pytest.mark.parametrize("ids", [("limits-1", "limits-2"), ("limits-1", "limits-1")])
def test_what_metadata_declares_superseded_is_outdated(old, new, ids):
    found, dropped = two(old, new, ids=ids)
    assert found["limits-1"] == "outdated_version"
    assert dropped[UNDECLARED] == 0


@pytest.mark.parametrize(("old", "new"), [({"replaced_by": "b"}, None), (None, {"replaces": "a"})])
def test_who_names_the_other_need_not_resemble_it(old, new):
    texts = ("Files of the Falcon were once sent by courier", LIMIT.format(50))
    assert two(old, new, ids=("a", "b"), texts=texts)[0]["a"] == "outdated_version"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        ({"version": "1.9"}, {"version": "1.10"}),
        ({"date": "2022-03-01"}, {"date": "2024-01-31"}),
        ({"status": "archived"}, {"status": "archived"}),
        ({"valid_until": "2999-12-31"}, None),
        ({"valid_until": "next spring"}, None),
    ],
)
def test_an_older_text_that_nobody_declares_superseded_is_unknown_and_counted(old, new):
    found, dropped = two(old, new)
    assert "limits" not in found
    assert dropped[UNDECLARED] == 1


def test_a_declared_one_that_says_the_same_is_no_negative():
    texts = (LIMIT.format(50) + ".", LIMIT.format(50) + ", and not by administrators")
    found, dropped = two({"status": "superseded"}, None, texts=texts)
    assert "limits" not in found
    assert dropped["outdated: it says nothing that the newer one does not"] == 1


def test_a_switch_turns_off_outdated_versions_alone(tmp_path):
    file = tmp_path / "off.toml"
    file.write_text("[outdated]\nenabled = false\n")
    policy = load_policy(file)
    assert "limits" not in two({"status": "superseded"}, None, policy=policy)[0]
    rows = [("good", LIMIT.format(50), None), ("near", "the Falcon warranty covers two years", None)]
    assert find(corpus(*noise(), *rows), HOW, 30, policy=policy)[0] == {"near": "same_entity"}


def test_edits_take_the_older_version_of_an_id_too():
    known = corpus(*noise(), ("limits", LIMIT.format(10), None), ("limits", LIMIT.format(50), None))
    assert find(known, HOW, 31, policy=EDITS)[0]["limits"] == "outdated_version"
    assert "limits" not in find(known, HOW, 30, policy=EDITS)[0], "newer is not outdated"


@pytest.mark.parametrize(
    ("old", "new"),
    [({"version": "1.9"}, {"version": "1.10"}), ({"date": "2022-03-01"}, {"date": "2024-01-31"})],
)
def test_edits_take_a_copy_with_an_older_version_or_date(old, new):
    known = corpus(*noise(), ("old", LIMIT.format(10), old), ("new", LIMIT.format(50), new))
    assert find(known, HOW, 31, policy=EDITS)[0]["old"] == "outdated_version"
    assert find(known, HOW, 30, policy=EDITS)[0].get("new") != "outdated_version"


def test_edits_read_versions_from_texts():
    old, new = (f"Falcon release {n}: {LIMIT.format(n)}" for n in ("1.2", "2.0"))
    found, _ = two(None, None, ids=("old", "new"), texts=(old, new), policy=EDITS)
    assert found["old"] == "outdated_version"


def test_edits_leave_out_a_sibling_a_small_change_and_a_cut_elsewhere():
    why = "outdated: another id, and more than numbers differ: it may be a sibling"
    sibling = (LIMIT.format(10).replace("scanner", "printer"), LIMIT.format(10))
    found, dropped = two({"version": "1"}, {"version": "2"}, ids=("a", "b"), texts=sibling, policy=EDITS)
    assert "a" not in found
    assert dropped[why] == 1
    found, dropped = two({"status": "deprecated"}, None, ids=("a", "b"), texts=sibling)
    assert ("a" in found, dropped[why]) == (False, 1), "a declaration does not make a sibling a version"
    few = "outdated: too few of its words are gone"
    for texts in (
        (LIMIT.format(10), LIMIT.format(50)),
        ("Chapter two ends here, all about wiring. " + LIMIT.format(10), LIMIT.format(10)),
    ):
        policy = EDITS.model_copy(update={"outdated": EDITS.outdated.model_copy(update={"gone": 0.08})})
        found, dropped = two(None, None, texts=texts, policy=policy)
        assert "limits" not in found
        assert dropped[few] == 1


@pytest.mark.parametrize("query", ["the old upload limit of the Falcon scanner?", "Falcon limit in 2022?"])
def test_who_asks_for_the_old_one_gets_no_such_negative(query):
    texts = (LIMIT.format(10) + " in 2022", LIMIT.format(50) + " in 2024")
    found, dropped = two({"status": "superseded"}, None, query=query, texts=texts)
    assert "limits" not in found
    assert dropped["outdated: the query asks for the old one"] == 1


def test_the_same_thing_in_another_category_is_named_so():
    about = "resetting the Falcon password needs the admin console and a recovery code sent by mail"
    other = "the Falcon warranty covers two years of repair when bought in a certified store"
    rows = [*noise(), ("good", about, {"category": "howto"}), ("legal", other, {"category": "legal"})]
    assert find(corpus(*rows), "Falcon password recovery code", 30)[0]["legal"] == "neighbour_category"
    same = [*noise(), ("good", about, {"category": "howto"}), ("legal", other, {"category": "howto"})]
    assert find(corpus(*same), "Falcon password recovery code", 30)[0]["legal"] == "same_entity"


def test_what_the_retriever_ranked_is_unknown_and_counted():
    about = "resetting the Falcon password needs the admin console and a recovery code sent by mail"
    rows = [*noise(), ("good", about, None), ("near", "the Falcon warranty covers two years", None)]
    assert find(corpus(*rows), "Falcon password recovery code", 30)[0] == {"near": "same_entity"}
    found, dropped = find(corpus(*rows), "Falcon password recovery code", 30, ranked={31})
    assert found == {}
    assert dropped == {"mined: the retriever ranked it for this query, so it is unknown": 1}


def test_what_scores_like_the_positive_is_left_out():
    about = "resetting the Falcon password needs the admin console and a recovery code sent by mail"
    rows = [*noise(), ("good", about, None), ("twin", "Falcon password recovery code by phone", None)]
    found, dropped = find(corpus(*rows), "Falcon password recovery code", 30)
    assert found == {}
    assert dropped == {"mined: scored too close to the worst positive": 1}


def test_a_positive_that_shares_no_word_with_the_query_mines_nothing():
    found, dropped = find(corpus(*noise(), ("good", "entirely other language", None)), "Falcon?", 30)
    assert (found, list(dropped)) == ({}, ["mined: no positive shares a telling word with the query"])


def test_an_encoder_takes_the_place_of_words():
    meaning = {
        "question": [1.0, 0.0],
        "good": [0.9, 0.1],
        "half": [0.5, 0.5],
        "twin": [0.88, 0.1],
        "off": [0, 1],
    }

    def encoder(texts):
        return np.array([meaning[text] for text in texts], np.float32)

    known = corpus(*((name, name, None) for name in ("good", "half", "twin", "off")), encoder=encoder)
    found, dropped = find(known, "question", 0)
    assert found == {"half": "mined"}
    assert dropped["mined: scored too close to the worst positive"] == 1


def test_mining_can_be_switched_off(tmp_path):
    file = tmp_path / "off.toml"
    file.write_text("[mining]\nenabled = false\n")
    rows = [*noise(), ("good", "the Falcon password is reset by mail", None), ("near", "a Falcon", None)]
    assert find(corpus(*rows), "Falcon password reset", 30, policy=load_policy(file))[0] == {}


def test_metadata_that_cannot_be_read_is_no_metadata():
    assert CorpusChunk(1, "kb", "a", 1, 0, "{broken").facts == {}
    assert CorpusChunk(1, "kb", "a", 1, 0, "[1]").facts == {}


def test_what_stood_on_top_before_the_question_was_put_better(store, evidence):
    old = store.ask("falcon", ["x", "y", "good"], shown=[1, 2, 3], session_id="s1", user_id="u1")
    new = store.ask("falcon upload limit", ["good", "z"], shown=[1, 2], session_id="s1", user_id="u1")
    store.signal(old, "reformulate", query="falcon upload limit", other=None)
    assert evidence("pre_reformulation") == [], "nothing says that the new results are better"
    store.signal(new, "click", "good", subject="u1")
    found = evidence("pre_reformulation")
    assert [(row["chunk_id"], row["subject"], row["direction"]) for row in found] == [
        ("x", "u1", -1),
        ("y", "u1", -1),
    ]
    assert old.retrieval_id in {span for row in found for span in row["span_ids"]}


def graded(known, number, status):
    chunk = known.of[number]
    return GradedChunk(
        chunk_version=number, source="kb", chunk_id=chunk.chunk_id, text_id=chunk.text_id,
        text=known.text_of(chunk.text_id), status=status, grade=2.5, confidence=0.9, strategy=None,
        closeness=None, reasons=(),
    )  # fmt: skip


def test_negatives_at_hand_count_against_those_to_be_mined():
    about = "resetting the Falcon password needs the admin console and a recovery code sent by mail"
    near = [(f"near{n}", f"the Falcon warranty number{n} covers two years", None) for n in range(6)]
    others = [(f"off{n}", f"something else {n}", None) for n in range(3)]
    known = corpus(*noise(90), ("good", about, None), *near, *others)
    per_query = POLICY.mining.per_query
    for at_hand in (0, 1, 3):
        chunks = [graded(known, 90, "positive")]
        chunks += [graded(known, 90 + len(near) + 1 + n, "negative") for n in range(at_hand)]
        found = Finder(known, POLICY, Counter()).find("Falcon password recovery code", chunks, ())
        assert len(found) == max(per_query - at_hand, 0)


def test_the_margin_is_measured_from_the_worst_positive():
    """The best one scores far above everything; what scores like the worst may be relevant all the same."""

    def encoder(texts):
        meaning = {
            "question": [1.0, 0.0],
            "best": [1.0, 0.0],
            "worst": [0.5, 0.87],
            "like it": [0.49, -0.87],
            "half": [0.3, -0.95],
        }
        return np.array([meaning[text] for text in texts], np.float32)

    known = corpus(*((name, name, None) for name in ("best", "worst", "like it", "half")), encoder=encoder)
    dropped: Counter[str] = Counter()
    positives = [graded(known, 0, "positive"), graded(known, 1, "positive")]
    found = Finder(known, POLICY, dropped).find("question", positives, ())
    assert [one.chunk_id for one in found] == ["half"]
    assert dropped["mined: scored too close to the worst positive"] == 1
