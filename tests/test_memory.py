"""Batches that do not fit are halved and give the same bits; what is no way out is told."""

from __future__ import annotations

import logging
import multiprocessing
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, BertConfig, BertModel

from hf_oversample.commands.errors import known_error
from hf_oversample.models.classifiers.textcnn import (
    TextCnnConfig,
    TextCnnForSequenceClassification,
)
from hf_oversample.models.classifiers.textrnn import (
    TextRnnConfig,
    TextRnnForSequenceClassification,
)
from hf_oversample.models.miso.realizers import AnchorRequest, EditRealizer, GenerateRealizer
from hf_oversample.numeric import memory
from hf_oversample.numeric.memory import (
    NotEnoughMemoryError,
    told_if_memory_is_short,
    work_in_batches,
)
from hf_oversample.oversamplers.anchors.judge import LinearJudge
from hf_oversample.training.classifier import predict_logits
from hf_oversample.training.heads import head_logits, head_of_weights
from hf_oversample.transforms.token_vectors import embed_token_ids
from miso_fixtures import (
    SEGMENTER,
    encode,
    encoder_folder,
    make_corpus,
    make_generator,
    set_random_bank,
    tokenizer,
)

CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"
ERRORS = (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU), MemoryError())


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_WORKED", {})


@given(
    sizes=st.lists(st.integers(1, 40), max_size=6),
    room=st.integers(1, 50),
    error=st.sampled_from(ERRORS),
)
def test_every_row_is_worked_on_and_no_batch_is_larger_than_fits(
    sizes: list[int], room: int, error: Exception
) -> None:
    memory._WORKED.clear()
    rows = np.arange(sum(sizes))
    done: list[int] = []

    def work(part: np.ndarray, length: int) -> None:
        if len(part) > room:
            raise error
        done.extend(part.tolist())

    batches = [(part, 1) for part in np.split(rows, np.cumsum(sizes)[:-1])] if sizes else []
    work_in_batches(batches, work, what="test")
    assert done == rows.tolist()


def test_one_warning_names_what_worked_and_later_calls_go_by_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[int] = []

    def work(part: np.ndarray, length: int) -> None:
        tried.append(len(part))
        if len(part) > 3:
            raise ERRORS[1]

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            work_in_batches([(np.arange(8), 16)], work, what="test")
    assert tried == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "test: memory did not suffice for 8 texts of 16 tokens at a time, and does for 32 in all; "
        "the result is the same, and takes longer"
    ]


def test_what_is_no_way_out_is_told() -> None:
    def fail(part: np.ndarray, length: int) -> None:
        raise ERRORS[0]

    with pytest.raises(NotEnoughMemoryError, match="one at a time") as told:
        work_in_batches([(np.arange(2), 16)], fail, what="embedding texts")
    assert "embedding texts" in (known_error(told.value) or "")
    for error in ERRORS:
        with (
            pytest.raises(NotEnoughMemoryError, match=r"lower batch_size \(8\)") as told,
            told_if_memory_is_short("batch_size (8)"),
        ):
            raise error
        assert "batch_size (8)" in (known_error(told.value) or "")
        assert "--batch_size" in (known_error(error) or "")
    with pytest.raises(RuntimeError, match="another"), told_if_memory_is_short("nothing"):
        raise RuntimeError("another")


class Room:
    """Makes a model refuse batches of more than so many rows."""

    def __init__(self, rows: int) -> None:
        self.rows, self.refused = rows, 0

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [*args, *kwargs.values()]
        first = next(value for value in given if isinstance(value, torch.Tensor))
        if len(first) > self.rows:
            self.refused += 1
            raise RuntimeError(CPU)


def check(module: torch.nn.Module, result: Callable[[], Any], rows: int = 5) -> None:
    """The same bits where the module has room for few rows."""
    memory._WORKED.clear()
    expected, room = result(), Room(rows)
    handle = module.register_forward_pre_hook(room, with_kwargs=True)
    found = result()
    handle.remove()
    assert room.refused, "it always fitted"
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert np.array_equal(one, two)


TEXTS, LABELS = make_corpus((24, 12))
IDS = [text.input_ids for text in encode(TEXTS)]


@pytest.fixture(scope="module")
def encoder() -> Any:
    return AutoModel.from_pretrained(encoder_folder()).eval()


def test_embeddings_and_pulls_of_words(encoder: Any) -> None:
    check(encoder, lambda: embed_token_ids(encoder, IDS, padding=0))
    judge = LinearJudge(np.ones((2, encoder.config.hidden_size)) * [[1], [-1]], np.zeros(2))
    texts = encode(TEXTS)
    check(encoder, lambda: judge.word_pulls(encoder, texts, LABELS, 1 - LABELS, padding=0))


@pytest.mark.parametrize("rows", [4, 9])
def test_scores_of_classifiers(rows: int) -> None:
    """The same bits of TextCNN; a recurrent network's depend on the batch, in float32's last."""
    torch.manual_seed(0)
    size = int(max(map(max, IDS))) + 1
    cnn = TextCnnForSequenceClassification(TextCnnConfig(vocab_size=size, num_labels=2)).eval()
    check(cnn, lambda: predict_logits(cnn, IDS), rows)
    rnn = TextRnnForSequenceClassification(TextRnnConfig(vocab_size=size, num_labels=2)).eval()
    check(rnn, lambda: np.round(predict_logits(rnn, IDS).astype(np.float64), 5), rows)


def test_scores_of_heads() -> None:
    rng = np.random.default_rng(0)
    weights = {
        "classifier.weight": rng.normal(size=(2, 8)).astype(np.float32),
        "classifier.bias": rng.normal(size=2).astype(np.float32),
    }
    head = head_of_weights(weights)
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    check(head, lambda: head_logits(head, vectors), 8)


@pytest.mark.parametrize("kind", [EditRealizer, GenerateRealizer])
def test_anchors(kind: Any) -> None:
    model = make_generator(TEXTS).eval()
    set_random_bank(model)
    options = {"max_new_tokens": 6} if kind is GenerateRealizer else {"use_latent": True}
    realizer = kind(model, tokenizer(), SEGMENTER, seed=5, **options)
    requests = [
        AnchorRequest(text, label=1, avoid=0, key=(row, 0, 0))
        for row, text in enumerate(encode(TEXTS[24:]))
    ]
    if kind is GenerateRealizer:
        check(model, lambda: realizer(requests))
    else:  # a text is read as both classes at once, and at least four of them
        check(model.miso.encoder, lambda: realizer(requests), 9)


def _with_little_room() -> None:
    """Embeds with 40 MB left, in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=256,
    )
    model = BertModel(config).eval()
    rows = list(np.random.default_rng(0).integers(0, 99, (6000, 16)))
    expected = embed_token_ids(model, rows, padding=0, token_budget=96000)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + 40 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))
    found = embed_token_ids(model, rows, padding=0, token_budget=96000)
    assert np.array_equal(found, expected)
    assert 16 <= memory._WORKED["embedding texts"] < 96000


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_with_an_address_space_that_is_really_too_small() -> None:
    process = multiprocessing.get_context("fork").Process(target=_with_little_room)
    process.start()
    process.join(100)
    assert process.exitcode == 0
