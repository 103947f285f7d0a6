"""An adapter for queries and documents alike, saved as a plain SentenceTransformer with a Dense module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ragwheel.models.loading import load_embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["save_two_sided"]


def save_two_sided(folder: Path, base: str, change: NDArray[np.float32]) -> None:
    """Write a folder that ``SentenceTransformer(folder)`` opens: the base, ``v + vD``, unit length.

    Args:
        folder: existing, empty.
        base: as :func:`~ragwheel.models.loading.load_embedder` takes it.
        change: D, (d, d).
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    model = load_embedder(base, device="cpu")
    dimension = len(change)
    dense = Dense(dimension, dimension, bias=False, activation_function=torch.nn.Identity())
    with torch.no_grad():  # Dense computes v Wᵀ
        dense.linear.weight.copy_(torch.eye(dimension) + torch.from_numpy(change).T)
    SentenceTransformer(modules=[*model, dense, Normalize()], device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
