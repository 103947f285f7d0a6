"""Who writes the answer: any OpenAI-compatible endpoint, or, without one, a stub that quotes the passages."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

__all__ = ["AnswerError", "answer"]

BASE_URL = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
API_KEY = os.environ.get("OPENAI_API_KEY", "")
MODEL = os.environ.get("CHAT_MODEL", "gpt-4o-mini")
INSTRUCTIONS = (
    "Answer the question in at most four sentences, from the numbered passages only. After each sentence "
    "give the passages that it rests on, as in [1] or [2][3]. Say so when the passages do not answer it."
)
MOST_SENTENCES = 3
CLOSE_TO_BEST = 0.6
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`])")
COMMON = frozenset(
    {"the", "and", "for", "does", "what", "how", "can", "which", "when", "are", "you", "with", "that", "this"}
    | {"from", "have", "into", "its", "not", "happens"}
)

Passage = dict[str, Any]


class AnswerError(Exception):
    """The endpoint did not answer; the text says what it did instead."""


def answer(question: str, passages: Sequence[Passage]) -> AsyncIterator[str]:
    """The answer, piece by piece, with ``[n]`` after what comes from the n-th passage.

    Raises:
        AnswerError: while iterating, when there is an endpoint and it fails.
    """
    return _from_model(question, passages) if BASE_URL else _quoted(question, passages)


async def _from_model(question: str, passages: Sequence[Passage]) -> AsyncIterator[str]:
    numbered = "\n\n".join(f"[{n}] {passage['text']}" for n, passage in enumerate(passages, 1))
    body = {
        "model": MODEL,
        "stream": True,
        "messages": [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": f"{numbered}\n\nQuestion: {question}"},
        ],
    }
    headers = {"Authorization": f"Bearer {API_KEY}"} if API_KEY else {}
    try:
        async with (
            httpx.AsyncClient(timeout=60.0) as client,
            client.stream("POST", f"{BASE_URL}/chat/completions", json=body, headers=headers) as response,
        ):
            if response.is_error:
                raise AnswerError(f"The model's endpoint answered {response.status_code}.")
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:]).get("choices", []):
                        if piece := choice.get("delta", {}).get("content"):
                            yield piece
    except httpx.HTTPError as exc:
        raise AnswerError(f"The model's endpoint could not be reached ({type(exc).__name__}).") from exc


async def _quoted(question: str, passages: Sequence[Passage]) -> AsyncIterator[str]:
    """The sentences with most of the question's words in them, at most one of a passage, in its order."""
    asked = _words(question)
    found: list[tuple[int, int, str]] = []
    for number, passage in enumerate(passages, 1):
        title = passage["metadata"]["title"]
        for sentence in _sentences(passage["text"]):
            text = f"{title} {sentence}".lower()
            found.append((sum(word in text for word in asked), number, sentence))
    best: dict[int, str] = {}
    most = max((score for score, _, _ in found), default=0)
    for score, number, sentence in sorted(found, key=lambda one: (-one[0], one[1])):
        if score and score >= CLOSE_TO_BEST * most and len(best) < MOST_SENTENCES:
            best.setdefault(number, sentence)
    if not best:
        yield "None of the passages says anything about that."
    for number, sentence in sorted(best.items()):
        for word in f"{sentence} [{number}]".split():
            yield word + " "


def _sentences(text: str) -> list[str]:
    """Whole sentences of prose: neither the signature on top nor examples and lists."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")[1:]]
    prose = [part for part in paragraphs if not part.startswith(">>>")]
    sentences = [sentence for part in prose for sentence in SENTENCE_END.split(part)]
    return [s for s in sentences if 30 <= len(s) <= 320 and s[0].isalpha() and s[-1] == "."]


def _words(text: str) -> set[str]:
    """The longer words in lower case, without the commonest ones and without endings."""
    found = set(re.findall(r"\w{3,}", text.lower())) - COMMON
    return {re.sub(r"(?<=\w{3})(?:es|s|ing|ed)$", "", word) for word in found}
