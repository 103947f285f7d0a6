"""Options of the commands that send requests to a model behind a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from ragwheel.fewshot import ChatEndpoint

__all__ = [
    "LlmKeyEnv",
    "LlmMaxTokens",
    "LlmModel",
    "LlmTemperature",
    "LlmTimeout",
    "LlmUrl",
    "PrivateOption",
    "chat_endpoint",
    "number_or_none",
    "whole_or_none",
]

URL_HELP = "An endpoint that speaks OpenAI's chat API, up to and without /chat/completions."
_KEY_HELP = "Name of the environment variable that holds its key."
_KEY_DEFAULT = "RAGWHEEL_LLM_KEY, or OPENAI_API_KEY for api.openai.com"
_PRIVATE_HELP = "Allow an endpoint in a private network."
_MODEL_HELP = "The name of the model at the endpoint."
_TOKENS_HELP = "Longest reply in tokens; none sends no limit."
_TEMPERATURE_HELP = "0 to 2; none leaves it to the server."

LlmUrl = Annotated[str | None, typer.Option("--llm-url", envvar="RAGWHEEL_LLM_URL", help=URL_HELP)]
LlmModel = Annotated[str, typer.Option("--llm-model", envvar="RAGWHEEL_LLM_MODEL", help=_MODEL_HELP)]
LlmKeyEnv = Annotated[str | None, typer.Option("--llm-key-env", help=_KEY_HELP, show_default=_KEY_DEFAULT)]
LlmTimeout = Annotated[float, typer.Option("--llm-timeout", min=1, help="Seconds that one answer may take.")]
PrivateOption = Annotated[bool, typer.Option("--allow-private", help=_PRIVATE_HELP)]
LlmMaxTokens = Annotated[str, typer.Option("--llm-max-tokens", metavar="N|none", help=_TOKENS_HELP)]
LlmTemperature = Annotated[str, typer.Option("--llm-temperature", metavar="X|none", help=_TEMPERATURE_HELP)]


def number_or_none(text: str, option: str) -> float | None:
    """Read a number, or None for ``none``.

    Raises:
        ConfigurationError: the text is neither.
    """
    if text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{option}: got {text!r}, allowed: a number, or none") from None


def whole_or_none(text: str, option: str) -> int | None:
    """Read a whole number, or None for ``none``.

    Raises:
        ConfigurationError: the text is neither.
    """
    number = number_or_none(text, option)
    if number is not None and not number.is_integer():
        raise ConfigurationError(f"{option}: got {text!r}, allowed: a whole number, or none")
    return None if number is None else int(number)


def chat_endpoint(  # noqa: PLR0913, PLR0917 - the options of a command
    url: str | None,
    model: str,
    key_env: str | None,
    timeout_s: float,
    allow_private: bool,
    max_tokens: str,
    temperature: str,
) -> ChatEndpoint:
    """The chat endpoint that the options name.

    Raises:
        ConfigurationError: there is no URL, or a value cannot be used.
    """
    from ragwheel.fewshot import ChatEndpoint

    if url is None:
        raise ConfigurationError(
            "an LLM is needed: --llm-url URL (or RAGWHEEL_LLM_URL), such as https://api.openai.com/v1"
        )
    return ChatEndpoint(
        url,
        model,
        key_env,
        timeout_s,
        max_tokens=whole_or_none(max_tokens, "--llm-max-tokens"),
        temperature=number_or_none(temperature, "--llm-temperature"),
        allow_private=allow_private or None,
    )
