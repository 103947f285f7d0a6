"""Weights of hybrid search, tuned by the expected gain on training questions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel.datasets import BuiltDataset, open_dataset
from ragwheel.datasets.document_ids import document_id
from ragwheel.deploy.fusing import Fusion
from ragwheel.errors import ModelError, TrainingError
from ragwheel.evaluate.collection import Collection
from ragwheel.evaluate.criterion import Gain, expected_gain
from ragwheel.evaluate.spec import parse_system
from ragwheel.evaluate.systems import Searcher, fused_by
from ragwheel.files import replace_folder
from ragwheel.models.card import MANIFEST, ModelFacts, write_model_card
from ragwheel.store.artifacts import register_artifact
from ragwheel.train.beliefs import Belief, beliefs
from ragwheel.train.features.lists import read_traffic
from ragwheel.train.features.train import database_of
from ragwheel.train.options import DevFigures, TrainedModel
from ragwheel.train.saving import subjects_of, traces_of

if TYPE_CHECKING:
    from ragwheel.train.features.lists import Traffic
    from ragwheel.typing import Progress

__all__ = ["FusionOptions", "train_fusion"]

_USEFUL: Final = 0.6
#: Tuned weights have to gain this much more than reciprocal rank fusion, which needs no tuning.
_WORTH: Final = 0.002
_SHARES: Final = tuple(step / 10 for step in range(11))
_RRF_KS: Final = (10, 60)

Rankings = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class FusionOptions:
    """What to fuse.

    Args:
        first, second: systems, as ``ragwheel evaluate`` names them.
        min_examples: training questions below which nothing is tuned.
    """

    first: str = "bm25"
    second: str = "embedder:minilm"
    min_examples: int = 50


def train_fusion(
    dataset: BuiltDataset | str | Path,
    out: str | Path,
    *,
    options: FusionOptions | None = None,
    db: str | Path | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Find the weights of two retrievers with the highest expected gain over what the app retrieved.

    Both search the chunks of the store for the training questions. Tried are convex combinations of scaled
    scores and weighted reciprocal rank fusion; the untuned fusion is kept where none of them is better.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        out: a new or empty folder, or that of an earlier training.
        options: what to fuse.
        db: the store that the dataset was built from; None: the one that its manifest names.
        progress: called as the work goes on.

    Raises:
        DatasetError: there is no such dataset, or the store is another one.
        TrainingError: there are too few training questions.
        ConfigurationError: there is no such system.
        ModelError: `out` holds something else.
    """
    options, out, started = options or FusionOptions(), Path(out), time.monotonic()
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file())):
        raise ModelError(f"{out} exists and is no model of ragwheel's; name a new folder with --out DIR")
    opened = dataset if isinstance(dataset, BuiltDataset) else open_dataset(dataset)
    store = database_of(opened, db)
    systems = [parse_system(spec) for spec in (options.first, options.second)]
    believed = beliefs(opened, store)
    questions = frozenset(row.query_key for rows in believed.values() for row in rows)
    traffic = read_traffic(store, questions)
    train, dev = (by_question(believed[split], traffic) for split in ("train", "dev"))
    if len(train) < options.min_examples:
        raise TrainingError(
            f"{opened.folder} has {len(train)} training questions with a relevant chunk; tuning needs "
            f"{options.min_examples}. Until then fuse without weights: "
            f"hybrid:{options.first}+{options.second}. Next: ragwheel status"
        )
    collection = _collection(opened, [*believed["train"], *believed["dev"]], traffic, {**train, **dev})
    runs = [system.search(collection, Searcher(progress=progress)) for system in systems]
    captured = {
        key: tuple(document_id(entry.source, entry.id) for entry in traffic.rankings[key][1])
        for key in collection.queries
        if key in traffic.rankings
    }
    untuned = Fusion(retrievers=(options.first, options.second))
    gains = {}
    grid = list(_grid(untuned.retrievers))
    for done, fusion in enumerate(grid):
        if progress is not None:
            progress("fit", done, len(grid))
        gains[fusion] = expected_gain(train, captured, fused_by(fusion, runs))
    plain = gains[untuned]
    best = max(gains, key=lambda fusion: gains[fusion].mean)
    chosen = best if gains[best].mean > plain.mean + _WORTH else untuned
    checked = expected_gain(dev, captured, fused_by(chosen, runs)) if dev else None
    outcome = Tuned(opened, store, out, options, chosen, gains[chosen], plain, checked, started)
    return _finish(outcome)


