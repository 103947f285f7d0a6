"""``train_embedder``: from a dataset folder to a better embedding model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwheel.errors import ConfigurationError, MissingExtra
from ragwheel.models.loading import load_embedder
from ragwheel.train import run
from ragwheel.train.dev import score_embedder
from ragwheel.train.examples import resample
from ragwheel.train.finish import pick_share
from ragwheel.train.loop import Loop
from ragwheel.train.options import EmbedderOptions, TrainedModel
from ragwheel.train.recipe import choose_embedder, embedder_loss
from ragwheel.train.work import Work

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset, Progress

__all__ = ["train_embedder"]


def train_embedder(
    dataset: BuiltDataset | str | Path,
    out: str | Path,
    *,
    options: EmbedderOptions | None = None,
    db: str | Path | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> TrainedModel:
    """Tune an embedding model on a dataset folder.

    Interrupted by anything, the same call goes on from its newest checkpoint.

    Args:
        dataset: what :func:`ragwheel.datasets.build` wrote.
        out: a new folder, or that of an earlier training, which is replaced when this one is done.
        options: see :class:`EmbedderOptions`.
        db: the store that the dataset was built from: the card then knows whose data it was, and the store
            knows of the model, so that ``ragwheel erase`` finds it.
        restart: throw away an unfinished training of ``out``.
        progress: called as ``("train", step, steps)`` and, while ``dev`` is looked at, ``("encode", …)``.

    Returns:
        What was chosen and why, and nDCG@10 on ``dev`` before and after.

    Raises:
        MissingExtra: the extra ``train`` is not installed.
        DatasetError: ``dataset`` is no dataset folder.
        ModelError: there is no such base.
        TrainingError: too few examples, no ``dev``, a loss that is no number, a full disk; what was reached
            is kept.
    """
    options, out, db = options or EmbedderOptions(), Path(out), None if db is None else Path(db)
    started = run.prepare(dataset, options)
    recipe = choose_embedder(started.dataset, options)
    if options.confidence == "resample":
        recipe = replace(recipe, examples=resample(recipe.examples, options.seed))
    asked = run.asked_for("embedder", started.dataset, options)
    with Work(out, asked, restart=restart) as work, run.seeded(options.seed):
        model = load_embedder(options.base, device=options.device)
        _check_dimensions(model, options)
        run.check_disk(work.folder, model)
        on_cpu, own_tokens = model.device.type == "cpu", model.max_seq_length
        model.max_seq_length, told = run.max_tokens_for(options.max_tokens, own_tokens, on_cpu=on_cpu)
        bfloat16 = run.bfloat16_for(options, on_cpu=on_cpu)
        this = run.Run(
            "embedder", replace(started, notes=(*started.notes, *told)), options, out, db, model,
            _scorer(model, started, bfloat16, progress),
        )  # fmt: skip
        base = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if options.lora_rank:
            _add_lora(model, options.lora_rank)
        guide = load_embedder(options.base, device=options.device) if recipe.loss == "gist" else None
        size = run.batch_size_for(options.batch_size, len(recipe.examples), on_cpu=on_cpu)

        def loss(cached: bool) -> Any:
            return embedder_loss(model, recipe, options, guide=guide, cached=cached)

        cached = recipe.in_batch and not on_cpu and size > options.mini_batch_size
        loop = Loop(
            "embedder", model, loss(cached), recipe, options, size, bfloat16, work,
            evaluate=this.evaluate, cached=lambda: loss(True), progress=progress,
        )  # fmt: skip
        done = loop.run()
        value = this.load_best(work)
        if options.lora_rank:
            _merge_lora(model)
        share, shares = pick_share(
            model, base, asked=options.merge_with_base, tuned_value=value, evaluate=this.evaluate
        )
        model.max_seq_length = model.max_seq_length if options.max_tokens else own_tokens
        chosen = {
            "batch_size": size, "bfloat16": bfloat16, "cached": cached, "share_of_tuned_weights": share,
            "dev_by_share": {str(at): found for at, found in shares.items()},
            "best_step": work.best[0] if work.best else done.steps,
        }  # fmt: skip
        return this.finish(recipe, done, chosen, work)


def _scorer(model: Any, started: run.Started, bfloat16: bool, progress: Progress | None) -> run.Score | None:
    dev = started.dev
    if dev is None:
        return None
    return lambda: score_embedder(model, dev, bfloat16=bfloat16, progress=progress)


def _check_dimensions(model: Any, options: EmbedderOptions) -> None:
    most = model.get_embedding_dimension()
    if options.matryoshka and max(options.matryoshka) > most:
        raise ConfigurationError(f"matryoshka is {options.matryoshka}; {options.base} has {most} dimensions.")


def _add_lora(model: Any, rank: int) -> None:
    try:
        from peft import LoraConfig, TaskType
    except ImportError as exc:
        raise MissingExtra("LoRA needs peft. Install it with: pip install peft") from exc
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION, r=rank, lora_alpha=2 * rank, target_modules="all-linear"
    )
    model.add_adapter(config)


def _merge_lora(model: Any) -> None:
    """Fold the low-rank additions into the weights, so that the model is a plain one again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    inner = model.transformers_model
    inner._hf_peft_config_loaded = False
    if hasattr(inner, "peft_config"):
        del inner.peft_config
    model.requires_grad_(True)
