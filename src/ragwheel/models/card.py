"""The model card in the folder of a trained model: ``ragwheel-model.json`` and ``README.md``.

The ids of subjects are stored as salted hashes: :func:`holds_subject` tells whether a person's data went into
the model, but two cards do not reveal whether they have a subject in common.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import ModelError
from ragwheel.files import write_atomically

__all__ = [
    "MANIFEST",
    "ModelFacts",
    "Subjects",
    "hashed_subjects",
    "holds_subject",
    "read_model_card",
    "write_model_card",
]

#: The file in every folder of a model that ragwheel trained.
MANIFEST: Final = "ragwheel-model.json"
_FORMAT: Final = 1
_VERSIONS: Final = ("ragwheel", "torch", "transformers", "sentence-transformers", "numpy")

Kind = Literal["embedder", "reranker", "adapter", "fusion"]


@dataclass(frozen=True)
class Subjects:
    """The number of people whose data went into a model, and the salted hashes of their ids."""

    count: int = 0
    salt: str = ""
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFacts:
    """What is known about a trained model.

    Args:
        kind: the kind of model.
        base: the model that training started from: a hub id, a folder, or ``minilm``.
        base_licence: as the base states it (an SPDX id where it does), or ``unknown``.
        dataset_id, dataset_path, database: the dataset folder and the store that it was built from.
        traces: the retrievals and turns whose evidence is in the training rows.
        subjects: see :func:`hashed_subjects`.
        configuration: every option of the training, with the values that were chosen for ``auto``.
        seeds: every seed that was used.
        figures: measured values by name, such as ``{"dev": {"base": .61, "tuned": .66}}``.
        notes: sentences for the reader: the choices with their reasons, and warnings.
        recommended: False if the model measured worse than its base.
        usage: Python lines that load the model, for the card.
    """

    kind: Kind
    base: str
    base_licence: str = "unknown"
    dataset_id: str = ""
    dataset_path: str = ""
    database: str = ""
    traces: int = 0
    subjects: Subjects = field(default_factory=Subjects)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    recommended: bool = True
    usage: str = ""

    @property
    def documents(self) -> str:
        """The model of the document vectors, if only the query encoder was trained; else empty."""
        chosen = self.configuration.get("chosen")
        return str(chosen.get("documents", "")) if isinstance(chosen, Mapping) else ""


def hashed_subjects(subjects: Iterable[str]) -> Subjects:
    """Return the number and the salted hashes of people's ids; the salt is new each time."""
    people, salt = sorted(set(subjects)), secrets.token_hex(16)
    return Subjects(len(people), salt, tuple(sorted(_hash(salt, subject) for subject in people)))


def holds_subject(facts: ModelFacts, subject: str) -> bool:
    """Return whether data of the person with this id went into the model."""
    return _hash(facts.subjects.salt, subject) in facts.subjects.hashes


def _hash(salt: str, subject: str) -> str:
    data = subject.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=16, key=salt.encode()).hexdigest()


def write_model_card(folder: str | Path, facts: ModelFacts) -> Path:
    """Write ``ragwheel-model.json`` and ``README.md`` into a folder; return the path of the former.

    Both are written atomically, with the present time and the versions of the libraries.
    """
    folder = Path(folder)
    manifest = {
        "made_by": "ragwheel",
        "format": _FORMAT,
        **asdict(facts),
        "versions": {name: version for name in _VERSIONS if (version := _version(name))},
        "made_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    write_atomically(folder / "README.md", _card(facts))
    write_atomically(
        folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False, default=str) + "\n"
    )
    return folder / MANIFEST


def read_model_card(folder: str | Path) -> ModelFacts:
    """Read a folder's ``ragwheel-model.json``.

    Raises:
        ModelError: the file is missing or damaged, or was written by a newer ragwheel.
    """
    path = Path(folder) / MANIFEST
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.get("made_by") != "ragwheel":
            raise ValueError("another program wrote it")
        if document["format"] > _FORMAT:
            raise ModelError(
                f"{path} has format {document['format']}, this ragwheel reads up to {_FORMAT}. "
                "Next: pip install --upgrade ragwheel"
            )
        subjects = document["subjects"]
        fields = {name: document[name] for name in ModelFacts.__dataclass_fields__ if name in document}
        fields["subjects"] = Subjects(subjects["count"], subjects["salt"], tuple(subjects["hashes"]))
        fields |= {"seeds": tuple(document["seeds"]), "notes": tuple(document["notes"])}
        return ModelFacts(**fields)
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no {MANIFEST}: it is no folder that ragwheel trained.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(f"{path} cannot be read: {exc}. Train the model again.") from exc


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_TITLES: Final[Mapping[str, str]] = {
    "embedder": "An embedding model tuned on the traces of a RAG app",
    "reranker": "A re-ranker tuned on the traces of a RAG app",
    "fusion": "Weights of hybrid search, tuned on the traces of a RAG app",
    "adapter": "An adapter for frozen embeddings, trained on the traces of a RAG app",
}


def _card(facts: ModelFacts) -> str:
    head = ["---", "tags:", "- ragwheel", f"- {facts.kind}"]
    if facts.base_licence != "unknown":
        head.append(f"license: {json.dumps(facts.base_licence)}")
    warning = (
        ""
        if facts.recommended
        else "\n> **Not recommended**: on held-out questions it measured worse than its base.\n"
    )
    usage = f"\n```python\n{facts.usage.strip()}\n```\n" if facts.usage else ""
    notes = "".join(f"\n* {note}" for note in facts.notes) or "\nNone."
    rows = [
        ("base", facts.base),
        ("licence of the base", facts.base_licence),
        ("dataset", f"{facts.dataset_path} ({facts.dataset_id})"),
        ("database", facts.database),
        ("traces", facts.traces),
        ("people", f"{facts.subjects.count} (salted hashes of their ids are in {MANIFEST})"),
        ("seeds", ", ".join(map(str, facts.seeds))),
    ]
    return f"""{chr(10).join(head)}
---

# {_TITLES[facts.kind]}
{warning}{usage}
{_table(rows)}

## Figures

{_table(_flat(facts.figures))}

## Notes
{notes}

## Configuration

{_table(_flat(facts.configuration))}

The model was trained on texts of the app's own sources and on what people did: whoever shares it shares
what can be learned from them.
"""


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} / ")
        else:
            rows.append((prefix + name, round(value, 4) if isinstance(value, float) else value))
    return rows


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    body = [f"| {name} | {_cell(value)} |" for name, value in rows] or ["| none | |"]
    return "\n".join(["| | |", "|---|---|", *body])


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
