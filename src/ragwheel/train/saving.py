"""From trained weights to a model folder: merging with the base, the card, the register of artefacts."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwheel.files import replace_folder
from ragwheel.models.card import ModelFacts, Subjects, hashed_subjects, write_model_card
from ragwheel.models.loading import licence_of, quiet
from ragwheel.store import open_store
from ragwheel.store.artifacts import register_artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ragwheel.datasets import BuiltDataset
    from ragwheel.train.options import DevFigures, EmbedderOptions, RerankerOptions

__all__ = ["SHARES", "gather_facts", "interpolate", "pick_share", "save", "subjects_of", "traces_of"]

#: Shares of the tuned weights that are tried on ``dev``.
SHARES: Final = (1.0, 0.7, 0.4)

Weights = Mapping[str, Any]


def interpolate(base: Weights, tuned: Weights, share: float) -> dict[str, Any]:
    """``share`` of the tuned weights and the rest of the base's (Wortsman et al. 2022, WiSE-FT)."""
    return {
        name: value if not value.is_floating_point() else base[name] * (1 - share) + value * share
        for name, value in tuned.items()
    }


def pick_share(
    model: Any,
    base: Weights,
    *,
    asked: float | None,
    tuned_value: float | None,
    evaluate: Callable[[], float] | None,
) -> tuple[float, dict[float, float]]:
    """Load the mixture that does best on ``dev`` into the model; returns its share and what was measured.

    The larger share wins among equals. Without ``dev``, or with a share asked for, nothing is tried.
    """
    tuned = {name: value.detach().clone() for name, value in model.state_dict().items()}
    if asked is not None or evaluate is None or tuned_value is None:
        share = 1.0 if asked is None else asked
        model.load_state_dict(interpolate(base, tuned, share))
        return share, {}
    measured = {1.0: tuned_value}
    for share in SHARES[1:]:
        model.load_state_dict(interpolate(base, tuned, share))
        measured[share] = evaluate()
    best = max(measured, key=lambda share: (measured[share], share))
    model.load_state_dict(interpolate(base, tuned, best))
    return best, measured


def traces_of(dataset: BuiltDataset) -> int:
    """Different retrievals and turns that the provenance of the training rows names."""
    table = dataset.provenance(split="train")
    found: set[str] = set()
    for name in ("retrieval_ids", "turn_ids"):
        for ids in table[name].to_pylist():
            found.update(ids or ())
    return len(found)


def subjects_of(dataset: BuiltDataset, db: Path | None) -> tuple[Subjects, str]:
    """Everybody whose traces the build could read, and a sentence about it.

    Provenance keeps examples, not every span, so this is the superset: whoever is in the store until the
    time at which the dataset was built.
    """
    if db is None or not db.is_file():
        return Subjects(), "people: not known, because the database was not given (--db FILE)"
    until = dataset.manifest.get("read", {}).get("until") or "9999"
    people: set[str] = set()
    with contextlib.closing(open_store(db)) as connection:
        for view, column in (("retrievals", "user_id"), ("turns", "user_id"), ("signals", "subject")):
            with contextlib.suppress(sqlite3.OperationalError):  # a view of an older schema
                rows = connection.execute(f"SELECT DISTINCT {column} FROM {view} WHERE {column} IS NOT NULL")
                people.update(str(row[0]) for row in rows)
    return hashed_subjects(
        people
    ), f"people: everybody in the database when it was read (traces until {until})"


def gather_facts(  # noqa: PLR0913 - a card has as many sources
    kind: Any,
    dataset: BuiltDataset,
    options: EmbedderOptions | RerankerOptions,
    *,
    db: Path | None,
    chosen: Mapping[str, Any],
    notes: Sequence[str],
    dev: DevFigures | None,
    figures: Mapping[str, Any],
) -> ModelFacts:
    """What the card says."""
    subjects, told = subjects_of(dataset, db)
    loader = "load_embedder" if kind == "embedder" else "load_reranker"
    measured = {} if dev is None else {"dev nDCG@10": {**asdict(dev), "gain": dev.gain}}
    return ModelFacts(
        kind=kind,
        base=str(options.base),
        base_licence=licence_of(options.base),
        dataset_id=dataset.id,
        dataset_path=str(dataset.folder),
        database=str(db) if db is not None else dataset.manifest.get("read", {}).get("database", ""),
        traces=traces_of(dataset),
        subjects=subjects,
        configuration={**asdict(options), "chosen": dict(chosen)},
        seeds=(options.seed,),
        figures={**measured, **figures},
        notes=(*notes, told),
        recommended=dev is None or dev.high >= 0,
        usage=f'from ragwheel.train import {loader}\n\nmodel = {loader}("path/to/this/folder")',
    )


def save(model: Any, out: Path, facts: ModelFacts, *, dataset: BuiltDataset, db: Path | None) -> None:
    """Write the folder whole or not at all, and tell the store that it exists."""
    with quiet(), replace_folder(out) as folder:
        model.save_pretrained(str(folder), create_model_card=False)
        write_model_card(folder, facts)
    if db is not None and db.is_file():
        register_artifact(db, "model", out, parents=[dataset.folder], subjects=facts.subjects.count)
