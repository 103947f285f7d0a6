"""What is derived from a text is as redacted as the text: ids, metadata keys, what a client keeps on disk."""

import shutil
import sqlite3
import subprocess
import sys
from hashlib import blake2b
from types import SimpleNamespace

import pytest

import ragwheel
from ragwheel.client import SignalClient
from ragwheel.host.columns import content_hash
from ragwheel.store import backup
from ragwheel.store.erase_proof import files_of, found_in

TEXT = "call +49 30 1234567"
TRIED = {"text:" + blake2b(text.encode(), digest_size=16).hexdigest()[:16] for text in (TEXT, "call [phone]")}
SEARCH = (
    "import sys, ragwheel\n"
    "ragwheel.configure(sys.argv[1], redact='standard')\n"
    "ragwheel.retriever(lambda query: [sys.argv[2]])('q')\n"
)


@pytest.fixture
def db(tmp_path):
    ragwheel.configure(tmp_path / "app.db", redact="standard", merge_interval_s=60)
    return tmp_path / "app.db"


def asked(db, sql):
    assert ragwheel.flush(30)
    connection = sqlite3.connect(db)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_an_id_made_from_a_text_cannot_be_found_by_trying_texts(db):
    ragwheel.retriever(lambda query: [TEXT])("q")
    ((key, text),) = asked(db, "SELECT chunk_id, text FROM chunks")
    assert text == "call [phone]"
    assert key.startswith("text:")
    assert key not in TRIED


def test_texts_that_are_alike_once_redacted_are_one_chunk_and_ids_of_the_app_stay(db):
    result = ["call +49 30 1234567", "call +49 30 7654321", {"id": "text:own", "text": TEXT}]
    assert ragwheel.retriever(lambda query: result)("q") is result
    assert len(asked(db, "SELECT chunk_id FROM chunks WHERE text = 'call [phone]'")) == 2
    assert ("text:own",) in asked(db, "SELECT chunk_id FROM chunks")


def test_the_app_refers_to_such_a_chunk_as_ever(db):
    document = SimpleNamespace(page_content=TEXT)
    for result in ([TEXT, "other"], [document, SimpleNamespace(page_content="other")]):
        search = ragwheel.retriever(lambda query, result=result: result)
        with ragwheel.turn("q") as turn:
            search("q")
            turn.prompted(result[:1])
            turn.answer("yes", citations=[result[0]])
        assert ragwheel.signal(turn.handle, "click", chunk=result[0])
        assert ragwheel.signal(turn.handle, "click", chunk=turn.retrievals[0].chunk_ids[0])
        assert not ragwheel.signal(turn.handle, "click", chunk="nobody's")
    with ragwheel.turn("q") as turn:
        ragwheel.retriever(lambda query: [TEXT])("q")
        turn.answer("yes", citations=["call " + "+49 30 1234567"])  # an equal text, not the same object
    assert asked(db, "SELECT count(*) FROM citations WHERE NOT matched") == [(0,)]
    assert asked(db, "SELECT count(*), count(DISTINCT chunk_id) FROM signals") == [(4, 1)]
    assert asked(db, "SELECT sum(was_prompted) FROM impressions WHERE rank = 1") == [(3,)]


def test_a_reranker_finds_the_chunks_again(db):
    with ragwheel.turn("q"):
        ragwheel.retriever(lambda query: [TEXT, "other"])("q")
        ragwheel.start_retrieval("q", source="kb", kind="rerank").finish(["other", TEXT])
    assert asked(db, "SELECT in_ranks FROM _retrieval WHERE kind = 1") == [("[2,1]",)]


def test_processes_and_restored_backups_share_the_key_and_databases_do_not(tmp_path):
    def ids(db):
        connection = sqlite3.connect(db)
        try:
            return {key for (key,) in connection.execute("SELECT chunk_id FROM chunks")}
        finally:
            connection.close()

    def search(db, text):
        subprocess.run([sys.executable, "-c", SEARCH, db, text], check=True)

    one, other, restored = (tmp_path / folder / "app.db" for folder in ("one", "other", "restored"))
    for db in (one, other, restored):
        db.parent.mkdir()
    search(one, TEXT)
    search(one, "call +49 30 7654321")
    assert len(ids(one)) == 1
    search(other, TEXT)
    assert ids(other).isdisjoint(ids(one))
    backup(one, restored)
    search(restored, TEXT)
    assert ids(restored) == ids(one)
    shutil.rmtree(one.with_name("app.db.segments"))
    search(one, TEXT)
    assert len(ids(one)) == 1


def test_nested_keys_and_rewritten_queries_in_metadata(db):
    mail = "ada@example.org"
    metadata = {
        "rewritten_query": f"who is {mail}?",
        "hits": [{f"by {mail}": {"deep": [f"<em>{mail}</em>", {f"{mail}": 1}]}}],
        "pair": (mail, 2),
    }
    ragwheel.retriever(lambda query: [{"id": "a", "text": "t", "metadata": metadata}])(f"is {mail} here?")
    ((kept,),) = asked(db, "SELECT metadata FROM chunks")
    assert kept.count("[email]") == 5
    assert "rewritten_query" in kept
    ragwheel.shutdown()
    assert found_in(files_of(db), [b"ada@example"]) == ()


def test_a_client_redacts_before_it_writes_its_outbox(tmp_path):
    with SignalClient("http://127.0.0.1:9", outbox=tmp_path / "out", redact="standard") as client:
        assert client.signal("h", "reformulate", query="mail ada@example.org", comment="ada@example.org")
        files = list((tmp_path / "out.outbox.segments").iterdir())
        assert found_in(files, [b"ada@example"]) == ()
        assert found_in(files, [b"mail [email]"]) != ()


def test_without_redaction_ids_are_what_they_were(tmp_path):
    ragwheel.configure(tmp_path / "plain.db", merge_interval_s=60)
    ragwheel.retriever(lambda query: [TEXT])("q")
    assert asked(tmp_path / "plain.db", "SELECT chunk_id FROM chunks") == [
        ("text:" + content_hash(TEXT).hex()[:16],)
    ]