def by_question(rows: list[Belief], traffic: Traffic) -> dict[str, dict[str, float]]:
    """P(relevant) by question and document, of the questions with a ranking and a relevant chunk."""
    by_key: dict[str, dict[str, float]] = {}
    for row in rows:
        by_key.setdefault(row.query_key, {})[document_id(row.source, row.chunk_id)] = row.belief
    return {
        key: own for key, own in by_key.items() if key in traffic.rankings and max(own.values()) >= _USEFUL
    }


def _collection(
    dataset: BuiltDataset, rows: list[Belief], traffic: Traffic, believed: Mapping[str, Mapping[str, float]]
) -> Collection:
    return Collection(
        name=f"{dataset.folder.name} (train)",
        corpus={document_id(source, chunk): entry.text for (source, chunk), entry in traffic.chunks.items()},
        queries={row.query_key: row.query for row in rows},
        qrels={
            "inferred": {
                key: {document: round(5 * belief) for document, belief in own.items()}
                for key, own in believed.items()
            }
        },
        positive=3,
    )


def _grid(retrievers: tuple[str, ...]) -> Iterator[Fusion]:
    yield Fusion(retrievers=retrievers)
    for share in _SHARES:
        yield Fusion("convex", (share, 1 - share), retrievers=retrievers)
    for k in _RRF_KS:
        for share in _SHARES[3:8:2]:
            if (k, share) != (60, 0.5):
                yield Fusion("rrf", (share, 1 - share), k, retrievers)


@dataclass(frozen=True)
class Tuned:
    """Everything that the card of a fusion is made from."""

    dataset: BuiltDataset
    db: Path
    out: Path
    options: FusionOptions
    fusion: Fusion
    gain: Gain
    untuned: Gain
    dev: Gain | None
    started: float


def _finish(done: Tuned) -> TrainedModel:
    """Write the folder and say what was chosen and why."""
    fusion, gain = done.fusion, done.gain
    shares = " and ".join(
        f"{weight / sum(fusion.weights):.1f} of {name}"
        for weight, name in zip(fusion.weights, fusion.retrievers)
    )
    how = "scaled scores" if fusion.method == "convex" else f"reciprocal ranks, k {fusion.k}"
    why = (
        (
            f"{shares}, by {how}: {gain.mean:+.3f} expected nDCG@10 over what the app retrieved "
            f"[{gain.low:+.3f}, {gain.high:+.3f}], {gain.queries:,} training questions"
        ),
        f"untuned fusion: {done.untuned.mean:+.3f}",
    )
    dev = done.dev
    figures = None if dev is None else DevFigures(dev.queries, 0.0, dev.mean, dev.low, dev.high)
    recommended = gain.mean > 0 and (dev is None or dev.high >= 0)
    notes = () if recommended else ("it is not expected to order better than the app's retriever",)
    subjects, people = subjects_of(done.dataset, done.db)
    took = {"training_s": round(time.monotonic() - done.started, 1), "examples": float(gain.queries)}
    facts = ModelFacts(
        kind="fusion",
        base=" + ".join(fusion.retrievers),
        dataset_id=done.dataset.id,
        dataset_path=str(done.dataset.folder),
        database=str(done.db),
        traces=traces_of(done.dataset),
        subjects=subjects,
        configuration={**asdict(done.options), "chosen": asdict(fusion)},
        figures={"expected gain": asdict(gain), "expected gain, untuned": asdict(done.untuned), **took},
        notes=(*why, *notes, people),
        recommended=recommended,
        usage=_USAGE,
    )
    with replace_folder(done.out) as folder:
        fusion.save(folder)
        write_model_card(folder, facts)
    register_artifact(
        done.db, "model", done.out, parents=[done.dataset.folder], subjects=facts.subjects.count
    )
    return TrainedModel(done.out, facts, how, why, figures, notes, took)


_USAGE: Final = """
from ragwheel.deploy import FusedSearch, Fusion

search = FusedSearch([search_words, search_vectors], Fusion.load("path/to/this/folder"), k=5)
"""
