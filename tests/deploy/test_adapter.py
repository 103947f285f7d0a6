"""An adapter inside the app: vectors in, vectors out, files that can be trusted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragwheel.deploy import Adapter, Router
from ragwheel.errors import ModelError

RNG = np.random.default_rng(0)
D = 6


def change(size=0.3):
    return (size * RNG.normal(size=(D, D))).astype(np.float32)


def two_segments():
    centroids = np.eye(D, dtype=np.float32)[:2]
    router = Router(centroids, np.array([0, 1]), np.array([0.5, 0.5], dtype=np.float32))
    return Adapter(np.stack([change(), change()]), ("code", "law"), (1, 0), router, "minilm", {"note": "x"})


def test_a_vector_is_moved_and_keeps_its_length():
    adapter = Adapter(change()[None])
    vectors = RNG.normal(size=(5, D)).astype(np.float32)
    out = adapter.query(vectors)
    expected = vectors + vectors @ adapter.maps[0]
    cosines = (out * expected).sum(1) / np.linalg.norm(out, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines == pytest.approx(np.ones(5), abs=1e-5)
    assert np.linalg.norm(out, axis=1) == pytest.approx(np.linalg.norm(vectors, axis=1), rel=1e-5)
    assert not np.allclose(out, vectors)
    assert np.array_equal(adapter.query(list(vectors[0])), adapter.query(vectors[:1])[0])
    assert np.array_equal(adapter.documents(vectors), vectors)
    assert adapter.segment_of(vectors) == [None] * 5


def test_no_change_is_the_identity_to_the_bit():
    adapter = Adapter(np.zeros((1, D, D), np.float32))
    vectors = RNG.normal(size=(5, D)).astype(np.float32)
    assert adapter.is_identity
    assert adapter.query(vectors) == pytest.approx(vectors, rel=1e-6)


def test_the_router_sends_each_query_to_its_map_and_strangers_to_the_base():
    adapter = two_segments()
    vectors = np.eye(D, dtype=np.float32)[:3] * 2
    assert adapter.segment_of(vectors) == ["code", "law", None]
    out = adapter.query(vectors)
    assert np.allclose(out[0], Adapter(adapter.maps[1:]).query(vectors[0]))
    assert np.allclose(out[1], Adapter(adapter.maps[:1]).query(vectors[1]))
    assert np.array_equal(out[2], vectors[2])
    assert np.allclose(adapter.query(vectors[2], segment="code"), Adapter(adapter.maps[1:]).query(vectors[2]))


def test_a_segment_may_keep_the_base_models_vector():
    whole = two_segments()
    adapter = Adapter(whole.maps, whole.segments, (-1, 0), whole.router)
    vectors = np.eye(D, dtype=np.float32)[:2]
    out = adapter.query(vectors)
    assert np.array_equal(out[0], vectors[0])
    assert not np.allclose(out[1], vectors[1])


def test_what_is_not_finite_or_has_no_length_comes_back_as_it_is():
    adapter = Adapter(change()[None])
    vectors = np.array([[np.nan] * D, [0.0] * D, [np.inf] * D], dtype=np.float32)
    assert np.array_equal(adapter.query(vectors), vectors, equal_nan=True)


@pytest.mark.parametrize("vectors", [np.zeros(D + 1), np.zeros((2, D - 1)), np.zeros((1, 1, D)), 3.0])
def test_another_dimension_is_an_error_that_says_which(vectors):
    with pytest.raises(ModelError, match=rf"allowed: \({D},\).*model that it was trained for"):
        Adapter(change()[None]).query(vectors)


def test_an_unknown_segment_is_an_error():
    with pytest.raises(ModelError, match="allowed: code, law"):
        two_segments().query(np.ones(D), segment="medicine")


@pytest.mark.parametrize("adapter", [Adapter(change()[None], base="x"), two_segments()])
def test_saved_and_loaded_it_is_the_same(adapter, tmp_path):
    adapter.save(tmp_path / "adapter")
    loaded = Adapter.load(tmp_path / "adapter")
    vectors = RNG.normal(size=(20, D)).astype(np.float32)
    assert np.array_equal(loaded.query(vectors), adapter.query(vectors))
    assert (loaded.id, loaded.base, loaded.segments, dict(loaded.facts)) == (
        adapter.id, adapter.base, adapter.segments, dict(adapter.facts),
    )  # fmt: skip
    assert loaded.version == f"adapter-{adapter.id}"
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter.json", "adapter.safetensors",
    ]  # fmt: skip


def test_other_matrices_have_another_id():
    assert Adapter(change()[None]).id != Adapter(change()[None]).id


def damage(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def relabel(**facts):
    def apply(folder):
        path = folder / "adapter.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "adapter.json").unlink(), "no adapter.json there"),
        (lambda folder: (folder / "adapter.safetensors").unlink(), "no adapter.safetensors there"),
        (damage("adapter.json", b"{"), "damaged"),
        (damage("adapter.safetensors", b"\0" * 100), "damaged"),
        (damage("adapter.json", b"[]"), "not ragwheel's"),
        (relabel(format="x"), "not ragwheel's"),
        (relabel(format_version=2), "pip install -U"),
        (relabel(id="0" * 12), "its tensors are not those"),
        (relabel(dimension=7), "its tensors are not those"),
        (relabel(segments=None), "damaged"),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_refused(spoil, message, tmp_path):
    Adapter(change()[None]).save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=message):
        Adapter.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        Adapter(change()[None]).save(tmp_path / "file")
