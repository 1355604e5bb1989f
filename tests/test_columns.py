from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, concatenate_datasets

from hf_oversample.data.digests import content_digest, text_keys, vector_keys
from hf_oversample.data.embeddings import embedding_matrix, vectors_of
from oversampler_checks import make_dataset


def test_digest_depends_on_content_alone(tmp_path: Path) -> None:
    dataset = make_dataset((15, 6))
    columns = ["label", "text", "embedding"]
    digest = content_digest(dataset, columns)
    dataset.save_to_disk(tmp_path / "data", num_shards=3)
    pieces = concatenate_datasets([dataset.select(range(5)), dataset.select(range(5, 21))])
    picked = concatenate_datasets([dataset, dataset]).select([*range(21, 30), *range(9, 21)])
    for same in (Dataset.load_from_disk(tmp_path / "data"), pieces, picked):
        assert content_digest(same, columns) == digest
    assert content_digest(dataset.select(range(20, -1, -1)), columns) != digest
    shifted = Dataset.from_dict({"text": ["ab", "c"]}), Dataset.from_dict({"text": ["a", "bc"]})
    assert content_digest(shifted[0], ["text"]) != content_digest(shifted[1], ["text"])
    nulls = Dataset.from_dict({"text": ["", None]}), Dataset.from_dict({"text": [None, ""]})
    assert content_digest(nulls[0], ["text"]) != content_digest(nulls[1], ["text"])


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.int64())]
)
def test_embedding_matrix_of_every_list_type(kind: pa.DataType) -> None:
    rows = [[1, 2], [3, 4], [5, 6]]
    dataset = Dataset(pa.table({"embedding": pa.array(rows, type=kind)}))
    matrix = embedding_matrix(dataset.select([2, 0]), "embedding")
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[5, 6], [1, 2]]
    with pytest.raises(ValueError, match="null in row 1"):
        embedding_matrix(
            Dataset(pa.table({"embedding": pa.array([[1, 2], None], type=kind)})), "embedding"
        )


@pytest.mark.parametrize("width", [1, 2, 7, 8])
def test_keys_tell_rows_apart_in_any_form(width: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(50, width)).astype(np.float32)
    keys = vector_keys(matrix)
    assert len(set(keys.tolist())) == 50
    # the same alone, in another order, and from any form of a batch
    assert [vector_keys(row[None])[0] for row in matrix] == keys.tolist()
    forms = [matrix.tolist(), pa.array(list(matrix)), pa.chunked_array([list(matrix)])]
    forms += [pa.array([[0.0] * width, *matrix.tolist()], pa.list_(pa.float32(), width)).slice(1)]
    for form in forms:
        read = vectors_of(form)
        assert read is not None
        np.testing.assert_array_equal(vector_keys(read), keys)
    if width > 1:
        assert not (vector_keys(matrix[:, ::-1]) == keys).any()
    assert vectors_of([[1.0], [1.0, 2.0]]) is None
    assert vectors_of(["a", "b"]) is None


def test_keys_of_texts() -> None:
    assert len(set(text_keys(["a", "b", "ab", "", "中"]).tolist())) == 5
    assert text_keys(["a", "b"]).tolist() == [*text_keys(["a"]), *text_keys(["b"])]
