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
}


def train_on_screen(
    kind: str, json: bool, start: Callable[[Any], TrainedModel], because: tuple[str, ...] = ()
) -> None:
    """Run with a bar; print what came out, and `because`. Only the first of several processes prints."""
    from ragwheel.train.work import is_main_process

    errors, started = screen.stderr(), time.monotonic()
    with screen.progress(errors, piped=is_main_process()) as bar:
        whole = bar.add_task(f"training the {kind}", total=None, visible=is_main_process())

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage == "train":
                bar.update(whole, description=f"training the {kind}", completed=done, total=total)
            else:
                words = stage if stage.startswith("embedding") else STAGES.get(stage, "looking at dev")
                bar.update(whole, description=f"{words}: {done:,} of {total:,}")

        try:
            made = start(on_progress)
        except KeyboardInterrupt:
            bar.stop()
            errors.print(Text("the same command goes on from the newest checkpoint"))
            raise
    if not is_main_process():
        return
    if json:
        screen.print_json(made)
        return
    print_model(made, time.monotonic() - started, because)


def print_model(made: TrainedModel, wall_s: float, because: tuple[str, ...] = ()) -> None:
    """What was chosen and why, the gain on ``dev``, and the next command; ``wall_s``: of all of it."""
    console = screen.stdout()
    steps = made.figures.get("steps")
    counted = (
        "" if steps is None else f", {_duration(made.figures['training_s'])} of it in {steps:,.0f} steps"
    )
    screen.heading(console, str(made.folder), f"trained in {_duration(wall_s)}{counted}")
    lines: list[tuple[str, Text | str]] = [("recipe", made.recipe)]
    lines += [("because" if first == 0 else "", why) for first, why in enumerate((*because, *made.why))]
    if made.dev is not None:
        dev = made.dev
        interval = f"95 % interval {dev.low:+.3f} to {dev.high:+.3f}, {dev.queries:,} questions"
        figures = f"{dev.base:.3f} → {dev.tuned:.3f}  ({dev.gain:+.3f}, {interval})"
        lines.append(("nDCG@10 on dev", figures if dev.base else f"{dev.gain:+.3f} expected, {interval}"))
    if not made.recommended:
        lines.append(("verdict", Text("worse than its base: do not use it", "red")))
    lines += [("note", note) for note in made.notes]
    console.print(screen.facts(lines))
    facts = made.facts
    system = f"{facts.kind}:{made.folder}" + (" over captured" if facts.kind == "reranker" else "")
    screen.next_command(console, evaluate_command(facts, system), "proof on questions that it never saw")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
