"""``ragwheel import``: traces of other tools, judgments, and evaluation sets that the team already has."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ragwheel.importing import Contents, ImportReport

__all__ = ["import_"]


def import_(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Traces of any tool, as files or addresses (phoenix://HOST:PORT/PROJECT, langfuse://HOST); "
            "or one file of judgments, or an evaluation set.",
        ),
    ],
    kind: Annotated[
        Literal["traces", "judgments", "evalset"] | None,
        typer.Option(help="What it is; default: traces, or an evaluation set where it is a folder."),
    ] = None,
    evalset: Annotated[bool, typer.Option("--evalset", help="The same as --kind evalset.")] = False,
    corpus: Annotated[
        Path | None, typer.Option(help="Traces: texts by id (JSON lines, CSV, Parquet, BEIR folder).")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Traces: the source of all chunks; default: the retriever's name.")
    ] = None,
    feedback: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Traces: scores of this name are people's; may be repeated."),
    ] = None,
    redact: Annotated[
        str | None, typer.Option(envvar="RAGWHEEL_REDACT", help="Traces: built-in redactors, as in standard.")
    ] = None,
    judge: Annotated[str, typer.Option(help="Whose judgments, where the file does not say.")] = "me",
    name: Annotated[str | None, typer.Option(help="Of the evaluation set; default: the file's.")] = None,
    use: Annotated[
        Literal["train", "test"], typer.Option(help="One use only: test examples are never trained on.")
    ] = "test",
    split: Annotated[
        str | None, typer.Option(help="Evaluation set: only this table of qrels, as in test; default: all.")
    ] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help="beir, trec, csv, ragas, deepeval or pairs; default: found out.")
    ] = None,
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """Take in traces of other tools, grades by people (CSV), or an evaluation set.

    Traces of Phoenix, Langfuse, LangSmith, MLflow, TruLens, OpenLLMetry,
    OTel GenAI, Haystack, Opik, Datadog, Weave and UBI are told by their content.
    A second import of the same file adds nothing.
    """
    if evalset and kind not in {None, "evalset"}:
        raise ConfigurationError(f"--evalset and --kind {kind} contradict each other; give one of them.")
    if evalset or (kind is None and len(paths) == 1 and Path(paths[0]).is_dir()):
        kind = "evalset"
    if kind in {"evalset", "judgments"} and len(paths) > 1:
        raise ConfigurationError(f"--kind {kind} takes one file at a time; got {len(paths)}.")
    existed = db.exists()
    if kind == "evalset":
        settings = {"name": name, "use": use, "format": format, "split": split}
        _evalset(db, Path(paths[0]), settings, json=json)
    elif kind == "judgments":
        _judgments(db, Path(paths[0]), judge, json=json)
    else:
        options = {"corpus": corpus, "source": source, "people": tuple(feedback or ()), "redact": redact}
        _traces(db, paths, options, json=json)
    if not existed and not json:
        screen.stdout().print(f"  the database {screen.clean(str(db))} was made", soft_wrap=True)


# --- traces of other tools ---


def _traces(db: Path, paths: list[str], settings: dict[str, Any], *, json: bool) -> None:
    from ragwheel.importing import ImportOptions, import_traces

    console = screen.stdout()

    def announce(contents: Contents) -> None:
        if not json:
            _contents(contents, with_corpus=settings["corpus"] is not None)

    with screen.reporting("importing") as report:
        imported = import_traces(db, paths, ImportOptions(**settings), announce=announce, progress=report)
    if json:
        screen.print_json(imported.as_dict())
        return
    _imported(imported)
    if imported.new or imported.joined or imported.same:
        screen.next_command(
            console, f"ragwheel build --db {db} --out DIR", "training rows of what was imported"
        )


def _contents(contents: Contents, *, with_corpus: bool) -> None:
    """What the files hold, and what will be missing; printed before anything is written."""
    from ragwheel.importing import titles

    names = titles()
    records = ", ".join(
        f"{names.get(tool, 'OpenTelemetry')} {n:,}" for tool, n in contents.tools.most_common()
    )
    by = ", ".join(f"{n:,} by {who}" for who, n in contents.feedback_by.most_common())
    rows: list[tuple[str, Text | str]] = [
        ("records", records),
        ("traces", f"{contents.traces:,} with {contents.spans:,} spans"),
        ("retrievals", f"{contents.retrieval_spans:,} with {contents.passages:,} passages"),
        ("answers", f"{contents.answered:,}"),
        ("sessions", f"{contents.sessions:,} of {contents.people:,} people"),
        ("feedback", f"{contents.feedback:,}{f': {by}' if by else ''}"),
    ]
    console = screen.stdout()
    screen.heading(console, "in the files", ", ".join(sorted(set(contents.containers.values()))))
    console.print(screen.facts(rows))
    missing = list(_missing(contents, with_corpus=with_corpus))
    unusable: list[tuple[str, Text | str]] = [(reason, f"{n:,}") for reason, n in contents.unreadable.items()]
    unusable += [
        (f"record of no known tool, with {shape}", f"{n:,}") for shape, n in contents.unknown.most_common(5)
    ]
    unusable += [("file without a record", path) for path in contents.empty]
    for title, lines in (("will be missing", missing), ("not readable", unusable)):
        if lines:
            screen.heading(console, title)
            console.print(screen.facts(lines))


def _missing(contents: Contents, *, with_corpus: bool) -> Iterator[tuple[str, Text | str]]:
    """What the files lack, how often, and the way out."""
    if contents.passages_without_text:
        way_out = (
            "joined by id from the corpus"
            if with_corpus
            else "give them with --corpus FILE (an id and a text in each row)"
        )
        yield "texts", f"of {contents.passages_without_text:,} passages: {way_out}"
    if contents.passages_without_id:
        yield "ids", f"of {contents.passages_without_id:,} passages: a hash of the text stands in"
    if contents.passages_without_score:
        yield "scores", f"of {contents.passages_without_score:,} passages: kept without one, which is not 0"
    if contents.spans_without_documents:
        yield (
            "documents",
            f"of {contents.spans_without_documents:,} retrievals: the tool kept no content of them",
        )
    if contents.traces > contents.answered:
        yield "answers", f"of {contents.traces - contents.answered:,} traces: no citations without them"
    if contents.traces and not contents.feedback:
        yield "feedback", "of people: in no file; import it later and it joins"
    for name, n in contents.unknown_authors.most_common(5):
        yield (
            "author",
            f"of {n:,} scores {name!r}: not used; --feedback {shlex.quote(name)} takes them as people's",
        )


def _imported(report: ImportReport) -> None:
    sections = {
        "imported": dict(report.new),
        "completed": dict(report.joined),
        "there already": dict(report.same),
    }
    if report.citations:
        sections["imported"]["citations matched to a chunk"] = report.citations
    if report.corpus_joined:
        sections["imported"]["texts from the corpus"] = report.corpus_joined
    if report.corpus_missing:
        report.left_out["ids that the corpus does not have"] += report.corpus_missing
    if report.waiting:
        sections["imported"]["signals that wait for their trace"] = report.waiting
    sections["left out or odd"] = dict(report.left_out)
    console = screen.stdout()
    if not (report.new or report.joined):
        sections["imported"] = {"nothing new": 0}
    for title, counts in sections.items():
        if counts:
            screen.heading(console, title)
            console.print(
                screen.facts(
                    [(name, f"{n:,}") for name, n in sorted(counts.items()) if n or len(counts) == 1]
                )
            )


# --- judgments and evaluation sets ---


def _judgments(db: Path, path: Path, judge: str, *, json: bool) -> None:
    from ragwheel.offline import import_judgments

    with screen.reporting("reading judgments") as report:
        imported = import_judgments(db, path, judge=judge, progress=lambda n: report("", n, 0))
    if json:
        screen.print_json(imported)
        return
    console = screen.stdout()
    counts = {
        "new": imported.new,
        "changed": imported.changed,
        "there already": imported.same,
        "older": imported.older,
    }
    _counts("judgments", counts, imported.refused)
    for example in imported.examples[:5]:
        console.print(screen.indented(screen.one_line(example)))
    screen.next_command(console, f"ragwheel build --db {db} --out DIR", "judgments by people win")


def _evalset(db: Path, path: Path, settings: dict[str, Any], *, json: bool) -> None:
    require_packages("import --evalset")
    from ragwheel.judgments import import_evalset

    evalset = import_evalset(db, path, **settings)
    if json:
        screen.print_json(evalset)
        return
    counts = {"queries": evalset.queries, "judgments": evalset.judgments, "of these new": evalset.new}
    counts |= {f"chunks, {_WAYS[way]}": n for way, n in evalset.chunks.items() if n}
    _counts(f"{evalset.name} ({evalset.format}), for {evalset.use}", counts, evalset.refused)
    for note in evalset.notes:
        screen.stdout().print(screen.indented(screen.one_line(note)))
    screen.next_command(screen.stdout(), f"ragwheel build --db {db} --out DIR")


_WAYS = {
    "id": "known by id",
    "text": "known by text",
    "near": "known by near-equal text",
    "added": "added",
}


def _counts(title: str, counts: Mapping[str, int], refused: Mapping[str, int]) -> None:
    console = screen.stdout()
    for head, some in ((title, counts), ("left out", refused)):
        if some:
            screen.heading(console, head)
            console.print(screen.facts([(name, f"{n:,}") for name, n in some.items()]))
