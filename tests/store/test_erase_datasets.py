"""Erasing reaches what was built: rows, provenance, counts and checksums, and says what to train again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ragwheel import offline
from ragwheel.datasets import BuildOptions, build, open_dataset
from ragwheel.datasets.erase import files_containing
from ragwheel.errors import ConfigurationError, DatasetError, StoreMissing
from ragwheel.store import artifacts
from ragwheel.store.artifacts import list_artifacts, register_artifact
from ragwheel.testing import TraceStore

FORMATS = ("st-triplet", "st-ntuple", "jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database and what was built from it, once: each test gets copies."""
    folder = tmp_path_factory.mktemp("made")
    with TraceStore(folder / "app.db") as store:
        for person in ("ada", "bob"):
            for i in range(12):
                # words of its own: questions that differ in a number alone would be one family
                for _ in range(3):
                    query = " ".join(f"{person}{i}{letter}" for letter in "abcd")
                    asked(store, query, f"{person}{i}", person)
        for person in ("ada", "bob", "cy"):  # what everybody asks
            asked(store, "shared question of all", "shared", person)
    shutil.copy(folder / "app.db", folder / "bare.db")
    build(folder / "app.db", folder / "data", options=BuildOptions(formats=FORMATS, negatives=2))
    return folder


@pytest.fixture
def db(made, tmp_path):
    return Path(shutil.copy(made / "bare.db", tmp_path / "app.db"))


@pytest.fixture
def out(made, db, tmp_path):
    folder = Path(shutil.copytree(made / "data", tmp_path / "data"))
    assert register_artifact(db, "dataset", folder)
    return folder


def asked(store, query, name, person):
    """A turn whose answer cites the first of three chunks that only this query gets."""
    chunks = [f"{name}-{c}" for c in "xyz"]
    store.ask(
        query, chunks, cited=[1], prompted=[1, 2, 3], user_id=person, session_id=f"session {person} {name}"
    )


def held(folder, text):
    return list(files_containing((path for path in folder.rglob("*") if path.is_file()), [text.encode()]))


def rows(folder):
    return {
        config: {
            split: pq.read_table(folder / config / f"{split}.parquet").to_pylist()
            for split in ("train", "dev", "test")
        }
        for config in json.loads((folder / "manifest.json").read_text())["rows"]
    }


def test_rows_provenance_counts_and_checksums(db, out):
    assert held(out, "ada3a")
    before = rows(out)
    found = offline.erase(db, offline.Selection(user="ada"))
    assert found.store.turns == 37
    assert found.still_in == ()
    assert found.store.looked_for > 20
    (erased,) = found.datasets
    assert erased.folder == out
    assert erased.n > 12
    assert erased.of == {config: sum(map(len, splits.values())) for config, splits in before.items()}
    for text in ("ada3a", "ada3-xword3", "ada11-z", "session ada"):
        assert held(out, text) == []
    after = rows(out)
    for config, splits in before.items():
        for split, old in splits.items():
            new = after[config][split]
            assert [
                row for row in old if "ada" not in json.dumps(row) and "shared" not in json.dumps(row)
            ] == [row for row in new if "shared" not in json.dumps(row)]
            lines = (out / "jsonl" / config / f"{split}.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in lines] == new
    opened = open_dataset(out)  # the checksums are right
    for config in opened.configs:
        for split in ("train", "dev", "test"):
            assert opened.manifest["rows"][config][split] == len(after[config][split])
    assert sum(opened.manifest["erased"]["rows"].values()) == erased.n


def test_only_the_owner_can_read_what_is_built(db, out):
    offline.erase(db, offline.Selection(user="ada"))
    assert {path.stat().st_mode & 0o077 for path in (out, *out.rglob("*"))} == {0}


def test_provenance_still_names_the_right_rows(db, out):
    offline.erase(db, offline.Selection(user="ada"))
    opened = open_dataset(out)
    for split in ("train", "dev", "test"):
        pairs = opened.rows("pairs", split).to_pylist()
        origins = opened.provenance("pairs", split).to_pylist()
        assert [origin["row"] for origin in origins] == list(range(len(pairs)))
        for origin in origins:
            assert origin["chunk_id"].split("-")[-1] in "xyz"
            assert origin["chunk_id"].split("-")[0] in pairs[origin["row"]]["document"]


def test_the_splits_forget_the_query_and_no_family_is_named_after_it(db, out):
    known = pq.read_table(out / "splits.parquet")
    offline.erase(db, offline.Selection(user="ada"))
    left = pq.read_table(out / "splits.parquet")
    assert left.num_rows == known.num_rows - 12
    keys = set(left["query_key"].to_pylist())
    assert {family for family in left["family"].to_pylist() if family} <= keys


def test_it_opens_with_datasets_afterwards(db, out, tmp_path):
    datasets = pytest.importorskip("datasets")
    offline.erase(db, offline.Selection(user="bob"))
    counts = json.loads((out / "manifest.json").read_text())["rows"]["pairs"]
    assert 0 in counts.values()  # a split without rows may not be named in the card
    loaded = datasets.load_dataset(str(out), "pairs", cache_dir=str(tmp_path / "cache"))
    assert {split: table.num_rows for split, table in loaded.items()} == {
        split: n for split, n in counts.items() if n
    }


def test_evidence_that_others_gave_too_goes_where_it_is_named(db, out):
    """The shared question has three askers, so its provenance names each: what names the erased one goes."""
    found = offline.erase(db, offline.Selection(user="cy"))
    assert found.store.turns == 1
    assert found.store.texts == 0  # the others had the same chunks
    assert found.datasets[0].n > 0
    spans = {span for row in open_dataset(out).provenance().to_pylist() for span in row["turn_ids"]}
    with offline.reading.reading(db) as connection:
        assert spans <= {row[0] for row in connection.execute("SELECT turn_id FROM turns")}
    assert held(out, "bob3a")


def test_a_dry_run_says_it_and_changes_nothing(db, out):
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} | {db: db.read_bytes()}
    register_artifact(db, "model", out.parent / "model", parents=[out])
    files[db] = db.read_bytes()
    planned = offline.erase(db, offline.Selection(user="ada"), dry_run=True)
    assert {path: path.read_bytes() for path in files} == files
    assert not any(artifact.stale for artifact in list_artifacts(db))
    done = offline.erase(db, offline.Selection(user="ada"))
    assert (planned.store.turns, planned.store.chunks) == (done.store.turns, done.store.chunks)
    assert [planned.datasets[0].rows, planned.retrain[0].path] == [
        done.datasets[0].rows,
        done.retrain[0].path,
    ]


