"""``ragwheel judge``: an LLM, or a model on this machine, grades what no person has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.endpoints import (
    URL_HELP,
    LlmMaxTokens,
    LlmTemperature,
    LlmTimeout,
    PrivateOption,
    number_or_none,
    whole_or_none,
)
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from ragwheel.llm_judge import Agreement, Endpoint, Estimate, JudgeOptions, JudgeReport

__all__ = ["judge"]

MODEL_HELP = "The name of the model at the endpoint. The key is read from RAGWHEEL_JUDGE_KEY."
OFFLINE_HELP = "Without an endpoint: auto, overlap, minilm, or the folder of an embedder or cross-encoder."
RETRY_HELP = "Ask again what earlier replies did not answer (unreadable, truncated, refused, empty)."
Mode = Literal["grade", "pairwise"]


def judge(
    db: DbOption = Path("ragwheel.db"),
    llm_url: Annotated[str | None, typer.Option(envvar="RAGWHEEL_JUDGE_URL", help=URL_HELP)] = None,
    llm_model: Annotated[str | None, typer.Option(envvar="RAGWHEEL_JUDGE_MODEL", help=MODEL_HELP)] = None,
    offline: Annotated[str | None, typer.Option(metavar="NAME", help=OFFLINE_HELP)] = None,
    mode: Annotated[Mode, typer.Option(help="Grades 0-5, or comparisons in both orders.")] = "grade",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="At most so many (question, chunk).")
    ] = 200,
    calibrate: Annotated[int, typer.Option(min=0, help="Besides, so many that people graded.")] = 100,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop before so many tokens, in and out.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Stop before so much money; needs prices.")] = None,
    price_in: Annotated[float, typer.Option(help="US dollars per million tokens in.")] = 0.0,
    price_out: Annotated[float, typer.Option(help="US dollars per million tokens out.")] = 0.0,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.")] = 8,
    llm_timeout: LlmTimeout = 60.0,
    llm_max_tokens: LlmMaxTokens = "64",
    llm_temperature: LlmTemperature = "0",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help=RETRY_HELP)] = False,
    max_flip_rate: Annotated[float, typer.Option(help="Above it no grade is written.")] = 0.5,
    allow_private: PrivateOption = False,
    policy: Annotated[Path | None, typer.Option(help="A label policy of your own (TOML).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; send nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Grade, without a person, the chunks whose grade tells most; a person's grade always wins."""
    require_packages("judge")
    from ragwheel import llm_judge as judging

    options = judging.JudgeOptions(
        mode=mode,
        limit=limit,
        calibrate=calibrate,
        offline=offline,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        prices=judging.Prices(price_in, price_out),
        limits=judging.Limits(
            concurrency=concurrency,
            timeout_s=llm_timeout,
            max_output_tokens=whole_or_none(llm_max_tokens, "--llm-max-tokens"),
            temperature=number_or_none(llm_temperature, "--llm-temperature"),
        ),
        max_flip_rate=max_flip_rate,
        policy=None if policy is None else str(policy),
        retry_failed=retry_failed,
    )
    if offline is not None and dry_run:
        raise typer.BadParameter("an offline judge costs nothing: leave --dry-run out")
    endpoint = None
    if offline is None:
        endpoint = judging.Endpoint.from_environment(
            base_url=llm_url, model=llm_model, allow_private=allow_private or None
        )
    result = (
        judging.dry_run(db, endpoint=endpoint, options=options) if dry_run else _judged(db, endpoint, options)
    )
    if json:
        screen.print_json(result)
    elif isinstance(result, judging.Estimate):
        _print_estimate(screen.stdout(), result)
    else:
        _print_report(screen.stdout(), result)
        screen.next_command(screen.stdout(), f"ragwheel build --db {db} --out DIR")


def _judged(db: Path, endpoint: Endpoint | None, options: JudgeOptions) -> JudgeReport:
    from ragwheel import llm_judge as judging

    with screen.reporting("judging") as report:
        return judging.judge(db, endpoint=endpoint, options=options, progress=report)


def _print_estimate(console: Console, estimate: Estimate) -> None:
    cost = "" if estimate.usd is None else f", US$ {estimate.usd:.4f}"
    console.print(
        f"  {estimate.requests} requests, {estimate.cached} answered already. At most "
        f"{estimate.tokens_in:,} tokens in and {estimate.tokens_out:,} out{cost}. Nothing was sent."
    )


def _print_report(console: Console, report: JudgeReport) -> None:
    screen.heading(console, report.judge, f"{report.judged} judged, {report.written} grades written")
    pairs: list[tuple[str, Text | str]] = []
    if report.tokens_in or report.tokens_out:
        cost = "" if report.usd is None else f", US$ {report.usd:.4f}"
        pairs.append(("used", f"{report.tokens_in:,} tokens in, {report.tokens_out:,} out{cost}"))
    if report.counts:
        pairs.append(("replies", ", ".join(f"{n} {what}" for what, n in report.counts.items())))
    if report.flip_rate is not None:
        pairs.append(("canaries", f"{report.flip_rate:.0%} of {report.canaries} believed"))
    if report.preferences:
        agreed = sum(preference.consistent for preference in report.preferences)
        pairs.append(("comparisons", f"{len(report.preferences)}, both orders agreed in {agreed}"))
    if report.left_out:
        pairs.append(("left out", f"{report.left_out} of questions that models are tested with"))
    for reason, n in report.refused.items():
        pairs.append(("not kept", f"{n} {reason}"))
    if report.stopped:
        pairs.append(("stopped by", report.stopped))
    console.print(screen.facts(pairs))
    if report.agreement is not None:
        _print_agreement(console, report.agreement)
    for warning in report.warnings:
        console.print(Text(f"  ! {screen.clean(warning)}", "yellow"))


def _print_agreement(console: Console, agreement: Agreement) -> None:
    kappas = (agreement.kappa, agreement.kappa_quadratic, agreement.kappa_useful)
    shown = [f"{value:.2f}" if value is not None else "-" for value in kappas]
    beside = f"{agreement.pairs} pairs; kappa {shown[0]}, quadratic {shown[1]}, useful or not {shown[2]}"
    screen.heading(console, "people and judge", beside)
    table = screen.columns(
        "person", *(f"judge {n}" for n in range(6)), right=tuple(f"judge {n}" for n in range(6))
    )
    for grade, row in enumerate(agreement.confusion):
        if any(row):
            table.add_row(str(grade), *(str(n) if n else "·" for n in row))
    console.print(screen.indented(table))
