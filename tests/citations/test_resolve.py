from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.citations import CitableChunk, extract
from ragwheel.guard import guard


@dataclasses.dataclass(eq=False)
class Doc:
    id: str
    text: str


DOCS = [Doc("a", "Alpha."), Doc("b", "Beta."), Doc("c", "Gamma.")]
CANDIDATES = [CitableChunk("r1", n, "kb", doc.id, doc) for n, doc in enumerate(DOCS, 1)]


def chunks(citations, candidates=CANDIDATES, answer="So it is [1]."):
    return [c.chunk for c in extract(answer, citations, candidates).citations]


def test_markers_give_position_span_and_method():
    found = extract("So it is [2, 9].", None, CANDIDATES)
    assert found.text == "So it is [2, 9]."
    first, second = found.citations
    assert dataclasses.astuple(first) == ("[2, 9]", "r1", 2, "kb", "b", 9, 15, None, "marker")
    assert (second.retrieval, second.rank, second.chunk, second.marker) == (None, None, None, "[2, 9]")
    assert found.flags == ("unmatched_citation",)


def test_given_citations_are_the_only_ones():
    assert chunks(["b", "c"]) == ["b", "c"]
    assert chunks([]) == []
    assert chunks("c") == ["c"]
    assert chunks({"c"}) == ["c"]
    assert {c.method for c in extract("", ["b"], CANDIDATES).citations} == {"ids"}


def test_ints_are_positions_unless_one_is_an_id():
    assert chunks([1, 3]) == ["a", "c"]
    assert chunks([0, 4, True]) == [None, None, None]
    numbered = [CitableChunk("r", n, "kb", str(n + 1), None) for n in (1, 2)]
    assert chunks([2, 3], numbered) == ["2", "3"]
    assert chunks([2, 1], numbered) == ["2", None]


def test_objects_go_by_identity_then_by_id():
    twins = [Doc("same", "x"), Doc("same", "y")]
    candidates = [CitableChunk("r", n, "kb", "same", doc) for n, doc in enumerate(twins, 1)]
    found = extract("", [twins[1], Doc("same", "z"), Doc("other", "z")], candidates).citations
    assert [c.rank for c in found] == [2, 1, None]
    assert chunks([(DOCS[1], 0.5)]) == ["b"]


def test_texts_are_chunks_of_a_retriever_that_returns_strings():
    from ragwheel.host.columns import columns

    texts = ["one text", "another"]
    candidates = [
        CitableChunk("r", n, "kb", i, t)
        for n, (i, t) in enumerate(zip(columns(texts).ids, texts, strict=True), 1)
    ]
    assert chunks(["another", "none"], candidates) == [candidates[1].chunk, None]


def test_dicts_and_provider_objects_may_be_given():
    found = extract("So it is.", [{"id": "b", "start": 0, "end": 2, "quote": "Beta."}], CANDIDATES).citations
    assert [(c.chunk, c.start, c.end, c.text) for c in found] == [("b", 0, 2, "Beta.")]
    assert chunks([{"type": "char_location", "document_index": 2, "cited_text": ""}]) == ["c"]
    assert chunks([{"start": 0, "end": 2, "text": "So", "document_ids": ["a", "b"]}]) == ["a", "b"]
    assert chunks(
        {"content": [{"text": "x", "citations": [{"type": "char_location", "document_index": 1}]}]}
    ) == ["b"]


@pytest.mark.parametrize(
    "span",
    [{"end": 2}, {"start": "0", "end": 2}, {"start": 2, "end": 0}, {"start": -1, "end": 2}, {"start": 1}],
    ids=repr,
)
def test_a_given_span_is_taken_whole_or_not_at_all(span):
    (found,) = extract("So it is.", [{"id": "b", **span}], CANDIDATES).citations
    assert (found.chunk, found.start, found.end) == ("b", None, None)


@pytest.mark.parametrize("quote", [7, b"Beta.", ["Beta."], None, {"text": "Beta."}], ids=repr)
def test_a_quote_that_is_no_text_is_none(quote):
    (found,) = extract("So it is.", [{"id": "b", "quote": quote}], CANDIDATES).citations
    assert (found.chunk, found.text) == ("b", None)


