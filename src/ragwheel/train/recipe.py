"""Which rows and which loss: chosen from the dataset, with the reasons in words."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final, Literal

from ragwheel.errors import ConfigurationError, TrainingError
from ragwheel.models.encoding import lengths_count
from ragwheel.train.beliefs import LEAST
from ragwheel.train.examples import USEFUL, Examples, read_examples

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset
    from ragwheel.train.beliefs import Believed
    from ragwheel.train.options import EmbedderOptions, RerankerOptions

__all__ = ["Recipe", "choose_embedder", "choose_reranker", "embedder_loss", "reranker_loss"]

_QUERY_WHY: Final = (
    "what embeds questions is trained; documents and their index stay (all of it: --side both)"
)
_IN_BATCH: Final = ("infonce", "gist")


@dataclass(frozen=True)
class Recipe:
    """The loss by name, its rows, why, and which side of the model is trained."""

    loss: str
    examples: Examples
    why: tuple[str, ...]
    side: Literal["query", "both"] = "both"

    @property
    def in_batch(self) -> bool:
        """Whether other rows' chunks are negatives, so that a batch must not be cut."""
        return self.loss in _IN_BATCH and self.side == "both"


def choose_embedder(
    dataset: BuiltDataset, options: EmbedderOptions, believed: Believed | None = None
) -> Recipe:
    """The recipe for an embedding model; ``believed``: what side ``query`` learns from, instead of labels.

    Raises:
        TrainingError: the dataset has no rows for the loss that was asked for.
    """
    loss = {"mnrl": "infonce"}.get(options.loss, options.loss)
    if options.decided().side == "query":
        if believed is None:
            return Recipe("infonce", _relevant(dataset), (_QUERY_WHY,), "query")
        examples = _believed(believed)
        weighting = (
            f"{len(examples):,} chunks of {examples.questions:,} questions, each weighted by the belief that "
            "it is relevant"
        )
        return Recipe("infonce", examples, (_QUERY_WHY, weighting), "query")
    if loss == "auto" and dataset.manifest["rows"].get("triplets", {}).get("train"):
        examples = _one_negative(read_examples(dataset, "triplets"), options.seed)
        text = f"triplets: {len(examples):,} relevant chunks, each with one of its checked negatives"
        return Recipe("infonce", examples, (text,))
    loss = "infonce" if loss == "auto" else loss
    config, text = _embedder_config(dataset, loss)
    examples = _relevant(dataset) if config == "pairs" else read_examples(dataset, config)
    if loss == "marginmse":
        margins = _margins(dataset)
        examples = Examples(config, {**examples.columns, "label": margins}, examples.confidence)
    return Recipe(loss, examples, (text,))


def _relevant(dataset: BuiltDataset) -> Examples:
    """Questions and their relevant chunks."""
    pairs = read_examples(dataset, "pairs")
    useful = pairs.take([row for row, label in enumerate(pairs.columns["label"]) if label >= USEFUL])
    columns = {"anchor": useful.columns["query"], "positive": useful.columns["document"]}
    return Examples("pairs", columns, useful.confidence)


def _believed(believed: Believed) -> Examples:
    """Training questions with every chunk that is believed to be relevant; the belief is the confidence."""
    rows = [row for row in believed.train if row.belief >= LEAST]
    columns = {
        "anchor": [row.query for row in rows],
        "positive": [believed.texts[row.version] for row in rows],
    }
    return Examples("beliefs", columns, [row.belief for row in rows])


