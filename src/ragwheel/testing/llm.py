"""An OpenAI-compatible endpoint for tests: scripted, or a small language model on this machine.

::

    stub = StubLLM(answer=lambda question, passages: {"grade": 3}, script=["429", "ok"])
    with served(stub) as url:
        ...  # POST {url}/v1/chat/completions

``python -m ragwheel.testing.llm --gguf FILE`` serves a GGUF model through llama-cpp-python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["ReceivedRequest", "StubLLM", "local_lm"]

Answer = Callable[[str, list[str]], object]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_BLOCK: Final = re.compile(r"BEGIN (?P<mark>\w+)\n(?P<text>.*?)\nEND (?P=mark)", re.DOTALL)


@dataclass(frozen=True)
class ReceivedRequest:
    """One request: where it went, headers (lower case), delimiter, question, passages, body."""

    path: str
    headers: dict[str, str]
    mark: str
    question: str
    passages: list[str]
    body: dict[str, Any]


@dataclass
class StubLLM:
    """An ASGI app that answers as told and remembers what it was asked.

    Args:
        answer: (question, passages) -> what stands in the message: an object becomes JSON; a string, or a
            list of parts, stays.
        script: what to do with the first requests, in order; then ``"ok"``. A status such as ``"429"`` or
            ``"503"``; ``"429 after 2"`` with a ``Retry-After``, ``"400 REASON"`` with a message;
            ``"redirect URL"``, ``"hang"`` (never answers), ``"cut"`` (ends in the middle), ``"html"``,
            ``"huge"``, ``"refuse"``, ``"filter"``, ``"empty"``, ``"length"`` (cut off by the token limit),
            ``"no schema"`` (400 whenever a JSON schema is asked for).
        latency_s: before every answer.
        usage: (tokens in, out) -> what it says of them; None: nothing.
    """

    answer: Answer = field(default=lambda _question, _passages: {"grade": 3})
    script: Iterable[str] = ()
    latency_s: float = 0.0
    usage: Callable[[int, int], object] | None = field(
        default=lambda tokens_in, tokens_out: {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    )
    seen: list[ReceivedRequest] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    answered: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._script = list(self.script)

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send
    ) -> None:
        """One request, or uvicorn's lifespan."""
        if scope["type"] != "http":
            return
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            request = await self._read(scope, receive)
            await self._act(self._script.pop(0) if self._script else "ok", request, receive, send)
        finally:
            self.in_flight -= 1

    async def _read(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]]) -> ReceivedRequest:
        raw, more = b"", True
        while more:
            event = await receive()
            raw += event.get("body", b"")
            more = event.get("more_body", False)
        body = json.loads(raw)
        blocks = list(_BLOCK.finditer(body["messages"][-1]["content"]))
        texts = [block["text"] for block in blocks]
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        mark = blocks[0]["mark"] if blocks else ""
        request = ReceivedRequest(scope["path"], headers, mark, (texts or [""])[0], texts[1:], body)
        self.seen.append(request)
        return request

    async def _act(
        self, what: str, asked: ReceivedRequest, receive: Callable[[], Awaitable[Any]], send: Send
    ) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if what == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if what == "no schema":
            self._script.insert(0, what)
            what = "400" if "response_format" in asked.body else "ok"
        word, _, rest = what.partition(" ")
        if word.isdigit():
            after = rest.removeprefix("after ") if rest.startswith("after ") else ""
            extra = [(b"retry-after", after.encode())] if after else []
            error = {"error": {"message": rest if rest and not after else "scripted"}}
            await _respond(send, int(word), json.dumps(error).encode(), extra)
        elif word == "redirect":
            await _respond(send, 307, b"", [(b"location", rest.encode())])
        elif word == "html":
            await _respond(send, 200, b"<html>a portal that wants a login</html>")
        elif word == "huge":
            await _respond(send, 200, b" " * 2_000_000)
        elif word == "cut":
            await _begin(send, 200, [(b"content-length", b"500")])
            await send({"type": "http.response.body", "body": b'{"choices"', "more_body": False})
        else:
            await _respond(send, 200, json.dumps(self._completion(word, asked)).encode())

    def _completion(self, word: str, asked: ReceivedRequest) -> dict[str, Any]:
        reply = self.answer(asked.question, asked.passages)
        content = reply if isinstance(reply, (str, list)) else json.dumps(reply)
        text = content if isinstance(content, str) else json.dumps(content)
        message: dict[str, Any] = {"role": "assistant", "content": "" if word == "empty" else content}
        if word == "refuse":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        reason = {"filter": "content_filter", "length": "length"}.get(word, "stop")
        sizes = [len(message["content"]) // 4 for message in asked.body["messages"]]
        self.answered["\0".join([asked.question, *asked.passages])] += 1
        body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
        if self.usage is not None:
            body["usage"] = self.usage(sum(sizes), max(len(text) // 4, 1))
        return body


async def _begin(send: Send, status: int, extra: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", b"application/json"), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _respond(send: Send, status: int, body: bytes, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    await _begin(send, status, [(b"content-length", str(len(body)).encode()), *extra])
    await send({"type": "http.response.body", "body": body})


def local_lm(gguf: Path, *, context_tokens: int = 2048) -> Any:
    """An ASGI app around a GGUF model; one request at a time, JSON schemas kept to by grammar.

    Raises:
        ModuleNotFoundError: llama-cpp-python is not installed.
    """
    import llama_cpp

    model = llama_cpp.Llama(str(gguf), n_ctx=context_tokens, verbose=False, seed=0)
    turn = asyncio.Lock()

    async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] != "http":
            return
        asked = await StubLLM()._read(scope, receive)
        schema = asked.body.get("response_format", {}).get("json_schema", {}).get("schema")
        async with turn:
            content = await asyncio.to_thread(
                model.create_chat_completion,
                messages=asked.body["messages"],
                temperature=0.0,
                max_tokens=asked.body.get("max_tokens", 64),
                response_format={"type": "json_object", "schema": schema} if schema else None,
            )
        await _respond(send, 200, json.dumps(content).encode())

    return app


def _main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description="Serve a GGUF model on loopback, OpenAI-compatible.")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8089)
    args = parser.parse_args()
    uvicorn.run(local_lm(args.gguf), host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    _main()
