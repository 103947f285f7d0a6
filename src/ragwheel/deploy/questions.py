"""The query encoder that ``ragwheel train embedder`` made, for an existing index."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ragwheel.capture.context import running
from ragwheel.deploy.embedding import stamp
from ragwheel.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["QueryEncoder"]


class QueryEncoder:
    """Embeds questions for an index whose documents the base model embedded.

    Args:
        folder: the folder that ``ragwheel train embedder`` wrote (``--side query``, the default).
        device: torch's name of the device; None: the GPU if there is one.

    Call it with a text for its vector, or with texts for a list of vectors. Vectors have length 1, unless the
    model's own similarity is the dot product. Inside a recorded retriever the model's id is added to the
    retrieval's version. The model is loaded for the first question, by sentence-transformers (the extra
    ``train``).

    Raises:
        ragwheel.errors.ModelError: the folder has no model of ragwheel, or one that was trained for
            documents, too. Then the documents must be embedded with it, and ``SentenceTransformer(folder)``
            serves both.
    """

    def __init__(self, folder: str | Path, *, device: str | None = None) -> None:
        from ragwheel.models.card import read_model_card
        from ragwheel.models.loading import model_identity

        card = read_model_card(folder)
        if not card.documents:
            raise ModelError(
                f"{folder} is a model of the kind {card.kind}, expected one of which questions alone were "
                "trained (ragwheel train embedder --side query). An embedder of both sides embeds documents, "
                "too: index again with SentenceTransformer; an adapter: ragwheel.deploy.Adapter."
            )
        self.folder, self.base, self._device = Path(folder), card.base, device
        self.version = f"embedder-{model_identity(folder)[:8]}"

    @cached_property
    def _model(self) -> SentenceTransformer:
        from ragwheel.models.loading import load_embedder

        return load_embedder(self.folder, device=self._device)

    @overload
    def __call__(self, text: str) -> list[float]: ...
    @overload
    def __call__(self, text: list[str]) -> list[list[float]]: ...
    def __call__(self, text: str | list[str]) -> Any:
        """Vectors of questions."""
        from ragwheel.models.encoding import encode

        stamp(running.get(), self.version)
        is_single = isinstance(text, str)
        vectors = encode(self._model, [text] if isinstance(text, str) else text, role="query").tolist()
        return vectors[0] if is_single else vectors
