"""Formats that other tools read, each a folder written from a dataset folder (``docs/exports.md``).

To add a format, add an entry here; the options of ``ragwheel build`` and ``ragwheel export``, their messages
and the writers are derived from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import ConfigurationError

__all__ = ["ALWAYS_BUILT", "BUILD_FORMATS", "EXPORT_FORMATS", "OTHERS", "ExportFormat", "write_formats"]


@dataclass(frozen=True)
class ExportFormat:
    """A format of a dataset.

    Attributes:
        name: as in ``--format``.
        built: whether ``ragwheel build`` writes it: ``always``, ``beside`` the configs on request, in the
            folder ``exports`` on request, or not (``no``).
        writer: ``module:function`` below this package; called with the dataset folder and the folder to
            write.
        options: for a function that makes the writer; None where the function is the writer.
        with_corpus: whether it has a corpus, which may hold more chunks of a database than are graded.
    """

    name: str
    built: Literal["always", "beside", "exports", "no"]
    writer: str
    options: dict[str, Any] | None = field(default=None, hash=False)
    with_corpus: bool = False

    def write(self, dataset: Path, out: Path, *, db: Path | None = None) -> None:
        """Write what is in the dataset folder into the folder ``out``.

        Args:
            dataset: the dataset folder.
            out: the folder to write into.
            db: the database whose chunks make the corpus; None: the graded chunks do.

        Raises:
            DatasetError: the dataset lacks what the format needs.
        """
        module, _, name = self.writer.partition(":")
        function: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), name)
        writer = function if self.options is None else function(**self.options)
        if db is not None and self.with_corpus:
            writer(dataset, out, db=db)
        else:
            writer(dataset, out)


def _config(
    name: str, built: Literal["always", "beside", "exports", "no"], config: str | None, **options: Any
) -> ExportFormat:
    return ExportFormat(name, built, "tables:write_config", {"config": config, **options})


_ENTRIES: Final = (
    ExportFormat("flagembedding", "exports", "listed:write_flagembedding"),
    ExportFormat("tevatron", "exports", "listed:write_tevatron", with_corpus=True),
    ExportFormat("beir", "exports", "judged:write_beir", with_corpus=True),
    ExportFormat("trec", "exports", "judged:write_trec", with_corpus=True),
    ExportFormat("llamaindex", "exports", "judged:write_llamaindex"),
    _config("st-pair-5", "exports", "pairs", label_scale=5),
    _config("st-triplet", "always", "triplets"),
    _config("st-positive", "always", "positives"),
    _config("st-pair", "always", "pairs"),
    _config("st-list", "always", "lists"),
    _config("st-ntuple", "beside", "ntuples"),
    _config("jsonl", "beside", None, ending="jsonl"),
    _config("parquet", "no", None),
)
#: All formats by name: what ``ragwheel export`` writes from a dataset folder.
EXPORT_FORMATS: Final = {entry.name: entry for entry in _ENTRIES}
#: The configs that every dataset folder has.
ALWAYS_BUILT: Final = tuple(entry.name for entry in _ENTRIES if entry.built == "always")
#: What ``ragwheel build --format`` takes.
BUILD_FORMATS: Final = tuple(
    entry.name for built in ("always", "beside", "exports") for entry in _ENTRIES if entry.built == built
)
#: Formats of other tools, which ``ragwheel build`` puts into the folder ``exports`` of the dataset.
OTHERS: Final = tuple(entry.name for entry in _ENTRIES if entry.built == "exports")


def write_formats(dataset: Path, out: Path, formats: Iterable[str], *, db: Path | None = None) -> None:
    """Write each format into its folder below ``out``; ``db`` as in :meth:`ExportFormat.write`.

    Raises:
        ConfigurationError: there is no such format.
        DatasetError: the dataset lacks what the format needs.
    """
    for name in formats:
        if name not in EXPORT_FORMATS:
            raise ConfigurationError(f"There is no format {name!r}; allowed: {', '.join(EXPORT_FORMATS)}.")
        (out / name).mkdir(parents=True)
        EXPORT_FORMATS[name].write(dataset, out / name, db=db)
