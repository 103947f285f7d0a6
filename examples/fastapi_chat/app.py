"""A chat over Python's own documentation, wired to ragwheel: `make example`, then open http://127.0.0.1:8000.

Three things make it a wheel: the decorator on ``search``, the ``with ragwheel.turn(...)`` around question and
answer, and the handle that goes to the page with each answer, so that the beacon there can say what people
did with it. What arrives is in ``chat.db``: ``ragwheel show --db chat.db``.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bm25s
from examples.fastapi_chat.answering import AnswerError, answer
from fastapi import Cookie, FastAPI, Response
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request

import ragwheel
from ragwheel import collector
from ragwheel.demo import Passage, read_python_docs

HERE = Path(__file__).parent
BEACON = HERE.parents[1] / "integrations" / "browser" / "src"
PROMPTED = 4  # passages that the answer is written from; the page shows all that were found
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

# Handles are signed, so that nobody without one can add to the data. A key made here lasts until the restart.
signing_keys = os.environ.get("RAGWHEEL_SIGNING_KEYS") or f"dev:{secrets.token_hex(32)}"
ragwheel.configure(
    db=os.environ.get("CHAT_DB", "chat.db"), app="fastapi-chat", signing_keys=tuple(signing_keys.split(","))
)


class PassageIndex:
    """The passages and their BM25 index; reading the documentation takes some seconds."""

    def __init__(self) -> None:
        public = [p for p in read_python_docs().passages if not re.search(r"(^|\.)_", p.title)]
        self.passages: list[Passage] = public
        self.index = bm25s.BM25()
        names = [re.sub(r"[._]", " ", passage.title) for passage in public]
        texts = [f"{name} {name}\n{passage.text}" for name, passage in zip(names, public, strict=True)]
        self.index.index(self.tokens(texts), show_progress=False)

    def tokens(self, texts: list[str]) -> list[list[str]]:
        """Words without stop words and without the ending ``s``."""
        found = bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
        return [[re.sub(r"(?<=\w{3})s$", "", word) for word in words] for words in found]

    def best(self, query: str, k: int) -> list[tuple[Passage, float]]:
        """The ``k`` passages with the highest scores above 0."""
        tokens = self.tokens([query])
        if not tokens[0]:
            return []
        found, scores = self.index.retrieve(tokens, k=min(k, len(self.passages)), show_progress=False)
        return [(self.passages[int(n)], float(s)) for n, s in zip(found[0], scores[0], strict=True) if s > 0]


passage_index: PassageIndex


@ragwheel.retriever(name="bm25", source="python-docs", k="k", version="1")
def search(query: str, k: int = 6) -> list[dict[str, Any]]:
    """What the app had before ragwheel; the line above is what was added."""
    return [
        {"id": p.id, "text": p.text, "score": round(score, 3), "metadata": p.metadata}
        for p, score in passage_index.best(query, k)
    ]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Read the documentation before the first question comes; write everything down at the end."""
    global passage_index
    passage_index = await asyncio.to_thread(PassageIndex)
    yield
    ragwheel.shutdown()


app = FastAPI(title="ragwheel chat example", lifespan=lifespan)
app.mount("/static", StaticFiles(directory=HERE / "static"))
app.mount("/beacon", StaticFiles(directory=BEACON))
app.mount("/ragwheel", collector.app())  # POST /ragwheel/v1/signals


@app.middleware("http")
async def policy(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """The beacon needs nothing but its own script and the collector's address."""
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    return response


class Question(BaseModel):
    """What the page sends."""

    text: str = Field(min_length=1, max_length=2000)
    session: str = Field(min_length=1, max_length=100)


@app.get("/")
async def page(visitor: str | None = Cookie(None)) -> Response:
    """The page; the cookie stands for the user id that an app with a login would have."""
    response = FileResponse(HERE / "static" / "index.html")
    if visitor is None:
        response.set_cookie("visitor", secrets.token_urlsafe(12), httponly=True, samesite="strict")
    return response


@app.get("/api/corpus")
async def corpus() -> dict[str, Any]:
    """How much there is to search."""
    return {"passages": len(passage_index.passages), "python": platform.python_version()}


@app.post("/api/ask")
async def ask(question: Question, visitor: str | None = Cookie(None)) -> StreamingResponse:
    """Sources, then the answer piece by piece: one JSON object a line."""
    return StreamingResponse(_turn(question, visitor), media_type="application/x-ndjson")


async def _turn(question: Question, visitor: str | None) -> AsyncIterator[str]:
    with ragwheel.turn(question.text, session_id=question.session, user_id=visitor) as turn:
        found = await asyncio.to_thread(search, question.text)
        turn.prompted(found[:PROMPTED])
        yield _line(type="sources", handle=turn.handle, sources=found)
        said: list[str] = []
        try:
            async for piece in answer(question.text, found[:PROMPTED]):
                said.append(piece)
                yield _line(type="piece", text=piece)
                await asyncio.sleep(0.02)  # the stub would be done before anybody looks
        except AnswerError as exc:
            yield _line(type="error", text=str(exc))
        turn.answer("".join(said))
        yield _line(type="done")


@app.get("/api/similar")
async def similar(chunk: str) -> dict[str, Any]:
    """More like one passage: a retrieval of its own, with a handle of its own."""
    passage = next((p for p in passage_index.passages if p.id == chunk), None)
    if passage is None:
        return {"handle": "", "sources": []}
    found = search(f"{passage.title} {passage.text}", k=5)
    retrieval = ragwheel.last_retrieval()
    others = [source for source in found if source["id"] != chunk][:4]
    return {"handle": retrieval.handle if retrieval else "", "sources": others}


def _line(**event: Any) -> str:
    return json.dumps(event) + "\n"
