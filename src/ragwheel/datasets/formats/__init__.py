"""Formats that other tools read, each a folder written from a dataset folder (``docs/exports.md``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ragwheel.datasets.formats.judged import write_beir, write_llamaindex, write_trec
from ragwheel.datasets.formats.listed import write_flagembedding, write_tevatron
from ragwheel.datasets.formats.tables import write_config
from ragwheel.errors import ConfigurationError

__all__ = ["OTHERS", "WRITERS", "write_formats"]

Writer = Callable[[Path, Path], None]
"""Writes what stands in the dataset folder (first) into the folder of the format (second)."""

#: Formats of other tools, which ``ragwheel build`` puts into the folder ``exports`` of the dataset.
OTHERS: Final[Mapping[str, Writer]] = MappingProxyType(
    {
        "flagembedding": write_flagembedding,
        "tevatron": write_tevatron,
        "beir": write_beir,
        "trec": write_trec,
        "llamaindex": write_llamaindex,
        "st-pair-5": write_config("pairs", label_scale=5),
    }
)
#: All that ``ragwheel export`` writes from a dataset folder.
WRITERS: Final[Mapping[str, Writer]] = MappingProxyType(
    {
        **OTHERS,
        "st-triplet": write_config("triplets"),
        "st-positive": write_config("positives"),
        "st-ntuple": write_config("ntuples"),
        "st-pair": write_config("pairs"),
        "st-list": write_config("lists"),
        "parquet": write_config(None),
        "jsonl": write_config(None, ending="jsonl"),
    }
)


def write_formats(dataset: Path, out: Path, formats: Iterable[str]) -> None:
    """Write each format into its folder below ``out``.

    Raises:
        ConfigurationError: there is no such format.
        DatasetError: the dataset lacks what the format needs.
    """
    for name in formats:
        if name not in WRITERS:
            raise ConfigurationError(f"There is no format {name!r}; allowed: {', '.join(WRITERS)}.")
        (out / name).mkdir(parents=True)
        WRITERS[name](dataset, out / name)
