"""The same relational steps on DuckDB and on Spark give the same rows."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from dataclasses import replace
from importlib import import_module
from importlib.resources import files

import fsspec
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ragwheel.datasets import BuildOptions, build, open_dataset, workers
from ragwheel.datasets.grading import label
from ragwheel.errors import ConfigurationError, MissingExtra
from ragwheel.exporting import export_parquet
from ragwheel.labels.engines.engine import DuckDBEngine, open_engine
from ragwheel.labels.evidence.kinds import KINDS
from ragwheel.labels.model.beliefs import grade_of
from ragwheel.labels.traces.lake import located, open_lake
from ragwheel.labels.traces.read_parquet import ParquetRows, read_parquet
from ragwheel.testing import TraceStore

# Spark's Java side holds sockets until the process ends
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

build_module = import_module("ragwheel.datasets.build")

QUESTIONS = [f"how does part{n} of the machine{n % 7} work" for n in range(24)]

EVIDENCE = {
    "query_key": "string", "chunk_version": "int64", "kind": "string", "direction": "int8",
    "strength": "float64", "subject": "string", "turn_id": "string", "retrieval_id": "string",
    "rank": "int32", "place": "int32", "exposure": "string", "assumed": "boolean", "at_ns": "int64",
    "session_id": "string", "signal_id": "string", "extra_id": "string",
}  # fmt: skip
SAID = ("copy", "expand", "bookmark", "more_like_this", "thumbs_up", "thumbs_down", "delete")


@pytest.fixture(scope="module")
def session():
    """One Spark session, small and quick to plan."""
    if shutil.which("java") is None:
        pytest.skip("there is no Java, which Spark runs on: apt-get install openjdk-17-jre-headless")
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: pip install 'ragwheel[spark]'")
    before = signal.getsignal(signal.SIGINT)
    environment = pytest.MonkeyPatch()
    environment.setenv("PYSPARK_PYTHON", sys.executable)
    made = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    yield made
    made.stop()
    environment.undo()
    signal.signal(signal.SIGINT, before)  # Spark has a handler of its own, which fails after the stop


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Two thousand retrievals with every kind of evidence."""
    rng = random.Random(1)
    chunks = [f"d{n}" for n in range(60)]
    with TraceStore(tmp_path_factory.mktemp("engines") / "traces.db") as store:
        store._run("BEGIN")
        for n in range(1_000):
            question, who = rng.choice(QUESTIONS), {"session_id": f"s{n // 3}", "user_id": f"person{n % 50}"}
            ids = rng.sample(chunks, 8)
            seen = {"shown": range(1, 9)} if n % 2 else {}
            scores = [rng.random() for _ in ids] if n % 3 else None
            cited = [rng.randint(1, 3)]
            asked = store.ask(question, ids, cited=cited, prompted=[1, 2, 3], scores=scores, **seen, **who)
            for kind in SAID:
                if rng.random() < 0.1:
                    store.signal(asked, kind, rng.choice(ids), subject=who["user_id"])
            store.signal(asked, "rating", rng.choice(ids), value=rng.choice([0, 1, 4.5, 5]))
            store.signal(asked, "click", ids[4], subject=who["user_id"])
            store.signal(asked, "dwell", ids[4], value=rng.choice([0.5, 40]), subject=who["user_id"])
            store.signal(asked, "prefer", ids[0], other=ids[1])
            store.signal(asked, rng.choice(["thumbs_up", "thumbs_down", "convert"]), of_answer=True)
            detail = f"{question} in detail"
            store.signal(asked, "reformulate", query=detail)
            again = store.ask(detail, ids[::-1], cited=[2], **who)
            store.signal(again, "click", ids[5])
            if n % 25 == 0:
                store.judge(question, ids[2], rng.choice([0, 2, 5]), judge=f"ann{n}")
                store.judge(question, ids[3], rng.choice([0, 1, 4]), judge=f"model{n}", human=False)
        store._run("COMMIT")
    return store.path


def rows(engine, table):
    found = engine.arrow(table)
    return found.sort_by([(name, "ascending") for name in found.schema.names])


def labelled_tables(labelled):
    """Every table that the rows of a dataset are made of, and what was decided beside."""
    evidence = ibis.table(EVIDENCE, name="evidence")
    tables = (
        evidence,
        labelled.grades_table,
        labelled.graded,
        labelled.reasons,
        labelled.ranked,
    )
    groups = rows(labelled.engine, labelled.assigned).to_pylist()
    decided = (groups, labelled.evidence, labelled.grades, dict(labelled.dropped))
    return [rows(labelled.engine, table) for table in tables], decided


def test_duckdb_and_spark_give_the_same_rows(session, traces, tmp_path, monkeypatch):
    """From the database on the one, from Parquet on the other; the same tables, and the same dataset."""
    results = {}

    def label_and_look(inputs):
        labelled = label(inputs)
        results[inputs.options.engine] = labelled_tables(labelled)
        return labelled

    export_parquet(traces, tmp_path / "lake")
    monkeypatch.setattr(build_module, "label", label_and_look)
    monkeypatch.setattr(workers, "PART_GROUPS", 7)
    options = BuildOptions(
        formats=("st-triplet", "st-ntuple", "jsonl"), negatives=2, policy=tightly_capped(tmp_path)
    )
    here = build(traces, tmp_path / "duckdb", options=options)
    there = build(tmp_path / "lake", tmp_path / "spark", options=replace(options, engine="spark"))
    (expected, decided), (tables, decided_too) = results["duckdb"], results["spark"]
    assert set(decided[1]) == set(KINDS)
    assert decided_too == decided
    for theirs, ours in zip(expected, tables, strict=True):
        assert theirs.num_rows > 100
        assert ours.cast(theirs.schema).equals(theirs)  # an engine may count directions in 32 bits
    assert (there.rows, there.dropped, there.negatives, there.examples) == (
        here.rows,
        here.dropped,
        here.negatives,
        here.examples,
    )
    assert any("was used 3 times" in rule for rule in here.dropped)
    same_files(here.out, there.out)


