"""A language model that is down, slow, lying, redirecting or refusing: one clear error, no key elsewhere."""

from __future__ import annotations

import json
import threading

import pytest
from tests.fewshot.helpers import chat_server, said

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.fewshot import ChatEndpoint, Example, Library, with_reasoning

ASKED = [{"role": "user", "content": "Why?"}]


def test_it_answers_and_gets_the_key(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-1")
    with chat_server(lambda body: said(f" {body['model']} says hi ")) as (url, got):
        assert ChatEndpoint(url, "m1", "MY_KEY")(ASKED) == "m1 says hi"
    assert got[0]["path"] == "/v1/chat/completions"
    headers = {name.lower(): value for name, value in got[0]["headers"].items()}
    assert headers["authorization"] == "Bearer secret-1"
    assert got[0]["body"]["messages"] == ASKED


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((200, {}, b"<html>"), "did not answer as OpenAI's chat API does"),
        ((200, {}, b'{"choices": []}'), "did not answer as OpenAI"),
        ((200, {}, b'{"choices": [{"message": {"content": "  "}}]}'), "empty answer"),
        ((200, {}, b'{"choices": [{"message": {"content": 7}}]}'), "empty answer"),
        ((200, {}, b"x" * 4_000_001), "more than 4,000,000 bytes"),
        ((401, {}, b"who are you"), r"wants a key, and none was sent.*401: who are you.*MY_KEY"),
        ((500, {}, b""), "answered HTTP 500"),
    ],
)
def test_wrong_answers(reply, says):
    with chat_server(lambda body: reply) as (url, _), pytest.raises(ModelError, match=says):
        ChatEndpoint(url, "m", "MY_KEY", retries=0)(ASKED)


def test_a_redirect_is_not_followed(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-1")
    with chat_server(lambda body: said("caught")) as (other, leaked):
        where = (307, {"Location": f"{other}/chat/completions"}, b"")
        with (
            chat_server(lambda body: where) as (url, _),
            pytest.raises(ModelError, match=r"redirects to .127\.0\.0\.1., which is not followed"),
        ):
            ChatEndpoint(url, "m", "MY_KEY")(ASKED)
    assert leaked == []


def test_it_is_slow_or_down():
    done = threading.Event()

    def late(body):
        done.wait(10)
        return said("late")

    with chat_server(late) as (url, _):
        with pytest.raises(ModelError, match=r"did not answer within 0\.1 s"):
            ChatEndpoint(url, "m", timeout_s=0.1)(ASKED)
        done.set()
    with pytest.raises(ModelError, match="cannot be reached"):
        ChatEndpoint(url, "m", retries=0)(ASKED)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("api.openai.com/v1", "no scheme http or https"),
        ("file:///etc/passwd", "no scheme http or https"),
        ("https://ada:pw@host/v1", "got https://host/v1"),
        ("http://169.254.169.254/v1", "link-local"),
        ("http://[fe80::1]/v1", "link-local"),
        ("http://metadata.google.internal/v1", "link-local"),
    ],
)
def test_addresses_that_cannot_be(url, says):
    with pytest.raises(ConfigurationError, match=says):
        ChatEndpoint(url, "m")


def test_a_key_is_not_sent_in_the_clear(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-1")
    with pytest.raises(ConfigurationError, match="in the clear") as caught:
        ChatEndpoint("http://example.org/v1", "m", "MY_KEY")(ASKED)
    assert "secret-1" not in str(caught.value)


def library():
    done = Example("c", "q3", "a3", reasoning="known", reasoning_by="app")
    return Library((Example("a", "q1", "a1"), Example("b", "q2", "a2"), done))


def test_reasoning_is_written_where_there_is_none_and_marked():
    with chat_server(lambda body: said("Because bob@example.org says so.")) as (url, got):
        written = with_reasoning(library(), ChatEndpoint(url, "m"))
    assert [(one.reasoning, one.reasoning_by) for one in written.examples] == [
        ("Because [email] says so.", "llm"), ("Because [email] says so.", "llm"), ("known", "app"),
    ]  # fmt: skip
    mark = got[0]["body"]["messages"][1]["content"].split("\n")[0]
    assert mark in got[0]["body"]["messages"][0]["content"]  # a text cannot know what ends it
    assert mark not in json.dumps(got[1]["body"])


def test_what_was_written_before_the_endpoint_failed_is_kept():
    replies = iter([said("Because."), (500, {}, b"")])
    kept: list[Library] = []
    with (
        chat_server(lambda body: next(replies)) as (url, _),
        pytest.raises(ModelError, match="written for 1 of 2 examples"),
    ):
        with_reasoning(library(), ChatEndpoint(url, "m", retries=0), keep=kept.append)
    assert [one.reasoning for one in kept[-1].examples] == ["Because.", None, "known"]
