"""One change at a time, and the systems that settings make."""

from __future__ import annotations

import pytest

from ragwheel.errors import ExperimentError
from ragwheel.experiments.settings import BASELINE, parse_settings, system_of, variants_of


def test_a_value_is_a_variant():
    found = variants_of(["retriever=hybrid,lexical,dense"], BASELINE)
    assert [one.name for one in found] == ["baseline", "retriever=hybrid", "retriever=lexical"]
    assert found[0].settings == BASELINE
    assert found[1].settings == {**BASELINE, "retriever": "hybrid"}


def test_two_changes_are_refused_or_tried_alone_and_together():
    changes = ["embedder=models/mine", "reranker=models/judge"]
    with pytest.raises(ExperimentError, match="Two changes at once"):
        variants_of(changes, BASELINE)
    found = variants_of(changes, BASELINE, allow_many=True)
    assert {one.name for one in found} == {
        "baseline", "embedder=mine", "reranker=judge", "embedder=mine + reranker=judge"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("retriever=dense", "that is no change"),
        ("retriever=magic", "retriever is 'magic'; allowed"),
        ("temperature=0", "A setting is FIELD=VALUE"),
        ("retriever", "A setting is FIELD=VALUE"),
        ("retriever=", "A setting is FIELD=VALUE"),
        ("chunk_words=0", "chunk_words is '0'"),
        ("chunk_words=many", "chunk_words is 'many'"),
        ("overlap_words=150", "overlap_words is 150 of chunk_words 200; allowed: up to half"),
    ],
)
def test_changes_that_make_no_sense(change, said):
    with pytest.raises(ExperimentError, match=said):
        variants_of([change], BASELINE)


def test_what_has_no_effect_is_refused():
    with pytest.raises(ExperimentError, match="changes nothing with retriever=lexical"):
        variants_of(["adapter=a"], {**BASELINE, "retriever": "lexical"})


def test_the_baseline_has_one_value_each():
    assert parse_settings(["retriever=lexical"]) == {**BASELINE, "retriever": "lexical"}
    with pytest.raises(ExperimentError, match="The baseline has one retriever"):
        parse_settings(["retriever=lexical,dense"])


@pytest.mark.parametrize(
    ("settings", "spec", "cost"),
    [
        ({"retriever": "lexical"}, "bm25", "light"),
        ({}, "embedder:minilm", "re-index"),
        ({"retriever": "hybrid"}, "hybrid of bm25 and embedder:minilm", "two indexes"),
        ({"adapter": "models/a"}, "adapter:models/a", "light"),
        ({"reranker": "models/r"}, "reranker:models/r over embedder:minilm", "model per query"),
    ],
)
def test_settings_make_systems(settings, spec, cost):
    system = system_of({**BASELINE, **settings}, "mine")
    assert system.spec == spec
    assert system.cost == cost
