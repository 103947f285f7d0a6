"""Parquet partitions of the traces: what they hold, what a second export does, and builds from them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.datasets import BuildOptions, build, explain
from ragwheel.errors import ConfigurationError, DatasetError, StoreEmpty, StoreMissing
from ragwheel.exporting import export_parquet
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.traces.columns import SCHEMAS
from ragwheel.labels.traces.lake import MANIFEST, located, open_lake
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.read_keys import DAY_NS
from ragwheel.labels.traces.read_parquet import read_parquet
from ragwheel.labels.traces.union import united
from ragwheel.store import erase, open_store
from ragwheel.store.reviews import ReviewRow, writing_reviews
from ragwheel.testing import TraceSpec, TraceStore, write_traces

SPEC = TraceSpec(turns=300, queries=25, chunks=80, k=12, users=20, seconds_between_turns=600)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "traces.db"
    write_traces(path, SPEC)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO _evalset VALUES (1, 'exam', 'test', 1)")
        connection.execute(
            "INSERT INTO _judgment (query, source, chunk, grade, judge, judge_kind, at_ns, evalset_id)"
            " SELECT query, 'kb', 'c1', 4, 'ann', 'human', start_ns, 1 FROM _retrieval WHERE id = 7"
        )
        connection.commit()
    return path


@pytest.fixture(scope="module")
def exported(traces, tmp_path_factory):
    dest = tmp_path_factory.mktemp("exported") / "lake"
    export_parquet(traces, dest)
    return dest


@pytest.fixture(scope="module")
def built(traces, tmp_path_factory):
    return build(traces, tmp_path_factory.mktemp("built") / "set").out


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def partitions_of(files):
    return {path: data for path, data in files.items() if path.suffix == ".parquet"}


def partitions(folder):
    return partitions_of(contents(folder))


def test_an_export_holds_what_the_store_does(traces, exported):
    with closing(open_store(traces)) as connection, DuckDBEngine() as engine:
        expected, text_of = read_store(connection), TextReader(connection)
        found, texts = read_parquet(open_lake(*located(exported)))
        found = united(engine, found)
        for name, key in (("retrieval", "rid"), ("turn", "turn_id"), ("signal", "sid")):
            rows = getattr(found, name)
            assert rows.num_rows == getattr(expected, name).num_rows
            table = engine.arrow(rows.expression).cast(rows.schema)
            assert table.sort_by(key).equals(getattr(expected, name).sort_by(key))
        assert found.chunk.equals(expected.chunk)
        assert found.judgment.equals(expected.judgment)
        numbers = [*expected.chunk["text_id"].to_pylist(), 82]
        assert [texts(n) for n in numbers] == [text_of(n) for n in numbers]
    for name in ("n_citations", "schema_version", "spans", "from_ns", "until_ns"):
        assert getattr(found, name) == getattr(expected, name)


def test_a_build_from_an_export_has_the_same_bytes(exported, built, tmp_path):
    assert contents(build(exported, tmp_path / "set").out) == contents(built)


def test_other_tools_read_it(exported):
    n = duckdb.sql(
        f"SELECT count(*), count(DISTINCT day) FROM read_parquet('{exported}/retrieval/*/*/*.parquet', "
        "hive_partitioning=true)"
    ).fetchall()
    assert n == [(300, 4)]
    frame = pads.dataset(exported / "chunk", partitioning="hive").to_table().to_pandas()
    assert set(frame) == {*SCHEMAS["chunk"][0].names, "text", "store", "day"}
    ranked = f"(SELECT unnest(items) AS i FROM '{exported}/retrieval/*/*/*.parquet')"
    assert duckdb.sql(f"SELECT count(i.chunk_version) FROM {ranked}").fetchall() == [(3600,)]


def test_a_second_export_writes_only_days_that_changed(tmp_path):
    with TraceStore(tmp_path / "t.db") as store:
        asked = store.ask("one", ["a", "b"], cited=[1])
        store.now_ns += 3 * DAY_NS
        store.ask("two", ["a", "c"], cited=[2])
        first = export_parquet(store.path, tmp_path / "lake")
        before = contents(tmp_path / "lake")
        assert (first.written, first.kept, first.removed) == (6, 0, 0)
        again = export_parquet(store.path, tmp_path / "lake")
        assert (again.written, again.kept, again.removed) == (0, 6, 0)
        assert partitions(tmp_path / "lake") == partitions_of(before)
        store.now_ns += DAY_NS
        store.signal(asked, "click", "a")
        store._run("UPDATE _turn SET revision = 2, answer = NULL WHERE query = 'one'")
        store.judge("one", "a", 4)
        later = export_parquet(store.path, tmp_path / "lake")
        assert (later.written, later.kept, later.removed) == (3, 5, 1)
        fresh = export_parquet(store.path, tmp_path / "fresh")
        assert fresh.rows == later.rows
        assert partitions(tmp_path / "fresh") == partitions(tmp_path / "lake")


def test_a_build_after_new_traces_has_the_same_bytes_as_a_full_one(tmp_path):
    write_traces(
        tmp_path / "t.db", TraceSpec(turns=150, queries=20, chunks=60, k=10, seconds_between_turns=900)
    )
    export_parquet(tmp_path / "t.db", tmp_path / "lake")
    columns = "trace_id, retriever_id, query, duration_ns, n_returned, chunks, scores"
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        connection.execute(
            f"INSERT INTO _retrieval (span_id, start_ns, {columns})"
            f" SELECT randomblob(8), start_ns + {10 * DAY_NS}, {columns} FROM _retrieval LIMIT 40"
        )
        connection.execute("UPDATE _turn SET citations = '[]', revision = 2 WHERE id = 5")
        connection.commit()
    report = export_parquet(tmp_path / "t.db", tmp_path / "lake")
    assert 0 < report.written < report.kept + report.written
    part = build(tmp_path / "lake", tmp_path / "a" / "set").out
    assert contents(part) == contents(build(tmp_path / "t.db", tmp_path / "b" / "set").out)


def users(folder):
    return set(pads.dataset(folder / "retrieval", partitioning="hive").to_table()["user_id"].to_pylist())


def test_what_is_erased_goes_from_the_next_export(traces, tmp_path):
    shutil.copy(traces, tmp_path / "t.db")
    export_parquet(tmp_path / "t.db", tmp_path / "lake")
    assert "u7" in users(tmp_path / "lake")
    erase(tmp_path / "t.db", user="u7")
    report = export_parquet(tmp_path / "t.db", tmp_path / "lake")
    assert report.removed > 0
    assert users(tmp_path / "lake") == {f"u{n}" for n in range(20) if n != 7}


def test_rows_that_a_person_struck_out_are_left_out_of_builds_from_an_export_too(traces, built, tmp_path):
    shutil.copy(traces, tmp_path / "traces.db")
    first = explain(built, 1)[0]
    names = dict(zip(("source", "chunk", "other_source", "other"), first.positive_id + first.negative_id))
    row = ReviewRow("strike", "ann", 1, query=first.anchor, value="row", **names)
    with writing_reviews(tmp_path / "traces.db") as writer:
        writer.note(row)
    export_parquet(tmp_path / "traces.db", tmp_path / "lake")
    report = build(tmp_path / "lake", tmp_path / "set")
    assert report.dropped["triplet: struck out by a person"] == 1
    triplets = {(each.anchor, each.positive_id, each.negative_id) for each in explain(report.out, 10_000)}
    assert (first.anchor, first.positive_id, first.negative_id) not in triplets
    assert first.anchor not in json.dumps(list(open_lake(*located(tmp_path / "lake")).stores.values()))
    with writing_reviews(tmp_path / "traces.db") as writer:
        writer.remove(row)
    export_parquet(tmp_path / "traces.db", tmp_path / "lake")
    assert "triplet: struck out by a person" not in build(tmp_path / "lake", tmp_path / "set").dropped


def test_the_export_of_another_database_is_never_replaced(traces, tmp_path):
    export_parquet(traces, tmp_path / "lake")
    before = contents(tmp_path / "lake")
    write_traces(tmp_path / "other.db", replace(SPEC, turns=20, seed=7))
    assert export_parquet(tmp_path / "other.db", tmp_path / "lake").removed == 0
    assert before.items() <= contents(tmp_path / "lake").items()


def test_a_url_of_fsspec_gives_the_same_rows(traces, built, tmp_path):
    memory = fsspec.filesystem("memory")
    report = export_parquet(traces, "memory://lake/traces")
    assert export_parquet(traces, "memory://lake/traces").written == 0
    assert memory.exists("/lake/traces/_ragwheel.json")
    assert report.rows["retrieval"] == 300
    assert contents(build("memory://lake/traces", tmp_path / "set").out) == contents(built)
    memory.rm("/lake", recursive=True)


def test_files_are_for_their_owner_only(exported):
    assert {path.stat().st_mode & 0o077 for path in (exported, *exported.rglob("*"))} == {0}


def test_an_interrupted_export_changes_nothing_and_goes_on(traces, built, tmp_path):
    def interrupt(_name, _done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_parquet(traces, tmp_path / "lake", progress=interrupt)
    assert not (tmp_path / "lake" / MANIFEST).exists()
    with pytest.raises(StoreMissing, match="no traces at"):
        build((tmp_path / "lake").as_uri(), tmp_path / "set")
    report = export_parquet(traces, tmp_path / "lake")
    assert report.removed == 1  # the file that had been begun
    assert not [path for path in (tmp_path / "lake").rglob("*") if "unfinished" in path.name]
    assert contents(build(tmp_path / "lake", tmp_path / "set").out) == contents(built)


def test_a_folder_of_others_is_left_alone(traces, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="other things in it"):
        export_parquet(traces, tmp_path / "lake")
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["thesis.txt"]
    with pytest.raises(DatasetError, match="other things in it"):
        export_parquet(traces, tmp_path / "lake" / "thesis.txt")


def test_a_place_that_cannot_be_reached_says_so(traces, tmp_path):
    for place in ("nonsense://lake", "gs://bucket/lake"):
        with pytest.raises(ConfigurationError, match="fsspec"):
            export_parquet(traces, place)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read"), ('{"format": 99}', "pip install -U"), ("[]", "cannot be read")],
)
def test_a_manifest_that_cannot_be_used(exported, tmp_path, text, message):
    shutil.copytree(exported, tmp_path / "lake")
    (tmp_path / "lake" / MANIFEST).write_text(text)
    with pytest.raises(DatasetError, match=message):
        build(tmp_path / "lake", tmp_path / "set")


def test_a_missing_or_cut_file_is_an_error_and_no_smaller_build(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "lake")
    part = next((tmp_path / "lake" / "turn").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DatasetError, match="missing or damaged"):
        build(tmp_path / "lake", tmp_path / "set")
    part.unlink()
    with pytest.raises(DatasetError, match="missing or damaged"):
        build(tmp_path / "lake", tmp_path / "set")


def test_an_export_without_traces(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "lake")
    (store,) = (tmp_path / "lake" / "_stores").iterdir()
    store.write_text(json.dumps(json.loads(store.read_text()) | {"spans": {}}))
    with pytest.raises(StoreEmpty, match="holds no traces"):
        build(tmp_path / "lake", tmp_path / "set")


def test_chunks_lost_with_a_damaged_segment_are_stepped_over(tmp_path):
    with TraceStore(tmp_path / "t.db") as store:
        store.ask("one", ["a", "b", "c"], cited=[1], prompted=[1, 2, 3])
        store._run("UPDATE _retrieval SET chunks = json_replace(chunks, '$[1]', NULL)")
        report = build(store.path, tmp_path / "set")
    assert report.evidence == {"cited": 1, "prompted_not_cited": 1}


def test_the_commands(traces, built, tmp_path):
    run = CliRunner().invoke
    result = run(app, ["export", "traces", "--out", str(tmp_path / "lake"), "--db", str(traces), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"]["retrieval"] == 300
    result = run(app, ["export", "traces", "--out", str(tmp_path / "lake"), "--db", str(traces)])
    assert "0 written" in result.stdout
    arguments = ["build", "--out", str(tmp_path / "set"), "--from-parquet", str(tmp_path / "lake"), "--json"]
    result = run(app, arguments)
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "set") == contents(built)


def test_an_engine_that_is_none(traces, tmp_path):
    with pytest.raises(ConfigurationError, match="allowed: duckdb, spark"):
        build(traces, tmp_path / "set", options=BuildOptions(engine="abacus"))


def test_arrow_reads_a_partition_by_itself(exported):
    part = next(Path(exported / "retrieval").rglob("*.parquet"))
    assert pa.types.is_list(pads.dataset(part).schema.field("items").type)
