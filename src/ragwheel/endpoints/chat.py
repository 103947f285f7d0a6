"""Chat completions: optional fields that servers refuse, and the text of a reply."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ragwheel.endpoints.connection import Connection, HttpReply
from ragwheel.errors import ConfigurationError

__all__ = ["ChatClient", "ChatFields", "Completion", "read_completion"]

_PATH: Final = "chat/completions"
_REFUSES_FIELDS: Final = frozenset((400, 422))
_MAX_ERROR_BYTES: Final = 20_000
_TAG: Final = "(?:think|thinking|thought|reasoning)"
#: Thoughts before the answer: up to the last closing tag, or to the end where they were cut off.
_THOUGHTS: Final = re.compile(rf"\A.*</{_TAG}>|\A\s*<{_TAG}>.*\Z", re.DOTALL | re.IGNORECASE)
_TEXT_PARTS: Final = frozenset((None, "text", "output_text"))


@dataclass(frozen=True)
class ChatFields:
    """The optional fields of a chat request.

    Args:
        max_tokens: of the reply; None sends no limit.
        temperature: None sends none, so that the server's default applies.
        schema: send ``response_format`` where the caller has one.
        renamed: send the limit as ``max_completion_tokens``, as newer models want it.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    max_tokens: int | None = 1_000
    temperature: float | None = 0.0
    schema: bool = True
    renamed: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigurationError(f"max_tokens is {self.max_tokens}; allowed: 1 or more, or none.")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ConfigurationError(f"temperature is {self.temperature}; allowed: 0 to 2, or none.")

    def body(self, response_format: dict[str, Any] | None) -> dict[str, Any]:
        """The fields of one request."""
        fields: dict[str, Any] = {}
        if self.temperature is not None:
            fields["temperature"] = self.temperature
        if self.max_tokens is not None:
            fields["max_completion_tokens" if self.renamed else "max_tokens"] = self.max_tokens
        if self.schema and response_format is not None:
            fields["response_format"] = response_format
        return fields

    def adapted(self, reason: str, *, has_schema: bool) -> ChatFields | None:
        """The fields for another try after a refusal, or None when nothing is left to change.

        Args:
            reason: what the server wrote; a field that it names is renamed or left out. Where it names none,
                the JSON schema is left out.
            has_schema: the refused request had one.
        """
        if re.search(r"max_(completion_)?tokens", reason) and self.max_tokens is not None:
            return replace(self, max_tokens=None) if self.renamed else replace(self, renamed=True)
        if "temperature" in reason and self.temperature is not None:
            return replace(self, temperature=None)
        return replace(self, schema=False) if has_schema and self.schema else None

    @property
    def variant(self) -> str:
        """A short name of the changes, for idempotency keys: another request needs another key."""
        parts = ["" if self.schema else "plain", "renamed" if self.renamed else ""]
        parts += ["" if self.max_tokens is not None else "unlimited"]
        parts += ["" if self.temperature is not None else "default"]
        return "-".join(part for part in parts if part)


@dataclass
class ChatClient:
    """Ask for chat completions, and remember which optional fields the endpoint accepts.

    ``counts`` has the requests ``sent``, and those ``retried`` with other fields.
    """

    connection: Connection
    fields: ChatFields
    counts: Counter[str] = field(default_factory=Counter)

    async def complete(
        self,
        messages: list[dict[str, str]],
        *,
        response_format: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> HttpReply:
        """Send one question; a server that refuses an optional field is asked again without it.

        Raises:
            RequestFailed: no complete reply came, or one with another status than 200.
        """
        fields = original = self.fields
        while True:
            reply = await self._send(fields, messages, response_format, idempotency_key)
            if reply.status == 200:
                if fields != original:  # else a request of another worker may have adapted them meanwhile
                    self.fields = fields
                return reply
            if reply.status not in _REFUSES_FIELDS:
                raise reply.failure()
            text = reply.content[:_MAX_ERROR_BYTES].decode("utf-8", "replace")
            adapted = fields.adapted(text, has_schema=response_format is not None)
            if adapted is None:
                raise reply.failure()
            self.counts["retried"] += 1
            fields = adapted

    async def _send(
        self,
        fields: ChatFields,
        messages: list[dict[str, str]],
        response_format: dict[str, Any] | None,
        idempotency_key: str | None,
    ) -> HttpReply:
        self.counts["sent"] += 1
        body = {"model": self.connection.endpoint.model, "messages": messages, **fields.body(response_format)}
        if idempotency_key is not None and fields.variant:
            idempotency_key = f"{idempotency_key}-{fields.variant}"
        return await self.connection.post(_PATH, body, idempotency_key=idempotency_key)


@dataclass(frozen=True)
class Completion:
    """A chat completion.

    Attributes:
        text: the answer, without the model's thoughts.
        refused: the model or a content filter declined to answer.
        truncated: the answer ended at the limit of tokens.
        content: all that the model wrote, thoughts included.
    """

    text: str
    refused: bool = False
    truncated: bool = False
    content: str = ""


def read_completion(body: Any) -> Completion | None:
    """Read the JSON of a reply; None when it is no chat completion."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        finished = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    text = _joined(content)
    return Completion(
        _THOUGHTS.sub("", text).strip(),
        refused=bool(refusal) or finished == "content_filter",
        truncated=finished == "length",
        content=text,
    )


def _joined(content: Any) -> str:
    """The text of a message whose content is a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict) and part.get("type") in _TEXT_PARTS:
            text = part.get("text")
            parts.append(text if isinstance(text, str) else "")
    return "".join(parts)
