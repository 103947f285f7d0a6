"""A joiner that fuses the documents of several retrievers by tuned weights."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from ragwheel import ConfigurationError
from ragwheel.deploy import Fusion, fuse_results, fusion_of
from ragwheel.integration import check_whole

__all__ = ["RagwheelJoiner"]


@component
class RagwheelJoiner:
    """Fuses several rankings of one question; each retriever has an input, so that its weight stays its own.

    ``pipeline.connect("words.documents", "joiner.words")`` feeds the input ``words`` of
    ``RagwheelJoiner(["words", "vectors"])``. It is recorded as a re-ranking, with the ranks before and after.

    Args:
        retrievers: the names of the inputs, in the order in which the weights were tuned.
        fusion: with a weight for each, such as ``Fusion.load("fusion")``, or the folder that ``ragwheel
            train fusion`` wrote; None: reciprocal rank fusion, all alike.
        top_k: how many documents to give.

    Raises:
        ragwheel.ConfigurationError: a name is used twice or is none, there is not one weight for each, or
            `top_k` is below 1.
        ragwheel.errors.ModelError: the folder has no fusion.
    """

    def __init__(
        self, retrievers: Sequence[str], fusion: Fusion | str | Path | None = None, top_k: int = 5
    ) -> None:
        names = [] if isinstance(retrievers, str) else list(retrievers)
        if len(set(names)) < len(names) or not names or not all(str(name).isidentifier() for name in names):
            raise ConfigurationError(
                f"RagwheelJoiner: retrievers are {retrievers!r}; allowed are different names for its inputs, "
                'such as ["words", "vectors"]'
            )
        check_whole("RagwheelJoiner", "top_k", top_k)
        self.fusion = fusion_of(fusion, len(names), "RagwheelJoiner")
        self.retrievers, self.top_k = names, top_k
        component.set_input_types(self, **dict.fromkeys(names, list[Document]))

    @component.output_types(documents=list[Document])
    def run(self, **documents: Any) -> dict[str, Any]:
        """Return the best documents with their fused scores."""
        fused = fuse_results([documents[name] for name in self.retrievers], self.fusion)
        best = [dataclasses.replace(document, score=score) for document, score in fused]
        return {"documents": best[: self.top_k]}

    def to_dict(self) -> dict[str, Any]:
        """Return what a stored pipeline has of it."""
        stored: dict[str, Any] = default_to_dict(
            self, retrievers=self.retrievers, fusion=dataclasses.asdict(self.fusion), top_k=self.top_k
        )
        return stored

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RagwheelJoiner":
        """Return a joiner like the one that ``to_dict`` was called on."""
        fusion = data["init_parameters"]["fusion"]
        lists = {name: tuple(value) for name, value in fusion.items() if isinstance(value, (list, tuple))}
        parameters = {**data["init_parameters"], "fusion": Fusion(**{**fusion, **lists})}
        joiner: RagwheelJoiner = default_from_dict(cls, {**data, "init_parameters": parameters})
        return joiner
