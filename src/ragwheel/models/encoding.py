"""Texts to vectors, the same way for everybody: training, evaluation and adapters."""

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
    """Whether a model is compared by dot product, so that the lengths of its vectors count; else by cosine.

    Raises:
        ModelError: its similarity is one by which no inner product ranks.
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
        texts: any number; equal ones are embedded once.
        role: queries and documents may have different prompts.
        batch_size: texts at a time; they are sorted by length first.
        progress: called as ``("encode", done, total)``, counted in distinct texts.
        bfloat16: twice as fast where :func:`has_fast_bfloat16` says so; cosines differ by less than .001.
            None: documents on such a CPU, where a collection takes minutes.

    Returns:
        float32 of shape (texts, dimension), to be compared by inner product: each row of length 1, or as the
        model gives it where its own similarity is the dot product.

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
    """Whether this machine computes in bfloat16 faster than in float32: most GPUs, CPUs with AVX512-BF16."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public name for it
    return bool(supported is not None and supported())
