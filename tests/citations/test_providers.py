"""The documented responses of the providers, as JSON and as objects."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ragwheel.citations import CitableChunk, extract

GRASS = "The grass is green. It is mown in spring."
SKY = "The sky is blue."


def candidate(n, chunk=None, text="", **metadata):
    return CitableChunk(
        "r1", n, "kb", chunk or f"c{n}", {"id": chunk or f"c{n}", "text": text, "metadata": metadata}
    )


def as_objects(value):
    return json.loads(json.dumps(value), object_hook=lambda held: SimpleNamespace(**held))


def anthropic(*citations):
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            {"type": "text", "text": "According to the documents, "},
            {"type": "text", "text": "the grass is green", "citations": [citations[0]]},
            {"type": "text", "text": " and ", "citations": None},
            {"type": "text", "text": "the sky is blue", "citations": list(citations[1:])},
            {"type": "text", "text": "."},
        ],
        "stop_reason": "end_turn",
    }  # fmt: skip


def location(kind, index, quote, **more):
    return {"type": kind, "cited_text": quote, "document_index": index, "document_title": None, **more}


ANTHROPIC = {
    "char": (
        location("char_location", 0, "The grass is green. ", start_char_index=0, end_char_index=20),
        location("char_location", 1, SKY, start_char_index=0, end_char_index=16),
    ),
    "page": (
        location("page_location", 0, "The grass is green. ", start_page_number=1, end_page_number=2),
        location("page_location", 1, SKY, start_page_number=1, end_page_number=2),
    ),
    # the chunks as blocks of one document: the quote tells which
    "blocks": (
        location("content_block_location", 0, "The grass is green.", start_block_index=0, end_block_index=1),
        location("content_block_location", 0, SKY, start_block_index=1, end_block_index=2),
    ),
    "search results": tuple(
        {
            "type": "search_result_location", "source": f"https://example.com/{n}", "title": "T",
            "cited_text": quote, "search_result_index": n, "start_block_index": 0, "end_block_index": 1,
        }
        for n, quote in enumerate(("The grass is green.", SKY))
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", [dict, as_objects])
@pytest.mark.parametrize("kind", ANTHROPIC)
def test_anthropic(form, kind):
    found = extract(
        form(anthropic(*ANTHROPIC[kind])), None, [candidate(1, text=GRASS), candidate(2, text=SKY)]
    )
    assert found.text == "According to the documents, the grass is green and the sky is blue."
    assert [(c.chunk, c.rank, c.retrieval, c.method) for c in found.citations] == [
        ("c1", 1, "r1", "anthropic"),
        ("c2", 2, "r1", "anthropic"),
    ]
    assert [found.text[c.start : c.end] for c in found.citations] == ["the grass is green", "the sky is blue"]
    assert found.citations[1].text == SKY
    assert found.flags == ()


def test_an_index_beyond_the_candidates_is_kept_unmatched():
    found = extract(anthropic(*ANTHROPIC["char"]), None, [candidate(1)])
    assert [c.chunk for c in found.citations] == ["c1", None]
    assert found.flags == ("unmatched_citation",)


OPENAI_CHAT = {
    "id": "chatcmpl-1", "object": "chat.completion",
    "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {
            "role": "assistant", "content": "The sky is blue ([example.com](https://example.com/sky)).",
            "annotations": [{"type": "url_citation", "url_citation": {
                "start_index": 16, "end_index": 56, "title": "Sky", "url": "https://example.com/sky#:~:text=x"}}],
        },
    }],
}  # fmt: skip

OPENAI_RESPONSES = {
    "id": "resp_1", "object": "response",
    "output": [
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["sky"]},
        {
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [
                {"type": "output_text", "text": "Grass is green. ", "annotations": [
                    {"type": "file_citation", "index": 15, "file_id": "file-1", "filename": "grass.pdf"}]},
                {"type": "output_text", "text": "The sky is blue.", "annotations": [
                    {"type": "url_citation", "start_index": 4, "end_index": 7, "title": "Sky",
                     "url": "https://example.com/sky/"},
                    {"type": "file_path", "file_id": "file-9", "index": 0}]},
            ],
        },
    ],
}  # fmt: skip


@pytest.mark.parametrize("form", [dict, as_objects])
def test_openai_chat(form):
    sky = candidate(3, url="https://www.example.com/sky")
    found = extract(form(OPENAI_CHAT), None, [candidate(1, url="https://example.com/"), sky])
    [cited] = found.citations
    assert (cited.chunk, cited.rank, cited.method) == ("c3", 3, "openai")
    assert found.text[cited.start : cited.end] == cited.marker == "([example.com](https://example.com/sky))"


@pytest.mark.parametrize("form", [dict, as_objects])
def test_openai_responses(form):
    found = extract(
        form(OPENAI_RESPONSES), None, [candidate(1, "file-1"), candidate(2, url="https://example.com/sky")]
    )
    assert found.text == "Grass is green. The sky is blue."
    assert [(c.chunk, c.method) for c in found.citations] == [("file-1", "openai"), ("c2", "openai")]
    assert found.citations[0].start is None
    assert found.text[found.citations[1].start : found.citations[1].end] == "sky"


def test_a_file_of_several_chunks_is_not_guessed():
    chunks = [candidate(1, file_id="file-1"), candidate(2, file_id="file-1")]
    found = extract(OPENAI_RESPONSES, None, chunks)
    assert [c.chunk for c in found.citations] == [None, None]
    assert found.citations[0].marker == "file-1"


def test_openai_assistants():
    message = {
        "object": "thread.message", "role": "assistant",
        "content": [{"type": "text", "text": {
            "value": "Blue【4:0†source】.",
            "annotations": [{
                "type": "file_citation", "text": "【4:0†source】", "start_index": 4, "end_index": 16,
                "file_citation": {"file_id": "file-1"},
            }],
        }}],
    }  # fmt: skip
    found = extract(message, None, [candidate(1, "file-1")])
    [cited] = found.citations
    assert (found.text, cited.chunk, cited.marker) == ("Blue【4:0†source】.", "file-1", "【4:0†source】")


def cohere_v2(*ids):
    documents = [{"id": i, "snippet": "…", "title": "Tall penguins"} for i in ids]
    sources = [[{"type": "document", "id": held["id"], "document": held}] for held in documents]
    return {
        "id": "1", "finish_reason": "COMPLETE",
        "message": {
            "role": "assistant",
            "content": [{"type": "text", "text": "Emperor penguins are the tallest."}],
            "citations": [
                {"start": 0, "end": 16, "text": "Emperor penguins", "sources": sources[0]},
                {"start": 25, "end": 32, "text": "tallest", "sources": sources[1], "content_index": 0},
            ],
        },
    }  # fmt: skip


COHERE_V1 = {
    "text": "Emperor penguins are the tallest.",
    "citations": [
        {"start": 0, "end": 16, "text": "Emperor penguins", "document_ids": ["doc_0"]},
        {"start": 25, "end": 32, "text": "tallest", "document_ids": ["doc_0", "doc_1"]},
    ],
    "documents": [{"id": "doc_0", "text": "…"}, {"id": "doc_1", "text": "…"}],
}


@pytest.mark.parametrize("form", [dict, as_objects])
def test_cohere(form):
    found = extract(form(cohere_v2("c2", "c1")), None, [candidate(1), candidate(2)])
    assert [(c.marker, c.chunk, c.method) for c in found.citations] == [
        ("Emperor penguins", "c2", "cohere"),
        ("tallest", "c1", "cohere"),
    ]
    found = extract(form(cohere_v2("doc:1", "doc:0")), None, [candidate(1), candidate(2)])
    assert [c.chunk for c in found.citations] == ["c2", "c1"]
    found = extract(form(COHERE_V1), None, [candidate(1), candidate(2)])
    assert found.text == "Emperor penguins are the tallest."
    assert [(c.marker, c.chunk) for c in found.citations] == [
        ("Emperor penguins", "c1"),
        ("tallest", "c1"),
        ("tallest", "c2"),
    ]


def message(content, **more):
    return pytest.importorskip("langchain_core.messages").AIMessage(content, **more)


@pytest.mark.parametrize("name", ["content", "text"])
def test_annotations_beside_a_text(name):
    address = "https://x.org/1"
    annotation = {"type": "url_citation", "url": address, "start_index": 0, "end_index": 5}
    found = extract({name: "It is so.", "annotations": [annotation]}, None, [candidate(1, url=address)])
    assert (found.text, [(c.chunk, c.marker) for c in found.citations]) == ("It is so.", [("c1", "It is")])


def test_cohere_in_camel_case():
    citation = {"start": 0, "end": 16, "documentIds": ["c2"]}
    found = extract({**COHERE_V1, "citations": [citation]}, None, [candidate(1), candidate(2)])
    assert [(c.marker, c.chunk) for c in found.citations] == [("Emperor penguins", "c2")]


def test_the_first_of_several_choices_is_the_answer():
    choices = [{"message": {"role": "assistant", "content": f"It is so [{n}]."}} for n in (2, 1)]
    found = extract({"choices": choices}, None, [candidate(1), candidate(2)])
    assert (found.text, [c.chunk for c in found.citations]) == ("It is so [2].", ["c2"])


@pytest.mark.parametrize(
    ("offsets", "start", "end"),
    [
        ({"start_index": 3, "end_index": 5}, 3, 5),
        ({}, 0, 9),
        ({"start_index": 3}, 0, 9),
        ({"end_index": 5}, 0, 9),
    ],
    ids=["its own", "none", "a start alone", "an end alone"],
)
def test_a_langchain_citation_has_its_own_span_or_else_that_of_its_block(offsets, start, end):
    citation = {"type": "citation", "url": "https://x.org/1", **offsets}
    block = {"type": "text", "text": "It is so.", "annotations": [citation]}
    answer = {"role": "assistant", "content": [block, {"type": "text", "text": " And more."}]}
    (found,) = extract(answer, None, [candidate(1, url="https://x.org/1")]).citations
    assert (found.chunk, found.start, found.end) == ("c1", start, end)


def test_langchain_text_with_markers():
    found = extract(message("It is so [2]."), None, [candidate(1), candidate(2)])
    assert [(c.chunk, c.method, c.start) for c in found.citations] == [("c2", "marker", 9)]


def test_langchain_with_anthropic_blocks():
    found = extract(message(anthropic(*ANTHROPIC["char"])["content"]), None, [candidate(1), candidate(2)])
    assert [(c.chunk, c.method) for c in found.citations] == [("c1", "anthropic"), ("c2", "anthropic")]


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_langchain_standard_content_blocks(provider):
    """What langchain-core's own translators make of the providers' blocks."""
    if provider == "anthropic":
        raw = anthropic(*ANTHROPIC["search results"])["content"]
        candidates = [candidate(1, text=GRASS), candidate(2, text=SKY)]
    else:
        raw = [{**block, "type": "text"} for block in OPENAI_RESPONSES["output"][1]["content"]]
        candidates = [candidate(1, "file-1"), candidate(2, url="https://example.com/sky")]
    translated = message(raw, response_metadata={"model_provider": provider}).content_blocks
    found = extract(message(translated, response_metadata={"output_version": "v1"}), None, candidates)
    matched = [c for c in found.citations if c.method == "langchain"]
    assert [c.rank for c in matched] == [1, 2]


def test_langchain_cohere():
    held = {"citations": COHERE_V1["citations"], "documents": []}
    found = extract(
        message(COHERE_V1["text"], additional_kwargs=held, response_metadata=held),
        None,
        [candidate(1), candidate(2)],
    )
    assert [(c.chunk, c.method) for c in found.citations] == [
        ("c1", "cohere"),
        ("c1", "cohere"),
        ("c2", "cohere"),
    ]


def test_a_langgraph_state_answers_with_its_last_message():
    found = extract({"messages": [message("[1]"), message("[2]")]}, None, [candidate(1), candidate(2)])
    assert (found.text, found.citations[0].chunk) == ("[2]", "c2")


def test_markers_outside_of_a_providers_spans_count_too():
    state = anthropic(*ANTHROPIC["char"])
    state["content"][4]["text"] = " as [2] says."
    found = extract(state, None, [candidate(1), candidate(2)])
    assert [(c.chunk, c.method) for c in found.citations] == [
        ("c1", "anthropic"),
        ("c2", "anthropic"),
        ("c2", "marker"),
    ]