def tightly_capped(folder):
    """The packaged policy, but a chunk may be used three times only: early choices decide later ones."""
    policy = (files("ragwheel.labels") / "policy.toml").read_text()
    path = folder / "policy.toml"
    path.write_text(policy.replace("uses_per_chunk = 200", "uses_per_chunk = 3"))
    return path


def same_files(here, there):
    """The tables of both folders have equal rows in equal order; workers wrote those of one in parts."""
    names = {path.relative_to(here) for path in here.rglob("*.parquet")}
    assert names == {path.relative_to(there) for path in there.rglob("*.parquet") if path.is_dir()}
    for name in names:
        assert pq.read_table(there / name).equals(pq.read_table(here / name)), name
    for path in here.rglob("*.jsonl"):
        assert (there / path.relative_to(here)).read_bytes() == path.read_bytes()
    assert len(list((there / "provenance.parquet").iterdir())) > 3
    data = open_dataset(there)
    assert data.example_keys() == open_dataset(here).example_keys()
    assert data.manifest["layout"] == 2
    assert not list(there.rglob(".*"))


def test_spark_keeps_drops_and_sends_rows(session):
    from ragwheel.labels.engines.spark import SparkEngine

    lists = pa.array(
        [[{"c": 1, "s": 0.5}], None, []], pa.list_(pa.struct({"c": pa.int64(), "s": pa.float64()}))
    )
    table = pa.table({"a": pa.array([1, 2, 3], pa.int32()), "A": ["x", "y", None], "items": lists})
    with SparkEngine(session=session) as engine:
        here = engine.register("here", table)
        assert engine.arrow(here.order_by("a")).equals(table)
        kept = engine.keep("kept", here.filter(here.a > 1).select("a"))
        assert engine.count(kept) == 2
        assert [batch.num_rows for batch in engine.batches(kept.order_by("a"), rows=1)] == [1, 1]
        engine.drop("kept")
        assert [view.name for view in session.catalog.listTables()] == ["here"]
    assert not session.catalog.listTables()


def test_files_that_only_this_process_reaches_are_sent(session, traces):
    from ragwheel.labels.engines.spark import SparkEngine

    export_parquet(traces, "memory://sent")
    tables, _texts = read_parquet(open_lake(*located("memory://sent")))
    assert isinstance(tables.turn, ParquetRows)
    assert tables.turn.urls() == []
    with SparkEngine(session=session) as engine:
        assert engine.count(engine.register("turn", tables.turn)) == tables.turn.num_rows
    fsspec.filesystem("memory").rm("/sent", recursive=True)


def test_urls_are_what_hadoop_calls_them():
    class Remote:
        protocol = ("s3", "s3a")

    assert ParquetRows(Remote(), ["bucket/a.parquet"], pa.schema([]), 0).urls() == ["s3a://bucket/a.parquet"]


def test_spark_that_is_not_installed_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(MissingExtra, match=r"ragwheel\[spark\]"):
        open_engine("spark")


def test_duckdb_refuses_what_it_cannot_read():
    with pytest.raises(ConfigurationError, match="4GB"):
        open_engine("duckdb", memory_limit="plenty")
    with open_engine("duckdb", memory_limit="1GB", threads=1) as engine:
        assert engine.count(engine.register("t", pa.table({"a": [1]}))) == 1


def test_batches_come_in_order_a_partition_at_a_time(session):
    from ragwheel.labels.engines.spark import SparkEngine

    rows = pa.table({"n": [(7919 * n) % 5000 for n in range(5000)], "text": [f"t{n}" for n in range(5000)]})
    with SparkEngine(session=session) as engine:
        table = engine.register("rows", rows)
        batches = list(engine.batches(table.order_by("n"), 300))
        assert max(batch.num_rows for batch in batches) <= 300
        ordered = pa.Table.from_batches(batches)
        assert ordered == rows.sort_by("n").cast(ordered.schema)
        begun = engine.batches(table.order_by("n"), 300)  # two that are read in turns, one not to its end
        for first, second in zip(begun, engine.batches(table.order_by("n"), 500)):
            assert first["n"][0].as_py() <= second["n"][0].as_py()
        assert list(engine.batches(table.filter(table.n < 0))) == []


def test_a_grade_at_a_half_is_the_same_on_both(session):
    from ragwheel.labels.engines.spark import SparkEngine

    beliefs = pa.table({"micro": range(0, 1_000_001, 100), "belief": [n / 10**4 for n in range(10_001)]})
    halves_up = [(n * 500 + 500) // 1000 / 1000 for n in range(10_001)]
    for engine in (DuckDBEngine(), SparkEngine(session=session)):
        with engine:
            table = engine.register("beliefs", beliefs)
            rows = engine.arrow(table.select("micro", grade=grade_of(table.belief)).order_by("micro"))
            assert rows["grade"].to_pylist() == halves_up
