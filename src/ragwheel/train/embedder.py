"""``train_embedder``: from a dataset folder to a better embedding model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwheel.errors import ConfigurationError, MissingExtra
from ragwheel.models.loading import load_embedder
from ragwheel.train import run
from ragwheel.train.beliefs import read_believed
from ragwheel.train.checkpoints import CheckpointFolder
from ragwheel.train.examples import resample
from ragwheel.train.loop import Loop
from ragwheel.train.modes import Given, Side, side_of
from ragwheel.train.options import EmbedderOptions, TrainedModel
from ragwheel.train.recipe import choose_embedder
from ragwheel.train.saving import pick_share

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset
    from ragwheel.typing import Progress

__all__ = ["train_embedder"]


def train_embedder(  # noqa: PLR0913 - all but two by keyword
    dataset: BuiltDataset | str | Path,
    out: str | Path,
    *,
    options: EmbedderOptions | None = None,
    db: str | Path | None = None,
    restart: bool = False,
    cache: bool = True,
    progress: Progress | None = None,
) -> TrainedModel:
    """Tune an embedding model on a dataset folder.

    By default only what embeds questions is trained (``side`` in :class:`EmbedderOptions`): the model is
    saved with two encoders, ``encode_query`` takes the new one, ``encode_document`` the base's, and the
    index stays.

    Interrupted by anything, the same call goes on from its newest checkpoint.

    Args:
        dataset: what :func:`ragwheel.datasets.build` wrote.
        out: a new folder, or that of an earlier training, which is replaced when this one is done.
        options: see :class:`EmbedderOptions`.
        db: the store that the dataset was built from: the card then knows whose data it was, the store
            knows of the model, so that ``ragwheel erase`` finds it, and chunks of the store stand against
            each question, not those of the dataset alone (see ``known_chunks``). ``query`` then learns from
            every exposed chunk as far as it is believed to be relevant, and ``dev`` is looked at by the
            expected gain (see ``labels``).
        restart: throw away an unfinished training of ``out``.
        cache: keep the base's vectors on disk, for the next training and for evaluations.
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
    options, out, db = (options or EmbedderOptions()).decided(), Path(out), None if db is None else Path(db)
    started = run.prepare(dataset, options)
    believed = None
    if db is not None and db.is_file() and options.side == "query" and options.labels == "model":
        believed = read_believed(started.dataset, db)
    recipe = choose_embedder(started.dataset, options, believed)
    examples = recipe.examples
    if options.confidence == "resample":
        examples = resample(examples, options.seed)
    if options.confidence != "weight":
        examples = replace(examples, confidence=[1.0] * len(examples))
    recipe = replace(recipe, examples=examples)
    asked = run.asked_for("embedder", started.dataset, options)
    with CheckpointFolder(out, asked, restart=restart) as work, run.seeded(options.seed):
        base = load_embedder(options.base, device=options.device, prompts=options.prompts)
        _check_dimensions(base, options)
        run.check_disk(work.folder, base)
        bfloat16 = run.bfloat16_for(options, on_cpu=base.device.type == "cpu")
        given = Given(started, recipe, options, db, bfloat16, cache, progress, believed)
        return _train(side_of(base, given), given, out, work)


def _train(side: Side, given: Given, out: Path, work: CheckpointFolder) -> TrainedModel:
    options, recipe, model = given.options, given.recipe, side.model
    on_cpu, own_tokens = model.device.type == "cpu", model.max_seq_length
    model.max_seq_length, told = run.max_tokens_for(options.max_tokens, own_tokens, on_cpu=on_cpu)
    started = replace(given.started, notes=(*given.started.notes, *(told if recipe.side == "both" else ())))
    this = run.TrainingRun("embedder", started, options, out, given.db, model, side.measure)
    base = {name: value.detach().clone() for name, value in model.state_dict().items()}
    if options.lora_rank:
        _add_lora(model, options.lora_rank)
    size = run.batch_size_for(options.batch_size, len(recipe.examples), on_cpu=on_cpu)
    cached = recipe.in_batch and not on_cpu and size > options.mini_batch_size
    loop = Loop(
        "embedder", model, side.loss(cached=cached), recipe, side.columns, options, size,
        given.bfloat16, work,
        evaluate=this.evaluate, cached=lambda: side.loss(cached=True), progress=given.progress,
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
        **side.facts, "batch_size": size, "bfloat16": given.bfloat16, "cached": cached,
        "share_of_tuned_weights": share, "dev_by_share": {str(at): found for at, found in shares.items()},
        "best_step": work.best[0] if work.best else done.steps,
    }  # fmt: skip
    return this.finish(recipe, done, chosen, work, side.whole())


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
