"""Models in memory do as well as their folders wherever a name is asked for."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from bayesian_gan_fixtures import NAMES, tiny_model
from hf_oversample import (
    AmoOversampler,
    BayesianGanOversampler,
    LatentDecoder,
    MisoForAnchorGeneration,
    MisoOversampler,
    TextEmbedder,
)
from hf_oversample.models.in_memory import FOLDER_VARIABLE, folder_or_name, name_of
from miso_fixtures import MAX_LENGTH, contract_generator_folder, encoder_folder
from oversampler_checks import COUNTS, make_dataset, rows_of

LOADED: dict[Path, tuple[Any, Any]] = {}


def loaded(folder: Path, kind: Any) -> tuple[Any, Any]:
    if folder not in LOADED:
        LOADED[folder] = kind.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    return LOADED[folder]


def generator() -> tuple[Any, Any]:
    return loaded(contract_generator_folder(), MisoForAnchorGeneration)


def encoder() -> tuple[Any, Any]:
    return loaded(encoder_folder(), AutoModel)


def miso_rows(given: Any, **params: Any) -> list[dict[str, Any]]:
    # it was trained on other texts too, whose words it writes here
    params = {"unknown_words": "keep", **params}
    oversampler = MisoOversampler(given, max_length=MAX_LENGTH, seed=2, **params)
    return rows_of(oversampler.balance(make_dataset(COUNTS), num_proc=2))


def test_a_miso_generator_in_two_processes() -> None:
    model, tokenizer = generator()
    expected = miso_rows(str(contract_generator_folder()))
    assert any(row["origin"] == 1 for row in expected)
    assert miso_rows(model, tokenizer=tokenizer) == expected
    assert miso_rows((model, tokenizer)) == expected


def test_an_encoder() -> None:
    model, tokenizer = encoder()
    texts = ["one text", "another text that is longer"]
    expected = TextEmbedder(encoder_folder(), max_length=16)
    given = TextEmbedder(model, tokenizer=tokenizer, max_length=16)
    np.testing.assert_array_equal(given.embed(texts), expected.embed(texts))
    data = Dataset.from_dict({"text": texts})
    two = given.embed_dataset(data, num_proc=2)["embedding"][:]
    assert two == expected.embed_dataset(data)["embedding"][:]


def test_an_embedder_of_miso_and_of_the_decoder() -> None:
    for kind in (MisoOversampler, LatentDecoder):
        named = kind(str(contract_generator_folder()), embedder=encoder_folder(), max_length=16)
        given = kind(*generator()[:1], tokenizer=generator()[1], embedder=encoder(), max_length=16)
        for method in (named, given):
            assert isinstance(method.generator, str)
            assert isinstance(method.embedder, str)
        one, two = (method.loaded.embed(["some words"]) for method in (named, given))
        np.testing.assert_array_equal(one, two)


def gan_rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


def test_a_gan(tmp_path: Path) -> None:
    rows = gan_rows()
    model = tiny_model(rows)
    model.save_pretrained(tmp_path / "gan")
    labels = [NAMES[0]] * 6 + [NAMES[1]] * 3
    data = Dataset.from_dict({"embedding": rows.tolist(), "label": labels})
    made = [
        rows_of(BayesianGanOversampler(generator=given).balance(data, embedding_column="embedding"))
        for given in (tmp_path / "gan", model)
    ]
    assert made[0] == made[1]


GIVEN: dict[str, Callable[[], Any]] = {
    "miso": lambda: MisoOversampler(generator()[0], tokenizer=generator()[1]),
    "decoder": lambda: LatentDecoder(generator()),
    "embedder": lambda: TextEmbedder(encoder(), max_length=16),
    "gan": lambda: BayesianGanOversampler(generator=tiny_model(gan_rows())),
}


@pytest.mark.parametrize("make", list(GIVEN))
def test_what_is_pickled_is_small_and_hashes_the_same(make: str) -> None:
    first, second = GIVEN[make](), GIVEN[make]()
    assert Hasher.hash(first) == Hasher.hash(second)
    data = pickle.dumps(first)
    assert len(data) < 10_000
    assert not [v for v in vars(pickle.loads(data)).values() if isinstance(v, PreTrainedModel)]


def test_other_weights_have_another_name() -> None:
    model, _ = generator()
    before = name_of(generator(), "generator")
    weight = model.miso.encoder.get_input_embeddings().weight
    with torch.no_grad():
        weight[0, 0] += 1
    after = name_of(generator(), "generator")
    with torch.no_grad():
        weight[0, 0] -= 1
    assert before != after
    # a copy was made: what happens to the model afterwards does not change what was given
    kept = MisoForAnchorGeneration.from_pretrained(folder_or_name(after))
    assert kept.miso.encoder.get_input_embeddings().weight[0, 0] != weight[0, 0]


def test_processes_find_it_while_this_one_lives_and_nothing_stays() -> None:
    code = (
        "import subprocess, sys\n"
        "from hf_oversample.models.in_memory import folder_or_name, name_of\n"
        "from hf_oversample import MlpConfig, MlpForEmbeddingClassification\n"
        "model = MlpForEmbeddingClassification(MlpConfig(input_size=3))\n"
        "name = name_of(model, 'classifier', with_tokenizer=False)\n"
        "print(name, folder_or_name(name), flush=True)\n"
        "child = 'import sys; from hf_oversample.models.in_memory import folder_or_name; '"
        " 'print(folder_or_name(sys.argv[1]))'\n"
        "subprocess.run([sys.executable, '-c', child, name], check=True)\n"
    )
    # as a process that no other gave its models to
    environment = {k: v for k, v in os.environ.items() if k != FOLDER_VARIABLE}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr
    name, folder, in_child = answer.stdout.split()
    assert folder == in_child
    assert not Path(folder).exists()
    assert not Path(folder).parent.exists()
    with pytest.raises(ValueError, match="give the model again, or save it to a folder"):
        folder_or_name(name)


def test_what_it_refuses() -> None:
    model, tokenizer = generator()
    with pytest.raises(TypeError, match=r"no tokenizer .*give its tokenizer too"):
        MisoOversampler(model)
    with pytest.raises(TypeError, match="leave tokenizer out"):
        MisoOversampler("some/name", tokenizer=tokenizer)
    with pytest.raises(TypeError, match=r"generator is a BertModel; .* MisoForAnchorGeneration"):
        LatentDecoder(encoder())
    with pytest.raises(TypeError, match="embedder is a int"):
        MisoOversampler("some/name", embedder=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model_name_or_path is a dict"):
        TextEmbedder({})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="generating_classifier is a int"):
        AmoOversampler(generating_classifier=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"generator is a MisoFor.*; .* BayesianGan"):
        BayesianGanOversampler(generator=model)  # type: ignore[arg-type]
