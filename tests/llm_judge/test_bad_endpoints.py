"""An endpoint that is down, slow, wrong, refusing, lying or elsewhere: said, nothing lost or leaked."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections import Counter
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from tests.llm_judge.conftest import QUESTIONS, QUICK, honest, serving

from ragwheel.errors import JudgeError
from ragwheel.llm_judge import Endpoint, JudgeOptions, judge
from ragwheel.llm_judge.budget import Budget
from ragwheel.llm_judge.client import JudgeClient
from ragwheel.llm_judge.prompts import Ask
from ragwheel.llm_judge.replies import Replies
from ragwheel.testing.llm import StubLLM


def test_an_endpoint_that_is_down_is_said_and_nothing_is_written(store, judgments):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", "a-model", key="sk-secret")
    with pytest.raises(JudgeError, match=r"stopped answering: 5 questions in a row .*ConnectError") as caught:
        judge(store.path, endpoint=endpoint, options=JudgeOptions(limits=QUICK))
    assert "sk-secret" not in str(caught.value)
    assert "goes on from here. 0 grades were written" in str(caught.value)
    assert judgments() == []


def test_an_endpoint_that_never_answers_is_given_up_and_may_have_cost(ask):
    limits = dataclasses.replace(QUICK, timeout_s=0.2)
    with pytest.raises(JudgeError, match=r"the last time it did not answer within 0\.2 s"):
        ask(*["hang"] * 40, limits=limits)
    assert ask.last.replies == {}
    assert ask.last.budget.spent.tokens_out == 64 * ask.last.counts["sent"]


def test_replies_that_came_before_it_went_down_are_kept_and_not_asked_again(ask):
    with pytest.raises(JudgeError, match="HTTP 500"):
        ask(*["ok"] * 8, *["500"] * 200)
    first = ask.last
    assert len(first.replies) == 8
    rest = ask()
    assert rest.counts["cached"] == 8
    assert len(rest.replies) == 24
    assert not set(first.stub.answered) & set(rest.stub.answered)


@pytest.mark.parametrize("status", ["408", "429", "429 after 0", "500", "503", "529"])
def test_what_may_pass_is_tried_again(ask, status):
    found = ask(status, status)
    assert len(found.answers) == 24
    assert found.counts["retried"] == 2


@pytest.mark.parametrize("after", ["1e10", "soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_that_says_nothing_is_waited_out_as_usual(ask, after):
    assert len(ask(f"429 after {after}").answers) == 24


def test_a_retry_after_beyond_patience_ends_the_run(ask):
    in_an_hour = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
    with pytest.raises(JudgeError, match=r"wants to be left alone for 3[56]\d\d s"):
        ask(*[f"429 after {in_an_hour}"] * 20)


@pytest.mark.parametrize(
    ("status", "message"),
    [("401", "does not accept the key"), ("403", "does not accept"), ("404", "no such address or model")],
)
def test_what_no_retry_would_change_ends_the_run_at_once(ask, status, message):
    with pytest.raises(JudgeError, match=message):
        ask(*[status] * 50, key="sk-secret")
    assert len(ask.last.stub.seen) <= QUICK.concurrency


def test_a_redirect_is_not_followed_and_the_key_stays(ask):
    with serving() as (other, endpoint):
        with pytest.raises(JudgeError, match=r"redirects to '127.0.0.1', which is not followed"):
            ask(*[f"redirect {endpoint.base_url}/chat/completions"] * 20, key="sk-secret")
        assert other.seen == []
    with pytest.raises(JudgeError, match="redirects to 'another path'"):
        ask(*["redirect /elsewhere"] * 20)
    with pytest.raises(JudgeError, match="Invalid URL in location header"):
        ask(*["redirect http://bad:port/"] * 99)


def test_the_key_goes_to_its_host_alone(ask, monkeypatch):
    with serving() as (proxy, endpoint):
        monkeypatch.setenv("HTTP_PROXY", endpoint.base_url)
        monkeypatch.setenv("ALL_PROXY", endpoint.base_url)
        found = ask(key="sk-secret")
        assert proxy.seen == []
    assert {one.headers["authorization"] for one in found.stub.seen} == {"Bearer sk-secret"}
    assert "sk-secret" not in repr(Endpoint("https://example.com", "m", key="sk-secret"))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("I think it is a 4", "unreadable"),
        ('{"grade": 7}', "unreadable"),
        ('{"grade": true}', "unreadable"),
        ('{"grade": 4.5}', "unreadable"),
        ('{"grade": 4} or rather {"grade": 2}', "unreadable"),
        ('<think>{"grade": 4} it is, or', "empty"),
        ('{"better": "A"}', "unreadable"),
        ("[" * 100_000, "unreadable"),
        ("[4]", "unreadable"),
        ("  ", "empty"),
    ],
)
def test_wrong_json_is_no_answer_and_paid_for_once(ask, answer, verdict):
    found = ask(answer=lambda _question, _passages: answer)
    assert found.verdicts == {verdict: 24}
    again = ask()
    assert again.counts == {"cached": 24}
    assert again.verdicts == {verdict: 24}


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n{"grade": 5}\n```',
        'The passage answers it.\n\n```json\n{"grade": 5}\n```\n',
        'The passage says it: {"grade": 5}. I am sure: {"grade": 5.0}',
        '{"grade": "5"}',
        '{"grade": 5.0}',
        '{"Grade": " 5 "}',
        '{"reasoning": "a {brace}", "grade": 5}',
        '{"result": {"grade": 5, "confidence": 0.9}}',
        "5",
        "5.0",
        '<think>{"grade": 0}</think>\n{"grade": 5}',
        'It could be {"grade": 0}, but no.</think>{"grade": 5}',
        [{"type": "text", "text": '{"grade"'}, {"type": "text", "text": ": 5}"}],
        [{"type": "thinking", "thinking": '{"grade": 0}'}, {"type": "text", "text": '{"grade": 5}'}],
    ],
)
def test_an_answer_is_read_from_json_in_fences_prose_parts_and_after_thoughts(ask, answer):
    assert set(ask(answer=lambda _question, _passages: answer).answers.values()) == {5}


@pytest.mark.parametrize(
    ("script", "verdict"),
    [("refuse", "refused"), ("filter", "refused"), ("empty", "empty")],
)
def test_a_refusal_is_no_grade(ask, script, verdict):
    assert ask(script, script).verdicts == {verdict: 2, "answered": 22}


def test_a_page_instead_of_a_completion_is_no_reply_and_is_not_kept(ask):
    found = ask("html")
    assert (found.counts["unreachable"], len(found.answers)) == (1, 23)
    assert ask().counts["cached"] == 23  # and the one that a portal caught is asked now


def test_an_address_where_no_model_answers_ends_the_run(ask):
    with pytest.raises(JudgeError, match=r"HTTP 200 and no chat completion; RAGWHEEL_JUDGE_URL is what"):
        ask(*["html"] * 50)


def test_a_response_without_end_is_cut_off(ask):
    found = ask("huge")
    assert (found.counts["unreachable"], len(found.answers)) == (1, 23)


def test_a_connection_that_breaks_is_tried_again_and_counted_as_spent(ask):
    found = ask("cut")
    assert len(found.answers) == 24
    assert found.budget.spent.tokens_out > sum(reply.tokens_out for reply in found.replies.values())


def test_an_endpoint_without_json_schemas_is_asked_without(ask):
    found = ask("no schema")
    assert len(found.answers) == 24
    plain = [one for one in found.stub.seen if "response_format" not in one.body]
    assert len(plain) == 24
    assert len(found.stub.seen) - len(plain) <= QUICK.concurrency


def test_one_question_that_is_refused_whatever_the_format_does_not_cost_the_others_the_schema(ask):
    found = ask("400", "400", limits=dataclasses.replace(QUICK, concurrency=1))
    assert len(found.answers) == 23
    assert "response_format" in found.stub.seen[-1].body


@pytest.mark.parametrize(
    "usage",
    [
        None,
        lambda _in, _out: {"prompt_tokens": 0, "completion_tokens": 0},
        lambda _in, _out: {"prompt_tokens": -5, "completion_tokens": "many"},
        lambda _in, _out: {"prompt_tokens": True, "completion_tokens": 10**30},
        lambda _in, _out: "a lot",
    ],
)
def test_usage_that_cannot_be_true_is_replaced_by_an_estimate(ask, usage):
    found = ask(stub=StubLLM(answer=honest, usage=usage))
    assert found.counts["usage doubted"] == 48
    told = sum(len(message["content"]) / 4 for one in found.stub.seen for message in one.body["messages"])
    assert told < found.budget.spent.tokens_in < told * 2


def test_a_reply_without_an_answer_is_asked_again_on_request_only(cache):
    with (
        Replies(cache / "judge.db") as replies,
        serving(answer=honest, script=["empty"] * 3) as (_, endpoint),
    ):

        def run(**options):
            engine = JudgeClient(endpoint, replies, Budget(), QUICK, **options)
            answers = {}
            asyncio.run(engine.run(QUESTIONS, answers.__setitem__))
            return engine.counts, Counter(reply.verdict for reply in answers.values())

        assert run()[1] == {"empty": 3, "answered": 21}
        assert run() == ({"cached": 24}, {"empty": 3, "answered": 21})
        counts, verdicts = run(retry_failed=True)
        assert (counts["cached"], counts["sent"], verdicts) == (21, 3, {"answered": 24})
        assert run(retry_failed=True)[0] == {"cached": 24}


def test_a_server_that_refuses_a_field_is_asked_without_it_and_its_reason_is_shown(ask):
    assert len(ask("400 temperature is not supported").answers) == 24
    body = ask.last.stub.seen[-1].body
    assert "temperature" not in body
    assert "response_format" in body
    with pytest.raises(JudgeError, match="HTTP 400: your quota is used up"):
        ask(*["400 your quota is used up"] * 200, asks=[Ask(f"other {n}?", ("text",)) for n in range(8)])


def test_an_answer_cut_off_by_the_limit_of_tokens_is_said_to_be(ask):
    found = ask(answer=lambda *_: '{"gra', asks=QUESTIONS[:2])
    assert found.verdicts == {"unreadable": 2}
    found = ask("length", "length", answer=lambda *_: '{"gra', asks=QUESTIONS[2:4])
    assert found.verdicts == {"truncated": 2}
