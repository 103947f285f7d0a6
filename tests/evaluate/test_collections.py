"""What systems are measured on, from evaluation sets and from one's own traces; and what is refused."""

from __future__ import annotations

import shutil
from contextlib import closing

import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import build, open_dataset
from ragwheel.datasets.document_ids import document_id
from ragwheel.errors import DatasetError, LeakError
from ragwheel.evaluate import Collection, captured, evaluate, read_beir, read_traces
from ragwheel.evaluate.traces import EXPLICIT
from ragwheel.judgments import import_evalset
from ragwheel.store import open_store
from ragwheel.testing import TraceSpec, write_traces

CORPUS = [("a", {"_id": "a", "title": "Title", "text": "alpha"}), ("b", "beta"), ("c", "gamma")]
QUERIES = [("1", {"_id": "1", "text": "one", "session": "s"}), ("2", "two"), ("3", "three")]


def test_beir_layout(write_beir):
    judged = {"2": {"a": 2, "b": 0}, "3": {"b": 1, "c": 0}}
    folder = write_beir(CORPUS, QUERIES, train={"1": {"a": 1}}, test=judged)
    found = read_beir(folder)
    assert found.corpus == {"a": "Title alpha", "b": "beta", "c": "gamma"}
    assert found.queries == {"2": "two", "3": "three"}
    assert found.qrels == {"evalset": judged}
    assert found.slices("evalset") == {"all": ["2", "3"], "seen": ["2"], "unseen": ["3"]}
    train = read_beir(folder, split="train")
    assert (train.cluster("1"), train.cluster("2"), train.seen) == ("s", "2", None)
    assert found.id != train.id
    assert found.id == read_beir(folder).id


def test_beir_layout_of_other_makes(write_beir, tmp_path):
    folder = write_beir(CORPUS, QUERIES, test={"2": {"a": 1}, "3": {"b": 0}})
    (folder / "qrels").mkdir()
    (folder / "qrels.test.tsv").rename(folder / "qrels" / "test.tsv")
    found = read_beir(folder)
    assert list(found.queries) == ["2"]
    assert found.notes == ("1 queries without a relevant document are left out",)
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels.tsv").write_text("2\t0\ta\t1\n")  # as TREC has it, and without a head
    assert read_beir(folder).qrels == {"evalset": {"2": {"a": 1}}}
    (tmp_path / "past.tsv").write_text("3\ta\t1\n")
    assert read_beir(folder, train=tmp_path / "past.tsv").seen == {"a"}


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def delete(name):
    return lambda folder: (folder / name).unlink()


def add(name, line):
    return lambda folder: append(folder / name, line)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (delete("corpus.jsonl"), DatasetError, "corpus.jsonl cannot be read.*Expected a folder"),
        (shutil.rmtree, DatasetError, "cannot be read"),
        (delete("qrels.test.tsv"), DatasetError, "no qrels of the split 'test'; it has: train"),
        (write("qrels.test.tsv", "query-id\n"), DatasetError, "no judgments"),
        (
            write("qrels.test.tsv", "2\ta\tmuch\n3\tb\tless\n"),
            DatasetError,
            "line 1: no query|line 2: no query",
        ),
        (write("qrels.test.tsv", "2\ta\t1\n2\ta\t0\n"), DatasetError, "line 2.*grades 1 and 0"),
        (write("qrels.test.tsv", "2\ta\t1\n9\ta\t1\n"), DatasetError, "1 of 2 are not in the queries"),
        (write("qrels.test.tsv", "2\tz\t1\n2\ta\t1\n"), DatasetError, "1 of 2 are not in the corpus"),
        (write("qrels.test.tsv", "2\ta\t0\n"), DatasetError, "no judged query"),
        (write("qrels.test.tsv", "1\ta\t1\n"), LeakError, "1 of 1 test queries are in train"),
        (add("corpus.jsonl", '{"_id": "a", "text": "x"}'), DatasetError, "line 4.*'a' is there a second"),
        (add("queries.jsonl", "{"), DatasetError, "queries.jsonl, line 4"),
        (add("queries.jsonl", '{"name": 4}'), DatasetError, "line 4: record without an id"),
    ],
)
def test_broken_evaluation_sets_are_refused(write_beir, change, error, said):
    folder = write_beir(CORPUS, QUERIES, train={"1": {"a": 1}}, test={"2": {"a": 1}})
    change(folder)
    with pytest.raises(error, match=said):
        read_beir(folder)


def append(path, line):
    path.write_text(path.read_text() + line + "\n")


def test_queries_asked_again_in_other_ids_are_told(write_beir):
    folder = write_beir(CORPUS, [("1", "What?"), ("2", "what"), ("3", "that")], train={"1": {"a": 1}},
                        test={"2": {"a": 1}})  # fmt: skip
    assert read_beir(folder).notes == ("1 test queries stand word for word in train, under other ids",)


def test_a_query_without_an_answer_is_refused():
    with pytest.raises(DatasetError, match="1 of 1 queries with explicit labels have no document of grade 3"):
        Collection("x", {"a": "A"}, {"1": "one"}, {"explicit": {"1": {"a": 2}}}, positive=3)


@pytest.fixture(scope="module")
def collection(dataset, traces):
    return read_traces(dataset, traces)


