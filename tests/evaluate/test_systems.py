"""Every kind of system, and what is said when one misbehaves."""

from __future__ import annotations

import numpy as np
import pytest

from ragwheel.datasets.document_ids import document_id
from ragwheel.deploy import Adapter
from ragwheel.errors import ConfigurationError, DatasetError, ModelError
from ragwheel.evaluate import (
    Collection,
    EvaluateOptions,
    Run,
    adapter,
    bm25,
    captured,
    embedder,
    evaluate,
    from_callable,
    from_run,
    hybrid,
    parse_system,
    read_run,
    reranked,
)  # fmt: skip
from ragwheel.evaluate.cache import VectorCache, cache_folder
from ragwheel.evaluate.runs import write_run
from ragwheel.evaluate.systems import Searcher

NO_CACHE = EvaluateOptions(cache=None)


def letters(texts, role):
    """A small honest embedder: counts of digits."""
    counts = np.array([[text.count(d) for d in "0123456789"] for text in texts], dtype=np.float32)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)


def run_of(system, collection, **given):
    return system.run(collection, Searcher(cache=None, **given))[0]


def test_bm25_finds_words_and_ranks_nothing_without_them():
    corpus = {"a": "the cat sat", "b": "a dog barked loudly", "c": "the cat met a dog"}
    queries = {"1": "dog barked", "2": "dog and cat", "3": "nothing of this"}
    collection = Collection(
        "pets", corpus, queries, {"evalset": {"1": {"b": 1}, "2": {"c": 1}, "3": {"a": 1}}}
    )
    run = run_of(bm25(), collection)
    assert run.rankings["1"] == ("b", "c")
    assert run.rankings["2"][0] == "c"
    assert run.rankings["3"] == ()
    found = evaluate(collection, [bm25()], options=NO_CACHE)
    assert found.notes == ("bm25 ranks nothing for 1 of 3 queries: 0",)
    assert found.measured["bm25"].mean("evalset", "MRR@10") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("texts", "question", "answer"),
    [
        (("返品は三十日以内に可能です", "送料は無料です", "支払い方法はカードのみ"), "返品はいつまで可能", 0),
        (("订单可以在七天内退货", "运费由买家承担", "我们只接受信用卡"), "怎么退货", 0),
        (("การคืนสินค้าทำได้ภายในสามสิบวัน", "ค่าจัดส่งฟรี", "ชำระด้วยบัตรเท่านั้น"), "คืนสินค้า", 0),
        (("शिपिंग मुफ़्त है", "सामान तीस दिन में लौटाएँ", "केवल कार्ड से भुगतान"), "सामान कैसे लौटाएँ", 1),
        (("배송은 무료입니다", "반품은 삼십일 이내에 가능합니다", "카드만 받습니다"), "반품은 언제까지", 1),
        (("الشحن مجاني", "يمكن إرجاع المنتج خلال ثلاثين يوما", "البطاقات فقط"), "إرجاع المنتج", 1),
    ],
    ids=["Japanese", "Chinese", "Thai", "Hindi", "Korean", "Arabic"],
)
def test_bm25_finds_words_of_any_script(texts, question, answer):
    corpus = {f"d{number}": text for number, text in enumerate(texts)}
    collection = Collection("shop", corpus, {"q": question}, {"evalset": {"q": {f"d{answer}": 1}}})
    assert run_of(bm25(), collection).rankings["q"][0] == f"d{answer}"


@pytest.mark.parametrize("corpus", [{"a": "?!", "b": "…"}, {"a": "words of another language", "b": "x"}])
def test_a_baseline_that_finds_nothing_counts_0_with_a_note(corpus):
    collection = Collection("void", corpus, {"1": "返品"}, {"evalset": {"1": {"a": 1}}})
    other = from_callable(lambda query, k: list(corpus), "all of it")
    found = evaluate(collection, [bm25(), other], options=NO_CACHE)
    assert found.measured["bm25"].mean("evalset", "nDCG@10") == 0
    assert found.measured["all of it"].mean("evalset", "nDCG@10") > 0
    assert "bm25 found nothing for any of the 1 queries: 0 everywhere" in found.notes
    fused = evaluate(collection, [bm25(), hybrid(bm25(), other)], options=NO_CACHE)
    assert fused.measured["hybrid"].mean("evalset", "nDCG@10") > 0


def test_embedder_ranks_by_cosine(small):
    run = run_of(embedder(letters, "digits"), small(documents=10, n=10))
    assert all(run.rankings[f"q{i}"][0] == f"d{i}" for i in range(10))
    assert len(run.rankings["q0"]) == 10


