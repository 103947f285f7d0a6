"""Datasets and traces in the formats of other tools, in a folder or on a hub (``docs/exports.md``)."""

from __future__ import annotations

from ragwheel.exporting.annotations import ANNOTATION_FORMATS, export_annotations
from ragwheel.exporting.grades import GradesExport, export_grades
from ragwheel.exporting.hub import push_to_hub
from ragwheel.exporting.parquet import ParquetExport, export_parquet
from ragwheel.exporting.traces import TRACE_WRITERS, export_traces
from ragwheel.exporting.write import DATASET_FORMATS, export_dataset

__all__ = [
    "ANNOTATION_FORMATS",
    "DATASET_FORMATS",
    "TRACE_WRITERS",
    "GradesExport",
    "ParquetExport",
    "export_annotations",
    "export_dataset",
    "export_grades",
    "export_parquet",
    "export_traces",
    "push_to_hub",
]