def test_traces_become_a_collection(collection, dataset, traces):
    data = open_dataset(dataset)
    pairs = data.provenance("pairs", "test").to_pylist()
    texts = dict(zip((row["query_key"] for row in pairs), data.rows("pairs", "test")["query"].to_pylist()))
    assert set(collection.queries) <= set(texts)
    assert collection.dataset_id == data.id
    with closing(open_store(traces)) as connection:
        rows = connection.execute("SELECT source, chunk_id, text FROM chunks").fetchall()
    assert collection.corpus == {document_id(source, chunk): text for source, chunk, text in rows}
    for labels, qrels in collection.qrels.items():
        for query, grades in qrels.items():
            some = {
                document_id(row["source"], row["chunk_id"]): row for row in pairs if row["query_key"] == query
            }
            for document, grade in grades.items():
                assert grade == (0 if some[document]["strategy"] else round(some[document]["grade"]))
                assert labels == "inferred" or EXPLICIT & set(some[document]["kinds"])
    assert set(collection.qrels) == {"explicit", "inferred"}


def test_slices_go_by_the_positives_of_train(collection, dataset):
    trained = pq.read_table(dataset / "provenance.parquet").to_pylist()
    positives = {
        document_id(row["source"], row["chunk_id"])
        for row in trained
        if row["split"] == "train"
        and row["config"] == "pairs"
        and row["strategy"] is None
        and row["grade"] >= 2.5
    }
    for labels in collection.qrels:
        slices = collection.slices(labels)
        assert sorted(slices["seen"] + slices["unseen"]) == sorted(slices["all"])
        for query in slices["seen"]:
            assert collection.relevant(labels, query) & positives
        for query in slices["unseen"]:
            assert not collection.relevant(labels, query) & positives


def test_captured_rankings_are_the_latest_of_each_query(collection, traces):
    found = evaluate(collection, [captured(), captured("v1", "version")])
    with closing(open_store(traces)) as connection:
        for query, text in collection.queries.items():
            (retrieval,) = connection.execute(
                "SELECT retrieval_id FROM retrievals WHERE query = ? ORDER BY start_ns DESC", (text,)
            ).fetchone()
            rows = connection.execute(
                "SELECT source, chunk_id FROM impressions WHERE retrieval_id = ? ORDER BY rank", (retrieval,)
            )
            assert found.runs["captured"].rankings[query] == tuple(document_id(*row) for row in rows)
    assert found.runs["version"].rankings == found.runs["captured"].rankings
    with pytest.raises(DatasetError, match="no captured rankings of version 'v9'; it has: 'v1'"):
        evaluate(collection, [captured("v9")])


def test_an_imported_evaluation_set_has_labels_of_its_own(traces, write_beir, tmp_path):
    db = tmp_path / "own.db"
    shutil.copyfile(traces, db)
    with closing(open_store(traces)) as connection:
        chunks = connection.execute("SELECT chunk_id, text FROM chunks ORDER BY 1 LIMIT 20").fetchall()
    asked = [(f"e{i}", f"what does {text[:60]} mean") for i, (_, text) in enumerate(chunks)]
    judged = {f"e{i}": {chunk: 1} for i, (chunk, _) in enumerate(chunks)}
    folder = write_beir(chunks, asked, test=judged)
    (folder / "qrels").mkdir()
    (folder / "qrels.test.tsv").rename(folder / "qrels" / "test.tsv")
    import_evalset(db, folder, name="mine")
    found = read_traces(build(db, tmp_path / "own").out, db)
    texts = {found.queries[query] for query in found.qrels["evalset"]}
    assert texts == {text for _, text in asked}
    for query, grades in found.qrels["evalset"].items():
        number = next(i for i, (_, text) in enumerate(asked) if text == found.queries[query])
        assert grades == {document_id("kb", chunks[number][0]): 5}


def test_sessions_join_families(dataset, traces, collection):
    by_session = read_traces(dataset, traces, clustering="session")
    assert len(set(by_session.clusters.values())) <= len(set(collection.clusters.values()))
    with closing(open_store(traces)) as connection:
        rows = connection.execute("SELECT query, session_id FROM retrievals").fetchall()
    keys = {text: key for key, text in collection.queries.items()}
    first: dict[str, str] = {}
    for text, session in rows:
        if text in keys:
            name = by_session.cluster(keys[text])
            assert first.setdefault(session, name) == name


def test_empty_splits_other_stores_and_leaks_are_refused(dataset, traces, tmp_path, monkeypatch):
    write_traces(tmp_path / "few.db", TraceSpec(turns=60, queries=3, chunks=60))
    few = build(tmp_path / "few.db", tmp_path / "few").out
    with pytest.raises(DatasetError, match=r"split 'test' of .* is empty"):
        read_traces(few, tmp_path / "few.db")
    with pytest.raises(DatasetError, match=r"judged documents: .* are not in the corpus"):
        read_traces(dataset, tmp_path / "few.db")
    leaking = tmp_path / "leaking"
    shutil.copytree(dataset, leaking)
    table = pq.read_table(leaking / "provenance.parquet")
    rows = table.to_pylist()
    family = next(row["family"] for row in rows if row["split"] == "test")
    next(row for row in rows if row["split"] == "train" and row["config"] == "pairs")["family"] = family
    pq.write_table(type(table).from_pylist(rows, table.schema), leaking / "provenance.parquet")
    monkeypatch.setattr("ragwheel.datasets.reading._check_files", lambda *_: None)
    with pytest.raises(LeakError, match="1 families of near-identical queries"):
        read_traces(leaking, traces)
