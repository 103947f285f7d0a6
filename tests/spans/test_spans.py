"""The spans that leave for other backends: names, attributes, places in the trace, and no text unasked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

import ragwheel
from ragwheel import semconv
from ragwheel.errors import ConfigurationError
from ragwheel.guard import guard

SECRETS = (
    "the question", "the query", "text of", "the answer", "marked words", "new words", "a quote", "a thought",
)  # fmt: skip
CHUNKS = [{"id": n, "text": f"text of {n}", "score": 1 - n / 100} for n in range(40)]


@ragwheel.retriever(source="kb", name="bm25", version="2", k="k")
def search(query: str, k: int = 5) -> list[dict[str, object]]:
    return CHUNKS[:k]


@ragwheel.reranker
def rerank(query: str, chunks: list[dict[str, object]]) -> list[dict[str, object]]:
    return chunks[::-1]


def everything():
    """A turn with everything in it."""
    with ragwheel.turn("the question", session_id="s1", user_id="u1") as turn:
        rerank("the query", search("the query"))
        turn.answer(
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "text",
                        "text": "the answer: marked words",
                        "citations": [
                            {"type": "char_location", "cited_text": "a quote", "document_index": 0,
                             "document_title": "marked words", "start_char_index": 0, "end_char_index": 3}
                        ],
                    }
                ],
            },
            reasoning="a thought",
        )  # fmt: skip
    assert ragwheel.signal(turn.retrievals[0].handle, "rating", chunk=2, value=4, subject="u2", event_id="e1")
    assert ragwheel.signal(turn.handle, "thumbs_down")
    assert ragwheel.signal(turn.handle, "reformulate", query="new words")
    assert ragwheel.signal(turn.retrievals[0].handle, "dwell", rank=1, value=2.5)
    return turn


def test_names_and_attributes(caught):
    found = caught()
    turn = everything()
    spans = found.all()
    assert list(spans) == [
        "retrieval kb", "rerank kb", "turn shop", "signal rating", "signal thumbs_down", "signal reformulate",
        "signal dwell",
    ]  # fmt: skip
    retrieval = dict(spans["retrieval kb"].attributes)
    assert json.loads(retrieval.pop("gen_ai.retrieval.documents")) == [
        {"id": str(n), "score": 1 - n / 100} for n in range(40)
    ]
    assert retrieval == {
        "openinference.span.kind": "RETRIEVER",
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "kb",
        "gen_ai.retrieval.top_k": 5,
        "gen_ai.conversation.id": "s1",
        "session.id": "s1",
        "user.id": "u1",
        "ragwheel.retriever.name": "bm25",
        "ragwheel.retriever.version": "2",
        "ragwheel.capture_k": 40,
        "ragwheel.returned": 5,
        "ragwheel.turn.id": turn.span_id.hex(),
    }
    assert spans["rerank kb"].attributes["openinference.span.kind"] == "RERANKER"
    assert spans["rerank kb"].attributes["ragwheel.rerank.in_ranks"] == (5, 4, 3, 2, 1)
    assert spans["turn shop"].attributes["openinference.span.kind"] == "CHAIN"
    (citation,) = json.loads(spans["turn shop"].attributes["ragwheel.turn.citations"])
    assert (citation["chunk"], citation["rank"]) == ("4", 1)
    assert dict(spans["signal rating"].attributes) == {
        "ragwheel.signal.kind": "rating",
        "ragwheel.signal.target": "retrieval",
        "ragwheel.signal.chunk.id": "2",
        "ragwheel.signal.value": 4.0,
        "ragwheel.signal.unit": "0-5",
        "ragwheel.signal.subject": "u2",
        "ragwheel.signal.event.id": "e1",
    }
    assert spans["signal dwell"].attributes["ragwheel.signal.unit"] == "s"
    assert spans["retrieval kb"].resource.attributes["service.name"] == "shop"
    assert {span.instrumentation_scope.name for span in spans.values()} == {"ragwheel"}
    assert max(len(span.attributes) for span in spans.values()) <= 40


def test_every_name_is_in_semconv_and_documented(caught):
    found = caught(export_content=True)
    everything()
    with pytest.raises(KeyError), ragwheel.turn():
        ragwheel.retriever(lambda query: {}["x"])("\0")
    known = {getattr(semconv, name) for name in semconv.__all__ if not name.endswith("_FLAG")}
    used = {name for span in found.spans.get_finished_spans() for name in span.attributes}
    used |= {name for record in found.logs.get_finished_logs() for name in record.log_record.attributes}
    assert used <= known
    documented = (Path(__file__).parents[2] / "docs" / "spans.md").read_text(encoding="utf-8")
    assert known <= set(re.findall(r"`([a-z_.]+)`", documented))
    assert set(re.findall(r"`((?:ragwheel|gen_ai)\.[a-z_.]+)`", documented)) <= known


def test_no_text_leaves_unless_asked_for(caught):
    found = caught()
    everything()
    assert [secret for secret in SECRETS if secret in found.text()] == []
    found = caught(export_content=True)
    everything()
    spans = found.all()
    assert [secret for secret in SECRETS if secret not in found.text()] == []
    assert spans["retrieval kb"].attributes["input.value"] == "the query"
    assert spans["retrieval kb"].attributes["gen_ai.retrieval.query.text"] == "the query"
    assert (
        json.loads(spans["retrieval kb"].attributes["gen_ai.retrieval.documents"])[1]["content"]
        == "text of 1"
    )
    assert spans["turn shop"].attributes["input.value"] == "the question"
    assert spans["turn shop"].attributes["output.value"] == "the answer: marked words"
    assert spans["turn shop"].attributes["ragwheel.turn.reasoning"] == "a thought"
    assert spans["signal reformulate"].attributes["gen_ai.retrieval.query.text"] == "new words"
    assert max(len(span.attributes) for span in spans.values()) <= 40


def test_redaction_comes_first(caught):
    found = caught(export_content=True, redact=lambda text: "[redacted]")
    everything()
    assert [secret for secret in SECRETS if secret in found.text()] == []
    assert found.all()["retrieval kb"].attributes["input.value"] == "[redacted]"


def test_texts_that_no_backend_takes(caught):
    found = caught(export_content=True)
    ragwheel.retriever(source="kb")(lambda query: [{"id": "a", "text": "a\ud800b\0c"}])("q")
    documents = found.all()["retrieval kb"].attributes["gen_ai.retrieval.documents"]
    documents.encode()
    assert json.loads(documents)[0]["content"] == "a?b\ufffdc"


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1, 0.5], [1.0, 0.5]),
        ([None, None], None),
        ([1.0, None], None),
        ([1.0, float("nan")], None),
        (["high", "low"], None),
    ],
)
def test_scores_are_finite_floats_or_left_out(caught, scores, expected):
    found = caught()
    ragwheel.retriever(source="kb")(
        lambda query: [{"id": n, "text": "x", "score": s} for n, s in enumerate(scores)]
    )("q")
    documents = json.loads(found.all()["retrieval kb"].attributes["gen_ai.retrieval.documents"])
    assert [type(document["id"]) for document in documents] == [str, str]
    assert [document.get("score") for document in documents] == (expected or [None, None])
    assert all("score" in document for document in documents) == (expected is not None)


# places in the trace


def test_children_of_the_apps_span_and_of_the_turn(caught):
    found = caught()
    tracer = TracerProvider().get_tracer("app")
    with tracer.start_as_current_span("request") as request:
        with ragwheel.turn():
            search("in the turn")
            with tracer.start_as_current_span("step") as step:
                ragwheel.retriever(source="inside the step")(lambda query: search(f"{query} inside"))("q")
        search("in the request")
    spans = found.spans.get_finished_spans()
    in_turn, inner, outer, turn, in_request = spans
    assert {span.context.trace_id for span in spans} == {request.get_span_context().trace_id}
    assert turn.parent.span_id == in_request.parent.span_id == request.get_span_context().span_id
    assert in_turn.parent.span_id == turn.context.span_id
    assert outer.parent.span_id == step.get_span_context().span_id
    assert inner.parent.span_id == outer.context.span_id
    assert inner.attributes["ragwheel.retrieval.outer.id"] == f"{outer.context.span_id:016x}"
    assert outer.attributes["ragwheel.turn.id"] == f"{turn.context.span_id:016x}"


def test_without_an_app_span(caught):
    found = caught()
    with ragwheel.turn():
        search("q")
    search("q")
    in_turn, turn, alone = found.spans.get_finished_spans()
    assert (turn.parent, alone.parent) == (None, None)
    assert in_turn.parent.span_id == turn.context.span_id
    assert in_turn.context.trace_id == turn.context.trace_id != alone.context.trace_id


def test_a_signal_links_to_what_it_is_about(caught):
    found = caught()
    turn = everything()
    spans = found.all()
    for name, target in (("signal rating", turn.retrievals[0]), ("signal thumbs_down", turn)):
        (link,) = spans[name].links
        assert link.context.span_id == int.from_bytes(target.span_id, "big")
        assert link.context.trace_id == int.from_bytes(target.trace_id, "big")


def test_evaluations_are_log_events_in_the_context_of_what_was_judged(caught):
    found = caught()
    turn = everything()
    rating, thumb = (record.log_record for record in found.logs.get_finished_logs())
    assert rating.event_name == thumb.event_name == "gen_ai.evaluation.result"
    assert (
        rating.attributes["gen_ai.evaluation.name"],
        rating.attributes["gen_ai.evaluation.score.value"],
    ) == (
        "rating",
        4.0,
    )
    assert (
        thumb.attributes["gen_ai.evaluation.name"],
        thumb.attributes["gen_ai.evaluation.score.value"],
    ) == (
        "thumbs_down",
        0.0,
    )
    assert rating.span_id == int.from_bytes(turn.retrievals[0].span_id, "big")
    assert thumb.span_id == int.from_bytes(turn.span_id, "big")
    assert all(not span.events for span in found.spans.get_finished_spans())


def test_a_turn_is_exported_when_it_ends_and_a_failure_is_an_error(caught):
    found = caught()

    def handle():
        with ragwheel.turn("q") as turn:
            turn.answer("yes")
            assert found.all() == {}
            raise KeyError

    with pytest.raises(KeyError):
        handle()
    (span,) = found.spans.get_finished_spans()
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "KeyError")
    assert span.end_time > span.start_time


# exporters


class Deaf(SpanExporter):
    """An exporter that raises."""

    def __init__(self):
        self.closed = False

    def export(self, spans):
        raise RuntimeError("no")

    def shutdown(self):
        self.closed = True


class Counting(SpanExporter):
    """An exporter that counts."""

    def __init__(self):
        self.names = []

    def export(self, spans):
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


class Failing(BatchSpanProcessor):
    """A processor that raises."""

    def on_end(self, span):
        raise RuntimeError("no")


def test_exporters_get_a_batch_processor_and_are_flushed(tmp_path):
    counting = Counting()
    ragwheel.configure(tmp_path / "x.db", exporters=[counting])
    search("q")
    assert ragwheel.flush(30)
    assert counting.names == ["retrieval kb"]
    search("q")
    ragwheel.shutdown()
    assert len(counting.names) == 2


def test_one_failing_exporter_costs_neither_the_app_nor_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "strict", False)
    guard.reset()
    deaf, counting = Deaf(), Counting()
    ragwheel.configure(tmp_path / "x.db", exporters=[Failing(deaf), counting])
    assert search("q") == CHUNKS[:5]
    assert ragwheel.flush(30)
    assert counting.names == ["retrieval kb"]
    assert ragwheel.stats().errors == {"exporting a span": 1}
    ragwheel.shutdown()
    assert not deaf.closed


def test_what_is_no_exporter_is_refused(tmp_path):
    with pytest.raises(
        ConfigurationError, match="got a str, allowed: OpenTelemetry SpanExporter, SpanProcessor"
    ):
        ragwheel.configure(tmp_path / "x.db", exporters=["http://collector:4318"])
