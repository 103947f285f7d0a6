#!/usr/bin/env python3
"""The whole wheel on a judged collection: traffic, labels, training, and a test on questions nobody asked.

    python benchmarks/flywheel/run.py --data FOLDER/scifact                  # everything, hours on two cores
    python benchmarks/flywheel/run.py --data FOLDER/scifact --steps adapter  # adapters only, minutes
    python benchmarks/flywheel/run.py --data FOLDER/scifact --steps embedder --seeds 1 --systems traces
    python benchmarks/flywheel/run.py --data FOLDER/scifact --summary        # ... and into docs/flywheel.md

``FOLDER/scifact`` is in BEIR's layout with ``qrels.train.tsv`` and ``qrels.test.tsv``; users ask train
questions only. ``--others`` names collections of other domains, for what training forgets. The same command
runs on a GPU. What is finished is kept in ``--out``: stopped, the same command goes on, and a later one adds
steps, systems or seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `flywheel`

from labels.traffic import TRAFFIC

from flywheel.figures import measure
from flywheel.rows import LABELS
from flywheel.setting import APPS, read_setting
from flywheel.steps import STEPS, Plan, Turn, train
from flywheel.summary import put_into, report
from ragwheel.evaluate import read_beir
from ragwheel.evaluate.cache import cache_folder

__all__ = ["main"]

DOCS = Path(__file__).resolve().parents[2] / "docs" / "flywheel.md"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="BEIR folder with train and test qrels")
    made.add_argument("--others", type=Path, nargs="*", default=[], help="BEIR folders of other domains")
    made.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    made.add_argument("--systems", nargs="+", choices=LABELS, default=list(LABELS), help="labels to train on")
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--traffic", choices=list(TRAFFIC), default="together")
    made.add_argument("--asked", type=int, default=10, help="how often each question is asked")
    made.add_argument("--app", choices=APPS, default="base", help="the app's retriever")
    made.add_argument("--side", choices=("query", "both"), default="query", help="of the embedder")
    made.add_argument("--epochs", type=float, help="of embedder and re-ranker; default: the trainers'")
    made.add_argument("--max-tokens", type=int, help="of embedder and re-ranker while training")
    made.add_argument("--device", help="as torch names it; default: the GPU if there is one")
    made.add_argument(
        "--rerank", type=int, default=20, help="documents that a re-ranker reads for a question"
    )
    what = made.add_mutually_exclusive_group()
    what.add_argument("--only-train", action="store_true", help="do not measure yet")
    what.add_argument("--only-measure", action="store_true", help="what is there, whatever the step or seed")
    made.add_argument("--out", type=Path, default=cache_folder() / "flywheel", help="folder of what is made")
    made.add_argument("--json", type=Path, help="also write the results there")
    made.add_argument(
        "--summary", nargs="?", const=DOCS, type=Path, metavar="FILE",
        help="write the tables between the markers in FILE (default: docs/flywheel.md)",
    )  # fmt: skip
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = parser().parse_args(arguments)
    plan = Plan(
        home=asked.out, traffic=asked.traffic, asked=asked.asked, steps=tuple(asked.steps),
        systems=tuple(asked.systems), seeds=tuple(range(asked.seeds)), epochs=asked.epochs, side=asked.side,
        max_tokens=asked.max_tokens, device=asked.device,
    )  # fmt: skip
    setting = read_setting(asked.data, asked.app)
    turns = [Turn(plan, setting, seed) for seed in plan.seeds]
    if not asked.only_measure:
        for turn in turns:
            train(turn)
    if asked.only_train:
        return
    results: dict[str, Any] = {
        "command": _command(asked),
        "machine": _machine(),
        "plan": {**asdict(plan), "home": ""},
        "app": setting.app,
        "traffic_says": TRAFFIC[plan.traffic].says,
        "train_questions": len(setting.world.grades),
        "seeds": plan.seeds,
        "turns": [turn.told() for turn in turns],
        "test": measure(turns, setting.test, rerank=asked.rerank),
        "others": [measure(turns, read_beir(one), rerank=0) for one in asked.others],
    }
    text = json.dumps(results, indent=1, default=str) + "\n"
    (asked.out / "results.json").write_text(text, "utf-8")
    if asked.json is not None:
        asked.json.write_text(text, "utf-8")
    told = report(results)
    print(told)
    if asked.summary is not None:
        put_into(asked.summary, told)


def _command(asked: argparse.Namespace) -> str:
    """The command again, without the folders of this machine."""
    plain = parser().parse_args(["--data", str(asked.data)])
    words = [f"--data {asked.data.name}"]
    for name in (
        "steps",
        "systems",
        "seeds",
        "traffic",
        "asked",
        "app",
        "side",
        "epochs",
        "max_tokens",
        "rerank",
    ):
        value = getattr(asked, name)
        if value != getattr(plain, name):
            given = " ".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"--{name.replace('_', '-')} {given}")
    words += ["--only-measure"] if asked.only_measure else []
    if asked.others:
        words.append(f"--others {' '.join(one.name for one in asked.others)}")
    return f"python benchmarks/flywheel/run.py {' '.join(words)}"


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} (torch {torch.__version__})"
    return f"{os.cpu_count()} CPU cores, {platform.machine()} (torch {torch.__version__})"


if __name__ == "__main__":
    main()
