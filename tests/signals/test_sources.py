"""Two sources of one turn that have the same ids: the object decides, and an id alone is refused."""

from types import SimpleNamespace

import pytest

import ragwheel


@pytest.fixture
def ask(store):
    """Search sources in one turn; the turn, and the chunks by source."""

    def ask(*sources, nested=False, during=lambda turn, found: None):
        found = {}

        def search(source):
            def run(query):
                if nested:
                    for inner in sources[1:]:
                        ragwheel.retriever(lambda query: [{"id": "1", "text": "t"}], source=inner)(query)
                return [SimpleNamespace(id=id, text=f"{source} {id}") for id in ("1", f"only-{source}")]

            return ragwheel.retriever(run, source=source)

        with ragwheel.turn("q", user_id="u") as turn:
            for source in sources[:1] if nested else sources:
                found[source] = search(source)("q")
                ragwheel.signal(turn.handle, "impression", chunk=found[source][1])
            during(turn, found)  # an ended turn keeps no objects of the app
        return turn, found

    return ask


def clicked(store):
    return [(row["source"], row["chunk_id"]) for row in store.signals() if row["kind"] != "impression"]


def test_the_object_decides(store, ask):
    def click(turn, found):
        for source in ("tickets", "manuals"):
            for chunk in found[source]:
                assert ragwheel.signal(turn, "click", chunk=chunk)

    ask("manuals", "tickets", during=click)
    assert clicked(store) == [
        ("tickets", "1"),
        ("tickets", "only-tickets"),
        ("manuals", "1"),
        ("manuals", "only-manuals"),
    ]


def test_an_id_that_both_have_is_refused_with_what_to_pass(store, ask):
    turn, _ = ask("manuals", "tickets")
    assert not ragwheel.signal(turn.handle, "click", chunk="1")
    ((reason, n),) = ragwheel.stats().refused.items()
    assert (reason.split(":")[0], n) == ("ambiguous chunk", 1)
    assert "the handle of the retrieval" in reason
    assert ragwheel.signal(turn.handle, "click", chunk="only-tickets")
    assert ragwheel.signal(turn.retrievals[1].handle, "click", chunk="1")
    assert clicked(store) == [("tickets", "only-tickets"), ("tickets", "1")]


def test_a_comparison_of_chunks_of_one_source_is_told_from_the_others(store, ask):
    def prefer(turn, found):
        first = found["tickets"][0]
        assert ragwheel.signal(turn, "prefer", chunk=first, other="only-tickets")
        assert not ragwheel.signal(turn, "prefer", chunk=first, other="only-manuals")

    ask("manuals", "tickets", during=prefer)
    assert clicked(store) == [("tickets", "1")]


def test_a_source_searched_twice_or_inside_another_is_no_second_one(store, ask):
    turn, _ = ask("kb", "kb")
    assert ragwheel.signal(turn.handle, "click", chunk="1")
    turn, _ = ask("hybrid", "dense", "sparse", nested=True)
    assert ragwheel.signal(turn.handle, "click", chunk="1")
    assert clicked(store) == [("kb", "1"), ("hybrid", "1")]


def test_after_a_reranking_its_list_counts(store, ask):
    with ragwheel.turn("q") as turn:
        for source in ("manuals", "tickets"):
            ragwheel.retriever(lambda query: [{"id": "1", "text": "t"}], source=source)("q")
        ragwheel.start_retrieval("q", source="tickets", kind="rerank").finish([{"id": "1", "text": "t"}])
    assert ragwheel.signal(turn.handle, "click", chunk="1")
    assert clicked(store) == [("tickets", "1")]
