"""Training, one folder per system; what is there already is not made again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from flywheel.rows import LABELS, make
from flywheel.setting import BASE, Setting, capture
from ragwheel.train import (
    EmbedderOptions,
    FeatureOptions,
    RerankerOptions,
    train_embedder,
    train_feature_reranker,
    train_reranker,
)
from ragwheel.train.adapter import AdapterOptions, train_adapter

__all__ = ["STEPS", "Plan", "Turn", "train"]

STEPS = ("adapter", "features", "embedder", "reranker")


@dataclass(frozen=True)
class Plan:
    """What to run.

    Args:
        home: folder of everything that is made.
        traffic: of ``labels.traffic.TRAFFIC``.
        asked: how often each question is asked.
        steps: of :data:`STEPS`.
        systems: of ``rows.LABELS``.
        seeds: each is a traffic, a build and a training of its own.
        epochs, max_tokens, device: of the embedder and the re-ranker; None: the trainers' defaults.
        side: of the embedder, see :class:`ragwheel.train.EmbedderOptions`.
    """

    home: Path
    traffic: str = "together"
    asked: int = 10
    steps: tuple[str, ...] = STEPS
    systems: tuple[str, ...] = LABELS
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: float | None = None
    side: Literal["query", "both"] = "query"
    max_tokens: int | None = None
    device: str | None = None


@dataclass(frozen=True)
class Turn:
    """One turn of the wheel: the folder of a seed."""

    plan: Plan
    setting: Setting
    seed: int

    @property
    def folder(self) -> Path:
        """Where everything of this seed lies."""
        plan = self.plan
        name = f"{self.setting.test.name}-{self.setting.app}-{plan.traffic}-{plan.asked}-{self.seed}"
        return plan.home / name

    def path(self, labels: str, step: str) -> Path:
        """The folder of a dataset (``step`` "data") or of a model."""
        return self.folder / labels / step

    def told(self) -> dict[str, dict[str, Any]]:
        """What each finished step said, by ``labels/step``."""
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            found[path.stem.replace("+", "/")] = json.loads(path.read_text("utf-8"))
        return found

    def once(self, name: str, run: Callable[[], dict[str, Any]]) -> None:
        """Run a step that has not been run; keep its seconds and what it says."""
        path = self.folder / f"{name.replace('/', '+')}.json"
        if path.is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        print(f"{self.folder.name}: {name} …", flush=True)
        began = time.monotonic()
        told = run()
        told = {"wall_s": round(time.monotonic() - began, 1), **told}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        part.replace(path)
        print(f"{self.folder.name}: {name} {told}", flush=True)


def train(turn: Turn) -> None:
    """Traffic, datasets and models of one seed."""
    db, plan = turn.folder / "traces.db", turn.plan

    def traffic() -> dict[str, Any]:
        for left in turn.folder.glob("traces.db*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        return {"turns": capture(db, turn.setting, plan.traffic, plan.asked, turn.seed)}

    turn.once("capture", traffic)
    for labels in ("traces", *(one for one in plan.systems if one != "traces")):
        data = turn.path(labels, "data")
        turn.once(
            f"{labels}/data",
            lambda labels=labels, data=data: make(  # type: ignore[misc]
                labels, data, turn.setting, db, turn.path("traces", "data"), turn.seed
            ),
        )
        if labels in plan.systems:
            for step in plan.steps:
                turn.once(f"{labels}/{step}", lambda labels=labels, step=step: _train(turn, labels, step))  # type: ignore[misc]


def _train(turn: Turn, labels: str, step: str) -> dict[str, Any]:
    data, out, plan = turn.path(labels, "data"), turn.path(labels, step), turn.plan
    db = turn.folder / "traces.db"
    origin: Literal["model", "dataset"] = "model" if labels == "traces" else "dataset"
    if step == "adapter":
        adapting = AdapterOptions(seed=turn.seed, labels=origin)
        fit = train_adapter(data, out, BASE, options=adapting, db=db).fit
        gain = None if fit.gain is None else asdict(fit.gain)
        return {
            "dev_base": fit.base, "dev": fit.adapted, "chosen": fit.chosen, "fit_s": fit.elapsed_s,
            "expected_gain": gain,
        }  # fmt: skip
    if step == "features":
        ranking = FeatureOptions(seed=turn.seed, labels=origin, encoder=BASE)
        ranker = train_feature_reranker(data, out, options=ranking, db=db)
        return {
            "recipe": ranker.recipe,
            "why": ranker.why,
            "recommended": ranker.recommended,
            "expected_gain": {
                part: ranker.facts.figures.get(f"expected gain nDCG@10{name}")
                for part, name in (
                    ("all", ""),
                    ("seen", ", answer trained on"),
                    ("unseen", ", answer not trained on"),
                )
            },
            **ranker.figures,
        }
    common: dict[str, Any] = {
        "base": BASE, "max_tokens": plan.max_tokens, "device": plan.device, "seed": turn.seed,
        **({} if plan.epochs is None else {"epochs": plan.epochs}),
    }  # fmt: skip
    model = (
        train_embedder(data, out, options=EmbedderOptions(side=plan.side, labels=origin, **common), db=db)
        if step == "embedder"
        else train_reranker(data, out, options=RerankerOptions(**common), db=db)
    )
    dev = {} if model.dev is None else {"dev_base": model.dev.base, "dev": model.dev.tuned}
    return {**dev, "recipe": model.recipe, **model.figures, "chosen": model.facts.configuration["chosen"]}
