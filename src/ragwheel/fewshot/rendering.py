"""Rendering examples as a prompt: chat messages or a text, within a token budget."""

from __future__ import annotations

import json
import math
import pprint
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import ConfigurationError, MissingExtra
from ragwheel.fewshot.examples import Example

__all__ = ["TEMPLATES", "Format", "RenderOptions", "Rendered", "count_tokens", "dump", "render"]

Format = Literal["json", "yaml", "python", "text"]
_CHARS_A_TOKEN: Final = 4

TEMPLATES: Final = {
    "plain": """\
{% for example in examples %}
Question: {{ example.question }}
Answer: {{ example.answer }}

{% endfor %}
{% if question %}
Question: {{ question }}
Answer:
{% endif %}
""",
    "thinking": """\
{% for example in examples %}
Question: {{ example.question }}
{% if example.reasoning %}
Thinking: {{ example.reasoning }}
{% endif %}
Answer: {{ example.answer }}

{% endfor %}
{% if question %}
Question: {{ question }}
Thinking:
{% endif %}
""",
    "xml": """\
<examples>
{% for example in examples %}
<example>
<question>{{ example.question | e }}</question>
{% if example.reasoning %}
<thinking>{{ example.reasoning | e }}</thinking>
{% endif %}
<answer>{{ example.answer | e }}</answer>
</example>
{% endfor %}
</examples>
{% if question %}
<question>{{ question | e }}</question>
{% endif %}
""",
}
"""The built-in templates (Jinja2), with the variables ``examples`` and ``question`` (may be None)."""


@dataclass(frozen=True)
class RenderOptions:
    """The options of rendering a prompt.

    Args:
        template: a name of :data:`TEMPLATES`, or the path of a Jinja2 file.
        chat: make chat messages instead of a text; then the template is not used.
        thinking: put an example's reasoning, between ``<think>`` tags, before its answer in messages.
        system: the text of the first, system message.
        budget_tokens: the budget of the prompt. An example that does not fit is left out; later ones may fit.
        tokenizer: counts the tokens of a text; default: tiktoken if installed, else one per four characters.
    """

    template: str | Path = "plain"
    chat: bool = False
    thinking: bool = False
    system: str | None = None
    budget_tokens: int | None = None
    tokenizer: Callable[[str], int] | None = None


@dataclass(frozen=True)
class Rendered:
    """A prompt.

    Attributes:
        text: the prompt, unless chat messages were asked for.
        messages: the chat messages, if they were asked for.
        examples: the examples in the prompt, in order.
        left_out: the examples that did not fit the budget.
        tokens: the number of tokens of the prompt.
    """

    text: str | None
    messages: tuple[dict[str, str], ...] | None
    examples: tuple[Example, ...]
    left_out: tuple[Example, ...]
    tokens: int


def render(
    examples: Iterable[Example], question: str | None = None, options: RenderOptions | None = None
) -> Rendered:
    """Render examples as a prompt, in the given order.

    Args:
        examples: the examples of a library, or those that a selector picked.
        question: the current question; None: the examples alone.
        options: see :class:`RenderOptions`.

    Raises:
        ConfigurationError: the template is broken or missing, or no example fits the budget.
        MissingExtra: Jinja2 is not installed.
    """
    options, chosen = options or RenderOptions(), list(examples)
    make = _chat(question, options) if options.chat else _prompt(question, options)
    count = options.tokenizer or count_tokens
    budget = math.inf if options.budget_tokens is None else options.budget_tokens
    if budget is math.inf:
        taken, left_out = chosen, list[Example]()
    else:
        taken, left_out = _fitting(chosen, make, count, budget)
    prompt = make(taken)
    tokens = _tokens(prompt, count)
    if chosen and not taken:
        least = min(_tokens(make([example]), count) for example in chosen)
        raise ConfigurationError(
            f"No example fits a budget of {options.budget_tokens} tokens: the shortest prompt with one has "
            f"{least:,}. Allowed: {least} or more; or build with shorter answers (max_answer_chars)."
        )
    text = prompt if isinstance(prompt, str) else None
    messages = None if isinstance(prompt, str) else tuple(prompt)
    return Rendered(text, messages, tuple(taken), tuple(left_out), tokens)


