"""``train_reranker``: from a dataset folder to a cross-encoder that orders what was retrieved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwheel.models.loading import load_reranker
from ragwheel.train import run
from ragwheel.train.checkpoints import CheckpointFolder
from ragwheel.train.dev import score_reranker
from ragwheel.train.examples import resample
from ragwheel.train.loop import Loop
from ragwheel.train.measure import LabelMeasure
from ragwheel.train.options import RerankerOptions, TrainedModel
from ragwheel.train.recipe import choose_reranker, reranker_loss

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset
    from ragwheel.typing import Progress

__all__ = ["train_reranker"]

_PAIRS_A_LIST = 8


def train_reranker(
    dataset: BuiltDataset | str | Path,
    out: str | Path,
    *,
    options: RerankerOptions | None = None,
    db: str | Path | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> TrainedModel:
    """Tune a cross-encoder on graded pairs or lists; arguments and errors as in :func:`train_embedder`.

    From a base without a head for scores, such as ``minilm``, a fresh one is made: its figure before the
    training is that of a random order.
    """
    options, out, db = options or RerankerOptions(), Path(out), None if db is None else Path(db)
    started = run.prepare(dataset, options)
    recipe = choose_reranker(started.dataset, options)
    if options.confidence == "resample":
        recipe = replace(recipe, examples=resample(recipe.examples, options.seed))
    asked = run.asked_for("reranker", started.dataset, options)
    with CheckpointFolder(out, asked, restart=restart) as work, run.seeded(options.seed):
        model = load_reranker(options.base, device=options.device, seed=options.seed)
        run.check_disk(work.folder, model)
        on_cpu, own_tokens = model.device.type == "cpu", model.max_seq_length
        model.max_seq_length, told = run.max_tokens_for(options.max_tokens, own_tokens, on_cpu=on_cpu)
        bfloat16 = run.bfloat16_for(options, on_cpu=on_cpu)
        told = (*told, *_about_head(model, options.base))
        this = run.TrainingRun(
            "reranker", replace(started, notes=(*started.notes, *told)), options, out, db, model,
            _measure(model, started, options.seed, bfloat16, progress),
        )  # fmt: skip
        size = run.batch_size_for(options.batch_size, len(recipe.examples), on_cpu=on_cpu)
        if recipe.loss == "lambda" and options.batch_size is None:
            size = max(2, size // _PAIRS_A_LIST)
        loss, weight = reranker_loss(model, recipe, options.positive_weight)
        loop = Loop(
            "reranker", model, loss, recipe, recipe.examples.columns, options, size, bfloat16, work,
            evaluate=this.evaluate, progress=progress,
        )  # fmt: skip
        done = loop.run()
        this.load_best(work)
        model.max_seq_length = model.max_seq_length if options.max_tokens else own_tokens
        chosen = {
            "batch_size": size, "bfloat16": bfloat16, "positive_weight": weight,
            "best_step": work.best[0] if work.best else done.steps,
        }  # fmt: skip
        return this.finish(recipe, done, chosen, work)


def _about_head(model: Any, base: str) -> tuple[str, ...]:
    """What to know about a base that could not score pairs before."""
    if any("SequenceClassification" in name for name in model.config.architectures or ()):
        return ()
    note = (
        f"{base} had no head for scores, so the figure before is that of a random order, and a thousand "
        "examples do not make a good one. Better: a cross-encoder as --base. Compare with the retriever "
        "(ragwheel evaluate) before it reorders anything"
    )
    return (note,)


def _measure(
    model: Any, started: run.Started, seed: int, bfloat16: bool, progress: Progress | None
) -> LabelMeasure | None:
    dev = started.dev
    if dev is None:
        return None
    return LabelMeasure(lambda: score_reranker(model, dev, bfloat16=bfloat16, progress=progress), seed)
