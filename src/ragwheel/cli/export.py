"""``ragwheel export``: a dataset, or the traces themselves, in another tool's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragwheel.cli import screen
from ragwheel.cli.build import require_packages
from ragwheel.cli.options import DbOption, JsonOption
from ragwheel.errors import ConfigurationError

__all__ = ["export"]


def export(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="A folder that ragwheel build wrote; or the word parquet, then DEST; or one of the words "
            "grades, openinference, langfuse-scores."
        ),
    ] = None,
    dest: Annotated[
        str | None, typer.Argument(help="Of parquet: a folder or URL for partitions of the traces.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="See docs/exports.md.")] = None,  # noqa: A002
    out: Annotated[
        Path | None, typer.Option(help="A new folder; of grades: a .parquet, .csv or .jsonl file.")
    ] = None,
    push_to_hub: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Push to the hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository is for everyone.")] = False,
    policy: Annotated[Path | None, typer.Option(help="Of grades: a label policy of your own (TOML).")] = None,
    db: DbOption = Path("ragwheel.db"),
    json: JsonOption = False,
) -> None:
    """Write a dataset, every grade, or (as parquet, ubi or trec-run) the traces for another tool."""
    require_packages("export")
    from ragwheel import exporting

    if dest is not None:
        if dataset != "parquet":
            raise ConfigurationError(
                f"ragwheel export got {dataset} {dest}; expected one folder, or: ragwheel export parquet DEST"
            )
        _export_parquet(db, dest, json=json)
        return
    if dataset == "grades" and format is None and push_to_hub is None:
        if out is None:
            raise ConfigurationError(
                f"The grades need a file: ragwheel export grades --db {db} --out grades.parquet"
            )
        _export_grades(db, out, policy, json=json)
        return
    if dataset is not None and dataset in exporting.ANNOTATION_FORMATS and format is None:
        if out is None:
            raise ConfigurationError(
                f"{dataset} needs a file: ragwheel export {dataset} --db {db} --out grades.json"
            )
        _tell(exporting.export_annotations(db, dataset, out, policy=policy), json=json)
        return
    if push_to_hub is not None:
        if dataset is None:
            raise ConfigurationError("Nothing to push: ragwheel export DATASET --push-to-hub OWNER/NAME")
        address = exporting.push_to_hub(dataset, push_to_hub, private=not public)
        _tell({"pushed_to": address}, json=json)
        return
    known = (*exporting.DATASET_FORMATS, *exporting.TRACE_WRITERS)
    if format is None or out is None or format not in known:
        raise ConfigurationError(
            f"ragwheel export got --format {format} --out {out}; expected a format of {', '.join(known)} "
            f"and a new folder: ragwheel export DATASET --format beir --out DIR"
        )
    if format in exporting.TRACE_WRITERS:  # from the store
        _tell(exporting.export_traces(db, format, out), json=json)
        return
    if dataset is None:
        raise ConfigurationError(
            f"{format} is written from a dataset folder: "
            f"ragwheel export DATASET --format {format} --out {out}"
        )
    _tell(exporting.export_dataset(dataset, format, out), json=json)


def _export_parquet(db: Path, dest: str, *, json: bool) -> None:
    from ragwheel.exporting import export_parquet

    with screen.progress(screen.stderr()) as bar:
        task = bar.add_task("exporting traces", total=None)

        def on_progress(table: str, done: int, total: int) -> None:
            bar.update(task, description=f"exporting traces: {table}", completed=done, total=total)

        report = export_parquet(db, dest, progress=on_progress)
    if json:
        screen.print_json(report)
        return
    partitions = f"{report.written:,} written, {report.kept:,} as they were, {report.removed:,} removed"
    facts = [(name, f"{n:,}") for name, n in report.rows.items()]
    screen.stdout().print(screen.facts([*facts, ("partitions", partitions)]))


def _export_grades(db: Path, out: Path, policy: Path | None, *, json: bool) -> None:
    from ragwheel.exporting import export_grades

    with screen.progress(screen.stderr()) as bar:
        task = bar.add_task("exporting grades", total=None)

        def on_progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"exporting grades: {stage}", completed=done, total=total)

        report = export_grades(db, out, policy=policy, progress=on_progress)
    if json:
        screen.print_json(report)
        return
    statuses = ", ".join(f"{n:,} {status}" for status, n in report.statuses.items())
    counts = f"{report.rows:,} of {report.queries:,} queries"
    screen.stdout().print(
        screen.facts([("file", str(report.out)), ("grades", counts), ("statuses", statuses or "none")])
    )


def _tell(written: dict[str, int] | dict[str, str], *, json: bool) -> None:
    if json:
        screen.print_json(written)
        return
    screen.stdout().print(
        screen.facts([(name, f"{n:,}" if isinstance(n, int) else n) for name, n in written.items()])
    )
