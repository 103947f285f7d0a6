"""Pipelines that answer the questions of a test: the app's own function, or a model behind an endpoint."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.fewshot.endpoint import ChatEndpoint
from ragwheel.fewshot.examples import Example
from ragwheel.fewshot.rendering import RenderOptions, render

__all__ = ["Answers", "Pipeline", "load_pipeline", "through_endpoint"]

Pipeline = Callable[[str, list[dict[str, Any]]], str]
"""The app as ``answer(question, examples)``; an example is a dict with question, answer and reasoning."""


def load_pipeline(named: str) -> Pipeline:
    """Import the app's function ``module:function``, also from the working directory.

    Raises:
        ConfigurationError: there is no such function.
    """
    module, colon, name = named.partition(":")
    if not (colon and module and name):
        raise ConfigurationError(
            f"pipeline: got {named!r}, allowed: module:function, such as app.answers:answer"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        target = importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"pipeline: {module} cannot be imported ({error}). Start it where the app starts."
        ) from error
    for part in name.split("."):
        target = getattr(target, part, None)  # type: ignore[assignment]
    if not callable(target):
        raise ConfigurationError(
            f"pipeline: {module} has no function {name}. Allowed: answer(question, examples)"
        )
    return target


def through_endpoint(endpoint: ChatEndpoint, options: RenderOptions | None = None) -> Pipeline:
    """Return a pipeline that sends the examples and the question to an endpoint as chat messages."""
    from dataclasses import replace

    chat = replace(options or RenderOptions(), chat=True)

    def answer(question: str, examples: list[dict[str, Any]]) -> str:
        rows = [
            Example("", example["question"], example["answer"], example.get("reasoning"))
            for example in examples
        ]
        return endpoint(render(rows, question, chat).messages or ())

    return answer


class Answers:
    """Answers of a pipeline, cached in a file so that no question is asked twice.

    Args:
        pipeline: see :data:`Pipeline`.
        name: the name of the pipeline; cached answers of other names are ignored.
        kept: a file of JSON lines; None caches in memory only.
    """

    def __init__(self, pipeline: Pipeline, name: str, kept: Path | None) -> None:
        self._pipeline, self._name, self._kept = pipeline, name, kept
        self._known: dict[str, str] = {}
        self.asked = 0
        if kept is not None and kept.is_file():
            for line in kept.read_text("utf-8", "replace").splitlines():
                try:
                    row = json.loads(line)
                    self._known[row["key"]] = row["answer"]
                except (ValueError, KeyError, TypeError):
                    continue  # the process was killed while writing: the question is asked again

    def __call__(self, question: str, examples: Sequence[Example]) -> str:
        """Return the answer. The pipeline's exceptions propagate; DatasetError if the answer is no text."""
        request = json.dumps([self._name, question, [example.id for example in examples]])
        key = hashlib.sha256(request.encode()).hexdigest()[:24]
        if key not in self._known:
            rows = [{"question": e.question, "answer": e.answer, "reasoning": e.reasoning} for e in examples]
            answer = self._pipeline(question, rows)
            self.asked += 1
            if not isinstance(answer, str):
                raise DatasetError(f"the pipeline gave a {type(answer).__name__}, allowed: the answer's text")
            self._keep(key, answer)
        return self._known[key]

    def _keep(self, key: str, answer: str) -> None:
        self._known[key] = answer
        if self._kept is None:
            return
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            self._kept.touch(mode=0o600, exist_ok=True)
            with self._kept.open("a", encoding="utf-8", errors="replace") as out:
                out.write(json.dumps({"key": key, "answer": answer}) + "\n")
        except OSError as error:
            raise DatasetError(f"{self._kept} cannot be written: {error.strerror or error}.") from error
