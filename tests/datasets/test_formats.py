"""Every format read back by the loader of the tool it is for."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import datasets as hub
import ir_measures
import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import BuildOptions, build
from ragwheel.datasets.formats import OTHERS
from ragwheel.datasets.formats.graded import GradedDataset
from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.exporting import export_dataset, export_traces
from ragwheel.judgments import import_evalset
from ragwheel.store import open_store
from ragwheel.testing import TraceSpec, write_traces

READERS = os.environ.get("RAGWHEEL_READERS")
UBI = os.environ.get("RAGWHEEL_UBI_SCHEMAS")
needs_readers = pytest.mark.skipif(
    READERS is None,
    reason="RAGWHEEL_READERS names no Python with beir, llama-index-core, FlagEmbedding, tevatron, deepeval",
)


def read_with(name, folder):
    """What the tool's own loader makes of a folder."""
    script = Path(__file__).parent / "readers" / "read_formats.py"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [READERS, str(script), name, str(folder)],
        capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    db = folder / "traces.db"
    write_traces(db, TraceSpec(turns=300, queries=40, chunks=200, k=10))
    options = BuildOptions(formats=("st-ntuple", *OTHERS), negatives=2)
    build(db, folder / "data", options=options)
    return folder


@pytest.fixture(scope="module")
def exports(small):
    return small / "data" / "exports"


@pytest.fixture(scope="module")
def graded(small):
    return {split: list(GradedDataset(small / "data").queries(split)) for split in ("train", "dev", "test")}


@needs_readers
def test_beir_loads_it(exports, graded):
    found = read_with("beir", exports / "beir")
    for split in ("train", "test"):
        expected = {q.id: {one.id: one.level for one in q.documents} for q in graded[split]}
        assert found[split]["qrels"] == expected
        assert found[split]["queries"] == {q.id: q.text for q in graded[split]}
    assert {level for some in found["train"]["qrels"].values() for level in some.values()} <= set(range(6))


@needs_readers
def test_llamaindex_loads_it(exports, graded):
    found = read_with("llamaindex", exports / "llamaindex")
    queries = [query for query in graded["train"] if query.positives]
    assert found["queries"] == {query.id: query.text for query in queries}
    assert found["relevant_docs"] == {query.id: [one.id for one in query.positives] for query in queries}


@needs_readers
def test_flagembedding_loads_it_with_its_scores(exports, graded):
    found = read_with("flagembedding", exports / "flagembedding")
    queries = [query for query in graded["train"] if query.positives and query.negatives]
    assert found["rows"] == len(queries) > 5
    query, passages, scores = found["first"]
    assert query == queries[0].text
    assert passages[0] in [one.text for one in queries[0].positives]
    assert set(passages[1:]) <= {one.text for one in queries[0].negatives}
    assert len(scores) == 3
    assert scores[0] > max(scores[1:])


@needs_readers
def test_tevatron_loads_it(exports, graded):
    found = read_with("tevatron", exports / "tevatron")
    queries = [query for query in graded["train"] if query.positives and query.negatives]
    assert found["rows"] == len(queries)
    assert found["query"] == queries[0].text
    assert found["documents"][0] in [one.text for one in queries[0].positives]
    assert len(found["documents"]) == 3


@needs_readers
def test_goldens_that_deepeval_reads_are_read_alike_here(tmp_path):
    from ragwheel.judgments.examples import read_evalset

    rows = [{"input": "what?", "expected_output": "this", "context": ["one", "two"]}]
    (tmp_path / "goldens.json").write_text(json.dumps(rows))
    theirs = [(query, text) for query, texts in read_with("deepeval", tmp_path) for text in texts]
    assert theirs == [(one.query, one.text) for one in read_evalset(tmp_path / "goldens.json").examples]


def test_ir_measures_reads_qrels_and_run(small, exports, graded, tmp_path):
    written = export_traces(small / "traces.db", "trec-run", tmp_path / "run")
    ((name, lines),) = written.items()
    qrels = list(ir_measures.read_trec_qrels(str(exports / "trec" / "train.qrels")))
    run = list(ir_measures.read_trec_run(str(tmp_path / "run" / name)))
    assert len(run) == lines
    assert (
        {row.query_id for row in qrels}
        == {query.id for query in graded["train"]}
        <= {row.query_id for row in run}
    )
    measures = [ir_measures.nDCG @ 10, ir_measures.R(rel=3) @ 10]
    values = ir_measures.calc_aggregate(measures, qrels, run)
    assert all(0.1 < value <= 1 for value in values.values())


@pytest.mark.parametrize(
    ("config", "columns"),
    [
        ("triplets", ("anchor", "positive", "negative")),
        ("ntuples", ("anchor", "positive", "negative_1", "negative_2")),
        ("positives", ("anchor", "positive")),
        ("pairs", ("query", "document", "label")),
        ("lists", ("query", "docs", "labels")),
    ],
)
def test_the_trainers_collator_takes_every_config(small, config, columns):
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

    rows = hub.Dataset(pq.read_table(small / "data" / config / "train.parquet"))
    assert tuple(rows.column_names) == columns
    if config == "lists":  # a cross-encoder's listwise losses take texts and labels as they are
        from sentence_transformers.cross_encoder.data_collator import CrossEncoderDataCollator

        batch = CrossEncoderDataCollator(preprocess_fn=lambda texts, **given: {"texts": texts})(
            [rows[0], rows[1]]
        )
        assert len(batch["label"]) == 2
        return
    collate = SentenceTransformerDataCollator(preprocess_fn=lambda texts, **given: {"input_ids": texts})
    batch = collate([rows[0], rows[1]])
    texts = [column for column in columns if column != "label"]
    assert [name for name in batch if name.endswith("input_ids")] == [f"{name}_input_ids" for name in texts]
    assert ("label" in batch) == (config == "pairs")