def test_models_and_what_was_made_of_them_are_named_until_made_again(db, out, tmp_path):
    offline.erase(db, offline.Selection(user="nobody"))
    for name, parents in (("m1", [out]), ("merged", [tmp_path / "m1"]), ("m2", [tmp_path / "elsewhere"])):
        assert register_artifact(db, "model", tmp_path / name, parents=parents, subjects=3)
    (tmp_path / "examples.json").write_text("what did ada3a ada3b ada3c ada3d mean?")
    register_artifact(db, "fewshot", tmp_path / "examples.json")
    found = offline.erase(db, offline.Selection(user="ada"))
    assert {made.path.name for made in found.retrain} == {"m1", "merged", "examples.json"}
    assert {path.name for path in found.still_in} == {"examples.json"}
    stale = {artifact.path.name for artifact in list_artifacts(db) if artifact.stale}
    assert stale == {"m1", "merged", "examples.json"}
    for user in ("ada", "bob"):  # of those that are gone from the disk nothing need be made again
        found = offline.erase(db, offline.Selection(user=user))
        assert "examples.json" in {made.path.name for made in found.retrain}
    register_artifact(db, "model", tmp_path / "m1", parents=[out])  # made again
    assert "m1" not in {artifact.path.name for artifact in list_artifacts(db) if artifact.stale}


def test_a_dataset_that_is_gone_is_named_and_so_is_its_model(db, out, tmp_path):
    register_artifact(db, "model", tmp_path / "model", parents=[out])
    moved = out.rename(tmp_path / "moved")
    found = offline.erase(db, offline.Selection(user="ada"))
    assert [gone.path for gone in found.missing] == [out]
    assert [made.path.name for made in found.retrain] == ["model"]
    assert held(moved, "ada3a")


def test_a_folder_may_be_named(db, out, tmp_path):
    moved = out.rename(tmp_path / "moved")
    found = offline.erase(db, offline.Selection(user="ada"), datasets=[moved])
    assert found.datasets[0].n > 0
    assert held(moved, "ada3a") == []


def test_what_is_not_a_dataset_is_refused_before_anything_happens(db, out, tmp_path):
    before = db.read_bytes()
    with pytest.raises(DatasetError, match="not a dataset folder"):
        offline.erase(db, offline.Selection(user="ada"), datasets=[tmp_path])
    (out / "provenance.parquet").write_bytes(b"broken")
    with pytest.raises(DatasetError, match="Nothing was erased"):
        offline.erase(db, offline.Selection(user="ada"))
    assert before == db.read_bytes()


def test_killed_between_dataset_and_store_the_same_command_finishes(db, out, tmp_path):
    register_artifact(db, "model", tmp_path / "model", parents=[out])
    pid = os.fork()
    if pid == 0:
        from ragwheel.offline import erasing

        vars(erasing)["mark_erased"] = lambda *_: os.kill(os.getpid(), 9)
        offline.erase(db, offline.Selection(user="ada"))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 9
    assert held(out, "ada3a") == []
    found = offline.erase(db, offline.Selection(user="ada"))
    assert found.store.turns == 37
    assert [made.path.name for made in found.retrain] == ["model"]


def test_a_judge_is_a_person_too(db, out, tmp_path):
    with TraceStore(tmp_path / "judged.db") as store:
        store.ask("judged question one two", ["a", "b"], cited=[1], prompted=[1, 2])
        store.judge("judged question one two", "b", 5, judge="judge-dora")
    folder = tmp_path / "judged"
    build(tmp_path / "judged.db", folder)
    assert held(folder, "judge-dora")
    found = offline.erase(tmp_path / "judged.db", offline.Selection(user="judge-dora"))
    assert found.store.judgments == 1
    assert found.still_in == ()
    assert held(folder, "judge-dora") == []


def test_the_register_takes_what_is_built_and_never_stands_in_the_way(made, db, tmp_path):
    (known,) = list_artifacts(made / "app.db")
    assert (known.kind, known.path, known.parents, known.stale) == ("dataset", made / "data", (), False)
    assert register_artifact(tmp_path / "no.db", "model", "m") is False
    (tmp_path / "diary").write_text("dear diary")
    assert register_artifact(tmp_path / "diary", "model", "m") is False
    assert list_artifacts(tmp_path / "no.db") == []
    assert not (tmp_path / "no.db").exists()
    with pytest.raises(ConfigurationError, match="re-ranker"):
        register_artifact(db, "reranker", "m")
    circle = [artifacts.Artifact("model", tmp_path / a, (tmp_path / b,), None, 1) for a, b in ("ab", "ba")]
    assert artifacts.descendants(circle, [tmp_path / "a"]) == circle


def test_no_database_is_said(tmp_path):
    with pytest.raises(StoreMissing):
        offline.erase(tmp_path / "no.db", offline.Selection(user="ada"))
