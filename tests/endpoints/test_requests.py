"""Servers as they are: which fields they refuse, what they say, where they are reached, and when to wait."""

from __future__ import annotations

import json
import socket

import pytest
from tests.fewshot.helpers import chat_server, said

from ragwheel.endpoints import (
    ChatFields,
    Connection,
    Endpoint,
    RequestFailed,
    Retrying,
    RetryPolicy,
    run_sync,
)
from ragwheel.errors import ConfigurationError, EndpointError
from ragwheel.fewshot import ChatEndpoint
from ragwheel.train.adapter import EmbeddingEndpoint

ASKED = [{"role": "user", "content": "Why?"}]


def refusing(*names):
    """A server that refuses bodies with any of these fields, as OpenAI's words it."""

    def reply(body):
        for name in names:
            if name in body:
                error = {"error": {"message": f"Unsupported parameter: '{name}' is not supported."}}
                return 400, {}, json.dumps(error).encode()
        return said("Because.")

    return reply


@pytest.mark.parametrize(
    ("refused", "accepted"),
    [
        (["max_tokens"], {"max_completion_tokens": 1_000, "temperature": 0}),
        (["max_tokens", "max_completion_tokens"], {"temperature": 0}),
        (["temperature"], {"max_tokens": 1_000}),
        (["max_tokens", "temperature"], {"max_completion_tokens": 1_000}),
    ],
)
def test_a_field_that_a_server_refuses_is_renamed_or_left_out_and_that_is_remembered(refused, accepted):
    with chat_server(refusing(*refused)) as (url, got):
        ask = ChatEndpoint(url, "m")
        assert ask(ASKED) == "Because."
        tries = len(got)
        assert ask(ASKED) == "Because."
    assert tries == len(refused) + 1
    assert len(got) == tries + 1
    body = got[-1]["body"]
    assert {name: value for name, value in body.items() if name not in ("model", "messages")} == accepted


def test_both_fields_can_be_left_out_from_the_start():
    with chat_server(refusing("max_tokens", "temperature")) as (url, got):
        assert ChatEndpoint(url, "m", max_tokens=None, temperature=None)(ASKED) == "Because."
    assert sorted(got[0]["body"]) == ["messages", "model"]


@pytest.mark.parametrize("fields", [{"max_tokens": 0}, {"temperature": -1}, {"temperature": 3}])
def test_fields_that_cannot_be(fields):
    with pytest.raises(ConfigurationError, match="allowed"):
        ChatFields(**fields)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"error": {"message": "the model is\\nloading"}}', "the model is loading"),
        (b'{"error": "no quota"}', "no quota"),
        (b'{"detail": [{"loc": ["body", "messages"], "msg": "too long"}]}', "too long"),
        (b"<h1>Bad gateway</h1>", "Bad gateway"),
        (b"wrong key sk-secret, sorry", r"wrong key \*\*\*, sorry"),
    ],
)
def test_the_servers_own_reason_is_in_the_error_and_the_key_is_not(content, reason, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with chat_server(lambda body: (400, {}, content)) as (url, _):
        for ask in (
            lambda: ChatEndpoint(url, "m", "MY_KEY")(ASKED),
            lambda: EmbeddingEndpoint(url, "m", "MY_KEY")(["text"], "query"),
        ):
            with pytest.raises(EndpointError, match=f"HTTP 400: .*{reason}") as caught:
                ask()
            assert "sk-secret" not in str(caught.value)


def test_what_may_pass_is_tried_again_for_vectors_too():
    replies = iter([(503, {}, b""), (429, {"Retry-After": "0"}, b"")])
    vectors = {"data": [{"index": 0, "embedding": [1.0, 2.0]}]}
    with chat_server(lambda body: next(replies, (200, {}, json.dumps(vectors).encode()))) as (url, got):
        assert EmbeddingEndpoint(url, "m")(["text"], "query") == [[1.0, 2.0]]
    assert len(got) == 3


def test_a_number_of_vectors_that_is_not_the_number_of_texts_is_an_error():
    vectors = {"data": [{"index": 0, "embedding": [1.0]}]}
    with (
        chat_server(lambda body: (200, {}, json.dumps(vectors).encode())) as (url, _),
        pytest.raises(EndpointError, match="1 vectors for 2 texts"),
    ):
        EmbeddingEndpoint(url, "m")(["a", "b"], "query")


def test_the_key_of_vectors_is_not_sent_in_the_clear(monkeypatch):
    monkeypatch.setenv("EMBED_KEY", "sk-secret")
    with pytest.raises(ConfigurationError, match="in the clear") as caught:
        EmbeddingEndpoint("http://example.com/v1", "m", "EMBED_KEY")
    assert "sk-secret" not in str(caught.value)


def test_the_next_address_of_a_name_is_tried_when_the_first_refuses(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    with chat_server(lambda body: said("Because.")) as (url, got):
        port = int(url.removesuffix("/v1").rpartition(":")[2])
        endpoint = Endpoint(url, "m")
        pinned = endpoint.pinned()
        both = (f"http://127.0.0.1:{dead}/v1", f"http://127.0.0.1:{port}/v1")
        monkeypatch.setattr(Endpoint, "pinned", lambda self: type(pinned)(both, "localhost", "localhost"))

        async def twice():
            async with Connection(endpoint) as connection:
                return [(await connection.post("chat/completions", {})).status for _ in range(2)]

        assert run_sync(twice) == [200, 200]
    assert {k.lower(): v for k, v in got[0]["headers"].items()}["host"] == "localhost"


def test_thoughts_are_no_part_of_an_answer():
    for text in ("<think>hm</think>Because.", "hm</think>\nBecause."):
        with chat_server(lambda body, text=text: said(text)) as (url, _):
            assert ChatEndpoint(url, "m")(ASKED) == "Because."


def test_retries_end_and_a_long_retry_after_ends_them_at_once():
    tries = []

    async def attempt(**failure):
        tries.append(1)
        raise RequestFailed("is busy", retryable=True, **failure)

    policy = RetryPolicy(retries=3, first_wait_s=0.0)
    with pytest.raises(RequestFailed, match="is busy"):
        run_sync(lambda: Retrying(policy).call(attempt))
    assert len(tries) == 4
    with pytest.raises(RequestFailed, match="left alone for 3600 s") as caught:
        run_sync(lambda: Retrying(policy).call(lambda: attempt(retry_after_s=3600.0)))
    assert caught.value.fatal
    assert len(tries) == 5
