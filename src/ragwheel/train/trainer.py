"""transformers' Trainer made careful: what it saves, bad numbers, too little memory."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ragwheel.errors import TrainingError
from ragwheel.train.checkpoints import WEIGHTS

if TYPE_CHECKING:
    from ragwheel.train.loop import Loop

__all__ = ["is_out_of_memory", "trainer_class"]


@lru_cache(maxsize=2)
def trainer_class(kind: str) -> Any:
    """The trainer for a kind of model; made when it is needed, for its base takes seconds to import."""
    import sentence_transformers as library
    from datasets import Dataset
    from transformers import PrinterCallback

    prefix = "SentenceTransformer" if kind == "embedder" else "CrossEncoder"
    base: Any = getattr(library, f"{prefix}Trainer")
    arguments_class: Any = getattr(library, f"{prefix}TrainingArguments")
    keeper = _keeper_class()

    class Trainer(OutOfMemoryRetry, base):  # type: ignore[misc]
        def __init__(self, loop: Loop) -> None:
            self._loop, self._rows_at_once = loop, loop.batch_size
            arguments = arguments_class(**loop.arguments())
            if (
                arguments.n_gpu > 1
            ):  # DataParallel would split in-batch negatives; torchrun starts one process each
                arguments._n_gpu = 1
            super().__init__(
                model=loop.model,
                args=arguments,
                train_dataset=Dataset.from_dict(dict(loop.columns)),
                loss=loop.loss,
                callbacks=[keeper(loop)],
            )
            self.remove_callback(PrinterCallback)

    return Trainer


class _Attempt(NamedTuple):
    """The loss of a step, or why there was not enough memory for it."""

    loss: Any
    trouble: str | None = None


class OutOfMemoryRetry:
    """What :class:`transformers.Trainer` gets in front of it."""

    _loop: Loop
    _rows_at_once: int
    _share = 1.0
    # the library's own
    args: Any
    loss: Any
    model: Any
    prepare_loss: Any
    state: Any

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Ours is written at the end."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """One step; again with less at a time when memory runs out."""
        import torch

        figures, size = self._loop.figures, _rows(inputs)
        while (attempt := self._attempt(model, inputs, size, num_items_in_batch)).trouble is not None:
            model.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            figures.notes.append(self._use_less(size, attempt.trouble))
        figures.rows += size
        figures.tokens += sum(
            int(value.sum()) for name, value in inputs.items() if name.endswith("attention_mask")
        )
        self._loop.check_loss(float(attempt.loss), self.state.global_step + 1)
        return attempt.loss

    def _attempt(self, model: Any, inputs: Any, size: int, num_items: Any) -> _Attempt:
        """Forward and backward; the exception, which holds on to the tensors that have to go, ends here."""
        try:
            return _Attempt(self._in_parts(model, inputs, size, num_items))
        except (RuntimeError, MemoryError) as exc:
            if not is_out_of_memory(exc):
                raise
            return _Attempt(None, _line(exc))

    def _in_parts(self, model: Any, inputs: Any, size: int, num_items: Any) -> Any:
        if self._loop.recipe.in_batch or self._rows_at_once >= size:
            return super().training_step(model, dict(inputs), num_items)  # type: ignore[misc]
        total = 0.0
        for start in range(0, size, self._rows_at_once):
            part = {name: _cut(value, start, start + self._rows_at_once) for name, value in inputs.items()}
            share = _rows(part) / size
            self._share = share
            total += super().training_step(model, part, num_items)  # type: ignore[misc]
        return total

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """A part of a batch counts by its share of the rows."""
        loss, share = super().compute_loss(*args, **kwargs), self._share  # type: ignore[misc]
        self._share = 1.0
        return loss * share if share != 1.0 else loss

    def _use_less(self, size: int, reason: str) -> str:
        """Halve what is in memory at once; says so."""
        if self._loop.recipe.in_batch:
            if not _has_mini_batch(self.loss) and self._loop.cached is not None:
                self.loss = self.prepare_loss(self._loop.cached(), self.model)
                inner = _inner(self.loss)
                inner.mini_batch_size = max(1, min(inner.mini_batch_size, size) // 2)
                return f"out of memory: the cached loss takes over, {inner.mini_batch_size} rows at once"
            inner = _inner(self.loss)
            least, inner.mini_batch_size = inner.mini_batch_size, max(1, inner.mini_batch_size // 2)
            now = inner.mini_batch_size
        else:
            least = min(self._rows_at_once, size)
            now = self._rows_at_once = max(1, least // 2)
        if least <= 1:
            raise TrainingError(
                f"Memory does not suffice for a single row ({reason}). Training stands at step "
                f"{self._loop.work.step}. Next: --max-tokens 64, a smaller --base, or --device cpu."
            )
        return f"out of memory: {now} rows at once from here on"

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The weights as one safetensors file; nothing pickled."""
        from safetensors.torch import save_model

        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / WEIGHTS))

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        from safetensors.torch import load_model

        load_model(self.model, f"{checkpoint_path}/{WEIGHTS}")


def _keeper_class() -> Any:
    import torch
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):
        """Tells of progress; completes checkpoints."""

        def __init__(self, loop: Loop) -> None:
            self._loop = loop

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if self._loop.progress is not None:
                self._loop.progress("train", state.global_step, state.max_steps)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not state.is_world_process_zero:
                return
            loop, step = self._loop, state.global_step
            with torch.no_grad():
                for weights in loop.model.parameters():
                    if not bool(torch.isfinite(weights).all()):
                        loop.check_loss(math.nan, step)
            value = None
            if loop.evaluate is not None and loop.is_look(step, step >= state.max_steps):
                value = loop.evaluate()
            loop.work.keep(step, value)

    return Keeper


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether a device, or this machine, has no memory left for a tensor."""
    import torch

    return isinstance(exc, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(exc, RuntimeError) and "can't allocate memory" in str(exc)
    )


def _line(exc: BaseException) -> str:
    return str(exc).strip().split("\n")[0]


def _rows(inputs: Any) -> int:
    return next(
        len(value) for value in inputs.values() if hasattr(value, "__len__") and not isinstance(value, str)
    )


def _cut(value: Any, start: int, end: int) -> Any:
    return value[start:end] if hasattr(value, "__len__") and not isinstance(value, str) else value


def _inner(loss: Any) -> Any:
    """The loss that has a mini-batch: inside a Matryoshka loss, or itself."""
    return loss.loss if hasattr(loss, "matryoshka_dims") else loss


def _has_mini_batch(loss: Any) -> bool:
    return hasattr(_inner(loss), "mini_batch_size")
