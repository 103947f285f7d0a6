"""``ragwheel export``: a dataset, every grade, or the traces themselves, in another tool's format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from ragwheel.cli import screen
from ragwheel.cli.command import add_command
from ragwheel.cli.errors import CommandGroup
from ragwheel.cli.extras import require_packages
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.cli.spelling import export_as_typed_today
from ragwheel.errors import ConfigurationError

__all__ = ["export"]

_SHOWN: Final = 10


class _ExportGroup(CommandGroup):
    """The commands below ``export``; what earlier releases took in their place is still understood."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words behind ``export``, those of earlier releases too."""
        return super().parse_args(ctx, export_as_typed_today(args, tuple(self.commands)))


export = typer.Typer(
    cls=_ExportGroup,
    no_args_is_help=True,
    help="Write a dataset, every grade, or the traces for another tool.",
)

DatasetArgument = Annotated[Path, typer.Argument(help="A folder that ragwheel build wrote.")]
DATASET_FORMAT_HELP = (
    "flagembedding, tevatron, beir, trec, llamaindex, jsonl, parquet, or a config of sentence-transformers "
    "such as st-triplet."
)
TRACES_OUT_HELP = "Of parquet: a folder or URL for partitions. Of the others: a new folder."
TRACES_FORMAT_HELP = "parquet, ubi (search events) or trec-run (the latest ranking of each query)."
GRADES_OUT_HELP = "A file; of a table .parquet, .csv or .jsonl, of the other formats .json."
GRADES_FORMAT_HELP = "table, or what Phoenix (openinference) and Langfuse (langfuse-scores) take."
LABELLED_ONLY_HELP = "Of beir, trec and tevatron: a corpus of the graded chunks alone."
FROM_PARQUET_HELP = "Read a lake of exported traces, not --db."
POLICY_HELP = "A label policy of your own (TOML)."


def dataset(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option(help="A new folder.")],
    format: Annotated[str, typer.Option(help=DATASET_FORMAT_HELP)],  # noqa: A002
    db: DbOption = Path("ragwheel.db"),
    labelled_only: Annotated[bool, typer.Option("--labelled-only", help=LABELLED_ONLY_HELP)] = False,
    json: JsonOption = False,
) -> None:
    """Write a dataset in the format of a training or evaluation tool."""
    require_packages("export")
    from ragwheel import exporting
    from ragwheel.datasets.formats import EXPORT_FORMATS

    if format not in exporting.DATASET_FORMATS:
        raise ConfigurationError(
            f"ragwheel export dataset got --format {format}; expected one of "
            f"{', '.join(exporting.DATASET_FORMATS)}. "
            "Traces have formats of their own: ragwheel export traces -h"
        )
    with_corpus = EXPORT_FORMATS[format].with_corpus
    whole = with_corpus and not labelled_only
    if whole and (Path(dataset) / "manifest.json").is_file() and not db.exists():
        raise ConfigurationError(
            f"There is no database {db}, whose chunks make the corpus of {format}. Name yours with --db, or "
            f"--labelled-only for a corpus of the graded chunks alone, in which retrieval is too easy."
        )
    _print_files(exporting.export_dataset(dataset, format, out, db=db if whole else None), json=json)
    if with_corpus and not json:
        holds = f"every chunk of {db}" if whole else "the graded chunks alone, in which retrieval is too easy"
        screen.stdout().print(f"  the corpus holds {screen.clean(holds)}", soft_wrap=True)


def hub(
    dataset: DatasetArgument,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="A new repository is for everyone.")] = False,
    json: JsonOption = False,
) -> None:
    """Push a dataset to a hub, as a private repository unless told otherwise."""
    require_packages("export")
    from ragwheel import exporting

    address = exporting.push_to_hub(dataset, repository, private=not public)
    _print_files({"pushed_to": address}, json=json)


def grades(
    out: Annotated[Path, typer.Option(help=GRADES_OUT_HELP)],
    format: Annotated[str, typer.Option(help=GRADES_FORMAT_HELP)] = "table",  # noqa: A002
    policy: Annotated[Path | None, typer.Option(help=POLICY_HELP)] = None,
    from_parquet: Annotated[str | None, typer.Option(metavar="DEST", help=FROM_PARQUET_HELP)] = None,
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """Write what is believed about every chunk, abstentions too."""
    require_packages("export")
    from ragwheel import exporting

    if format in exporting.ANNOTATION_FORMATS:
        _print_files(exporting.export_annotations(db, format, out, policy=policy), json=json)
        return
    if format != "table":
        raise ConfigurationError(
            f"ragwheel export grades got --format {format}; expected one of "
            f"{', '.join(('table', *exporting.ANNOTATION_FORMATS))}. "
            f"Next: ragwheel export grades --db {db} --out grades.parquet"
        )
    with screen.reporting("exporting grades") as report_progress:
        report = exporting.export_grades(from_parquet or db, out, policy=policy, progress=report_progress)
    if json:
        screen.print_json(report)
        return
    statuses = ", ".join(f"{n:,} {status}" for status, n in report.statuses.items())
    counts = f"{report.rows:,} of {report.queries:,} queries"
    screen.stdout().print(
        screen.facts([("file", str(report.out)), ("grades", counts), ("statuses", statuses or "none")])
    )


def traces(
    out: Annotated[str, typer.Option(metavar="DEST", help=TRACES_OUT_HELP)],
    format: Annotated[str, typer.Option(help=TRACES_FORMAT_HELP)] = "parquet",  # noqa: A002
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """Write the traces: as Parquet partitions for builds elsewhere, as search events, or as rankings."""
    require_packages("export")
    from ragwheel import exporting

    if format in exporting.TRACE_WRITERS:
        _print_files(exporting.export_traces(db, format, Path(out)), json=json)
        return
    if format != "parquet":
        raise ConfigurationError(
            f"ragwheel export traces got --format {format}; expected one of "
            f"{', '.join(('parquet', *exporting.TRACE_WRITERS))}. Datasets have formats of their own: "
            f"ragwheel export dataset -h"
        )
    with screen.reporting("exporting traces") as report_progress:
        report = exporting.export_parquet(db, out, progress=report_progress, announce=_announce)
    if json:
        screen.print_json(report)
        return
    partitions = f"{report.written:,} written, {report.kept:,} as they were, {report.removed:,} removed"
    facts: list[tuple[str, str | Text]] = [(name, f"{n:,}") for name, n in report.rows.items()]
    facts += [("partitions", partitions), ("store", report.store)]
    if report.separated_from is not None:
        identity = f"another database exports as {report.separated_from}; this one is a store of its own now"
        facts.append(("identity", identity))
    if report.erased:
        facts.append(("erased", f"{report.erased:,} rows of people who were erased from the lake"))
    screen.stdout().print(screen.facts(facts))


def _announce(paths: list[str]) -> None:
    """Say which files of this store are about to be removed from the lake: what replaced them is written."""
    shown = paths if len(paths) <= _SHOWN else [*paths[:_SHOWN], f"and {len(paths) - _SHOWN:,} more"]
    screen.stderr().print(f"removing {len(paths):,} replaced files of this store:", highlight=False)
    for path in shown:
        screen.stderr().print(f"  {screen.clean(path)}", highlight=False)


add_command(export, dataset)
add_command(export, grades)
add_command(export, traces)
add_command(export, hub)


def _print_files(written: Mapping[str, int] | Mapping[str, str], *, json: bool) -> None:
    if json:
        screen.print_json(written)
        return
    screen.stdout().print(
        screen.facts([(name, f"{n:,}" if isinstance(n, int) else n) for name, n in written.items()])
    )
