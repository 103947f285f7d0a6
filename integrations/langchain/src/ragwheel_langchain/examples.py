"""A LangChain example selector over a few-shot library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings
from langchain_core.example_selectors import BaseExampleSelector
from typing_extensions import override

from ragwheel import ConfigurationError

if TYPE_CHECKING:
    from ragwheel.fewshot import Example, Library

__all__ = ["FewShotSelector"]


class FewShotSelector(BaseExampleSelector):
    """Selects examples for the question in the input, for ``FewShotPromptTemplate`` and its chat variant.

    An example is a dict: ``id``, ``question``, ``answer``, ``reasoning`` (may be empty), ``group``. Pass the
    selected examples to ``turn.examples(...)``, so that their effect can be measured. The selection is that
    of :class:`ragwheel.fewshot.Selector`, by maximal marginal relevance. It is thread-safe.

    Args:
        library: a library, or its path.
        k: the number of examples to select.
        fetch_k: the number of nearest examples to choose from.
        weight: 1 uses similarity only, 0 diversity only.
        embeddings: LangChain embeddings for questions; default: those that the library was built with.
        input_key: the input variable with the question; default: ``question``, else the only one there is.

    Raises:
        ragwheel.ConfigurationError: a value cannot be used.
        ragwheel.errors.DatasetError: there is no library at that path.
    """

    def __init__(
        self,
        library: Library | str | Path,
        *,
        k: int = 4,
        fetch_k: int = 20,
        weight: float = 0.7,
        embeddings: Embeddings | None = None,
        input_key: str = "question",
    ) -> None:
        if embeddings is not None and not isinstance(embeddings, Embeddings):
            raise ConfigurationError(
                f"FewShotSelector: got a {type(embeddings).__name__}, allowed: a LangChain Embeddings object"
            )
        from ragwheel.fewshot import Selector  # needs numpy, which capturing does not

        self._embeddings = embeddings
        embed = None if embeddings is None else lambda texts: [*map(embeddings.embed_query, texts)]
        self.selector = Selector(library, k=k, fetch_k=fetch_k, weight=weight, embed=embed)
        self.input_key = input_key

    @override
    def select_examples(self, input_variables: dict[str, str]) -> list[dict[str, Any]]:
        """Return the examples for the question among the input variables, most relevant first."""
        return [*map(_plain, self.selector.select(self._question(input_variables)))]

    @override
    async def aselect_examples(self, input_variables: dict[str, str]) -> list[dict[str, Any]]:
        """Return the examples as :meth:`select_examples` does, with asynchronous embeddings."""
        question = self._question(input_variables)
        if self._embeddings is None:
            return self.select_examples(input_variables)
        vector = await self._embeddings.aembed_query(question)
        return [*map(_plain, self.selector.select_vector(vector))]

    @override
    def add_example(self, example: dict[str, str]) -> str:
        """Add a dict with ``question`` and ``answer``; return its id."""
        missing = [name for name in ("question", "answer") if not isinstance(example.get(name), str)]
        if missing:
            raise ConfigurationError(
                f"add_example: got {', '.join(example) or 'nothing'}, needed: question and answer, both texts"
            )
        return self.selector.add((example["question"], example["answer"])).id

    def _question(self, inputs: dict[str, str]) -> str:
        if self.input_key in inputs:
            return inputs[self.input_key]
        if len(inputs) == 1:
            return next(iter(inputs.values()))
        raise ConfigurationError(
            f"FewShotSelector: got the inputs {', '.join(inputs) or 'none'}, needed: {self.input_key}. "
            "Name yours with input_key=..."
        )


def _plain(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "question": example.question,
        "answer": example.answer,
        "reasoning": example.reasoning or "",
        "group": example.group,
    }
