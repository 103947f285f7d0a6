"""What ``ragwheel fewshot`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from ragwheel.cli import screen

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.fewshot import Library, Trial

__all__ = ["library_summary", "print_library", "print_trial", "trial_summary"]


def print_library(console: Console, library: Library, path: str) -> None:
    """Print what a library holds and what was left out of it."""
    screen.heading(console, path, f"{len(library.examples)} examples of {library.people} people")
    counts = library.counts
    left_out = {k: n for k, n in library.counts.items() if k not in ("turns", "candidates", "scrubbed")}
    lines: list[tuple[str, Text | str]] = [
        (
            "turns",
            f"{counts.get('turns', 0):,} read, {counts.get('candidates', 0):,} could be examples",
        ),
        ("left out", ", ".join(f"{why} {n:,}" for why, n in left_out.items()) or "none"),
        ("scrubbed", f"{library.counts.get('scrubbed', 0):,} held personal data"),
    ]
    if library.retired:
        lines.append(("retired", f"{len(library.retired):,} before"))
    written = sum(example.reasoning_by == "llm" for example in library.examples)
    if written:
        lines.append(("reasoning", f"{written:,} written by an LLM, marked as such"))
    console.print(screen.facts(lines))
    screen.heading(console, "types of question")
    table = screen.columns("", "share", "could be", "examples", right=("share", "could be", "examples"))
    for group in library.groups:
        here = sum(example.group == group.name for example in library.examples)
        table.add_row(screen.clean(group.name), f"{group.share:.0%}", f"{group.candidates:,}", f"{here:,}")
    console.print(screen.indented(table))


def print_trial(console: Console, trial: Trial, metric: str) -> None:
    """Print the means, the differences and the decision of a test."""
    screen.heading(console, f"{len(trial.questions)} held-out questions", f"metric: {metric}")
    table = screen.columns("", "mean", right=("mean",))
    for arm, mean in trial.means.items():
        table.add_row(arm, f"{mean:.3f}")
    console.print(screen.indented(table))
    console.print()
    console.print(
        screen.facts(
            [
                (
                    f"{outcome.a} − {outcome.b}",
                    (
                        f"{outcome.mean:+.3f}   95 % interval {outcome.low:+.3f} to {outcome.high:+.3f}   "
                        f"p {outcome.p:.3f}"
                    ),
                )
                for outcome in trial.outcomes
            ]
        )
    )
    if trial.failed:
        console.print(Text(f"  {trial.failed} questions left out: the pipeline failed", "dim"))
    console.print()
    console.print(Text.assemble("  ", (trial.decision, "bold"), f"   {trial.verdict}"))
    if trial.caveat:
        console.print(Text(f"  {trial.caveat}", "yellow"))
    if trial.experiment is not None:
        screen.next_command(console, f"ragwheel experiment show {trial.experiment.id}")


def library_summary(library: Library) -> dict[str, Any]:
    """The counts of a library, for scripts."""
    return {
        "id": library.id,
        "examples": len(library.examples),
        "people": library.people,
        "groups": list(library.groups),
        "counts": dict(library.counts),
        "retired": len(library.retired),
    }


def trial_summary(trial: Trial) -> dict[str, Any]:
    """The results of a test, for scripts."""
    return {
        "decision": trial.decision,
        "verdict": str(trial.verdict),
        "questions": len(trial.questions),
        "failed": trial.failed,
        "means": trial.means,
        "outcomes": list(trial.outcomes),
        "selection_matters": trial.selection_matters,
        "caveat": trial.caveat,
        "experiment": trial.experiment.id if trial.experiment else None,
    }
