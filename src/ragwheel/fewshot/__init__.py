"""Few-shot examples for prompts, from answers that people liked.

::

    from ragwheel import fewshot

    library = fewshot.build("ragwheel.db")                 # 30 examples, by type of question
    fewshot.save(library, "examples.json", db="ragwheel.db")

    selector = fewshot.Selector("examples.json", k=4)      # in the app; numpy is all it needs
    with ragwheel.turn(question) as turn:
        examples = selector.select(question)
        prompt = fewshot.render(examples, question).text
        turn.examples(examples)                            # so that their effect can be counted

:func:`measure` tests whether the examples help; :func:`rotate` replaces outdated ones. For LangChain there is
``ragwheel_langchain.FewShotSelector``.
"""

from __future__ import annotations

try:
    import numpy as np
except ImportError as exc:
    from ragwheel.errors import MissingExtra

    raise MissingExtra("Examples for prompts need numpy. Next: pip install 'ragwheel[fewshot]'") from exc

from ragwheel.fewshot.asking import Pipeline, load_pipeline, through_endpoint
from ragwheel.fewshot.build import build, save
from ragwheel.fewshot.effect import held_out, measure
from ragwheel.fewshot.endpoint import ChatEndpoint
from ragwheel.fewshot.examples import Example, Library, QuestionType, Retired, example_id
from ragwheel.fewshot.lexical import Lexical
from ragwheel.fewshot.metrics import exact_match, rouge_l, token_f1
from ragwheel.fewshot.options import FewshotOptions
from ragwheel.fewshot.reasoning import with_reasoning
from ragwheel.fewshot.rendering import Rendered, RenderOptions, dump, render
from ragwheel.fewshot.selector import Selector
from ragwheel.fewshot.trial import EffectOptions, HeldOut, Outcome, Trial
from ragwheel.fewshot.usage import Rotation, RotationOptions, Usage, rotate, usage

del np

__all__ = [
    "ChatEndpoint",
    "EffectOptions",
    "Example",
    "FewshotOptions",
    "HeldOut",
    "Lexical",
    "Library",
    "Outcome",
    "Pipeline",
    "QuestionType",
    "RenderOptions",
    "Rendered",
    "Retired",
    "Rotation",
    "RotationOptions",
    "Selector",
    "Trial",
    "Usage",
    "build",
    "dump",
    "exact_match",
    "example_id",
    "held_out",
    "load_pipeline",
    "measure",
    "render",
    "rotate",
    "rouge_l",
    "save",
    "through_endpoint",
    "token_f1",
    "usage",
    "with_reasoning",
]
