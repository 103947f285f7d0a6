"""Checks of what an app gives to an integration, and of the framework that is installed."""

from __future__ import annotations

import importlib.metadata
import re

from ragwheel.errors import ConfigurationError

__all__ = ["check_whole", "require"]


def check_whole(call: str, name: str, value: object, minimum: int = 1, *, advice: str = "") -> None:
    """Check that an argument of an integration is a whole number in its range.

    Args:
        call: the function or class, for the message; `name` is its parameter.
        minimum: the lowest allowed value.
        advice: a sentence that says what to try, such as ``Try k=5.``

    Raises:
        ragwheel.ConfigurationError: the value is not a whole number of at least `minimum`.
    """
    if type(value) is not int or value < minimum:
        message = f"{call}: {name} is {value!r}; allowed is a whole number from {minimum}"
        raise ConfigurationError(f"{message}. {advice}" if advice else message)


def require(integration: str, package: str, minimum: str) -> None:
    """Check that a framework is installed and new enough, before it is imported.

    Raises:
        ImportError: the framework is missing or too old; the message says what to install.
    """
    advice = f"pip install -U '{package}>={minimum}'"
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(
            f"{integration} needs {package} {minimum} or newer, which is not installed: {advice}"
        ) from None
    if _release(installed) < _release(minimum):
        raise ImportError(f"{integration} needs {package} {minimum} or newer, got {installed}: {advice}")


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, numbers.group().split("."))) if numbers else ()
