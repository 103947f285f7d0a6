"""``ragwheel fewshot``: examples for prompts, from the answers that people liked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ragwheel.cli import screen
from ragwheel.cli.amounts import days
from ragwheel.cli.command import add_command
from ragwheel.cli.endpoints import (
    LlmKeyEnv,
    LlmMaxTokens,
    LlmModel,
    LlmTemperature,
    LlmTimeout,
    LlmUrl,
    PrivateOption,
    chat_endpoint,
)
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.fewshot_report import library_summary, print_library, print_trial, trial_summary
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError, DatasetError

__all__ = ["fewshot"]

fewshot = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Examples for prompts, from the answers that people liked."
)

LibraryArgument = Annotated[Path, typer.Argument(help="A library that `ragwheel fewshot build` wrote.")]


def build(  # noqa: PLR0913, PLR0917 - the options of a command
    out: Annotated[Path, typer.Option(help="A .json file, or a folder for library.json.")],
    db: DbOption = Path("ragwheel.db"),
    n: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many examples.")] = 30,
    per_group: Annotated[
        bool, typer.Option("--per-group", help="That many for every type of question.")
    ] = False,
    groups: Annotated[int | None, typer.Option(min=1, help="Types of question; default: found.")] = None,
    label_key: Annotated[
        str | None, typer.Option(help="Metadata key of chunks that names the type, such as category.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="lexical (no model), minilm, a folder or a hub id.")
    ] = "lexical",
    max_answer_chars: Annotated[int, typer.Option(min=1, help="Longer answers are left out.")] = 4_000,
    write_reasoning: Annotated[
        bool, typer.Option("--write-reasoning", help="Have the LLM write the reasoning where there is none.")
    ] = False,
    llm_url: LlmUrl = None,
    llm_model: LlmModel = "default",
    llm_key_env: LlmKeyEnv = None,
    llm_timeout: LlmTimeout = 60,
    allow_private: PrivateOption = False,
    llm_max_tokens: LlmMaxTokens = "1000",
    llm_temperature: LlmTemperature = "0",
    seed: Annotated[int, typer.Option(help="The same store and seed give the same examples.")] = 0,
    json: JsonOption = False,
) -> None:
    """Pick examples: liked, cited, not asked again; typical, and unlike each other."""
    from ragwheel.fewshot import FewshotOptions, Library, save, with_reasoning
    from ragwheel.fewshot import build as build_library
    from ragwheel.fewshot.reasoning import carried

    options = FewshotOptions(
        n=n, per_group=per_group, groups=groups, label_key=label_key, embed=encoder,
        max_answer_chars=max_answer_chars, seed=seed,
    )  # fmt: skip
    endpoint = None
    if write_reasoning:
        endpoint = chat_endpoint(
            llm_url, llm_model, llm_key_env, llm_timeout, allow_private, llm_max_tokens, llm_temperature
        )
    with screen.reporting("building examples") as report:
        library = build_library(db, options, progress=report)
    if endpoint is not None:
        with suppress(DatasetError):  # there is none yet, or none to go on from
            library = carried(library, Library.load(out))
    file = save(library, out, db=db)
    if endpoint is not None:
        with screen.reporting("writing reasoning") as report:
            library = with_reasoning(
                library, endpoint, progress=report, keep=lambda partial: partial.save(out)
            )
    if json:
        screen.print_json({"library": str(file), **library_summary(library)})
        return
    console = screen.stdout()
    print_library(console, library, str(file))
    screen.next_command(console, f"ragwheel fewshot test {out} --db {db} --pipeline module:function")


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

    loaded = Library.load(library)
    picked = (
        list(loaded.examples[:k])
        if question is None
        else Selector(loaded, k=k or 4, fetch_k=max(20, k or 4)).select(question)
    )
    if examples_only:
        typer.echo(dump(picked, form or "json"), nl=False)
        return
    options = RenderOptions(template, chat=chat, thinking=thinking, system=system, budget_tokens=budget)
    prompt = render_prompt(picked, question, options)
    typer.echo(dump(prompt, form or ("json" if chat else "text")), nl=False)
    if prompt.left_out:
        typer.echo(
            f"left out, over the budget of {budget} tokens: {len(prompt.left_out)} of {len(picked)}", err=True
        )


def try_(  # noqa: PLR0913, PLR0917 - the options of a command
    library: LibraryArgument,
    db: DbOption = Path("ragwheel.db"),
    pipeline: Annotated[
        str | None, typer.Option(help="Your app, module:function, called as answer(question, examples).")
    ] = None,
    llm_url: LlmUrl = None,
    llm_model: LlmModel = "default",
    llm_key_env: LlmKeyEnv = None,
    llm_timeout: LlmTimeout = 60,
    allow_private: PrivateOption = False,
    llm_max_tokens: LlmMaxTokens = "1000",
    llm_temperature: LlmTemperature = "0",
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
    if pipeline is not None:
        answer = load_pipeline(pipeline)
    else:
        answer = through_endpoint(
            chat_endpoint(
                llm_url, llm_model, llm_key_env, llm_timeout, allow_private, llm_max_tokens,
                llm_temperature,
            )
        )  # fmt: skip
    loaded = Library.load(library)
    options = EffectOptions(
        k, questions, scored, fixed=fixed, expect=expect, seed=seed, experiments=experiments,
        name=pipeline or f"{llm_model} at {llm_url}", keep=experiments / f".answers-{loaded.id}.jsonl",
    )  # fmt: skip
    asked = held_out(db, loaded, options)
    with screen.reporting("asking") as report:
        trial = measure(loaded, asked, answer, options, progress=report)
    if json:
        screen.print_json(trial_summary(trial))
        return
    print_trial(screen.stdout(), trial, metric)


def rotate(  # noqa: PLR0913, PLR0917 - the options of a command
    library: LibraryArgument,
    db: DbOption = Path("ragwheel.db"),
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Examples beyond this age are stale: 12h, 90d, 8w.")
    ] = "365d",
    max_share: Annotated[float, typer.Option(help="Of turns with examples that one may be in.")] = 0.5,
    no_refill: Annotated[bool, typer.Option("--no-refill", help="Retire only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and come.")] = False,
    json: JsonOption = False,
) -> None:
    """Retire stale, overused and badly received examples and pick others; what went stays in the history."""
    from ragwheel.fewshot import Library, RotationOptions, save
    from ragwheel.fewshot import rotate as rotate_library

    _check_not_stale(db, library)
    options = RotationOptions(days(older_than), max_share, refill=not no_refill)
    with screen.reporting("rotating") as report:
        done = rotate_library(db, Library.load(library), options, progress=report)
    if not dry_run and done.retired:
        save(done.library, library, db=db)
    if json:
        screen.print_json(
            {
                "retired": [
                    {"id": retirement.example.id, "reason": retirement.reason} for retirement in done.retired
                ],
                "added": [example.id for example in done.added],
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
    rows = [
        (retirement.example.id, retirement.reason, retirement.example.question) for retirement in done.retired
    ]
    rows += [(example.id, "new", example.question) for example in done.added]
    if rows:
        table = screen.columns("example", "", "question", wide=("question",), folded=("",))
        for id, why, question in rows:
            table.add_row(id, why, screen.one_line(question))
        console.print(screen.indented(table))


def show(
    library: LibraryArgument,
    db: Annotated[
        Path | None, typer.Option(envvar="RAGWHEEL_DB", help="Count uses and outcomes there.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """The examples, their groups, and with --db how often each was used and how that was received."""
    from ragwheel.fewshot import Library, Usage, usage

    loaded = Library.load(library)
    used = usage(db, loaded) if db is not None else {example.id: Usage() for example in loaded.examples}
    if json:
        screen.print_json(
            {
                **library_summary(loaded),
                "items": [
                    {
                        "id": example.id,
                        "group": example.group,
                        "question": example.question,
                        "usage": used[example.id],
                    }
                    for example in loaded.examples
                ],
            }
        )
        return
    console = screen.stdout()
    print_library(console, loaded, str(library))
    table = screen.columns(
        "example",
        "group",
        "used",
        "liked",
        "disliked",
        "question",
        right=("used", "liked", "disliked"),
        wide=("question",),
        folded=("group",),
    )
    for example in loaded.examples:
        its = used[example.id]
        table.add_row(
            example.id,
            screen.clean(example.group),
            f"{its.used:,}",
            f"{its.liked:,}",
            f"{its.disliked:,}",
            screen.one_line(example.question),
        )
    screen.heading(console, "examples", "" if db else "with --db: how often used, how received")
    console.print(screen.indented(table))


add_command(fewshot, build)
add_command(fewshot, render)
add_command(fewshot, try_, "test")
add_command(fewshot, rotate)
add_command(fewshot, show)


def _check_not_stale(db: Path, library: Path) -> None:
    """Raise DatasetError where something was erased that the library may hold: rotating would keep it."""
    from ragwheel.store.artifacts import list_artifacts

    inside = {path.expanduser().resolve() for path in (library, library / "library.json")}
    if any(artifact.stale for artifact in list_artifacts(db) if artifact.path in inside):
        raise DatasetError(
            f"{library} may hold what was erased from {db} since it was made, and rotating keeps some of it. "
            f"Build it again: ragwheel fewshot build --out {library} --db {db}"
        )
