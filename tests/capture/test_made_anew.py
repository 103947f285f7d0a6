"""Chunks that a compressor or re-ranker made anew, without their ids, are the chunks they were made from."""

from __future__ import annotations

import ragwheel

CHUNKS = [{"id": name, "text": f"text of {name}", "score": 0.5} for name in "abc"]


@ragwheel.retriever(source="kb")
def search(query: str) -> list[dict[str, object]]:
    return [dict(chunk) for chunk in CHUNKS]


@ragwheel.retriever
def compressed(query: str) -> list[dict[str, object]]:
    """Keeps the second and the first, as new objects that have a text only; adds one of its own."""
    second, first = search(query)[1::-1]
    return [{"text": second["text"]}, {"text": "made up"}, {"text": first["text"]}]


@ragwheel.reranker
def anew(query: str, chunks: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{"text": chunk["text"]} for chunk in reversed(chunks)]


def ids(store, name):
    (retrieval,) = [row for row in store.retrievals() if row["retriever"] == name]
    return retrieval["ids"]


def test_inside_a_retrieval_they_are_known_by_their_texts(store):
    compressed("q")
    retrieved = ids(store, "compressed")
    assert retrieved[::2] == ["b", "a"]
    assert retrieved[1].startswith("text:")


def test_a_rerankers_are_known_by_the_texts_of_the_retrieval_before_it(store):
    with ragwheel.turn("q"):
        anew("q", search("q"))
    assert ids(store, "anew") == ["c", "b", "a"]


def test_the_new_object_and_its_copies_name_the_chunk(store):
    with ragwheel.turn("q") as turn:
        result = compressed("q")
        turn.prompted([result[2], dict(result[0])])
        turn.answer("So it is [2].", citations=[result[0]])
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM citations")] == ["b"]
    prompted = store.rows("SELECT chunk_id FROM impressions WHERE was_prompted AND exposure = 'prompted'")
    assert {row["chunk_id"] for row in prompted} == {"a", "b"}


def test_a_signal_about_a_copy_of_the_new_object_is_about_the_chunk(store):
    with ragwheel.turn("q") as turn:
        result = compressed("q")
        assert ragwheel.signal(turn, "click", chunk=dict(result[0]))
    assert [row["chunk_id"] for row in store.rows("SELECT * FROM signals")] == ["b"]


def test_another_text_is_another_chunk(store):
    @ragwheel.retriever
    def cut(query: str) -> list[dict[str, object]]:
        return [{"text": str(chunk["text"])[:6]} for chunk in search(query)]

    cut("q")
    assert all(chunk.startswith("text:") for chunk in ids(store, "cut"))


def test_texts_of_retrievals_of_others_are_not_looked_at(store):
    with ragwheel.turn("q"):
        search("q")
    with ragwheel.turn("q"):
        anew("q", [dict(chunk) for chunk in CHUNKS])
    assert all(chunk.startswith("text:") for chunk in ids(store, "anew"))