def test_adapters_change_queries_alone(small):
    collection = small(documents=10, n=10)
    swap = np.zeros((1, 10, 10), dtype=np.float32)
    swap[0] = np.roll(np.eye(10), 1, axis=1) - np.eye(10)  # 0 -> 1, 1 -> 2, …
    run = run_of(adapter(Adapter(swap), "rolled", base=letters), collection)
    assert all(run.rankings[f"q{i}"][0] == f"d{(i + 1) % 10}" for i in range(10))
    with pytest.raises(ModelError, match="does not say which model"):
        run_of(adapter(Adapter(swap), "lost"), collection)


def test_hybrid_sums_reciprocal_ranks(small):
    collection = small(2)
    first = from_callable(lambda text, k: ["d1", "d2", "d3"], "first")
    second = from_callable(lambda text, k: ["d3", "d1"], "second")
    assert run_of(hybrid(first, second), collection).rankings["q0"] == ("d1", "d3", "d2")


def test_rerankers_reorder_the_first_and_leave_the_rest(small):
    collection = small(2)
    below = from_callable(lambda text, k: [f"d{i}" for i in range(k)], "below")

    def last_first(query, texts):
        return [float(text.split()[-1]) for text in texts]

    ranking = run_of(reranked(last_first, below, "re", depth=3), collection, depth=50).rankings["q0"]
    assert ranking[:4] == ("d2", "d1", "d0", "d3")
    assert len(ranking) == 50
    with pytest.raises(DatasetError, match="score of 'd0' is NaN"):
        run_of(reranked(lambda q, texts: [float("nan")] * len(texts), below, "re"), collection)
    with pytest.raises(ModelError, match="gave 1 scores for 40 texts"):
        run_of(reranked(lambda q, texts: [1.0], below, "re"), collection)


def test_vectors_that_are_no_numbers_are_refused(small):
    with pytest.raises(DatasetError, match="40 of 40 vectors of queries are not finite"):
        run_of(embedder(lambda t, role: letters(t, role) * (np.nan if role == "query" else 1), "x"), small())


@pytest.mark.parametrize(
    ("function", "error", "said"),
    [
        (lambda text, k: [], DatasetError, "mine ranked nothing for any of the 40 queries"),
        (lambda text, k: ["x1", "x2"], DatasetError, "None of the 2 documents that mine ranks is in the"),
        (lambda text, k: ["d1", "d1"], DatasetError, "ranks the document 'd1' twice for the query 'q0'"),
        (lambda text, k: [None], ConfigurationError, "gave None where the id of a document was expected"),
        (lambda text, k: [object()], ConfigurationError, "where the id of a document was expected"),
    ],
)
def test_misbehaving_functions_are_told_off(small, function, error, said):
    with pytest.raises(error, match=said):
        evaluate(small(), [from_callable(function, "mine")], options=NO_CACHE)


def test_functions_may_give_ids_in_many_forms(small):
    class Chunk:
        id = "d3"

    system = from_callable(lambda text, k: ["d1", ("d2", 0.5), Chunk(), {"id": "d4"}, "foreign"], "mine")
    assert run_of(system, small()).rankings["q7"] == ("d1", "d2", "d3", "d4", "foreign")
    found = evaluate(small(), [system], options=NO_CACHE)
    assert found.notes == ("1 of 5 documents that mine ranks are not in the corpus, for example foreign",)


def test_the_apps_own_ids_do_where_they_are_clear(small):
    collection = small(1)
    for document in list(collection.corpus):
        collection.corpus[f"kb/{document}"] = collection.corpus.pop(document)
    collection.corpus["other/d5"] = "the same id in another source"
    run = run_of(from_callable(lambda text, k: ["d1", "d5"], "mine"), collection)
    assert run.rankings["q0"] == ("kb/d1", "d5")


def test_the_apps_own_ids_may_have_slashes_and_blanks(small):
    collection = small(1)
    ids = ["docs/a b.md", "100%"]
    for document, chunk_id in zip(list(collection.corpus), ids):
        collection.corpus[document_id("kb", chunk_id)] = collection.corpus.pop(document)
    run = run_of(from_callable(lambda text, k: ids, "mine"), collection)
    assert run.rankings["q0"] == ("kb/docs/a%20b.md", "kb/100%25")


def test_run_files_come_back_as_they_were(small, at_ranks, tmp_path):
    run = run_of(at_ranks("mine", 1), small())
    write_run(tmp_path / "mine.trec", run)
    assert read_run(tmp_path / "mine.trec").rankings == run.rankings
    assert run_of(from_run(tmp_path / "mine.trec"), small()).rankings == {
        q: ranking[:100] for q, ranking in run.rankings.items()
    }
    ties = tmp_path / "ties.trec"
    ties.write_text("1 Q0 a 1 0.5 x\n1 Q0 b 2 0.5 x\n1 Q0 c 3 0.9 x\n")
    assert read_run(ties) == Run("ties", {"1": ("c", "b", "a")})  # as trec_eval breaks ties


