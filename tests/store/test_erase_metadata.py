"""What echoes an erased question in the metadata of chunks that others were shown, too."""

import json
import sqlite3
from contextlib import closing

import pytest

import ragwheel
from ragwheel.journal import files
from ragwheel.store import erase, merge_journal, open_store
from ragwheel.store.erase_proof import files_of, found_in

SECRET = "my HIV diagnosis"


@pytest.fixture
def ask(tmp_path):
    """Ask as somebody: every chunk comes with metadata made from the question."""
    db = tmp_path / "app.db"
    ragwheel.configure(db, merge_interval_s=60)

    def ask(user, query, **metadata):
        search = ragwheel.retriever(
            lambda query: [{"id": id, "text": f"text of {id}", "metadata": metadata} for id in ("a", "b")],
            source="kb",
        )
        with ragwheel.turn(query, user_id=user):
            search(query)
        return db

    return ask


def metadata(db):
    """Of every impression as it was shown, by query."""
    connection = open_store(db)
    try:
        found = {}
        for query, rank, stored, extras in connection.execute(
            "SELECT r.query, e.key + 1, c.metadata, r.extras FROM _retrieval r, json_each(r.chunks) e"
            " JOIN _chunk c ON c.chunk_id = e.value ORDER BY r.start_ns"
        ):
            shown = {**json.loads(stored or "{}"), **json.loads(extras or "{}").get(str(rank), {})}
            found.setdefault(query, []).append({k: v for k, v in shown.items() if v is not None})
        return found
    finally:
        connection.close()


def gone(db, *words):
    ragwheel.shutdown()
    assert found_in(files_of(db), [word.encode() for word in (SECRET, *words)]) == ()


@pytest.mark.parametrize("merged", [True, False], ids=["in SQLite", "in the journal"])
def test_a_highlight_a_rewritten_query_and_nested_copies_go(ask, merged):
    db = ask(
        "ada",
        SECRET,
        highlight="my <em>HIV</em> diagnosis",
        rewritten="human immunodeficiency test",
        debug={"steps": [{"query": SECRET}]},
        page=3,
    )
    ask("bob", "opening hours", highlight="<em>opening</em> hours", page=3)
    ask("cleo", "prices", page=4, lang="en")
    if merged:
        assert ragwheel.flush()
    before = metadata(db)
    report = erase(db, user="ada")
    assert report.echoes == ()
    del before[SECRET]
    assert metadata(db) == before
    gone(db, "<em>HIV</em>", "immunodeficiency")


def test_what_others_were_shown_in_the_same_words_stays_and_is_named(ask):
    db = ask("ada", SECRET, highlight=f"<b>{SECRET.upper()}</b>")
    ask("bob", "opening hours", highlight=f"<b>{SECRET.upper()}</b>")
    report = erase(db, user="ada")
    assert report.echoes == ("kb/a (metadata)", "kb/b (metadata)")
    assert metadata(db)["opening hours"] == 2 * [{"highlight": f"<b>{SECRET.upper()}</b>"}]
    assert report.still_in == ()


def test_a_chunk_that_stays_for_a_judgment_alone_has_no_metadata(ask):
    db = ask("ada", SECRET, highlight=f"<em>{SECRET}</em>")
    assert ragwheel.flush()
    connection = sqlite3.connect(db)
    connection.execute(
        "INSERT INTO _judgment (query, source, chunk, grade, judge, judge_kind, at_ns)"
        " VALUES ('hours', 'kb', 'a', 5, 'ann', 'human', 1)"
    )
    connection.commit()
    connection.close()
    assert erase(db, user="ada").chunks == 1
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT app_id, metadata FROM _chunk").fetchall() == [("a", None)]
    gone(db)


def test_texts_with_quotes_and_newlines_are_looked_for_as_json_has_them(ask):
    query = 'is "Ada"\nill?'
    db = ask("ada", query, highlight=query)
    ask("bob", "hours", highlight="hours")
    report = erase(db, user="ada")
    assert report.looked_for == 2
    gone(db, json.dumps(query)[1:-1])


def test_records_after_the_erasure_are_stored_against_the_metadata_that_is_left(ask):
    db = ask("ada", SECRET, highlight=SECRET)
    ask("bob", "hours", highlight="hours")
    assert ragwheel.flush()
    erase(db, user="ada")
    ask("cleo", "prices", highlight="prices", page=1)
    assert ragwheel.flush()
    merge_journal(db)
    assert metadata(db) == {
        "hours": 2 * [{"highlight": "hours"}],
        "prices": 2 * [{"highlight": "prices", "page": 1}],
    }
    assert files.segments(db) != []
