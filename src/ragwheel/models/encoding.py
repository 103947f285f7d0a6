"""Encoding of texts as vectors, shared by training, evaluation and adapters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal

from ragwheel.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ragwheel.typing import Progress

__all__ = ["encode", "has_fast_bfloat16", "lengths_count"]

_BATCHES_A_STEP: Final = 8


def lengths_count(model: Any) -> bool:
    """Return whether a model compares vectors by dot product (so that lengths count) rather than by cosine.

    Raises:
        ModelError: the model's similarity is neither of these.
    """
    similarity = str(getattr(model, "similarity_fn_name", None) or "cosine")
    if similarity not in ("cosine", "dot"):
        raise ModelError(
            f"The model's similarity is {similarity}; rankings here are by inner product. Allowed: cosine, "
            'dot ("similarity_fn_name" in its config_sentence_transformers.json).'
        )
    return similarity == "dot"


def encode(
    model: Any,
    texts: Sequence[str],
    *,
    role: Literal["query", "document"],
    batch_size: int = 32,
    progress: Progress | None = None,
    bfloat16: bool | None = False,
) -> npt.NDArray[np.float32]:
    """Embed texts with a model's own prompt and route for queries or documents.

    Args:
        model: a ``SentenceTransformer``, as :func:`~ragwheel.models.loading.load_embedder` gives it.
        texts: the texts; equal texts are embedded once.
        role: whether these are queries or documents, which may have different prompts.
        batch_size: texts per batch; they are sorted by length first.
        progress: called as ``("encode", done, total)``, counted in distinct texts.
        bfloat16: compute in bfloat16, which is twice as fast if :func:`has_fast_bfloat16`; cosines differ by
            less than .001. None: only for documents, on such a machine.

    Returns:
        float32 of shape (texts, dimension), to be compared by inner product: rows of length 1, or unscaled if
        the model's own similarity is the dot product.

    Raises:
        ModelError: the model's similarity is neither cosine nor dot.
    """
    import numpy as np
    import torch

    as_it_is = lengths_count(model)
    if not len(texts):
        return np.zeros((0, model.get_embedding_dimension()), dtype=np.float32)
    distinct = sorted(set(texts), key=lambda text: (-len(text), text))
    row_of = {text: row for row, text in enumerate(distinct)}
    run = model.encode_query if role == "query" else model.encode_document
    step, parts = batch_size * _BATCHES_A_STEP, []
    if bfloat16 is None:
        bfloat16 = role == "document" and model.device.type == "cpu" and has_fast_bfloat16()
    fast = torch.autocast(model.device.type, torch.bfloat16) if bfloat16 else nullcontext()
    with torch.inference_mode(), fast:
        for start in range(0, len(distinct), step):
            some = distinct[start : start + step]
            output = run(some, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False)
            scaled = output.float() if as_it_is else torch.nn.functional.normalize(output.float(), dim=1)
            parts.append(scaled.cpu().numpy())
            if progress is not None:
                progress("encode", min(start + step, len(distinct)), len(distinct))
    vectors = np.concatenate(parts).astype(np.float32, copy=False)
    return vectors[[row_of[text] for text in texts]]


def has_fast_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 here: on most GPUs, and on CPUs with AVX512-BF16."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public function for it
    return bool(supported is not None and supported())
