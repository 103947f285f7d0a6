"""The poisoning benchmark: liars lie as they are told, and what it counts is counted right."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store
from ragwheel.testing import Liars, TraceSpec, World, synthetic_world, write_traces

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SPEC = TraceSpec(turns=40, users=8, queries=4, chunks=40, k=10, returned=5)


@pytest.fixture
def poison(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pytest.importorskip("bm25s")
    from poison import grades, world

    return grades, world


def rows(path, sql):
    with closing(open_store(path)) as connection:
        return connection.execute(sql).fetchall()


def test_honest_people_do_the_same_with_and_without_liars(tmp_path):
    write_traces(tmp_path / "clean.db", SPEC)
    write_traces(tmp_path / "lied.db", SPEC, liars=Liars(0.2))
    sql = "SELECT * FROM signals WHERE subject NOT LIKE 'l%' ORDER BY event_id"
    assert rows(tmp_path / "clean.db", sql) == rows(tmp_path / "lied.db", sql) != []
    liars = rows(tmp_path / "lied.db", "SELECT DISTINCT subject FROM signals WHERE subject LIKE 'l%'")
    assert len(liars) == 2, "one in five of ten people"


@pytest.mark.parametrize(("attack", "kinds"), [("promote", "thumbs_up"), ("demote", "delete")])
def test_a_target_is_all_that_they_talk_about(tmp_path, attack, kinds):
    world = synthetic_world(SPEC)
    target = world.rankings[2][0]
    write_traces(tmp_path / "lied.db", SPEC, world, liars=Liars(0.2, attack, target, repeat=40))
    said = rows(
        tmp_path / "lied.db",
        "SELECT DISTINCT r.query, s.chunk_id FROM signals s JOIN retrievals r USING (retrieval_id) "
        f"WHERE s.subject LIKE 'l%' AND s.kind = '{kinds}'",
    )
    assert {chunk for _, chunk in said} == {world.chunks[target][0]}
    assert {query for query, _ in said} <= {
        query for query, ranking in zip(world.queries, world.rankings) if target in ranking[:6]
    }


def test_a_target_that_nobody_sees_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no query displays"):
        write_traces(tmp_path / "lied.db", SPEC, liars=Liars(0.2, "promote", 10_000))


def test_what_counts_as_moved(poison):
    grades, _ = poison
    key = query_key("q")
    world = World(["q"], [("a", "A"), ("b", "B"), ("c", "C"), ("d", "D")], [[0, 1, 2, 3]], [{0: 1}])
    clean = grades.DefendedGrades(
        {(key, "a"): 4.0, (key, "b"): 0.5},
        frozenset({(key, "a")}),
        dict.fromkeys([(key, "c"), (key, "d")], 2.0),
    )
    lied = grades.DefendedGrades(
        {(key, "a"): 4.9, (key, "c"): 3.5, (key, "d"): 1.5},
        frozenset({(key, "a"), (key, "c")}),
        {(key, "b"): 2.0},
    )
    found = grades.effect(clean, lied, world, target=2)
    assert found.grades == 4
    assert found.moved == 0.25, (
        "c is told only because of the lies; a moved by less than a step, d nearly none"
    )
    assert found.silenced == 0.25, "b"
    assert found.moved_of_target == 1.0
    assert (found.precision, found.precision_lost, found.right_positives) == (0.5, 0.5, 1)


def test_a_beir_folder_becomes_a_world(poison, tmp_path):
    _, world = poison
    texts = ["logs are rotated by logrotate", "tail follows a file", "grep finds lines", "sed edits streams"]
    lines = [json.dumps({"_id": f"d{n}", "title": "", "text": text}) for n, text in enumerate(texts)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "who rotates logs?"}))
    (tmp_path / "qrels.train.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\n")
    found = world.read_world(tmp_path, 10, k=2)
    assert found.rankings[0][0] == 0
    assert world.promoted_and_demoted(found, 2)[1] == 0
    with pytest.raises(SystemExit, match=r"no corpus\.jsonl"):
        world.read_world(tmp_path / "elsewhere", 10, k=2)
