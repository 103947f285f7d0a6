"""The report: sections in the order of the page, as a file or in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel._version import __version__
from ragwheel.errors import ConfigurationError
from ragwheel.files import write_atomically
from ragwheel.report import outcomes, sections
from ragwheel.report.blocks import Section, joined
from ragwheel.report.inputs import ReportInputs, ReportOptions, read_inputs
from ragwheel.report.page import page
from ragwheel.report.style import fragment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "make_report"]

_ORDER: Final[tuple[Callable[[ReportInputs], Section], ...]] = (
    outcomes.summary, sections.milestones, outcomes.results, sections.next_steps, sections.failing,
    sections.coverage, sections.curve, sections.grades, sections.trust, sections.negatives,
    outcomes.experiments, outcomes.models, outcomes.cost,
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """A report: the contents of the page.

    Attributes:
        title: the title.
        subtitle: the database and the period.
        sections: the sections in order.
        footer: the version and time of the report, and warnings.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    footer: str

    def __getitem__(self, name: str) -> Section:
        """The section of that name."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(
            f"no section {name!r}; there are: {', '.join(section.name for section in self.sections)}"
        )

    @property
    def figures(self) -> dict[str, Figure]:
        """All matplotlib figures by name."""
        return {name: figure for section in self.sections for name, figure in section.figures.items()}

    def html(self) -> str:
        """The whole page."""
        return page(self.title, self.subtitle, self.sections, self.footer)

    def write(self, path: str | Path) -> Path:
        """Write the page atomically.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        path = Path(path)
        try:
            write_atomically(path, self.html(), private=True)
        except OSError as exc:
            raise ConfigurationError(
                f"{path} cannot be written: {exc.strerror}. Name another: --out FILE.html"
            ) from exc
        return path

    def _repr_html_(self) -> str:
        return fragment(joined(section.html() for section in self.sections))


def make_report(db: str | Path, options: ReportOptions | None = None) -> Report:
    """Make a report; a section without data says which command to type.

    Args:
        db: the trace database.
        options: see :class:`ReportOptions`.

    Raises:
        StoreError: the database is there but cannot be read.
        DatasetError: a folder that was named is not what it was named as.
        ModelError: a model's card cannot be read.
        ExperimentError: an experiment's record cannot be read.
    """
    inputs = read_inputs(db, options or ReportOptions())
    written_at = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    footer = f"Made by ragwheel {__version__}, {written_at}."
    if inputs.options.texts:
        footer += " It shows texts of questions and documents: share it as you would share those."
    if inputs.warnings:
        footer += " " + " ".join(inputs.warnings)
    return Report("Retrieval report", _period(inputs), tuple(make(inputs) for make in _ORDER), footer)


def _period(inputs: ReportInputs) -> str:
    status = inputs.status
    if status is None or status.first_ns is None or status.last_ns is None:
        return inputs.db.name
    first, last = (
        datetime.fromtimestamp(ns / 1e9, timezone.utc).strftime("%Y-%m-%d")
        for ns in (status.first_ns, status.last_ns)
    )
    period = first if first == last else f"{first} to {last}"
    return f"{inputs.db.name}, {period}"
