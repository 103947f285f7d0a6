"""Reading values liberally: JSON in JSON, Python reprs in CSV cells, times and numbers in any spelling."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final

from ragwheel.lenient import parse_loosely

__all__ = ["all_text", "first", "flat", "number", "parse_loosely", "plain_text", "time_ns", "whole"]


def plain_text(value: Any, depth: int = 6, *, answer: bool = False) -> str | None:
    """Return the text that a value carries: a text, a message, the last of several messages.

    Follows what chat APIs and frameworks wrap a text into; None where nothing reads as a text. Of a
    conversation it is what the person said, with ``answer`` what was answered.
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
#: The same for an answer: what was asked is none, and what was put in comes last.
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
    """Return every text in what a language model was sent, in order."""
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


def number(value: Any) -> float | None:
    """Return a finite number, also from a text that is one; None otherwise, and for booleans."""
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
    """Return a whole number, also from a text that is one."""
    real = number(value)
    return int(real) if real is not None and real.is_integer() and abs(real) < 2**53 else None


def time_ns(value: Any) -> int:
    """Return Unix nanoseconds; 0 where the value is no time.

    Numbers are seconds, milliseconds, microseconds or nanoseconds by their size. Without a zone it is UTC.
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
    """Return the first of these that is there and neither None nor blank."""
    for name in names:
        value = values.get(name)
        if value is not None and value != "":
            return value
    return None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys; lists stay as they are."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            result.update(flat(value, f"{name}."))
        elif value is not None:
            result[name] = value
    return result
