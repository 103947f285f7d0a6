"""From grades to dataset folders that trainers open (``docs/datasets.md``)."""

from __future__ import annotations

import ragwheel.labels  # noqa: F401 - first: says which extra is missing
from ragwheel.datasets.build import build
from ragwheel.datasets.explain import TripletExplanation, explain
from ragwheel.datasets.options import FORMATS, SPLITS, BuildOptions, BuildReport
from ragwheel.datasets.reading import BuiltDataset, open_dataset

__all__ = [
    "FORMATS",
    "SPLITS",
    "BuildOptions",
    "BuildReport",
    "BuiltDataset",
    "TripletExplanation",
    "build",
    "explain",
    "open_dataset",
]