def count_tokens(text: str) -> int:
    """Count tokens by tiktoken's ``o200k_base`` if it is installed, else one per four characters."""
    encoding = _tiktoken()
    if encoding is None:
        return -(-len(text) // _CHARS_A_TOKEN)
    return len(encoding.encode(text, disallowed_special=()))


def dump(value: Rendered | Sequence[Example], form: Format) -> str:
    """Serialise a prompt or examples as JSON, YAML, Python source or plain text, with a final newline.

    Raises:
        ConfigurationError: ``text`` is asked for messages or bare examples.
        MissingExtra: PyYAML is not installed.
    """
    if form == "text":
        if not isinstance(value, Rendered) or value.text is None:
            raise ConfigurationError("text: got chat messages, allowed: json, yaml or python for those")
        return value.text.rstrip("\n") + "\n"
    plain = _plain(value)
    if form == "json":
        return json.dumps(plain, ensure_ascii=False, indent=2) + "\n"
    if form == "python":
        name = (
            "EXAMPLES"
            if not isinstance(value, Rendered)
            else "PROMPT"
            if value.text is not None
            else "MESSAGES"
        )
        return f"{name} = {pprint.pformat(plain, width=100, sort_dicts=False)}\n"
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("YAML needs pyyaml. Next: pip install 'ragwheel[fewshot]'") from error
    text: str = yaml.safe_dump(plain, allow_unicode=True, sort_keys=False, width=100)
    return text


def _plain(value: Rendered | Sequence[Example]) -> Any:
    if isinstance(value, Rendered):
        return value.text if value.text is not None else list(value.messages or ())
    return [
        {
            "id": element.id,
            "group": element.group,
            "question": element.question,
            **(
                {"reasoning": element.reasoning, "reasoning_by": element.reasoning_by}
                if element.reasoning
                else {}
            ),
            "answer": element.answer,
        }
        for element in value
    ]


def _fitting(
    examples: list[Example], make: Callable[[list[Example]], Any], count: Callable[[str], int], budget: float
) -> tuple[list[Example], list[Example]]:
    taken: list[Example] = []
    left_out: list[Example] = []
    for example in examples:
        if _tokens(make([*taken, example]), count) <= budget:
            taken.append(example)
        else:
            left_out.append(example)
    return taken, left_out


def _tokens(prompt: str | list[dict[str, str]], count: Callable[[str], int]) -> int:
    if isinstance(prompt, str):
        return count(prompt)
    return sum(count(message["content"]) for message in prompt)


def _chat(question: str | None, options: RenderOptions) -> Callable[[list[Example]], list[dict[str, str]]]:
    def make(examples: list[Example]) -> list[dict[str, str]]:
        messages = [{"role": "system", "content": options.system}] if options.system else []
        for example in examples:
            thought = (
                f"<think>\n{example.reasoning}\n</think>\n" if options.thinking and example.reasoning else ""
            )
            messages.append({"role": "user", "content": example.question})
            messages.append({"role": "assistant", "content": thought + example.answer})
        if question is not None:
            messages.append({"role": "user", "content": question})
        return messages

    return make


def _prompt(question: str | None, options: RenderOptions) -> Callable[[list[Example]], str]:
    template = _template(options.template)
    head = f"{options.system}\n\n" if options.system else ""

    def make(examples: list[Example]) -> str:
        import jinja2

        try:
            return head + str(template.render(examples=examples, question=question))
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ConfigurationError(
                f"The template {options.template} failed: {error}. It is given `examples` (question, answer, "
                "reasoning, group, id) and `question`."
            ) from error

    return make


def _template(named: str | Path) -> Any:
    try:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise MissingExtra("Templates need jinja2. Next: pip install 'ragwheel[fewshot]'") from error
    source = TEMPLATES.get(str(named))
    if source is None:
        try:
            source = Path(named).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"template: got {named} ({reason}), allowed: {', '.join(TEMPLATES)}, or a file in Jinja2"
            ) from error
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )  # prompts are no HTML; what has to be escaped says `| e`
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(
            f"The template {named} is broken in line {error.lineno}: {error.message}"
        ) from error


def _tiktoken() -> Any:
    try:
        import tiktoken
    except ImportError:
        return None
    try:
        return tiktoken.get_encoding("o200k_base")
    except Exception:  # noqa: BLE001 - it fetches its table on first use: without a network, count by characters
        return None
