"""A word that the hook removes is pushed through every input and must be found in no byte anywhere."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ragwheel
from ragwheel.journal import files
from ragwheel.store.erase_proof import files_of, found_in

CANARY = "canary7c0ffee"


def remove(text):
    return text.replace(CANARY, "[gone]")


class Raises:
    """A value of the host's whose every look raises, with the word in the message."""

    def __str__(self):
        raise ValueError(f"cannot show {CANARY}")

    __repr__ = __str__

    @property
    def page_content(self):
        raise RuntimeError(f"no content {CANARY}")

    @property
    def metadata(self):
        raise KeyError(CANARY)


def no_trace(db, caplog, exporter=None):
    ragwheel.flush(30)
    places = files_of(db)
    assert places
    assert found_in(places, [CANARY.encode()]) == ()
    assert CANARY not in caplog.text
    assert CANARY not in "".join(str(record.__dict__) for record in caplog.records)
    if exporter is not None:
        spans = exporter.get_finished_spans()
        assert spans
        assert CANARY not in "".join(span.to_json() for span in spans)


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.setattr("ragwheel.guard.guard.strict", False)
    return tmp_path / "app.db"


def chunks():
    return [
        {
            "id": "a",
            "text": f"text {CANARY}",
            "metadata": {"author": CANARY, "deep": {"list": [{"x": CANARY}]}},
        },
        {
            "id": "b",
            "text": "two",
            "metadata": {f"key of {CANARY}": 1, "deep": {f"{CANARY}@x": {"y": CANARY}}},
        },
        {"id": "c", "text": CANARY * 500, "score": 0.5},
        {
            "id": "d",
            "text": "object",
            "metadata": {"object": SimpleNamespace(name=CANARY), "raises": Raises()},
        },
        Raises(),
    ]


def ask_everything():
    @ragwheel.retriever(source="kb")
    def search(query):
        return chunks()

    @ragwheel.retriever(source="broken")
    def breaks(query):
        raise LookupError(f"nothing for {CANARY}")

    with ragwheel.turn(f"asked {CANARY}", session_id="s1", user_id="u1") as turn:
        found = search(f"query {CANARY}")
        search({"question": f"as a dict {CANARY}"})
        search(Raises())
        with pytest.raises(LookupError):
            breaks(f"and {CANARY}")
        turn.prompted(found[:2])
        turn.shown(found)
        turn.answer(f"answer {CANARY} [1]. Also [2] and [9].", reasoning=f"as in {CANARY}")
    with ragwheel.turn(f"again {CANARY}") as other:
        search("x")
        quote = {"id": "a", "quote": f"quote {CANARY}"}
        other.answer(Raises(), reasoning=Raises(), citations=[quote, Raises()])
    with pytest.raises(LookupError), ragwheel.turn(f"fails {CANARY}"):
        raise LookupError(CANARY)
    for kind, given in {
        "click": {"rank": 1},
        "reformulate": {"query": f"rather {CANARY}", "other": other.handle},
        "rating": {"chunk": "a", "value": 4},
        "thumbs_up": {"chunk": Raises()},
        "no such kind": {"query": CANARY},
    }.items():
        ragwheel.signal(turn.retrievals[0].handle, kind, subject="u1", **given)
    ragwheel.signal(f"bad handle {CANARY}", "click")
    ragwheel.signal(turn.handle, "reformulate", query=f"turn {CANARY}")
    return turn


PROVIDERS = {
    "anthropic": {
        "content": [
            {
                "type": "text",
                "text": f"said {CANARY}",
                "citations": [
                    {
                        "type": "char_location",
                        "cited_text": f"text {CANARY}",
                        "document_index": 0,
                        "document_title": CANARY,
                        "start_char_index": 0,
                        "end_char_index": 5,
                    }
                ],
            }
        ]
    },
    "openai": {
        "output": [
            {
                "type": "message",
                "content": [
                    {
                        "type": "output_text",
                        "text": f"said {CANARY}",
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url": f"https://x/{CANARY}",
                                "title": CANARY,
                                "start_index": 0,
                                "end_index": 4,
                            }
                        ],
                    }
                ],
            }
        ]
    },
    "cohere": {
        "text": f"said {CANARY}",
        "citations": [{"start": 0, "end": 4, "text": CANARY, "document_ids": ["a"]}],
    },
}


