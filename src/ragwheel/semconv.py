"""The names of all attributes that ragwheel puts on spans.

``openinference.*``, ``input.*``, ``output.*``, ``session.id`` and ``user.id`` follow the OpenInference
semantic conventions; ``gen_ai.*`` the OpenTelemetry semantic conventions for generative AI;
``ragwheel.*`` are our own. No span carries more than 40 attributes: OpenTelemetry's default limit is 128,
and beyond it the oldest attributes are dropped.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CAPTURE_K",
    "CITATIONS",
    "CONVERSATION_ID",
    "DATA_SOURCE_ID",
    "DOCUMENTS",
    "ERROR_TYPE",
    "EVALUATION_EVENT",
    "EVALUATION_NAME",
    "EVALUATION_SCORE",
    "EVENT_ID",
    "EXPLORED",
    "FEWSHOT_EXAMPLES",
    "FLAGS",
    "INPUT_VALUE",
    "IN_RANKS",
    "KIND",
    "N_RETURNED",
    "OPERATION",
    "OTHER",
    "OUTER_ID",
    "OUTPUT_VALUE",
    "QUERY",
    "RETRIEVER_NAME",
    "RETRIEVER_VERSION",
    "SESSION_ID",
    "SIGNAL_CHUNK",
    "SIGNAL_COMMENT",
    "SIGNAL_KIND",
    "SIGNAL_RANK",
    "SIGNAL_REASON",
    "SIGNAL_TARGET",
    "SIGNAL_UNIT",
    "SIGNAL_VALUE",
    "SUBJECT",
    "TEAMS",
    "TOP_K",
    "TURN_ID",
    "TURN_PROMPTED",
    "TURN_REASONING",
    "TURN_REVISION",
    "TURN_SHOWN",
    "UNREADABLE_FLAG",
    "USER_ID",
]

# OpenInference
KIND: Final = "openinference.span.kind"  # RETRIEVER, RERANKER, CHAIN
INPUT_VALUE: Final = "input.value"
OUTPUT_VALUE: Final = "output.value"
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"

# OpenTelemetry, generative AI
OPERATION: Final = "gen_ai.operation.name"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
TOP_K: Final = "gen_ai.retrieval.top_k"
QUERY: Final = "gen_ai.retrieval.query.text"
DOCUMENTS: Final = "gen_ai.retrieval.documents"  # one JSON string, [{"id": str, "score": float}]
CONVERSATION_ID: Final = "gen_ai.conversation.id"
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
ERROR_TYPE: Final = "error.type"

# ragwheel
TURN_ID: Final = "ragwheel.turn.id"  # span id of the turn, hex
OUTER_ID: Final = "ragwheel.retrieval.outer.id"  # span id of the retrieval it ran inside, hex
RETRIEVER_NAME: Final = "ragwheel.retriever.name"
RETRIEVER_VERSION: Final = "ragwheel.retriever.version"
CAPTURE_K: Final = "ragwheel.capture_k"
N_RETURNED: Final = "ragwheel.returned"  # chunks given to the app; higher ranks are `logged`
IN_RANKS: Final = "ragwheel.rerank.in_ranks"  # rank each chunk had before, 0: unknown
TEAMS: Final = "ragwheel.interleave.teams"  # one letter per rank: o old retriever, n new retriever, - neither
EXPLORED: Final = "ragwheel.explore.moves"  # probability of a swap, a letter per rank: - stayed, u up, d down
FLAGS: Final = "ragwheel.flags"  # what could not be recorded as it was
TURN_REVISION: Final = "ragwheel.turn.revision"  # a turn may be exported more than once: the highest counts
TURN_PROMPTED: Final = "ragwheel.turn.prompted"  # JSON [[span id of the retrieval, rank], …], prompt order
TURN_SHOWN: Final = "ragwheel.turn.shown"  # JSON as for TURN_PROMPTED
FEWSHOT_EXAMPLES: Final = "ragwheel.fewshot.example_ids"  # the few-shot examples in the prompt
TURN_REASONING: Final = "ragwheel.turn.reasoning"  # the model's reasoning, where the app records it
CITATIONS: Final = "ragwheel.turn.citations"  # JSON [{"marker", "retrieval", "rank", "chunk", …}]
SIGNAL_KIND: Final = "ragwheel.signal.kind"
SIGNAL_TARGET: Final = "ragwheel.signal.target"  # what the link names: retrieval, turn
SIGNAL_CHUNK: Final = "ragwheel.signal.chunk.id"
SIGNAL_RANK: Final = "ragwheel.signal.rank"
SIGNAL_VALUE: Final = "ragwheel.signal.value"
SIGNAL_UNIT: Final = "ragwheel.signal.unit"
OTHER: Final = "ragwheel.signal.other"
SUBJECT: Final = "ragwheel.signal.subject"
EVENT_ID: Final = "ragwheel.signal.event.id"
SIGNAL_COMMENT: Final = "ragwheel.signal.comment"  # the person's own words
SIGNAL_REASON: Final = "ragwheel.signal.reason"  # a short code

UNREADABLE_FLAG: Final = "unreadable: "  # then why: nothing of the result could be read as chunks
