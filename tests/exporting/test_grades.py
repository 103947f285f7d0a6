"""The grades of a store as a file: its rows, its forms, and what happens when it cannot be written."""

from __future__ import annotations

import csv
import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.errors import ConfigurationError, DatasetError, StoreMissing
from ragwheel.exporting import export_grades
from ragwheel.labels import graded
from ragwheel.labels.graded import STAGES
from ragwheel.testing import TraceStore

COLUMNS = [
    "query", "source", "chunk_id", "chunk_version", "status", "grade", "belief", "confidence", "n_evidence",
    "n_subjects", "reason",
]  # fmt: skip
QUERY = "how long may a refund take"


@pytest.fixture
def db(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        for user in ("ann", "bob", "cid"):
            asked = store.ask(QUERY, ["a", "b", "c"], cited=[1], prompted=[1, 2, 3], user_id=user)
            store.signal(asked, "click", "a", subject=user)
        store.ask(QUERY.upper() + "?", ["a"], cited=[1], prompted=[1])
        store.chunk("b", "another text about refunds, written later")
        asked = store.ask("where is the form", ["b", "d"], cited=[1], prompted=[1, 2])
        store.signal(asked, "delete", "d", subject="ann")
        once = store.ask("where is the form", ["b", "d", "e"], shown=[1, 2, 3], answer=None)
        store.signal(once, "click", "e", subject="bob")
        store.judge("only judged, never asked", "c", 5)
    return store.path


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file]


def test_a_row_for_every_query_group_and_chunk_version_abstentions_too(db, tmp_path):
    report = export_grades(db, tmp_path / "grades.parquet")
    table = pq.read_table(report.out)
    every = graded(db).to_pylist()
    assert table.column_names == COLUMNS
    assert report.rows == table.num_rows == len(every) > 0
    assert report.queries == len({row["query_key"] for row in every}) == 3
    assert sum(report.statuses.values()) == report.rows
    assert "abstain" in report.statuses
    assert "positive" in report.statuses
    by_belief = {(row["query"], row["chunk_id"], row["version"]): row["belief"] for row in every}
    for row in table.to_pylist():
        assert row["belief"] == by_belief[row["query"], row["chunk_id"], row["chunk_version"]]
        assert 0 <= row["belief"] <= 1
        assert (row["reason"] is None) == (row["status"] in ("positive", "middle"))
    assert {row["reason"] for row in table.to_pylist() if row["status"] == "abstain"} == {
        row["reason"] for row in every if row["status"] == "abstain"
    }


def test_a_query_is_the_most_frequent_wording_of_its_group_also_one_that_was_only_judged(db, tmp_path):
    export_grades(db, tmp_path / "grades.jsonl")
    assert {row["query"] for row in read(tmp_path / "grades.jsonl")} == {
        QUERY, "where is the form", "only judged, never asked",
    }  # fmt: skip


def test_versions_of_a_chunk_count_from_one_in_the_order_in_which_they_were_seen(db, tmp_path):
    export_grades(db, tmp_path / "grades.jsonl")
    versions = {
        (row["query"], row["chunk_id"]): row["chunk_version"] for row in read(tmp_path / "grades.jsonl")
    }
    assert versions[QUERY, "a"] == versions[QUERY, "b"] == versions[QUERY, "c"] == 1
    assert versions["where is the form", "b"] == 2
    assert versions["where is the form", "d"] == 1


def test_the_three_forms_hold_the_same_rows_in_the_same_order(db, tmp_path):
    rows = {}
    for ending in ("parquet", "csv", "jsonl"):
        rows[ending] = read(export_grades(db, tmp_path / f"grades.{ending}").out)
    assert rows["parquet"] == rows["jsonl"]
    texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows["parquet"]]
    assert rows["csv"] == texts
    order = [(row["query"], -row["belief"]) for row in rows["parquet"]]
    assert order == sorted(order)


def test_an_earlier_file_is_replaced_whole_and_stays_when_the_export_is_stopped(db, tmp_path):
    out = tmp_path / "new folder" / "grades.csv"
    stages = []
    export_grades(db, out, progress=lambda stage, done, total: stages.append(stage))
    assert list(dict.fromkeys(stages)) == [*STAGES, "write"]
    before = out.read_bytes()
    assert out.stat().st_mode & 0o777 == 0o600

    def stop(stage, done, total):
        if stage == "write":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_grades(db, out, progress=stop)
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["grades.csv"]
    export_grades(db, out)
    assert out.read_bytes() == before


def test_a_store_without_evidence_gives_the_columns_and_no_rows(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        store.ask("a question", ["a"], answer=None)
    for ending in ("parquet", "csv", "jsonl"):
        report = export_grades(store.path, tmp_path / f"grades.{ending}")
        assert (report.rows, report.queries, report.statuses) == (0, 0, {})
        assert read(report.out) == []
    assert pq.read_table(tmp_path / "grades.parquet").column_names == COLUMNS
    assert (tmp_path / "grades.csv").read_text("utf-8").strip() == ",".join(COLUMNS)


def test_what_cannot_be_written_says_so_and_leaves_everything_as_it_was(db, tmp_path):
    with pytest.raises(ConfigurationError, match=r"allowed: a name that ends in \.parquet, \.csv, \.jsonl"):
        export_grades(db, tmp_path / "grades.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DatasetError, match="is a folder and was left as it is"):
        export_grades(db, tmp_path / "folder.csv")
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(DatasetError, match="cannot be written"):
        export_grades(db, tmp_path / "file" / "grades.csv")
    with pytest.raises(StoreMissing):
        export_grades(tmp_path / "none.db", tmp_path / "grades.csv")
    assert not (tmp_path / "grades.csv").exists()


def test_the_command_says_what_it_wrote_and_takes_a_policy(db, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text("[grading]\nmin_subjects = 50\n", "utf-8")
    args = ["export", "grades", "--db", str(db), "--out", str(tmp_path / "g.csv"), "--json"]
    done = CliRunner().invoke(app, [*args, "--policy", str(policy)])
    assert done.exit_code == 0, done.output
    strict = json.loads(done.stdout)["statuses"]
    loose = json.loads(CliRunner().invoke(app, args).stdout)["statuses"]
    assert strict["abstain"] > loose["abstain"]
    told = CliRunner().invoke(app, args[:-1])
    assert "of 3 queries" in told.stdout
    assert "positive" in told.stdout
    missing = CliRunner().invoke(app, ["export", "grades", "--db", str(db)])
    assert missing.exit_code != 0