def test_what_breaks_while_an_answer_is_read_is_counted_and_the_answer_kept(monkeypatch):
    def broken(*args):
        raise RuntimeError("of a value of the app's")

    monkeypatch.setattr("ragwheel.citations.resolve._found", broken)
    monkeypatch.setattr(guard, "strict", False)
    found = extract("So it is [1].", None, CANDIDATES)
    assert (found.text, found.citations, found.flags) == ("So it is [1].", (), ("broken_answer",))
    assert guard.counts()["citations.extract"] == 1
    guard.reset()


def test_the_span_of_a_given_provider_object_counts_from_the_beginning_of_the_answer():
    entry = {"start": 3, "end": 5, "text": "it", "document_ids": ["a"]}
    (found,) = extract("So it is.", [entry], CANDIDATES).citations
    assert (found.chunk, found.start, found.end) == ("a", 3, 5)


def test_an_empty_span_is_one():
    (found,) = extract("So it is.", [{"id": "b", "start": 0, "end": 0}], CANDIDATES).citations
    assert (found.start, found.end) == (0, 0)


def test_addresses_in_the_metadata():
    items = [{"id": str(n), "text": "t", "metadata": {"source": f"https://x.org/{n}/"}} for n in (1, 2)]
    candidates = [CitableChunk("r", n, "kb", item["id"], item) for n, item in enumerate(items, 1)]
    assert chunks(["http://x.org/2#part"], candidates) == ["2"]


def test_an_iterator_is_left_to_the_app():
    stream = iter(["a"])
    found = extract("[1]", stream, CANDIDATES)
    assert found.citations == ()
    assert found.flags == ("citations_not_read",)
    assert next(stream) == "a"


def test_very_many_citations_are_cut():
    found = extract("[1]" * 5000, None, CANDIDATES)
    assert len(found.citations) == 1000
    assert "items" in found.flags


class Hostile:
    def _raise(self, *args):
        raise RuntimeError("the host's own")

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getattr__ = _raise  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("answer", "text", "flag"),
    [
        (None, "", "no_text"),
        (42, "", "not_text"),
        (object(), "", "not_text"),
        ({}, "", "not_text"),
        ({"content": [{"type": "tool_use"}]}, "", "not_text"),
        (b"so [1]", "so [1]", "bytes"),
        ("so \ud800 [1]", "so \ufffd [1]", "surrogate"),
        ({"answer": "so [1]"}, "so [1]", None),
    ],
)
def test_any_answer_has_a_text(answer, text, flag):
    found = extract(answer, None, CANDIDATES)
    assert found.text == text
    assert found.flags == ((flag,) if flag else ())
    assert [c.chunk for c in found.citations] == (["a"] if "[1]" in text else [])


def test_hostile_values_cost_themselves_only():
    assert extract(Hostile(), None, CANDIDATES).flags == ("not_text",)
    assert extract({"content": [Hostile(), {"text": "[1]"}]}, None, CANDIDATES).text == "[1]"
    assert chunks([Hostile(), "b"]) == [None, "b"]
    hostile = [CitableChunk("r", 1, "kb", "a", Hostile())]
    assert chunks(["a", "https://x.org"], hostile) == ["a", None]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["char_location", "citation"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "content",
                    "text",
                    "citations",
                    "annotations",
                    "message",
                    "choices",
                    "sources",
                    "start",
                    "end",
                    "id",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(_JSON, _JSON)
def test_whatever_is_given_the_result_is_sound(answer, citations):
    found = extract(answer, citations, CANDIDATES)
    found.text.encode()
    for cited in found.citations:
        assert (cited.retrieval is None) == (cited.rank is None) == (cited.chunk is None)
        assert cited.start is None or cited.end is None or 0 <= cited.start <= cited.end


def test_a_quote_that_several_chunks_hold_leaves_the_index_as_it_is():
    docs = [Doc("a", "Alpha."), Doc("b", "The same sentence."), Doc("c", "The same sentence.")]
    candidates = [CitableChunk("r", n, "kb", doc.id, doc) for n, doc in enumerate(docs, 1)]

    def cited(index, quote):
        location = {
            "type": "char_location", "document_index": index, "cited_text": quote, "document_title": None,
            "start_char_index": 0, "end_char_index": 5,
        }  # fmt: skip
        return [c.chunk for c in extract("", [location], candidates).citations]

    assert cited(0, "The same sentence.") == ["a"]
    assert cited(2, "The same sentence.") == ["c"]
    assert cited(1, "Alpha.") == ["a"]  # one chunk alone has it
    assert cited(7, "The same sentence.") == ["b"]  # an index that names nothing: the first that has it
