"""Examples, and the library that holds them: a readable JSON file that the app loads."""

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
    """A question and its answer, which a person liked.

    Attributes:
        id: twelve hex digits of the question and answer; what ``turn.examples`` takes.
        question, answer: the original texts, with personal data replaced.
        reasoning: the reasoning that leads to the answer, if there is any.
        reasoning_by: ``app`` if the app recorded the reasoning, ``llm`` if it was written for this library.
        group: the type of question.
        turn_id: the turn that the example is from; None for a hand-written one.
        asked_ns: when the question was asked (Unix nanoseconds).
        represents: the number of questions that are nearest to this example.
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
    """A type of question: its name, its share of all questions, and its number of candidates."""

    name: str
    share: float
    candidates: int


@dataclass(frozen=True, slots=True)
class Retired:
    """An example that was removed, with the reason and the time (Unix nanoseconds)."""

    example: Example
    reason: str
    at_ns: int


@dataclass(frozen=True)
class Library:
    """A library of examples in the order of selection, with its provenance.

    Attributes:
        examples: most representative first within each group, groups by size.
        groups: the types of question.
        encoder: the embedding: ``{"name": "lexical", "idf": […]}``, or a model's name.
        counts: the number of turns read, and of those left out by each rule.
        people: the number of people whose questions and answers are in the library.
        options: the options of the build.
        retired: the removed examples, oldest first.
        made_ns: when the library was built (Unix nanoseconds).
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
        """Twelve hex digits, derived from the examples and their order."""
        return hashlib.sha256(" ".join(example.id for example in self.examples).encode()).hexdigest()[:12]

    def with_examples(self, examples: tuple[Example, ...]) -> Library:
        """Return the library with other examples."""
        return replace(self, examples=examples)

    @classmethod
    def load(cls, path: str | Path) -> Library:
        """Read a library from its file or folder.

        Raises:
            DatasetError: the file is missing or damaged, is no library, or is of a newer ragwheel.
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
        """Write the file atomically, readable by its owner only; return its path.

        ``path`` is the file if it ends in ``.json``, else a folder for it.

        Raises:
            DatasetError: the file cannot be written.
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
    """Return the id of an example: twelve hex digits of the SHA-256 of its texts."""
    return hashlib.sha256(f"{question}\0{answer}".encode("utf-8", "replace")).hexdigest()[:12]


def _file(path: Path) -> Path:
    return path if path.suffix == ".json" else path / FILE