def _one_negative(triplets: Examples, seed: int) -> Examples:
    """One row, drawn by the seed, for each question and relevant chunk: more would repeat the positive."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, pair in enumerate(zip(triplets.columns["anchor"], triplets.columns["positive"])):
        rows.setdefault(pair, []).append(row)
    draw = random.Random(seed)
    return triplets.take([draw.choice(some) for some in rows.values()])


def _embedder_config(dataset: BuiltDataset, loss: str) -> tuple[str, str]:
    """Where the rows come from: n-tuples where the loss takes them and hardly a positive lacks one."""
    rows = {config: dataset.manifest["rows"][config]["train"] for config in dataset.configs}
    positives = len(set(_column(dataset, "triplets", "positive")))
    if loss == "infonce" and rows.get("ntuples"):
        kept = len(set(_column(dataset, "ntuples", "positive")))
        if kept >= 0.8 * positives:
            return "ntuples", f"n-tuples: {kept:,} relevant chunks, each with all its negatives in one row"
    if rows.get("triplets"):
        return "triplets", f"triplets: {rows['triplets']:,} rows with checked negatives"
    if loss in ("triplet", "marginmse"):
        raise TrainingError(
            f"The loss {loss} needs triplets; {dataset.folder} has none for training: no positive has a "
            "usable negative. Allowed with what there is: --loss infonce."
        )
    return "pairs", "pairs: no positive has a usable negative; other questions' chunks are the negatives"


def _column(dataset: BuiltDataset, config: str, name: str) -> list[str]:
    table = dataset.rows(config, "train")
    if name not in table.column_names:
        raise TrainingError(
            f"{dataset.folder}/{config} lacks the column {name}; got: {', '.join(table.column_names)}. "
            f"Build it again: ragwheel build --out {dataset.folder}"
        )
    found: list[str] = table[name].to_pylist()
    return found


def _margins(dataset: BuiltDataset) -> list[float]:
    """Per triplet, by how much the positive's grade is above the negative's, of 5."""
    table = dataset.provenance("triplets", "train")
    signs = {"positive": 1.0, "negative": -1.0}
    margins = [0.0] * dataset.rows("triplets", "train").num_rows
    for row, role, grade in zip(*(table[name].to_pylist() for name in ("row", "role", "grade"))):
        margins[row] += signs[role] * grade / 5
    return margins


def embedder_loss(model: Any, recipe: Recipe, options: EmbedderOptions, *, guide: Any, cached: bool) -> Any:
    """The loss module, by the model's own similarity.

    ``cached`` bounds the memory of in-batch losses at a third more time.

    Raises:
        ConfigurationError: the loss compares by cosine alone, and the model by dot product.
    """
    from sentence_transformers import util
    from sentence_transformers.sentence_transformer import losses

    size, by_dot = options.mini_batch_size, lengths_count(model)
    if by_dot and recipe.loss in ("gist", "triplet"):
        raise ConfigurationError(
            f"The loss {recipe.loss} compares by cosine, and the own similarity of {options.base} is the dot "
            "product. Allowed: infonce, marginmse."
        )
    if recipe.loss == "gist" and cached:
        return losses.CachedGISTEmbedLoss(model, guide, temperature=0.05, mini_batch_size=size)
    if recipe.loss == "gist":
        return losses.GISTEmbedLoss(model, guide, temperature=0.05)
    if recipe.loss == "infonce":
        how: dict[str, Any] = {"scale": 1.0, "similarity_fct": util.dot_score} if by_dot else {}
        loss: Any = (
            losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=size, **how)
            if cached
            else losses.MultipleNegativesRankingLoss(model, **how)
        )
    elif recipe.loss == "triplet":
        cosine = losses.TripletDistanceMetric.COSINE
        loss = losses.TripletLoss(model, distance_metric=cosine, triplet_margin=0.2)
    else:
        pairwise = util.pairwise_dot_score if by_dot else util.pairwise_cos_sim
        loss = losses.MarginMSELoss(model, similarity_fct=pairwise)
    if options.matryoshka:
        return losses.MatryoshkaLoss(model, loss, matryoshka_dims=list(options.matryoshka))
    return loss


def choose_reranker(dataset: BuiltDataset, options: RerankerOptions) -> Recipe:
    """The recipe for a re-ranker.

    Raises:
        TrainingError: the dataset has no rows for the loss that was asked for.
    """
    lists = read_examples(dataset, "lists")
    levels = [len({round(5 * label) for label in labels}) for labels in lists.columns["labels"]]
    loss, why = options.loss, "asked for"
    if loss == "auto":
        many = bool(levels) and median(len(labels) for labels in lists.columns["labels"]) >= 4
        loss = "lambda" if many and len(lists) >= 200 else "bce"
        why = (
            f"{len(lists):,} lists of graded chunks: their order is learned as a whole"
            if loss == "lambda"
            else f"{len(lists):,} lists, too few or too short to learn an order: each pair by itself"
        )
    if loss == "lambda":
        rows = [row for row, count in enumerate(levels) if count > 1]
        if not rows:
            raise TrainingError(
                f"{dataset.folder} has no list with two different grades, which the loss lambda needs. "
                "Allowed with what there is: --loss bce."
            )
        chosen = lists.take(rows)
        grades = [[5 * label for label in labels] for labels in chosen.columns["labels"]]
        return Recipe(
            loss, Examples("lists", {**chosen.columns, "labels": grades}, chosen.confidence), (why,)
        )
    pairs = read_examples(dataset, "pairs")
    if not pairs:
        raise TrainingError(f"{dataset.folder} has no pairs for training. Build it from more traces.")
    return Recipe(loss, pairs, (why,))


def reranker_loss(model: Any, recipe: Recipe, positive_weight: float | None) -> tuple[Any, float | None]:
    """The loss module, and the weight of a relevant pair in it (None: the loss has none)."""
    import torch
    from sentence_transformers.cross_encoder import losses

    if recipe.loss == "lambda":
        return losses.LambdaLoss(model), None
    labels = recipe.examples.columns["label"]
    relevant = sum(label >= USEFUL for label in labels)
    weight = positive_weight or min(10.0, max(1.0, (len(labels) - relevant) / max(1, relevant)))
    return losses.BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(weight)), weight
