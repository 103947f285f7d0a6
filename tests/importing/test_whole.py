"""An import from end to end: stopped and gone on with, at the command line, and built into training rows."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from typer.testing import CliRunner

from ragwheel.cli.app import app
from ragwheel.datasets import build
from ragwheel.errors import DatasetError
from ragwheel.importing import ImportOptions, import_traces, run
from ragwheel.importing.containers import documents


def command(*arguments):
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


class Stopped(BaseException):
    """Stands for Ctrl-C."""


def test_an_import_that_was_stopped_goes_on_when_it_is_repeated(imported, write, phoenix_trace, monkeypatch):
    monkeypatch.setattr(run, "TRACES_PER_BATCH", 2)
    file = write("spans.jsonl", [span for n in range(1, 10) for span in phoenix_trace(trace=f"{n:02x}")])

    def stop(work, done, total):
        if work == "writing" and done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        import_traces(imported.path, [file], ImportOptions(), progress=stop)
    assert imported.rows("SELECT count(*) FROM retrievals") == [(4,)]
    assert imported.rows("SELECT count(*) FROM turns") == [(4,)]
    report = imported(file)
    assert (report.new["retrievals"], report.same["retrievals"]) == (5, 4)
    assert imported.rows("SELECT count(*) FROM citations WHERE matched") == [(9,)]


def test_a_batch_that_fails_leaves_no_half_of_a_trace(imported, write, phoenix_trace, monkeypatch):
    file = write("spans.jsonl", phoenix_trace())

    def broken(*_, **__):
        raise Stopped

    monkeypatch.setattr("ragwheel.store.imported.TraceWriter.turn", broken)
    with pytest.raises(Stopped):
        imported(file)
    assert imported.rows("SELECT count(*) FROM retrievals") == [(0,)]


def test_a_record_that_is_too_long_is_counted_and_the_next_ones_are_read(
    imported, write, phoenix_trace, monkeypatch
):
    monkeypatch.setattr(documents, "READ_BYTES", 2_000)
    monkeypatch.setattr(documents, "MAX_RECORD_CHARS", 20_000)
    long = json.dumps({"name": "x" * 100_000})
    spans = [json.dumps(span) for span in phoenix_trace()]
    report = imported(write("spans.jsonl", "\n".join([long, *spans]) + "\n"))
    assert report.contents.unreadable == {"a record longer than 64 MB": 1}
    assert imported.rows("SELECT count(*) FROM retrievals") == [(1,)]


def test_the_command_prints_what_is_there_before_what_was_imported(write, phoenix_trace, tmp_path):
    db = tmp_path / "new.db"
    done = command(write("spans.jsonl", phoenix_trace()), "--db", db)
    assert done.exit_code == 0, done.output
    assert done.output.index("in the files") < done.output.index("imported")
    assert "Phoenix / OpenInference" in done.output
    assert "new.db was made" in done.output.replace("\n", "")
    again = json.loads(command(tmp_path / "spans.jsonl", "--db", db, "--json").stdout)
    assert (again["new"], again["same"]["retrievals"]) == ({}, 1)


def test_a_folder_is_an_evaluation_set_and_two_kinds_contradict_each_other(tmp_path):
    assert command(tmp_path, "--kind", "judgments", "--evalset").exit_code == 1
    done = command(tmp_path, "--db", tmp_path / "x.db")
    assert done.exit_code == 1
    assert "neither qrels/" in str(done.output) + str(done.stderr)


def test_trulens_keeps_its_events_in_sqlite(imported, tmp_path):
    path = tmp_path / "default.sqlite"
    root = {"span_type": "record_root", "record_root.input": "q", "record_root.output": "A [1]."}
    retrieval = {
        "span_type": "retrieval",
        "retrieval.query_text": "q",
        "retrieval.retrieved_contexts": ["Text."],
    }
    spans = [
        (span, parent, {f"ai.observability.{key}": value for key, value in values.items()})
        for span, parent, values in (("1", "", root), ("2", "1", retrieval))
    ]
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE trulens_events (event_id, record, record_attributes, record_type, resource_attributes,"
        " start_timestamp, timestamp, trace)"
    )
    for span, parent, attributes in spans:
        connection.execute(
            "INSERT INTO trulens_events VALUES (?, ?, ?, 'SPAN', '{}', '2026-01-01 10:00:00', NULL, ?)",
            (
                span,
                json.dumps({"name": "app.Kb.search", "parent_span_id": parent}),
                json.dumps(attributes),
                json.dumps({"trace_id": "77", "span_id": span, "parent_id": parent}),
            ),
        )
    connection.commit()
    connection.close()
    imported(path)
    assert [row[2] for row in imported.ranked()["q"]] == ["Text."]
    assert imported.rows("SELECT answer, n_citations FROM turns") == [("A [1].", 1)]


def test_imported_traces_build_training_rows(imported, write, phoenix_trace, tmp_path):
    spans, notes = [], []
    for n in range(1, 31):
        chunks = [
            {"id": f"c{n}-{k}", "content": f"passage {k} about subject{n} word{n * 7 + k}"} for k in range(4)
        ]
        trace = phoenix_trace(
            trace=f"{n:02x}", question=f"what is subject{n} really?", answer="That [1].", chunks=chunks
        )
        spans += trace
        notes += [
            {
                "span_id": trace[1]["context"]["span_id"], "name": "relevance", "annotator_kind": "HUMAN",
                "document_position": position, "result": {"score": score},
            }
            for position, score in ((0, 1), (1, 0))
        ]  # fmt: skip
    imported(write("spans.jsonl", spans), write("notes.jsonl", notes))
    build(imported.path, tmp_path / "dataset")
    import pyarrow.parquet as pq

    triplets = pq.read_table(tmp_path / "dataset" / "triplets" / "train.parquet").to_pylist()
    assert len(triplets) >= 10
    for row in triplets:
        subject = row["anchor"].split()[2]
        assert row["positive"].startswith(f"passage 0 about {subject}")


def test_chunks_without_a_text_never_become_training_rows(imported, write, phoenix_trace, tmp_path):
    notes, spans = [], []
    for n in range(1, 16):
        chunks = [
            {"id": f"h{n}-{k}"} if k else {"id": f"h{n}-0", "content": f"passage {n}"} for k in range(3)
        ]
        trace = phoenix_trace(trace=f"{n:02x}", question=f"what is subject{n} really?", chunks=chunks)
        spans += trace
        notes += [
            {
                "span_id": trace[1]["context"]["span_id"], "name": "relevance", "annotator_kind": "HUMAN",
                "document_position": position, "result": {"score": score},
            }
            for position, score in ((0, 0), (1, 1))
        ]  # fmt: skip
    imported(write("spans.jsonl", spans), write("notes.jsonl", notes))
    assert imported.rows("SELECT count(*) FROM judgments WHERE grade = 5") == [(15,)]
    import pyarrow.parquet as pq

    with contextlib.suppress(DatasetError):  # nothing is left to build from
        build(imported.path, tmp_path / "dataset")
    for path in (tmp_path / "dataset").glob("*/*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert all(not isinstance(value, str) or value.strip() for value in row.values()), path