@pytest.mark.parametrize("content", [False, True], ids=["ids only", "with content"])
def test_every_input(db, caplog, content):
    exporter = InMemorySpanExporter()
    caplog.set_level(logging.DEBUG)
    ragwheel.configure(db, redact=remove, exporters=[exporter], export_content=content)
    ask_everything()
    assert ragwheel.stats().emitted > 8
    assert found_in(sorted(files.segment_folder(db).iterdir()), [CANARY.encode()]) == ()
    no_trace(db, caplog, exporter)
    ragwheel.shutdown()
    no_trace(db, caplog, exporter)


def test_the_word_gets_everywhere_without_the_hook(db, caplog):
    """So that the tests of this page could fail."""
    ragwheel.configure(db)
    ask_everything()
    ragwheel.flush(30)
    assert found_in(files_of(db), [CANARY.encode()])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_citations_of_providers(db, caplog, provider):
    exporter = InMemorySpanExporter()
    ragwheel.configure(db, redact=remove, exporters=[exporter], export_content=True)
    with ragwheel.turn(f"q {CANARY}") as turn:
        ragwheel.retriever(lambda query: chunks(), source="kb")("q")
        turn.answer(PROVIDERS[provider])
    no_trace(db, caplog, exporter)


def test_a_hook_that_fails_over_it_says_nothing(db, caplog):
    def fails(text):
        raise ValueError(f"cannot redact {text}")

    ragwheel.configure(db, redact=fails)
    ask_everything()
    no_trace(db, caplog)
    assert "could not finish redacting (ValueError)" in caplog.text


def test_documents_of_langchain(db, caplog):
    documents = pytest.importorskip("langchain_core.documents")
    retrievers = pytest.importorskip("langchain_core.retrievers")
    langchain = pytest.importorskip("ragwheel_langchain")

    class Search(retrievers.BaseRetriever):  # type: ignore[name-defined]
        def _get_relevant_documents(self, query, *, run_manager):
            if "fail" in query:
                raise LookupError(f"nothing for {query}")
            return [
                documents.Document(f"text {CANARY}", metadata={"source": CANARY, "deep": {"x": [CANARY]}})
            ]

    ragwheel.configure(db, redact=remove)
    search = langchain.wrap_retriever(Search(), source="kb", capture_k=5)
    assert CANARY in search.invoke(f"query {CANARY}")[0].page_content
    with pytest.raises(LookupError):
        search.invoke(f"fail {CANARY}")
    assert ragwheel.stats().emitted == 2
    no_trace(db, caplog)


def test_spans_that_the_collector_takes(db, caplog, tmp_path):
    pytest.importorskip("opentelemetry.proto")
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from ragwheel.collector.traces import take_spans

    exporter = InMemorySpanExporter()
    ragwheel.configure(tmp_path / "sender.db", exporters=[exporter], export_content=True)
    ask_everything()
    ragwheel.flush(30)
    sent = encode_spans(exporter.get_finished_spans()).SerializeToString()
    assert CANARY.encode() in sent
    runtime = ragwheel.configure(db, redact=remove)
    take_spans(runtime, sent, "application/x-protobuf")
    assert ragwheel.stats().emitted > 5
    no_trace(db, caplog)


def test_datasets_built_from_it(db, tmp_path, caplog):
    pytest.importorskip("ibis")
    from ragwheel.datasets import build
    from ragwheel.datasets.erase import files_containing

    ragwheel.configure(db, redact=remove)
    for n in range(12):
        with ragwheel.turn(user_id=f"u{n}") as turn:
            ragwheel.retriever(lambda query: chunks()[:3], source="kb")(f"question {n} {CANARY} words{n}")
            turn.answer(f"answer {CANARY} [1]")
    ragwheel.shutdown()
    build(db, tmp_path / "data")
    places = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert list(files_containing(places, [b"[gone]"]))
    assert list(files_containing(places, [CANARY.encode()])) == []


def test_ids_are_no_texts(db):
    """Documented: choose ids that are no secret; and a name as a key of metadata is a name."""
    ragwheel.configure(db, redact=lambda text: "[text]")
    with ragwheel.turn("q", user_id="user-1", session_id="session-1"):
        ragwheel.retriever(
            lambda query: [{"id": "id-1", "text": "t", "metadata": {"author": "a", "a b": 1}}]
        )("q")
    ragwheel.shutdown()
    from ragwheel import offline

    with offline.reading.reading(db) as connection:
        row = connection.execute(
            "SELECT chunk_id, text, metadata, user_id, session_id FROM chunks, turns"
        ).fetchone()
    assert tuple(row) == ("id-1", "[text]", '{"author":"[text]","[text]":1}', "user-1", "session-1")
