"""Examples and the library of them: one JSON file that people can read, and that the app loads."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from ragwheel.errors import DatasetError
from ragwheel.files import write_atomically

__all__ = ["FILE", "Example", "Library", "QuestionType", "Retired", "example_id"]

FILE: Final = "library.json"
FORMAT: Final = "ragwheel-fewshot"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Example:
    """A question and an answer that somebody liked.

    Attributes:
        id: twelve hex digits of the question and answer; what ``turn.examples`` takes.
        question, answer: as asked and answered, personal data replaced.
        reasoning: the thinking between them, where there is any.
        reasoning_by: ``app`` when the app recorded it, ``llm`` when it was written for this library.
        group: the type of question.
        turn_id: the turn it comes from; None for one that was written by hand.
        asked_ns: when it was asked (Unix nanoseconds).
        represents: how many of the questions looked at are nearest to this example.
    """

    id: str
    question: str
    answer: str
    reasoning: str | None = None
    reasoning_by: Literal["app", "llm"] | None = None
    group: str = ""
    turn_id: str | None = None
    asked_ns: int = 0
    represents: int = 0


@dataclass(frozen=True, slots=True)
class QuestionType:
    """A type of question: name, share of all questions, and how many answers there were to pick from."""

    name: str
    share: float
    candidates: int


@dataclass(frozen=True, slots=True)
class Retired:
    """An example that was taken out: why, and when (Unix nanoseconds)."""

    example: Example
    reason: str
    at_ns: int


@dataclass(frozen=True)
class Library:
    """Examples in the order in which they were picked, and where they come from.

    Attributes:
        examples: most representative first within each group, groups by size.
        groups: the types of question.
        encoder: what gave the vectors: ``{"name": "lexical", "idf": […]}``, or a model's name.
        counts: turns read, and how many were left out by which rule.
        people: how many people's questions and answers are in it.
        options: what it was built with.
        retired: what was taken out, oldest first.
        made_ns: when it was built (Unix nanoseconds).
    """

    examples: tuple[Example, ...]
    groups: tuple[QuestionType, ...] = ()
    encoder: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    people: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    retired: tuple[Retired, ...] = ()
    made_ns: int = field(default_factory=time.time_ns)

    @property
    def id(self) -> str:
        """Twelve hex digits of its examples: the same examples in the same order have the same id."""
        return hashlib.sha256(" ".join(example.id for example in self.examples).encode()).hexdigest()[:12]

    def with_examples(self, examples: tuple[Example, ...]) -> Library:
        """The same library with other examples."""
        return replace(self, examples=examples)

    @classmethod
    def load(cls, path: str | Path) -> Library:
        """Read a library from its file or folder.

        Raises:
            DatasetError: there is none, it is something else, damaged, or of a newer ragwheel.
        """
        file = _file(Path(path))
        try:
            document = msgspec.json.decode(file.read_bytes())
        except FileNotFoundError:
            raise DatasetError(
                f"There is no few-shot library at {path}. "
                f"Next: ragwheel fewshot build --db ragwheel.db --out {path}"
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise DatasetError(
                f"{file} cannot be read: {error}. Copy it again, or build it again."
            ) from error
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise DatasetError(f'{file} is no few-shot library: its "format" is not {FORMAT!r}.')
        version = document.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise DatasetError(
                f"{file}: format version {version!r}, this ragwheel reads {FORMAT_VERSION}. "
                "Next: pip install -U ragwheel"
            )
        try:
            return msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise DatasetError(f"{file} is damaged: {error}. Build it again, or mend that entry.") from error

    def save(self, path: str | Path) -> Path:
        """Write the file whole or not at all, readable by its owner only; returns its place.

        ``path`` ending in ``.json`` is the file, anything else a folder that holds it.

        Raises:
            DatasetError: it cannot be written.
        """
        file = _file(Path(path))
        document = {"format": FORMAT, "format_version": FORMAT_VERSION, **msgspec.to_builtins(self)}
        data = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, data, private=True)
        except OSError as error:
            raise DatasetError(f"{file} cannot be written: {error.strerror or error}.") from error
        return file


def example_id(question: str, answer: str) -> str:
    """The id of an example: twelve hex digits of SHA-256 over its texts."""
    return hashlib.sha256(f"{question}\0{answer}".encode("utf-8", "replace")).hexdigest()[:12]


def _file(path: Path) -> Path:
    return path if path.suffix == ".json" else path / FILE