def test_pairs_from_0_to_5_are_those_from_0_to_1_times_five(small, exports):
    ones = pq.read_table(small / "data" / "pairs" / "train.parquet")["label"].to_pylist()
    fives = pq.read_table(exports / "st-pair-5" / "train.parquet")["label"].to_pylist()
    assert fives == [pytest.approx(5 * one, abs=1e-5) for one in ones]
    assert max(fives) > 3


@pytest.mark.parametrize("name", ["st-triplet", "st-ntuple", "parquet", "jsonl", "beir"])
def test_export_writes_what_build_writes(small, exports, tmp_path, name):
    sizes = export_dataset(small / "data", name, tmp_path / "out")
    assert sizes
    for path in sizes:
        made = tmp_path / "out" / path
        if name == "beir":
            assert made.read_bytes() == (exports / name / path).read_bytes()
        elif name == "jsonl":
            assert made.stat().st_size > 0
            table = pq.read_table((small / "data" / path).with_suffix(".parquet"))
            assert [json.loads(line) for line in made.read_text().splitlines()] == table.to_pylist()
        else:
            assert pq.read_table(made).num_rows > 0


@pytest.mark.parametrize("name", ["beir", "trec", "tevatron"])
def test_with_the_database_the_corpus_holds_every_chunk_once_and_qrels_stay(small, tmp_path, name):
    db = small / "traces.db"
    export_dataset(small / "data", name, tmp_path / "whole", db=db)
    export_dataset(small / "data", name, tmp_path / "graded")
    corpora = {}
    for folder in ("whole", "graded"):
        if name == "trec":
            lines = (tmp_path / folder / "corpus.tsv").read_text().splitlines()
            corpora[folder] = [line.partition("\t")[0] for line in lines]
        else:
            lines = (tmp_path / folder / "corpus.jsonl").read_text().splitlines()
            corpora[folder] = [json.loads(line)["_id" if name == "beir" else "docid"] for line in lines]
        assert len(set(corpora[folder])) == len(corpora[folder])
    with contextlib.closing(open_store(db)) as connection:
        chunks = {row[0] for row in connection.execute("SELECT DISTINCT chunk_id FROM chunks")}
    assert {chunk.partition("@")[0] for chunk in corpora["whole"]} == chunks
    assert set(corpora["graded"]) < set(corpora["whole"])
    rest = sorted(path.name for path in (tmp_path / "whole").rglob("*") if path.is_file())
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file() and "corpus" not in path.name:
            twin = tmp_path / "graded" / path.relative_to(tmp_path / "whole")
            assert path.read_bytes() == twin.read_bytes(), path
    assert rest == sorted(path.name for path in (tmp_path / "graded").rglob("*") if path.is_file())


def test_an_exported_folder_is_an_evaluation_set_of_the_whole_corpus(small, tmp_path):
    export_dataset(small / "data", "beir", tmp_path / "beir", db=small / "traces.db")
    export_dataset(small / "data", "trec", tmp_path / "trec", db=small / "traces.db")
    sets = [import_evalset(tmp_path / f"{name}.db", tmp_path / name) for name in ("beir", "trec")]
    assert sets[0].judgments == sets[1].judgments > 0
    assert all(not evalset.refused for evalset in sets)


def test_export_refuses_what_it_cannot_do_and_leaves_nothing(small, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(DatasetError, match="was left as it is"):
        export_dataset(small / "data", "beir", tmp_path / "mine")
    with pytest.raises(ConfigurationError, match="no format 'beer'; allowed: flagembedding"):
        export_dataset(small / "data", "beer", tmp_path / "out")
    with pytest.raises(DatasetError):
        export_dataset(tmp_path, "beir", tmp_path / "out")
    with pytest.raises(ConfigurationError, match="allowed: ubi, trec-run"):
        export_traces(small / "traces.db", "beir", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_ubi_queries_and_events_are_whole(small, tmp_path):
    written = export_traces(small / "traces.db", "ubi", tmp_path / "ubi")
    queries, events = (
        [json.loads(line) for line in (tmp_path / "ubi" / name).read_text().splitlines()] for name in written
    )
    assert written == {"ubi_queries.jsonl": len(queries), "ubi_events.jsonl": len(events)}
    assert len(queries) == 300
    hits = {query["query_id"]: query["query_response_hit_ids"] for query in queries}
    clicks = [event for event in events if event["action_name"] == "click"]
    assert clicks
    for event in clicks:
        found = event["event_attributes"]
        assert hits[event["query_id"]][found["position"]["ordinal"] - 1] == found["object"]["object_id"]
    assert {event["action_name"] for event in events} >= {"impression", "click"}


@needs_readers
@pytest.mark.skipif(UBI is None, reason="RAGWHEEL_UBI_SCHEMAS names no folder with UBI's 1.3.0 schemas")
def test_ubi_files_meet_the_published_schemas(small, tmp_path):
    out = tmp_path / "ubi"
    export_traces(small / "traces.db", "ubi", out)
    for name in ("query.request", "event"):
        schema = (Path(UBI) / f"{name}.schema.json").read_bytes()
        (out / f"{name}.schema.json").write_bytes(schema)
    found = read_with("ubi", out)
    assert found["event"]["rows"] > found["query.request"]["rows"] == 300
    assert [some["errors"] for some in found.values()] == [[], []]
