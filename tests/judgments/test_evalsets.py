"""Evaluation sets: every format read, chunks matched, one use only, and a test never trained on."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import SPLITS, BuildOptions, build
from ragwheel.datasets.query_splits import codes_of
from ragwheel.datasets.splits import Assignment, Group, QueryGroups, assign, check_groups
from ragwheel.errors import JudgmentError, LeakError
from ragwheel.judgments import import_evalset
from ragwheel.judgments.examples import read_evalset
from ragwheel.labels.traces.text import query_key

RESET = " ".join(f"resetword{n}" for n in range(12))  # what TraceStore makes of the chunk `reset`
NEW = "Eine ganz neue Passage, die niemand je gefunden hat."


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def beir(folder):
    write(
        folder / "queries.jsonl", {"_id": "q1", "text": "how to reset"}, {"_id": "q2", "text": "what else?"}
    )
    write(
        folder / "corpus.jsonl",
        {"_id": "d1", "title": "", "text": RESET},
        {"_id": "d2", "title": "Neu", "text": NEW},
        "{broken\n",
    )
    rows = [
        "query-id\tcorpus-id\tscore\n",
        "q1\td1\t2\n",
        "q1\td2\t1\n",
        "q2\td2\t0\n",
        "q3\td2\t1\n",
        "q1\td9\t1\n",
    ]
    write(folder / "qrels" / "test.tsv", *rows)
    return folder


def test_a_beir_folder(tmp_path):
    found = read_evalset(beir(tmp_path / "set"))
    assert found.format == "beir"
    assert [(one.query, one.doc_id, one.grade) for one in found.examples] == [
        ("how to reset", "d1", 5.0),
        ("how to reset", "d2", 2.5),
        ("what else?", "d2", 0.0),
    ]
    assert found.examples[1].text == f"Neu {NEW}"
    assert found.refused == {
        "broken line of JSON": 1,
        "chunk not in the corpus file": 1,
        "question without text": 1,
    }


def test_qrels_in_the_root_of_a_beir_folder(tmp_path):
    expected = read_evalset(beir(tmp_path / "set"))
    (tmp_path / "set" / "qrels" / "test.tsv").rename(tmp_path / "set" / "qrels.test.tsv")
    (tmp_path / "set" / "qrels").rmdir()
    found = read_evalset(tmp_path / "set")
    assert (found.format, found.examples) == ("beir", expected.examples)


def test_trec_qrels_with_topics_beside_them(tmp_path):
    qrels = write(tmp_path / "t" / "my.qrels", "q1 0 reset 3\n", "q1 0 length -1\n", "nonsense\n")
    with pytest.raises(JudgmentError, match=r"no queries\.tsv"):
        read_evalset(qrels)
    write(tmp_path / "t" / "topics.tsv", "q1\thow to reset\n")
    for path in (qrels, tmp_path / "t"):
        found = read_evalset(path)
        assert [(one.doc_id, one.text, one.grade) for one in found.examples] == [
            ("reset", None, 5.0),
            ("length", None, 0.0),
        ]
        assert found.refused == {"unreadable line of qrels": 1}


RAGAS = {"user_input": "what is new?", "reference_contexts": [NEW, RESET], "reference": "a lot"}
DEEPEVAL = {"input": "what is new?", "expected_output": "a lot", "context": [NEW]}
LLAMA = {
    "queries": {"1": "what is new?"},
    "corpus": {"n": NEW, "m": RESET},
    "relevant_docs": {"1": ["n"]},
    "mode": "text",
}


@pytest.mark.parametrize(
    ("name", "content", "kind", "n"),
    [
        ("r.jsonl", json.dumps(RAGAS) + "\n", "ragas", 2),
        ("r.json", json.dumps([RAGAS]), "ragas", 2),
        ("r.csv", f"user_input,reference_contexts\nwhat is new?,\"['{NEW}']\"\n", "ragas", 1),
        ("d.json", json.dumps([DEEPEVAL, {"input": "no context"}, "odd"]), "deepeval", 1),
        ("d.csv", f'input,context\nwhat is new?,"{NEW[:10]}|{NEW[10:]}"\n', "deepeval", 2),
        ("l.json", json.dumps(LLAMA), "pairs", 1),
        ("p.jsonl", json.dumps({"question": "what is new?", "chunk": NEW}) + "\n", "pairs", 1),
        ("p2.jsonl", json.dumps({"query": "what?", "chunk_id": "reset", "label": 3}) + "\n", "pairs", 1),
        ("c.csv", "query,chunk_id,grade\nwhat is new?,reset,4\nwhat?,reset,x\n", "csv", 1),
    ],
)
def test_the_format_is_found_out(tmp_path, name, content, kind, n):
    found = read_evalset(write(tmp_path / name, content))
    assert (found.format, len(found.examples)) == (kind, n)
    assert all(one.query and 0 <= one.grade <= 5 for one in found.examples)
    assert found.synthetic == (kind in ("ragas", "deepeval", "pairs"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b\n1,2\n", "the columns are a, b; expected query, chunk_id and/or text"),
        ("a.json", "{not json", "cannot be read as an evaluation set: JSONDecodeError"),
        ("a.jsonl", "{broken\n", "has no usable example .*broken line of JSON: 1"),
        (
            "a.csv",
            "query,chunk_id,grade\n,reset,3\nq,reset,7\nq,,3\n",
            "blank question: 1; grade out of range",
        ),
    ],
)
def test_what_is_no_evaluation_set_is_refused_in_words(tmp_path, name, content, message):
    with pytest.raises(JudgmentError, match=message):
        read_evalset(write(tmp_path / name, content))


def test_nothing_there_and_formats_that_are_none(tmp_path):
    with pytest.raises(JudgmentError, match="There is no"):
        read_evalset(tmp_path / "none")
    with pytest.raises(JudgmentError, match="no format 'beer'; allowed: beir, trec"):
        read_evalset(write(tmp_path / "a.csv", "query,text\na,b\n"), "beer")


def test_chunks_are_matched_by_id_by_text_by_near_text_or_added(store, judgments, tmp_path):
    near = RESET.replace("resetword0 ", "", 1)  # 11 of 12 words
    billing = " ".join(f"billingword{n}" for n in range(12))
    path = write(
        tmp_path / "set.csv",
        "query,chunk_id,text,grade\n",
        f'by id,length,,3\nby text,,{billing.upper()},4\nby near text,,{near},5\nadded,,"{NEW}",5\n',
        f'another with that id,length,"{NEW}",5\nunknown,gone,,5\n',
    )
    found = import_evalset(store.path, path, use="train")
    assert found.chunks == {"added": 2, "id": 1, "near": 1, "text": 1}
    assert found.refused == {"chunk id that the store does not have, without a text": 1}
    assert (found.queries, found.judgments, found.new) == (5, 5, 5)
    rows = judgments("query, source, chunk_id, judge, evalset, evalset_use")
    assert rows[:3] == [
        ("by id", "kb", "length", "evalset:set", "set", "train"),
        ("by text", "kb", "billing", "evalset:set", "set", "train"),
        ("by near text", "kb", "reset", "evalset:set", "set", "train"),
    ]
    assert {row[1] for row in rows[3:]} == {"evalset:set"}
    again = import_evalset(store.path, path, use="train")
    assert (again.judgments, again.new, "added" in again.chunks) == (5, 0, False)
    assert judgments("query, source, chunk_id, judge, evalset, evalset_use") == rows


def test_one_set_has_one_use_and_one_question_too(store, judgments, tmp_path):
    path = write(tmp_path / "set.csv", "query,chunk_id\nhow to reset,reset\n")
    import_evalset(store.path, path, use="test")
    with pytest.raises(JudgmentError, match="'set' was imported for test, so it cannot be used for train"):
        import_evalset(store.path, path, use="train")
    more = write(tmp_path / "more.csv", "query,chunk_id\nHow to RESET?,reset\nhow long,length\n")
    found = import_evalset(store.path, more, use="train")
    assert found.refused == {"question of the set set, which is for test": 1}
    assert judgments("query, evalset_use") == [("how to reset", "test"), ("how long", "train")]
    with pytest.raises(JudgmentError, match="allowed: train, test"):
        import_evalset(store.path, path, use="both")
    with pytest.raises(JudgmentError, match="name 'a b' cannot be used"):
        import_evalset(store.path, path, name="a b")


def test_nothing_of_a_set_with_unknown_chunks_alone_is_written(store, judgments, tmp_path):
    path = write(tmp_path / "set.csv", "query,chunk_id\nhow to reset,gone\n")
    with pytest.raises(JudgmentError, match="Nothing of the evaluation set 'set' can be used"):
        import_evalset(store.path, path)
    assert judgments() == []


def test_questions_of_a_test_set_are_in_no_training_row(store, tmp_path):
    for n in range(14):
        words = " ".join(f"{letter}{n}" for letter in "abcd")
        store.ask(words, [f"{n}-x", f"{n}-y", f"{n}-z"], cited=[1], prompted=[1, 2, 3])
    oldest, second = "a0 b0 c0 d0", "a1 b1 c1 d1"
    (tmp_path / "t").mkdir()
    test = write(tmp_path / "t" / "held.csv", f"query,chunk_id\n{oldest},0-x\nnobody asked this,reset\n")
    train = write(
        tmp_path / "t" / "more.csv", f"query,chunk_id,grade\n{second},1-z,5\nnor this one,length,5\n"
    )
    before = build(store.path, tmp_path / "before")
    import_evalset(store.path, test, use="test")
    import_evalset(store.path, train, use="train")
    report = build(store.path, tmp_path / "out", options=BuildOptions(formats=("beir",)))
    rows = pq.read_table(report.out / "provenance.parquet").to_pylist()
    splits = {(row["query_key"], row["split"], row["evalset"]) for row in rows if row["evalset"]}
    assert splits == {
        (query_key(oldest), "test", "held"),
        (query_key("nobody asked this"), "test", "held"),
        (query_key(second), "train", "more"),
        (query_key("nor this one"), "train", "more"),
    }
    assert query_key(oldest) not in {row["query_key"] for row in rows if row["split"] == "train"}
    assert report.groups["dev"] > 0
    again = build(store.path, before.out)  # there the question was trained on: now it is neither
    rows = pq.read_table(again.out / "provenance.parquet").to_pylist()
    assert query_key(oldest) not in {row["query_key"] for row in rows}
    rule = "query group: of an evaluation set for test, trained on by an earlier build"
    assert again.dropped[rule] == 1


def test_a_test_question_among_the_training_rows_fails_the_build():
    group = QueryGroups.of([Group("k", "k", "how to reset", 1)])
    decided = Assignment(tested={"k": "held"})
    with pytest.raises(LeakError, match="in the evaluation set 'held' for test, and would be trained on"):
        check_groups(group, codes_of({"k": "train"}, group.keys), decided)
    check_groups(group, codes_of({"k": "test"}, group.keys), decided)


def test_near_identical_wordings_go_with_the_test_question(tmp_path):
    from collections import Counter

    some = [Group("k1", "k1", "text", 1), Group("k2", "k1", "text", 2), Group("k3", "k3", "other", 3)]
    decided = Assignment({"k3": "dev"}, tested={"k2": "held"}, trained={"k3": "more"})
    assert dict(decided) == {"k3": "dev"}
    assert len(decided) == 1
    codes = assign(QueryGroups.of(some), dev=0.1, test=0.1, previous=decided, dropped=Counter())
    assert [SPLITS[code] for code in codes] == ["test", "test", "dev"]
