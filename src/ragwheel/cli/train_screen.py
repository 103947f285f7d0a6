"""What a training shows on the screen: a bar while it runs, then what came out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.train_adapter import evaluate_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from ragwheel.train import TrainedModel

__all__ = ["print_model", "train_on_screen"]

STAGES: Final = {
    "read": "reading rankings",
    "fit": "comparing models",
    "ablate": "leaving groups of features out",
    "score": "measuring on dev",
}


def train_on_screen(
    kind: str, json: bool, start: Callable[[Any], TrainedModel], because: tuple[str, ...] = ()
) -> None:
    """Run with a bar; print what came out, and `because`. Only the first of several processes prints."""
    from ragwheel.train.checkpoints import is_main_process

    started = time.monotonic()
    try:
        with screen.reporting(
            f"training the {kind}",
            whole="train",
            stages=STAGES,
            visible=is_main_process(),
            lines_every_s=screen.LINES_EVERY_S,
        ) as report:
            trained = start(report)
    except KeyboardInterrupt:
        screen.stderr().print(Text("the same command goes on from the newest checkpoint"))
        raise
    if not is_main_process():
        return
    if json:
        screen.print_json(trained)
        return
    print_model(trained, time.monotonic() - started, because)


def print_model(trained: TrainedModel, wall_s: float, because: tuple[str, ...] = ()) -> None:
    """What was chosen and why, the gain on ``dev``, and the next command; ``wall_s``: of all of it."""
    console = screen.stdout()
    steps = trained.figures.get("steps")
    counted = (
        "" if steps is None else f", {_duration(trained.figures['training_s'])} of it in {steps:,.0f} steps"
    )
    screen.heading(console, str(trained.folder), f"trained in {_duration(wall_s)}{counted}")
    lines: list[tuple[str, Text | str]] = [("recipe", trained.recipe)]
    lines += [("because" if first == 0 else "", why) for first, why in enumerate((*because, *trained.why))]
    if trained.dev is not None:
        dev = trained.dev
        interval = f"95 % interval {dev.low:+.3f} to {dev.high:+.3f}, {dev.queries:,} questions"
        figures = f"{dev.base:.3f} → {dev.tuned:.3f}  ({dev.gain:+.3f}, {interval})"
        lines.append(("nDCG@10 on dev", figures if dev.base else f"{dev.gain:+.3f} expected, {interval}"))
    if not trained.recommended:
        lines.append(("verdict", Text("worse than its base: do not use it", "red")))
    lines += [("note", note) for note in trained.notes]
    console.print(screen.facts(lines))
    facts = trained.facts
    system = f"{facts.kind}:{trained.folder}" + (" over captured" if facts.kind == "reranker" else "")
    screen.next_command(console, evaluate_command(facts, system), "proof on questions that it never saw")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
