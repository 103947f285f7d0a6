"""What both trainings share: checks before, the loop, the choice on ``dev`` and the saving after."""

from __future__ import annotations

import importlib.util
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwheel.datasets import BuiltDataset, open_dataset
from ragwheel.errors import MissingExtra, TrainingError
from ragwheel.models.encoding import has_fast_bfloat16
from ragwheel.train.checkpoints import CheckpointFolder, is_main_process
from ragwheel.train.dev import DevSet, read_dev
from ragwheel.train.examples import check_amount
from ragwheel.train.measure import Measure
from ragwheel.train.options import EmbedderOptions, RerankerOptions, TrainedModel
from ragwheel.train.saving import gather_facts, save

if TYPE_CHECKING:
    from ragwheel.train.held_out import SlicedGain
    from ragwheel.train.loop import LoopFigures
    from ragwheel.train.recipe import Recipe

__all__ = ["Started", "TrainingRun", "batch_size_for", "prepare", "seeded"]

_NEEDED: Final = ("torch", "sentence_transformers", "accelerate", "datasets", "safetensors", "ir_measures")
_CPU_TOKENS: Final = 128
_FEWEST_STEPS: Final = 8


@dataclass(frozen=True)
class Started:
    """What is known before a model is loaded."""

    dataset: BuiltDataset
    dev: DevSet | None
    notes: tuple[str, ...]


