"""``ragwheel show``: one turn with everything known about it, or a list of the latest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.options import JsonOption, ReadableOption
from ragwheel.cli.why import as_json, print_verdicts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ragwheel.offline import RankedChunk, RetrievalView, SignalView, TurnLine, TurnView

__all__ = ["print_turn", "show"]

EXPOSURE_STYLES = {"shown": "green", "prompted": "cyan", "returned": "", "logged": "dim"}


def show(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    handle_or_id: Annotated[
        str | None,
        typer.Argument(
            help="A handle, or the id of a turn or retrieval. Default: the last turn.", show_default=False
        ),
    ] = None,
    db: ReadableOption = Path("ragwheel.db"),
    latest: Annotated[bool, typer.Option("--list", help="List the latest turns instead.")] = False,
    n: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many turns --list prints.")] = 20,
    all_ranks: Annotated[
        bool, typer.Option("--all", help="Also the ranks that nobody saw (over-fetched).")
    ] = False,
    why: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--why",
            metavar="QUERY CHUNK",
            help="Why this chunk has its grade for this query.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """One turn: query, ranked chunks with exposure, citations, signals."""
    from ragwheel import offline

    if why is not None:
        from ragwheel.labels import why as verdicts_on

        verdicts = verdicts_on(db, *why)
        if json:
            screen.print_json(as_json(verdicts))
        else:
            print_verdicts(screen.stdout(), verdicts, db)
        return
    if latest:
        lines = offline.latest(db, n)
        if json:
            screen.print_json(lines)
        else:
            _print_list(screen.stdout(), lines)
        return
    view = offline.show(db, handle_or_id)
    if json:
        screen.print_json(view)
    else:
        print_turn(screen.stdout(), view, all_ranks=all_ranks)


def _print_list(console: Console, lines: tuple[TurnLine, ...]) -> None:
    table = screen.columns(
        "id", "when", "query", "cited", "signals", right=("cited", "signals"), wide=("query",)
    )
    for line in lines:
        cited = f"{line.citations:,}" if line.kind == "turn" else "-"
        table.add_row(
            line.id, screen.moment(line.start_ns), screen.one_line(line.query), cited, f"{line.signals:,}"
        )
    console.print(table)


def print_turn(console: Console, view: TurnView, *, all_ranks: bool = False) -> None:
    """A turn on the screen; without ``all_ranks`` the chunks that nobody saw are only counted."""
    name = f"turn {view.turn_id}" if view.turn_id else "a retrieval outside any turn"
    who = [part for part in (view.session_id, view.user_id) if part]
    screen.heading(console, name, "  ".join([screen.moment(view.start_ns), *who]))
    console.print(screen.facts([("query", view.query or "(none)"), *_answer(view)]))
    for retrieval in view.retrievals:
        _print_retrieval(console, view, retrieval, all_ranks=all_ranks)
    _print_rest(console, view)


def _answer(view: TurnView) -> list[tuple[str, Text | str]]:
    if view.turn_id is None:
        return []
    lines: list[tuple[str, Text | str]] = [
        ("answer", view.answer if view.answer is not None else Text("(none)", "dim"))
    ]
    if view.reasoning is not None:
        lines.append(("reasoning", Text(screen.clean(view.reasoning), "dim")))
    if view.error:
        lines.append(("error", Text(screen.clean(view.error), "red")))
    return lines


def _print_retrieval(console: Console, view: TurnView, retrieval: RetrievalView, *, all_ranks: bool) -> None:
    version = f" {retrieval.version}" if retrieval.version else ""
    returned = f"returned {retrieval.n_returned} of {len(retrieval.chunks)}"
    details = f"{retrieval.retriever}{version}, {retrieval.duration_ms:.1f} ms, {returned}"
    screen.heading(console, f"{retrieval.kind} {retrieval.retrieval_id}", details)
    if retrieval.error:
        console.print(screen.indented(Text(f"raised {screen.clean(retrieval.error)}", "red")))
    if view.query != retrieval.query:
        console.print(screen.facts([("query", retrieval.query)]))
    chunks = [chunk for chunk in retrieval.chunks if all_ranks or chunk.exposure != "logged"]
    if chunks:
        console.print(screen.indented(_ranking(view, retrieval, chunks)))
    hidden = len(retrieval.chunks) - len(chunks)
    if hidden:
        console.print(screen.indented(Text(f"{hidden} more were only logged: --all prints them", "dim")))


def _ranking(view: TurnView, retrieval: RetrievalView, chunks: list[RankedChunk]) -> Table:
    table = screen.columns(
        "rank", "score", "exposure", "chunk", "text", right=("rank", "score"), wide=("text",)
    )
    for chunk in chunks:
        exposure = chunk.exposure + ("?" if chunk.assumed and chunk.exposure == "prompted" else "")
        shortened = screen.one_line(chunk.chunk_id, 24)
        score = "" if chunk.score is None else f"{chunk.score:.4g}"
        table.add_row(
            str(chunk.rank),
            score,
            Text(exposure, EXPOSURE_STYLES[chunk.exposure]),
            shortened,
            screen.one_line(chunk.text),
        )
        done = _reactions(view, retrieval, chunk)
        if done:
            table.add_row("", "", "", "", Text(", ".join(done), "bold magenta"))
    return table


def _reactions(view: TurnView, retrieval: RetrievalView, chunk: RankedChunk) -> list[str]:
    """What the answer and people did with this chunk."""
    here = (retrieval.retrieval_id, chunk.rank)
    cited = [f"cited {c.marker or ''}".strip() for c in view.citations if (c.retrieval_id, c.rank) == here]
    return cited + [_signal(s) for s in view.signals if s.reason is None and (s.retrieval_id, s.rank) == here]


def _signal(signal: SignalView) -> str:
    text = signal.kind
    if signal.value is not None:
        text += f" {signal.value:.0f} s" if signal.kind == "dwell" else f" {signal.value:g}"
    if signal.signal_reason:
        text += f" [{screen.one_line(signal.signal_reason, 40)}]"
    if signal.comment:
        text += f" “{screen.one_line(signal.comment, 80)}”"
    if signal.bot:
        text += " (by a robot, no evidence)"
    return f"{text} (taken back)" if signal.retracted else text


def _print_rest(console: Console, view: TurnView) -> None:
    """What belongs to no rank: signals about the turn, and what matched nothing."""
    lines = [
        _signal(s) + (f": {s.query}" if s.query else "")
        for s in view.signals
        if s.reason is None and s.rank is None
    ]
    unmatched = [f"{_signal(s)} {s.chunk_id or ''}: {s.reason}" for s in view.signals if s.reason is not None]
    unmatched += [
        f"citation {c.marker or c.position} points at nothing retrieved"
        for c in view.citations
        if not c.matched
    ]
    for title, entries in (("about the turn", lines), ("unmatched, no evidence", unmatched)):
        if entries:
            screen.heading(console, title)
            for entry in entries:
                console.print(screen.indented(Text(screen.clean(entry))))
