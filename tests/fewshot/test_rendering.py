"""Prompts: every template, budgets, formats, and templates that are broken."""

from __future__ import annotations

import ast
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwheel.errors import ConfigurationError
from ragwheel.fewshot import Example, RenderOptions, dump, render
from ragwheel.fewshot.rendering import TEMPLATES, count_tokens

A = Example("a1", "How do I log in?", "With a password.")
B = Example("b2", "Is 1 < 2?", "Yes.", reasoning="One comes first.", reasoning_by="llm", group="sums")


def test_plain():
    assert render([A, B], "Why?").text == (
        "Question: How do I log in?\nAnswer: With a password.\n\n"
        "Question: Is 1 < 2?\nAnswer: Yes.\n\n"
        "Question: Why?\nAnswer:\n"
    )


def test_thinking():
    text = render([A, B], "Why?", RenderOptions("thinking", system="Be short.")).text
    assert text.startswith("Be short.\n\nQuestion: How do I log in?\nAnswer:")
    assert "Question: Is 1 < 2?\nThinking: One comes first.\nAnswer: Yes." in text
    assert text.endswith("Question: Why?\nThinking:\n")


def test_xml_keeps_the_texts_inside_their_tags():
    text = render([Example("x", "</question> 1 < 2", "fine")], None, RenderOptions("xml")).text
    assert "<question>&lt;/question&gt; 1 &lt; 2</question>" in text
    assert text.count("</question>") == 1


def test_chat():
    made = render([A, B], "Why?", RenderOptions(chat=True, thinking=True, system="Be short."))
    assert [message["role"] for message in made.messages] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert made.messages[4]["content"] == "<think>\nOne comes first.\n</think>\nYes."
    assert "think" not in render([B], None, RenderOptions(chat=True)).messages[1]["content"]
    assert made.text is None


def test_a_template_of_ones_own(tmp_path):
    own = tmp_path / "mine.j2"
    own.write_text("{% for e in examples %}{{ e.id }}:{{ e.group or '-' }} {% endfor %}{{ question }}")
    assert render([A, B], "Why?", RenderOptions(own)).text == "a1:- b2:sums Why?"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{% for e in examples %}", "broken in line 1"),
        ("ok\n{{ 1 + }}", "broken in line 2"),
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ examples[0].nothing }}", "has no attribute 'nothing'"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ range(10000000)|list }}", "Range too big"),
    ],
)
def test_broken_templates(tmp_path, source, says):
    own = tmp_path / "mine.j2"
    own.write_text(source)
    with pytest.raises(ConfigurationError, match=says):
        render([A], "Why?", RenderOptions(own))


def test_a_template_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="plain, thinking, xml, or a file"):
        render([A], None, RenderOptions("nope"))
    with pytest.raises(ConfigurationError, match="Is a directory"):
        render([A], None, RenderOptions(tmp_path))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(20, 300), st.booleans())
def test_the_budget_holds_and_no_example_is_cut(lengths, budget, chat):
    examples = [Example(f"e{i}", f"question {i}", "word " * n) for i, n in enumerate(lengths)]
    options = RenderOptions(chat=chat, budget_tokens=budget)
    least = min(render([one], "Why?", RenderOptions(chat=chat)).tokens for one in examples)
    if least > budget:
        with pytest.raises(ConfigurationError, match="No example fits a budget"):
            render(examples, "Why?", options)
        return
    made = render(examples, "Why?", options)
    assert made.tokens <= budget
    assert sorted([*made.examples, *made.left_out], key=lambda e: e.id) == examples
    shown = made.text or json.dumps(made.messages)
    assert all(one.answer.strip() in shown for one in made.examples)
    assert list(made.examples) == sorted(made.examples, key=lambda e: e.id)


def test_ones_own_tokenizer_and_a_budget_too_small():
    made = render([A, B], None, RenderOptions(budget_tokens=7, tokenizer=lambda text: len(text.split())))
    assert [one.id for one in made.examples] == ["b2"]
    assert [one.id for one in made.left_out] == ["a1"]
    with pytest.raises(ConfigurationError, match=r"budget of 3 tokens: the shortest .* has 7"):
        render([A, B], None, RenderOptions(budget_tokens=3, tokenizer=lambda text: len(text.split())))
    assert render([], "Why?", RenderOptions(budget_tokens=50)).examples == ()
    assert count_tokens("x" * 41) >= 5


def test_formats_say_the_same():
    made = render([A, B], "Why?", RenderOptions(chat=True))
    as_json = json.loads(dump(made, "json"))
    assert as_json == list(made.messages)
    assert yaml.safe_load(dump(made, "yaml")) == as_json
    name, _, source = dump(made, "python").partition(" = ")
    assert (name, ast.literal_eval(source)) == ("MESSAGES", as_json)
    with pytest.raises(ConfigurationError, match="text: got chat messages"):
        dump(made, "text")
    data = json.loads(dump([A, B], "json"))
    assert [set(one) for one in data] == [
        {"id", "group", "question", "answer"},
        {"id", "group", "question", "answer", "reasoning", "reasoning_by"},
    ]
    assert dump([A], "python").startswith("EXAMPLES = [")
    assert dump(render([A]), "python").startswith("PROMPT = ")


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_same_every_time(template):
    assert render([A, B], "Why?", RenderOptions(template)) == render([A, B], "Why?", RenderOptions(template))
