"""Lenient reading of values: JSON within JSON, Python reprs in CSV cells, times and numbers of any form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final

from ragwheel.lenient import parse_loosely

__all__ = [
    "all_text",
    "first",
    "flat",
    "number",
    "parse_loosely",
    "plain_text",
    "scalar_text",
    "time_ns",
    "whole",
]


def plain_text(value: Any, depth: int = 6, *, answer: bool = False) -> str | None:
    """Return the text in a value: a text, a message, or the last of several messages.

    Wrappers of chat APIs and frameworks are opened; None if there is no text. Of a conversation, the last
    message of the person is returned, or with ``answer`` that of the assistant.
    """
    value = parse_loosely(value)
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if depth <= 0:
        return None
    if isinstance(value, Mapping):
        return _text_of_mapping(value, depth, answer)
    if isinstance(value, (list, tuple)):
        return _text_of_list(value, depth, answer)
    return None


#: Keys that hold a question or answer, in the order in which they are tried.
_TEXT_KEYS: Final = (
    "query",
    "question",
    "user_input",
    "user_query",
    "query_str",
    "query_text",
    "answer",
    "response",
    "result",
    "output_text",
    "content",
    "text",
    "input",
    "inputs",
    "output",
    "outputs",
    "value",
    "prompt",
    "message",
    "reply",
    "replies",
    "completion",
    "generated_text",
    "messages",
    "choices",
    "generations",
    "parts",
    "kwargs",
    "data",
    "args",
    "input_value",
    "arguments",
    "query_bundle",
    "str_or_query_bundle",
)


_QUESTION_KEYS: Final = ("query", "question", "user_input", "user_query", "query_str", "query_text")
_INPUT_KEYS: Final = ("input", "inputs", "prompt", "args", "input_value", "arguments")
#: The keys that hold an answer, without those of questions; inputs are tried last.
_ANSWER_KEYS: Final = (
    *(key for key in _TEXT_KEYS if key not in _QUESTION_KEYS + _INPUT_KEYS),
    *_INPUT_KEYS,
)


def _text_of_mapping(value: Mapping[Any, Any], depth: int, answer: bool) -> str | None:
    for key in _ANSWER_KEYS if answer else _TEXT_KEYS:
        if value.get(key) is not None:
            text = plain_text(value[key], depth - 1, answer=answer)
            if text is not None:
                return text
    return plain_text(next(iter(value.values())), depth - 1, answer=answer) if len(value) == 1 else None


def _text_of_list(value: list[Any] | tuple[Any, ...], depth: int, answer: bool) -> str | None:
    if value and all(isinstance(item, Mapping) for item in value):
        parts = [item for item in value if item.get("type", "text") == "text" and "role" not in item]
        if len(parts) == len(value) and all(isinstance(item.get("text"), str) for item in parts):
            return "".join(item["text"] for item in parts) or None
        asked = [item for item in value if item.get("role", item.get("type")) in {"user", "human"}]
        value = ([item for item in value if item not in asked] if answer else asked) or value
    for item in reversed(value):
        text = plain_text(item, depth - 1, answer=answer)
        if text is not None:
            return text
    return None


_PROMPT_KEYS: Final = (
    "system",
    "content",
    "contents",
    "text",
    "parts",
    "messages",
    "prompt",
    "prompts",
    "kwargs",
    "input",
    "inputs",
)


def all_text(value: Any) -> str | None:
    """Return every text in a prompt of a language model, in order."""
    value = parse_loosely(value)
    if isinstance(value, str):
        return value or None
    if isinstance(value, Mapping):
        parts = [all_text(value[key]) for key in _PROMPT_KEYS if key in value]
    elif isinstance(value, (list, tuple)):
        parts = [all_text(item) for item in value]
    else:
        return None
    return "\n".join(filter(None, parts)) or None


def scalar_text(value: Any) -> str | None:
    """Return a text or a number as stripped text; None if it is blank, a boolean, or holds other values."""
    return None if value is None or isinstance(value, (dict, list, bool)) else str(value).strip() or None


def number(value: Any) -> float | None:
    """Return a finite number, also from its text; None for anything else, booleans included."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float, Decimal)):
        try:
            real = float(value)
        except OverflowError:
            return None
        return real if math.isfinite(real) else None
    return None


def whole(value: Any) -> int | None:
    """Return a whole number, also from its text; None for anything else."""
    real = number(value)
    return int(real) if real is not None and real.is_integer() and abs(real) < 2**53 else None


def time_ns(value: Any) -> int:
    """Return a time as Unix nanoseconds; 0 if the value is no time.

    The size of a number decides whether it is in seconds, milli-, micro- or nanoseconds. Times without a zone
    are UTC.
    """
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return int(aware.timestamp() * 1e6) * 1000
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit():
            value = int(text)
        else:
            return _from_text(text)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        return 0
    for limit, factor in ((1e11, 10**9), (1e14, 10**6), (1e17, 1000)):
        if value < limit:
            return int(value * factor)
    return int(value) if value < 2**63 else 0


def _from_text(text: str) -> int:
    real = number(text)
    if real is not None:
        return time_ns(real)
    text = text.removesuffix(" UTC")
    text = text[:-1] + "+00:00" if text[-1:] in {"Z", "z"} else text
    text = re.sub(r"(\.\d{1,6})\d*", lambda m: m[1].ljust(7, "0"), text, count=1)
    try:
        return time_ns(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return 0


def first(values: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the value of the first of these names that is present and neither None nor blank."""
    for name in names:
        value = values.get(name)
        if value is not None and value != "":
            return value
    return None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one with dotted keys; lists stay as they are."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            result.update(flat(value, f"{name}."))
        elif value is not None:
            result[name] = value
    return result