def prepare(dataset: BuiltDataset | str | Path, options: EmbedderOptions | RerankerOptions) -> Started:
    """Open the dataset and see whether it is enough.

    Raises:
        MissingExtra: the extra ``train`` is not installed.
        DatasetError: it is no dataset folder.
        TrainingError: too few examples, wrong columns, no ``dev`` split.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"Training needs {', '.join(missing)}, not installed in this Python. "
            "Next: pip install 'ragwheel[train]'"
        )
    opened = dataset if isinstance(dataset, BuiltDataset) else open_dataset(dataset)
    _, notes = check_amount(opened, options.min_examples)
    if options.without_dev:
        return Started(opened, None, (*notes, "without dev: the last step is taken, and no gain is known"))
    dev = read_dev(opened, documents=options.dev_documents or 1000, seed=options.seed)
    if dev is None:
        raise TrainingError(
            f"{opened.folder} has no dev question with a relevant chunk, so that no checkpoint can be "
            "picked (test is never used for that). Next: build it from more questions, "
            "10 families at least, or train "
            "with --without-dev, which takes the last step."
        )
    return Started(opened, dev, notes)


@dataclass
class TrainingRun:
    """One training from a loaded model to a saved folder.

    Args:
        kind: ``embedder`` or ``reranker``.
        started: see :func:`prepare`.
        options: what was asked for.
        out, db: where the model goes, and the store that the dataset was built from, if known.
        model: as it was loaded.
        measure: compares the model as it is now with the base on ``dev``; None: there is no ``dev``.
    """

    kind: str
    started: Started
    options: EmbedderOptions | RerankerOptions
    out: Path
    db: Path | None
    model: Any
    measure: Measure | None

    @property
    def evaluate(self) -> Callable[[], float] | None:
        """What checkpoints are chosen by; None without ``dev``."""
        return None if self.measure is None else self.measure.value

    def load_best(self, work: CheckpointFolder) -> float | None:
        """Bring back the weights that did best on ``dev``; returns how well. Without ``dev``: the last."""
        from safetensors.torch import load_model

        best = work.best
        if best is None:
            return None
        load_model(self.model, str(work.best_weights(best[0])))
        return best[1]

    def finish(
        self,
        recipe: Recipe,
        done: LoopFigures,
        chosen: Mapping[str, Any],
        work: CheckpointFolder,
        model: Any = None,
    ) -> TrainedModel:
        """Compare with the base on ``dev``, write the folder of ``model`` (None: of what was trained)."""
        dev = None if self.measure is None else self.measure.figures()
        expected = None if self.measure is None else self.measure.expected()
        notes = [*self.started.notes, *done.notes]
        if dev is not None and dev.high < 0:
            notes.append("worse than its base on dev: do not use it; more or surer labels are needed")
        elif dev is not None and dev.low < 0:
            notes.append(f"the gain on {dev.queries} dev questions may be chance: the interval holds zero")
        seconds = max(done.seconds, 1e-9)
        figures = {
            "examples": len(recipe.examples),
            "steps": done.steps,
            "training_s": round(done.seconds, 1),
            "rows_per_s": round(done.rows / seconds, 2),
            "tokens_per_s": round(done.tokens / seconds),
            "peak_memory_mb": _peak_memory_mb(),
            **{f"dev_step_{step}": value for step, value in work.evaluations().items()},
        }
        notes += _by_slice(expected)
        facts = gather_facts(
            self.kind, self.started.dataset, self.options, db=self.db, notes=[*recipe.why, *notes],
            chosen={"loss": recipe.loss, "rows": recipe.examples.config, **chosen}, dev=dev, figures=figures,
        )  # fmt: skip
        if is_main_process():
            save(
                self.model if model is None else model,
                self.out,
                facts,
                dataset=self.started.dataset,
                db=self.db,
            )
        return TrainedModel(self.out, facts, recipe.loss, recipe.why, dev, tuple(notes), figures)


def _by_slice(expected: SlicedGain | None) -> list[str]:
    """What is expected where the answer was trained on, and where it was not."""
    parts = () if expected is None else ((expected.seen, ""), (expected.unseen, " not"))
    return [
        f"expected nDCG@10 of {part.queries} dev questions whose answer was{word} trained on: "
        f"{part.mean:+.3f} [{part.low:+.3f}, {part.high:+.3f}]"
        for part, word in parts
        if part is not None
    ]


def asked_for(kind: str, dataset: BuiltDataset, options: EmbedderOptions | RerankerOptions) -> dict[str, Any]:
    """What decides the result: an unfinished training goes on only where all of it is the same."""
    return {"kind": kind, "dataset": dataset.id, **asdict(options)}


def batch_size_for(asked: int | None, rows: int, *, on_cpu: bool) -> int:
    """Rows a step: what was asked for, else what suits the device and leaves eight steps."""
    if asked is not None:
        return asked
    return min(32 if on_cpu else 128, max(2, rows // _FEWEST_STEPS))


def max_tokens_for(asked: int | None, own: int | None, *, on_cpu: bool) -> tuple[int | None, tuple[str, ...]]:
    """Tokens a text while training, and what is said about it."""
    if asked is not None:
        return min(asked, own or asked), ()
    if on_cpu and (own is None or own > _CPU_TOKENS):
        note = (
            f"on a CPU, texts are cut at {_CPU_TOKENS} tokens while training (--max-tokens {own or 512} "
            f"takes all of them); the saved model reads {own or 512}"
        )
        return _CPU_TOKENS, (note,)
    return own, ()


def bfloat16_for(options: EmbedderOptions | RerankerOptions, *, on_cpu: bool) -> bool:
    """Whether to compute in bfloat16."""
    import torch

    if options.precision == "auto":
        return (
            bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()) if on_cpu else has_fast_bfloat16()
        )
    return options.precision == "bfloat16"


def check_disk(folder: Path, model: Any) -> None:
    """Raise :class:`TrainingError` where the checkpoints will not fit."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    needed, free = 9 * weights, shutil.disk_usage(folder).free  # two checkpoints of 3, one being written
    if free < needed:
        raise TrainingError(
            f"{folder.parent} has {free / 2**20:,.0f} MiB free; the checkpoints of this training need about "
            f"{needed / 2**20:,.0f}. Free some space, or name a folder on another disk with --out DIR."
        )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every random state seeded, and the caller's put back afterwards."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _peak_memory_mb() -> int:
    import resource
    import sys

    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated() / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / (2**20 if sys.platform == "darwin" else 2**10))
