"""The training loop of both kinds of model: transformers' Trainer, made to stop and go on safely.

Around what the library does: weights as safetensors only, a checkpoint counts when all of it is on disk,
``dev`` is looked at where a checkpoint is written, a loss that is no number ends the run, and where memory
runs out the batch is cut (or the cached loss's mini-batch halved) and the same step is done again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ragwheel.errors import TrainingError
from ragwheel.models.loading import quiet
from ragwheel.models.towers import has_towers
from ragwheel.train.checkpoints import CheckpointFolder, is_main_process
from ragwheel.train.trainer import trainer_class

if TYPE_CHECKING:
    from ragwheel.train.options import EmbedderOptions, RerankerOptions
    from ragwheel.train.recipe import Recipe
    from ragwheel.typing import Progress

__all__ = ["Loop", "LoopFigures", "is_disk_full"]

_SAVES: Final = 20
_MOST_STEPS_LOST: Final = 50


@dataclass
class LoopFigures:
    """Counted while the loop runs; ``tokens`` stay 0 for re-rankers, which count pairs by rows."""

    steps: int = 0
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Loop:
    """One training run.

    Args:
        kind: ``embedder`` or ``reranker``.
        model, loss: what is trained, and by what.
        recipe: how many rows, and whether a batch may be cut.
        columns: the rows as the loss takes them.
        options: see :class:`~ragwheel.train.options.EmbedderOptions`.
        batch_size: rows a step and device.
        bfloat16: compute in it where it is safe (autocast); the weights stay float32.
        work: where checkpoints go.
        evaluate: nDCG@10 of the model on ``dev``; None: there is none.
        cached: makes a loss that needs less memory, for when it runs out; None: a batch may be cut.
        progress: called as ``("train", step, steps)``.
    """

    kind: str
    model: Any
    loss: Any
    recipe: Recipe
    columns: Mapping[str, list[Any]]
    options: EmbedderOptions | RerankerOptions
    batch_size: int
    bfloat16: bool
    work: CheckpointFolder
    evaluate: Callable[[], float] | None = None
    cached: Callable[[], Any] | None = None
    progress: Progress | None = None
    figures: LoopFigures = field(default_factory=LoopFigures)

    def run(self) -> LoopFigures:
        """Train to the end, from the newest complete checkpoint if there is one.

        Raises:
            TrainingError: the loss is no number, the disk is full, or memory does not suffice for one row.
        """
        if is_main_process():
            self.work.drop_incomplete()
        self.work.wait()
        checkpoint = self.work.checkpoint
        if checkpoint is not None:
            self.figures.notes.append(f"went on from step {self.work.step} of an earlier run")
        trainer = trainer_class(self.kind)(self)
        started = time.monotonic()
        try:
            with quiet():
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except Exception as exc:
            if is_disk_full(exc):
                raise TrainingError(
                    f"The disk is full: {self.work.folder} could not be written ({_line(exc)}). "
                    f"Training stands at step {self.work.step}. Free some space and "
                    f"give the same command again to go on."
                ) from exc
            raise
        self.work.wait()  # the first process may still look at dev
        self.figures.seconds = time.monotonic() - started
        self.figures.steps = trainer.state.global_step
        return self.figures

    @property
    def steps_planned(self) -> int:
        """Optimizer steps of the whole training, before the sampler's last word."""
        return max(1, math.ceil(self._batches * (self.options.epochs or 1)))

    @property
    def _learning_rate(self) -> float:
        return self.options.learning_rate or 2e-5

    @property
    def _batches(self) -> int:
        return math.ceil(len(self.recipe.examples) / self.batch_size)

    @property
    def save_every(self) -> int:
        """Steps between checkpoints: a twentieth of the training, 50 at most."""
        asked = self.options.checkpoint_every
        return asked or max(1, min(_MOST_STEPS_LOST, self.steps_planned // _SAVES))

    def is_look(self, step: int, last: bool) -> bool:
        """Whether ``dev`` is looked at where this step's checkpoint is written."""
        every = max(1, round(self.steps_planned / self.options.evaluations / self.save_every))
        return last or (step // self.save_every) % every == 0

    def arguments(self) -> dict[str, Any]:
        """Of the library's training arguments."""
        options = self.options
        import torch

        on_cpu = self.model.device.type == "cpu"
        found: dict[str, Any] = {
            "output_dir": str(self.work.folder),
            "num_train_epochs": options.epochs or 1,
            "per_device_train_batch_size": self.batch_size,
            "learning_rate": self._learning_rate,
            "warmup_steps": math.ceil(0.1 * self.steps_planned),
            "bf16": self.bfloat16,
            "use_cpu": on_cpu,
            "seed": options.seed,
            "data_seed": options.seed,
            "save_strategy": "steps",
            "save_steps": self.save_every,
            "save_total_limit": 2,
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": torch.cuda.is_available() and not on_cpu,
        }
        if self.recipe.in_batch:
            found["batch_sampler"] = "no_duplicates"
        if self.kind == "embedder":
            roles = {name: "query" if name == "anchor" else "document" for name in self.columns}
            prompts = {name: self.model.prompts.get(role) for name, role in roles.items()}
            found["prompts"] = {name: prompt for name, prompt in prompts.items() if prompt}
            if has_towers(self.model):
                found["router_mapping"] = roles
        return found

    def check_loss(self, loss: float, step: int) -> None:
        """Raise :class:`TrainingError` when a loss is no number."""
        if not math.isfinite(loss):
            change = f"--learning-rate {self._learning_rate / 4:g}"
            if self.bfloat16:
                change += " or --precision float32"
            raise TrainingError(
                f"The loss is {loss} at step {step}. Training stopped; the checkpoint of step "
                f"{self.work.step} is kept in {self.work.folder}. Next: the same command with {change}, "
                "and --restart."
            )


def is_disk_full(exc: BaseException) -> bool:
    """Whether a write failed for want of space; torch and safetensors say so in words only."""
    cause: BaseException | None = exc
    while cause is not None:
        text = str(cause)
        if "No space left on device" in text or "file write failed" in text or "Disk quota" in text:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _line(exc: BaseException) -> str:
    return str(exc).strip().split("\n")[0]