def test_a_run_file_may_leave_out_the_source_where_ids_are_clear(small, tmp_path):
    collection = small(1)
    for document in list(collection.corpus):
        collection.corpus[f"kb/{document}"] = collection.corpus.pop(document)
    collection.corpus["other/d5"] = "the same id in another source"
    (tmp_path / "own.trec").write_text("q0 Q0 d1 1 2 x\nq0 Q0 d5 2 1 x\nq0 Q0 other/d5 3 0 x\n")
    ranking = run_of(from_run(tmp_path / "own.trec"), collection).rankings["q0"]
    assert ranking == ("kb/d1", "d5", "other/d5")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 Q0 a 1\n", "line 1: got 4 columns, expected 6"),
        ("1 Q0 a 1 high x\n", "not a TREC run file: could not convert"),
        ("1 Q0 a 1 nan x\n", "score of 'a' is NaN"),
        ("1 Q0 a 1 2 x\n1 Q0 a 2 1 x\n", "ranks the document 'a' twice"),
    ],
)
def test_broken_run_files_are_refused(tmp_path, text, said):
    (tmp_path / "x.trec").write_text(text)
    with pytest.raises(DatasetError, match=said):
        read_run(tmp_path / "x.trec")
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_run(tmp_path / "y.trec")


def test_run_of_another_collection_is_refused(small, tmp_path):
    (tmp_path / "x.trec").write_text("17 Q0 d1 1 2 x\n")
    with pytest.raises(DatasetError, match="its 1 query ids are others, for example '17'"):
        evaluate(small(), [from_run(tmp_path / "x.trec")], options=NO_CACHE)
    with pytest.raises(DatasetError, match="no captured rankings of any retriever"):
        evaluate(small(), [captured()], options=NO_CACHE)


def test_specs(tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mysearch.py").write_text("def find(query, k):\n    return ['d1']\nnumber = 3\n")
    assert parse_system("bm25").name == "bm25"
    assert parse_system("mine=embedder:models/a").spec == "embedder:models/a"
    assert parse_system("embedder:models/a").name == "a"
    assert parse_system("reranker:x/ce over embedder:models/a").name == "ce over a"
    assert parse_system("fast=hybrid:bm25+embedder:minilm").cost == "two indexes"
    assert parse_system("captured:v2").spec == "captured:v2"
    assert parse_system("adapter:folder", "embedder:minilm").name == "folder"
    assert run_of(parse_system("f=python:mysearch:find"), small()).rankings["q0"] == ("d1",)
    for spec, said in (
        ("bm26", "no system 'bm26'; allowed: bm25; embedder:MODEL"),
        ("embedder", "no system 'embedder'"),
        ("magic:x", "no system 'magic:x'"),
        ("reranker:x", "no system 'reranker:x'"),
        ("python:mysearch:lose", "cannot be found: module 'mysearch' has no attribute 'lose'"),
        ("python:nowhere:find", "No module named 'nowhere'"),
        ("python:mysearch:number", "is int; expected function"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            parse_system(spec)


class Counting:
    def __init__(self):
        self.texts = []

    def __call__(self, texts, role="document"):
        self.texts += texts
        return letters(texts, role)


def test_vectors_are_computed_once(small, tmp_path):
    encode, collection = Counting(), small()
    options = EvaluateOptions(cache=tmp_path)
    first = evaluate(collection, [embedder(encode, "x", cache_id="digits")], options=options)
    assert len(encode.texts) == 100
    again = evaluate(collection, [embedder(encode, "x", cache_id="digits")], options=options)
    assert len(encode.texts) == 100
    assert first.runs == again.runs
    collection.corpus["d1"] = "new text 7"
    evaluate(collection, [embedder(encode, "x", cache_id="digits")], options=options)
    assert encode.texts[100:] == ["new text 7"]
    evaluate(collection, [embedder(encode, "x", cache_id="other")], options=options)
    assert len(encode.texts) == 201


def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path):
    texts = [f"text {i}" for i in range(1200)]
    encode = Counting()

    def stop(done, total):
        assert total == 1200
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VectorCache(tmp_path, "m").get(texts, encode, stop)
    assert len(encode.texts) == 512
    vectors = VectorCache(tmp_path, "m").get(texts, encode)
    assert sorted(encode.texts) == sorted(texts)
    assert np.array_equal(vectors, letters(texts, "document"))
    assert not list(tmp_path.rglob(".part-*"))


def test_a_damaged_cache_is_computed_again(tmp_path):
    encode = Counting()
    VectorCache(tmp_path, "m").get(["a1", "b2"], encode)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:50])
    assert np.array_equal(VectorCache(tmp_path, "m").get(["a1", "b2"], encode), letters(["a1", "b2"], ""))
    assert len(encode.texts) == 4
    assert VectorCache(tmp_path, "m").get([], encode).shape == (0, 0)


def test_where_vectors_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("RAGWHEEL_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("RAGWHEEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ragwheel"
