"""The folder in which a training stands until it is done: checkpoints that a later run goes on from.

It lies beside the result as ``.<name>.training`` and goes when the result is there::

    run.json          what was asked for; a run that asks for something else does not go on from here
    evaluations.json  nDCG@10 on dev by step
    best-<step>.safetensors
    checkpoint-<step>/   weights (safetensors), optimizer and random states (as transformers writes them,
                         read with torch's weights_only), and the file `complete` when all of it is there
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ragwheel.errors import TrainingError
from ragwheel.files import replacing, sync, write_atomically
from ragwheel.models.card import MANIFEST

__all__ = ["WEIGHTS", "CheckpointFolder", "is_main_process"]

WEIGHTS: Final = "model.safetensors"
_COMPLETE: Final = "complete"


class CheckpointFolder:
    """A context manager: holds the folder's lock, so that one training at a time goes into it.

    Of several processes that torchrun or accelerate started, the first holds the lock and changes the folder;
    the others wait for it where they read (:meth:`wait`).

    Args:
        out: where the result will be.
        asked: everything that decides the result, as JSON can hold it.
        restart: throw away what an earlier run left.

    Raises:
        TrainingError: ``out`` is something else, another process trains it, or an unfinished run asked for
            something else.
    """

    def __init__(self, out: str | Path, asked: Mapping[str, Any], *, restart: bool = False) -> None:
        self.out = Path(out)
        self.folder = self.out.absolute().parent / f".{self.out.name}.training"
        self._asked: dict[str, Any] = json.loads(json.dumps(asked, default=str))
        self._restart = restart
        self._lock = -1

    def __enter__(self) -> CheckpointFolder:
        if is_main_process():
            self._check_out()
            self._take()
        self.wait()
        return self

    def _take(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._agree()
        except BlockingIOError:
            os.close(self._lock)
            raise TrainingError(
                f"Another process is training {self.out}. Wait for it, or name another folder with --out DIR."
            ) from None
        except BaseException:
            os.close(self._lock)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.wait()
        if not is_main_process():
            return
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def wait(self) -> None:
        """Until every process of this training is here; with one process, not at all."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            PartialState(cpu=self._asked.get("device") == "cpu").wait_for_everyone()

    def _check_out(self) -> None:
        if not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())):
            return
        if not (self.out / MANIFEST).is_file():
            raise TrainingError(
                f"{self.out} exists and is not a model that ragwheel trained, so it was left as it is. "
                f"Name a new folder with --out DIR."
            )

    def _agree(self) -> None:
        """Go on from a checkpoint if the same was asked for; without one there is nothing to keep."""
        path = self.folder / "run.json"
        if self._restart or self.checkpoint is None:
            for one in self.folder.iterdir():
                if one.name != "lock":
                    shutil.rmtree(one) if one.is_dir() else one.unlink()
        if not path.is_file():
            self.write("run.json", self._asked)
            return
        earlier = json.loads(path.read_text("utf-8"))
        other = [
            f"{name} (there {earlier.get(name)!r}, now {self._asked.get(name)!r})"
            for name in sorted({*earlier, *self._asked})
            if earlier.get(name) != self._asked.get(name)
        ]
        if other:
            raise TrainingError(
                f"An unfinished training of {self.out} has other options: {', '.join(other)}. "
                f"Give the same ones to go on from its step {self.step}, --restart to throw it away, or "
                f"another --out DIR."
            )

    @property
    def checkpoint(self) -> Path | None:
        """The newest complete checkpoint; None: there is none yet."""
        parents = [path.parent for path in self.folder.glob(f"checkpoint-*/{_COMPLETE}")]
        return max(parents, key=_step, default=None)

    @property
    def step(self) -> int:
        """The step of the newest complete checkpoint."""
        return 0 if self.checkpoint is None else _step(self.checkpoint)

    def drop_incomplete(self) -> None:
        """Remove what a killed run was writing."""
        for path in self.folder.glob("checkpoint-*"):
            if not (path / _COMPLETE).is_file():
                shutil.rmtree(path)

    def evaluations(self) -> dict[int, float]:
        """nDCG@10 by step, up to the newest complete checkpoint."""
        path = self.folder / "evaluations.json"
        document = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        return {int(step): value for step, value in document.items() if int(step) <= self.step}

    @property
    def best(self) -> tuple[int, float] | None:
        """The step with the best look at ``dev``, the earliest of equals."""
        found = self.evaluations()
        return max(found.items(), key=lambda item: (item[1], -item[0]), default=None)

    def best_weights(self, step: int) -> Path:
        """Where the weights of a step are kept that was the best when it was reached."""
        return self.folder / f"best-{step}.safetensors"

    def keep(self, step: int, value: float | None) -> None:
        """A checkpoint is whole: note its look at ``dev``, keep its weights if they are the best, mark it."""
        checkpoint = self.folder / f"checkpoint-{step}"
        if value is not None:
            found = {**self.evaluations(), step: value}
            if value > max((other for at, other in found.items() if at != step), default=-1.0):
                best = self.best_weights(step)
                with replacing(best) as part:
                    shutil.copyfile(checkpoint / WEIGHTS, part)
            self.write("evaluations.json", {str(at): found[at] for at in sorted(found)})
        self._sync(checkpoint)
        (checkpoint / _COMPLETE).touch()
        if (best_now := self.best) is not None:
            for path in self.folder.glob("best-*.safetensors"):
                if path != self.best_weights(best_now[0]):
                    path.unlink()

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """A JSON file, written beside its place and renamed."""
        write_atomically(self.folder / name, json.dumps(values, indent=1) + "\n")

    @staticmethod
    def _sync(folder: Path) -> None:
        for path in folder.iterdir():
            sync(path)


def is_main_process() -> bool:
    """Whether this is the one process, or the first of several that torchrun or accelerate started."""
    return int(os.environ.get("RANK", "0")) == 0


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
