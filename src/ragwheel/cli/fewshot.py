"""``ragwheel fewshot``: examples for prompts, from the answers that people liked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError, DatasetError

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.fewshot import ChatEndpoint, Library, Trial
    from ragwheel.fewshot.options import Progress

__all__ = ["fewshot"]

fewshot = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Examples for prompts, from the answers that people liked."
)

LibraryArgument = Annotated[Path, typer.Argument(help="A library that `ragwheel fewshot build` wrote.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        envvar="RAGWHEEL_LLM_URL",
        help="An endpoint that speaks OpenAI's chat API, up to and without /chat/completions.",
    ),
]
ModelOption = Annotated[str, typer.Option(envvar="RAGWHEEL_LLM_MODEL", help="Its model.")]
KeyOption = Annotated[str, typer.Option(help="Environment variable with its key.")]
TimeoutOption = Annotated[float, typer.Option(min=1, help="Seconds that one answer of it may take.")]


@fewshot.command()
def build(  # noqa: PLR0913, PLR0917 - the options of a command
    out: Annotated[Path, typer.Option(help="A .json file, or a folder for library.json.")],
    db: DbOption = Path("ragwheel.db"),
    n: Annotated[int, typer.Option("-n", min=1, help="How many examples.")] = 30,
    per_group: Annotated[
        bool, typer.Option("--per-group", help="That many for every type of question.")
    ] = False,
    groups: Annotated[int | None, typer.Option(min=1, help="Types of question; default: found.")] = None,
    label_key: Annotated[
        str | None, typer.Option(help="Metadata key of chunks that names the type, such as category.")
    ] = None,
    embed: Annotated[str, typer.Option(help="lexical (no model), minilm, a folder or a hub id.")] = "lexical",
    max_answer_chars: Annotated[int, typer.Option(min=1, help="Longer answers are left out.")] = 4_000,
    write_reasoning: Annotated[
        bool, typer.Option("--write-reasoning", help="Have the LLM write the reasoning where there is none.")
    ] = False,
    llm_url: UrlOption = None,
    llm_model: ModelOption = "default",
    llm_key_env: KeyOption = "OPENAI_API_KEY",
    llm_timeout: TimeoutOption = 60,
    seed: Annotated[int, typer.Option(help="The same store and seed give the same examples.")] = 0,
    json: JsonOption = False,
) -> None:
    """Pick examples: liked, cited, not asked again; typical, and unlike each other."""
    from ragwheel.fewshot import FewshotOptions, Library, save, with_reasoning
    from ragwheel.fewshot import build as build_library
    from ragwheel.fewshot.reasoning import carried

    options = FewshotOptions(
        n=n, per_group=per_group, groups=groups, label_key=label_key, embed=embed,
        max_answer_chars=max_answer_chars, seed=seed,
    )  # fmt: skip
    endpoint = _endpoint(llm_url, llm_model, llm_key_env, llm_timeout) if write_reasoning else None
    with _progress("building examples") as on_progress:
        library = build_library(db, options, progress=on_progress)
    if endpoint is not None:
        with suppress(DatasetError):  # there is none yet, or none to go on from
            library = carried(library, Library.load(out))
    place = save(library, out, db=db)
    if endpoint is not None:
        with _progress("writing reasoning") as on_progress:
            library = with_reasoning(library, endpoint, progress=on_progress, keep=lambda one: one.save(out))
    if json:
        screen.print_json({"library": str(place), **_summary(library)})
        return
    console = screen.stdout()
    _report(console, library, str(place))
    screen.next_command(console, f"ragwheel fewshot test {out} --db {db} --pipeline module:function")


@fewshot.command()
def render(  # noqa: PLR0913, PLR0917 - the options of a command
    library: LibraryArgument,
    question: Annotated[
        str | None, typer.Option(help="Pick the examples for this question, and put it last.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="How many; default: 4 with a question, else all.")
    ] = None,
    template: Annotated[str, typer.Option(help="plain, thinking, xml, or a Jinja2 file.")] = "plain",
    chat: Annotated[bool, typer.Option("--chat", help="Chat messages instead of one text.")] = False,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Reasoning in messages, between think tags.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="A first line, or the system message.")] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Tokens; what does not fit is left out whole.")
    ] = None,
    form: Annotated[
        Literal["text", "json", "yaml", "python"] | None,
        typer.Option("--format", help="Default: text; of messages json."),
    ] = None,
    examples_only: Annotated[
        bool, typer.Option("--examples", help="The examples as data, no prompt.")
    ] = False,
) -> None:
    """Print a prompt of examples."""
    from ragwheel.fewshot import Library, RenderOptions, Selector, dump
    from ragwheel.fewshot import render as render_prompt

    found = Library.load(library)
    picked = (
        list(found.examples[:k])
        if question is None
        else Selector(found, k=k or 4, fetch_k=max(20, k or 4)).select(question)
    )
    if examples_only:
        typer.echo(dump(picked, form or "json"), nl=False)
        return
    options = RenderOptions(template, chat=chat, thinking=thinking, system=system, budget_tokens=budget)
    made = render_prompt(picked, question, options)
    typer.echo(dump(made, form or ("json" if chat else "text")), nl=False)
    if made.left_out:
        typer.echo(
            f"left out, over the budget of {budget} tokens: {len(made.left_out)} of {len(picked)}", err=True
        )


@fewshot.command("test")
def try_(  # noqa: PLR0913, PLR0917 - the options of a command
    library: LibraryArgument,
    db: DbOption = Path("ragwheel.db"),
    pipeline: Annotated[
        str | None, typer.Option(help="Your app, module:function, called as answer(question, examples).")
    ] = None,
    llm_url: UrlOption = None,
    llm_model: ModelOption = "default",
    llm_key_env: KeyOption = "OPENAI_API_KEY",
    llm_timeout: TimeoutOption = 60,
    k: Annotated[int, typer.Option("-k", min=1, help="Examples in a prompt.")] = 4,
    questions: Annotated[int, typer.Option(min=5, help="At most so many held-out questions.")] = 50,
    metric: Annotated[
        str, typer.Option(help="f1, rouge-l, exact, or module:function(answer, liked).")
    ] = "f1",
    fixed: Annotated[
        bool, typer.Option("--fixed", help="The same first k examples for every question.")
    ] = False,
    expect: Annotated[
        str, typer.Option(help="The gain that makes it worth it: +0 any sure one, +5%, +.02.")
    ] = "+0",
    experiments: Annotated[Path, typer.Option(help="Where experiments are kept.")] = Path("experiments"),
    seed: Annotated[int, typer.Option(help="Of which questions are asked and what random means.")] = 0,
    json: JsonOption = False,
) -> None:
    """Held-out questions with no examples, with random and with selected ones: do they help?"""
    from ragwheel.fewshot import EffectOptions, Library, held_out, load_pipeline, measure, through_endpoint

    if (pipeline is None) == (llm_url is None):
        raise ConfigurationError(
            "fewshot test: say what answers, with --pipeline module:function or with --llm-url URL"
        )
    scored: Any = load_pipeline(metric) if ":" in metric else metric
    answer = (
        load_pipeline(pipeline) if pipeline is not None
        else through_endpoint(_endpoint(llm_url, llm_model, llm_key_env, llm_timeout))
    )  # fmt: skip
    found = Library.load(library)
    options = EffectOptions(
        k, questions, scored, fixed=fixed, expect=expect, seed=seed, experiments=experiments,
        name=pipeline or f"{llm_model} at {llm_url}", keep=experiments / f".answers-{found.id}.jsonl",
    )  # fmt: skip
    asked = held_out(db, found, options)
    with _progress("asking") as on_progress:
        trial = measure(found, asked, answer, options, progress=on_progress)
    if json:
        screen.print_json(_trial_summary(trial))
        return
    _report_trial(screen.stdout(), trial, metric)


@fewshot.command()
def rotate(  # noqa: PLR0913, PLR0917 - the options of a command
    library: LibraryArgument,
    db: DbOption = Path("ragwheel.db"),
    max_age_days: Annotated[float, typer.Option(help="Older examples are stale.")] = 365,
    max_share: Annotated[float, typer.Option(help="Of turns with examples that one may be in.")] = 0.5,
    no_refill: Annotated[bool, typer.Option("--no-refill", help="Retire only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and come.")] = False,
    json: JsonOption = False,
) -> None:
    """Retire stale, overused and badly received examples and pick others; what went stays in the history."""
    from ragwheel.fewshot import Library, RotationOptions, save
    from ragwheel.fewshot import rotate as rotate_library

    _check_not_stale(db, library)
    options = RotationOptions(max_age_days, max_share, refill=not no_refill)
    with _progress("rotating") as on_progress:
        done = rotate_library(db, Library.load(library), options, progress=on_progress)
    if not dry_run and done.retired:
        save(done.library, library, db=db)
    if json:
        screen.print_json(
            {
                "retired": [{"id": one.example.id, "reason": one.reason} for one in done.retired],
                "added": [one.id for one in done.added],
                "examples": len(done.library.examples),
                "dry_run": dry_run,
            }
        )
        return
    console = screen.stdout()
    screen.heading(
        console,
        f"{len(done.retired)} retired, {len(done.added)} added",
        "nothing was changed" if dry_run else "",
    )
    rows = [(one.example.id, one.reason, one.example.question) for one in done.retired]
    rows += [(one.id, "new", one.question) for one in done.added]
    if rows:
        table = screen.columns("example", "", "question", wide=("question",))
        for id, why, question in rows:
            table.add_row(id, why, screen.one_line(question))
        console.print(screen.indented(table))


@fewshot.command()
def show(
    library: LibraryArgument,
    db: Annotated[
        Path | None, typer.Option(envvar="RAGWHEEL_DB", help="Count uses and outcomes there.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """The examples, their groups, and with --db how often each was used and how that was received."""
    from ragwheel.fewshot import Library, Usage, usage

    found = Library.load(library)
    used = usage(db, found) if db is not None else {one.id: Usage() for one in found.examples}
    if json:
        screen.print_json(
            {
                **_summary(found),
                "items": [
                    {"id": one.id, "group": one.group, "question": one.question, "usage": used[one.id]}
                    for one in found.examples
                ],
            }
        )
        return
    console = screen.stdout()
    _report(console, found, str(library))
    table = screen.columns(
        "example",
        "group",
        "used",
        "liked",
        "disliked",
        "question",
        right=("used", "liked", "disliked"),
        wide=("question",),
    )
    for one in found.examples:
        its = used[one.id]
        table.add_row(
            one.id,
            screen.clean(one.group),
            f"{its.used:,}",
            f"{its.liked:,}",
            f"{its.disliked:,}",
            screen.one_line(one.question),
        )
    screen.heading(console, "examples", "" if db else "with --db: how often used, how received")
    console.print(screen.indented(table))


def _check_not_stale(db: Path, library: Path) -> None:
    """Raise DatasetError where something was erased that the library may hold: rotating would keep it."""
    from ragwheel.store.artifacts import list_artifacts

    inside = {place.expanduser().resolve() for place in (library, library / "library.json")}
    if any(one.stale for one in list_artifacts(db) if one.path in inside):
        raise DatasetError(
            f"{library} may hold what was erased from {db} since it was made, and rotating keeps some of it. "
            f"Build it again: ragwheel fewshot build --out {library} --db {db}"
        )


def _report(console: Console, library: Library, place: str) -> None:
    screen.heading(console, place, f"{len(library.examples)} examples of {library.people} people")
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
    written = sum(one.reasoning_by == "llm" for one in library.examples)
    if written:
        lines.append(("reasoning", f"{written:,} written by an LLM, marked as such"))
    console.print(screen.facts(lines))
    screen.heading(console, "types of question")
    table = screen.columns("", "share", "could be", "examples", right=("share", "could be", "examples"))
    for group in library.groups:
        here = sum(one.group == group.name for one in library.examples)
        table.add_row(screen.clean(group.name), f"{group.share:.0%}", f"{group.candidates:,}", f"{here:,}")
    console.print(screen.indented(table))


def _report_trial(console: Console, trial: Trial, metric: str) -> None:
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
                    f"{one.a} − {one.b}",
                    f"{one.mean:+.3f}   95 % interval {one.low:+.3f} to {one.high:+.3f}   p {one.p:.3f}",
                )
                for one in trial.outcomes
            ]
        )
    )
    if trial.failed:
        console.print(Text(f"  {trial.failed} questions left out: the pipeline failed", "dim"))
    console.print()
    console.print(Text.assemble("  ", (trial.decision, "bold"), f"   {trial.verdict}"))
    if trial.experiment is not None:
        screen.next_command(console, f"ragwheel experiment show {trial.experiment.id}")


def _summary(library: Library) -> dict[str, Any]:
    return {
        "id": library.id,
        "examples": len(library.examples),
        "people": library.people,
        "groups": list(library.groups),
        "counts": dict(library.counts),
        "retired": len(library.retired),
    }


def _trial_summary(trial: Trial) -> dict[str, Any]:
    return {
        "decision": trial.decision,
        "verdict": str(trial.verdict),
        "questions": len(trial.questions),
        "failed": trial.failed,
        "means": trial.means,
        "outcomes": list(trial.outcomes),
        "experiment": trial.experiment.id if trial.experiment else None,
    }


def _endpoint(url: str | None, model: str, key_env: str, timeout_s: float) -> ChatEndpoint:
    from ragwheel.fewshot import ChatEndpoint

    if url is None:
        raise ConfigurationError(
            "an LLM is needed: --llm-url URL (or RAGWHEEL_LLM_URL), such as https://api.openai.com/v1"
        )
    return ChatEndpoint(url, model, key_env, timeout_s)


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    with screen.progress(screen.stderr()) as bar:
        task = bar.add_task(title, total=None)

        def on_progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {stage}", completed=done, total=total)

        yield on_progress
