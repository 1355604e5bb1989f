"""Writers with encoder and decoder: what each reads, guidance, training, the contract, saving."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    set_seed,
)

from hf_oversample import LanguageModelOversampler, Oversampler
from hf_oversample.models.writers.adapter_writer import AdapterWriter
from hf_oversample.models.writers.adapters import ClassAdapters, adapter_name
from hf_oversample.models.writers.checkpoint import load_language_model
from hf_oversample.models.writers.encoding import PrefixedTexts, start_of
from hf_oversample.models.writers.guidance import GuidedDecoderLogits
from hf_oversample.models.writers.requests import Refused, WritingRequest
from hf_oversample.models.writers.vocabulary import WordTree
from hf_oversample.text.encoding import pad
from hf_oversample.text.vocabulary import KnownWords
from hf_oversample.training.writer import _AdapterTrainer, class_rows, train_writer
from hf_oversample.training.writer_arguments import WriterTrainingArguments
from miso_fixtures import CLASS_NAMES, SEGMENTER, make_corpus, new_folder
from oversampler_checks import make_dataset, rows_of
from test_language_model_oversampler import corpus
from writer_fixtures import MAX_LENGTH, contract_rows, few, labelled_texts, latents_folder

KINDS = ("t5", "bart")


@lru_cache(maxsize=2)
def tokenizer_of(kind: str) -> PreTrainedTokenizerBase:
    """T5's kind has words behind "▁" and an end alone; BART's is byte-level, with a frame."""
    texts, _ = make_corpus((120, 80, 40))
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if kind == "t5" else None))
    alphabet = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    frame = "$A </s>" if kind == "t5" else "<s> $A </s>"
    if kind == "t5":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "</s>", "<s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *contract_rows()], trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


@lru_cache(maxsize=2)
def folder_of(kind: str) -> Path:
    """A saved model of one small layer a side, which learnt to write texts of the classes."""
    folder, tokenizer = new_folder(), tokenizer_of(kind)
    set_seed(0)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    model: PreTrainedModel
    if kind == "t5":
        model = T5ForConditionalGeneration(
            T5Config(
                d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, dropout_rate=0.0,
                decoder_start_token_id=0, **ids,
            )
        )  # fmt: skip
    else:
        model = BartForConditionalGeneration(
            BartConfig(
                d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, dropout=0.0,
                max_position_embeddings=64, bos_token_id=2, decoder_start_token_id=1,
                forced_eos_token_id=None, **ids,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded, _ = load_language_model(str(folder))
    encode = PrefixedTexts.of(loaded, tokenizer)
    rows = [
        (encode.source_of(CLASS_NAMES[code]), encode.row(" ", text, MAX_LENGTH)[0])
        for code, own in labelled_texts().items()
        for text in own
    ]
    optimizer = torch.optim.AdamW(loaded.parameters(), 1e-2, fused=True)
    order = np.random.default_rng(0)
    loaded.train()
    for _ in range(80):
        batch = [rows[i] for i in order.integers(len(rows), size=16)]
        read, read_mask = pad([np.asarray(source) for source, _ in batch], 0)
        written, mask = pad([row for _, row in batch], 0)
        labels = written[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
        loaded(
            input_ids=read,
            attention_mask=read_mask,
            decoder_input_ids=written[:, :-1],
            labels=labels,
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    loaded.save_pretrained(folder)
    return folder


@lru_cache(maxsize=2)
def writer_folder(kind: str) -> Path:
    """A trained writer on it."""
    adapters = ClassAdapters.new(str(folder_of(kind)), None, list(CLASS_NAMES), MAX_LENGTH)
    train_writer(adapters, labelled_texts(), WriterTrainingArguments(**few()))
    folder = new_folder()
    adapters.save(folder)
    return folder


@lru_cache(maxsize=2)
def trained(kind: str) -> ClassAdapters:
    return ClassAdapters.load(writer_folder(kind))


def requests_of(number: int = 12) -> list[WritingRequest]:
    texts, labels = make_corpus((20, 20, 10), seed=5)
    return [
        WritingRequest(
            text,
            start_of(text, SEGMENTER, 0.2 * (row % 3), len(text), least_words=0),
            label=1,
            avoid=0 if label == 1 else int(label),
            key=(row, 0, 0),
        )
        for row, (text, label) in enumerate(zip(texts[:number], labels[:number], strict=True))
    ]


def written(adapters: ClassAdapters, requests: Sequence[WritingRequest], **options: Any) -> Any:
    return AdapterWriter(adapters, **{"seed": 0, "tree": None, **options})(requests)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_reads_the_class_and_the_decoder_learns_the_text(kind: str) -> None:
    adapters = trained(kind)
    encode, tokenizer = adapters.texts, adapters.tokenizer
    source = encode.source_of("spam")
    assert tokenizer.decode(source, skip_special_tokens=True).strip() == "spam:"
    ids, before = encode.row(encode.prefix_of("spam"), "win a prize", MAX_LENGTH)
    assert ids[:before].tolist() == ([0] if kind == "t5" else [1, 2])
    assert tokenizer.decode(ids[before:-1]).strip() == "win a prize"
    assert ids[-1] == tokenizer.eos_token_id
    a = WriterTrainingArguments(held_out_share=0.5)
    rows = class_rows(adapters, 1, [f"win {n} prizes" + " now" * n for n in range(8)], a)
    trainer = _AdapterTrainer(adapters, 1, rows, a, Accelerator())
    expected, number = 0.0, 0
    adapters.model.set_adapter(adapter_name(1))
    for row, first, _ in rows.held_out:
        with torch.no_grad():
            logits = adapters.model(
                input_ids=torch.tensor([source]), decoder_input_ids=torch.from_numpy(row)[None]
            ).logits[0]
        target = torch.from_numpy(row)[first:]
        expected += float(F.cross_entropy(logits[first - 1 : -1], target, reduction="sum"))
        number += len(target)
    assert trainer.held_out_loss() == pytest.approx(expected / number, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_guided_logits_are_those_of_each_class_alone(kind: str, guidance: float) -> None:
    model, encode = trained(kind).model, trained(kind).texts
    own, other = [0, 1, 1], [1, 2, 0]
    # another length each
    read = [encode.source_of(name) for name in ("ham", "spam and more", "news of the day")]
    drawn = [torch.tensor([14, 15, 16]), torch.tensor([21, 20, 19])]
    names = [[adapter_name(code) for code in codes] for codes in (own, other)]
    sources = [[read[code] for code in codes] for codes in (own, other)]
    logits = GuidedDecoderLogits(model, *names, *sources, encode.first, guidance, 0)
    found = [logits(), logits(drawn[0]), logits(drawn[1])]

    def alone(code: int, so_far: list[int]) -> torch.Tensor:
        model.set_adapter(adapter_name(code))
        with torch.no_grad():
            out = model(
                input_ids=torch.tensor([read[code]]), decoder_input_ids=torch.tensor([so_far])
            )
        return torch.log_softmax(out.logits[0, -1], -1)

    for step, now in enumerate(found):
        for i in range(3):
            so_far = [*encode.first, *(int(column[i]) for column in drawn[:step])]
            ours, theirs = alone(own[i], so_far), alone(other[i], so_far)
            wanted = ours + guidance * (ours - theirs)
            torch.testing.assert_close(now[i], wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_drafts_keep_their_start_and_do_not_depend_on_each_other(kind: str) -> None:
    adapters, requests = trained(kind), requests_of()
    assert len({request.kept for request in requests}) > 2
    together = written(adapters, requests)
    made = [(r, d) for r, d in zip(requests, together, strict=True) if isinstance(d, str)]
    assert len(made) > 6
    assert all(draft.startswith(request.source[: request.kept]) for request, draft in made)
    assert all(len(draft) > request.kept for request, draft in made)
    assert [written(adapters, [request])[0] for request in requests[:4]] == together[:4]
    assert written(adapters, requests[::-1])[::-1] == together
    assert written(adapters, requests, seed=1) != together
    assert written(adapters, requests, guidance=0.0) != together


@pytest.mark.parametrize("kind", KINDS)
def test_training_words_leave_no_others_in_what_is_written(kind: str) -> None:
    texts = [text for own in labelled_texts().values() for text in own][:60]
    known, encode = KnownWords.of(texts, SEGMENTER), trained(kind).texts
    tree = WordTree.of(texts, encode, SEGMENTER, encode.prefix_of("spam"))
    starts = [
        WritingRequest(text, start_of(text, SEGMENTER, 0.4, 99), 1, 0, (row, 0, 0))
        for row, text in enumerate(texts)
    ]
    foreign = {}
    for name, words in (("tree", tree), ("none", None)):
        drafts = written(trained(kind), starts, tree=words)
        made = [draft for draft in drafts if isinstance(draft, str)]
        assert len(made) > 10
        foreign[name] = [text for text in made if known.unknown(text, SEGMENTER)]
    assert foreign["tree"] == []
    assert foreign["none"]


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss(kind: str) -> None:
    adapters = ClassAdapters.new(str(folder_of(kind)), None, ["ham", "eggs"], MAX_LENGTH)
    arguments = WriterTrainingArguments(**few(learning_rate=0.02, max_updates=8))
    train_writer(adapters, {1: labelled_texts()[1]}, arguments)
    losses = adapters.record["eggs"]["held_out_losses"]
    assert losses[-1] < losses[0] - 0.01
    assert adapters.model.peft_config["class-1"].task_type == "SEQ_2_SEQ_LM"


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_writer_writes_the_same(kind: str, tmp_path: Path) -> None:
    trained(kind).save(tmp_path / "again")
    again = ClassAdapters.load(tmp_path / "again")
    assert written(again, requests_of()) == written(trained(kind), requests_of())


@pytest.mark.parametrize("kind", KINDS)
def test_the_oversampler_meets_its_contract(kind: str, tmp_path: Path) -> None:
    """Exact counts, provenance, the same texts for any batch, and after saving and loading."""
    dataset = make_dataset((23, 6, 3))
    options: dict[str, Any] = {"max_length": 24, "training_words_only": False, "max_tries": 1}
    oversampler = LanguageModelOversampler(str(writer_folder(kind)), seed=3, **options).fit(dataset)
    expected = rows_of(oversampler.children(dataset))
    assert len(expected) == 2 * 23 - 6 - 3
    assert {row["label"] for row in expected} == {1, 2}
    assert all(row["origin"] in (1, 2) for row in expected)
    assert rows_of(oversampler.children(dataset, batch_size=3)) == expected
    balanced = oversampler.balance(dataset)
    assert np.bincount(balanced["label"]).tolist() == [23, 23, 23]
    oversampler.save_pretrained(tmp_path / "saved")
    loaded = Oversampler.from_pretrained(tmp_path / "saved")
    assert rows_of(loaded.children(dataset)) == expected
    assert rows_of(loaded.fit(dataset).children(dataset)) == expected


def test_adapters_are_trained_when_fitted() -> None:
    oversampler = LanguageModelOversampler(
        str(folder_of("t5")), max_length=32, training=few(), gate=(), max_tries=2
    ).fit(corpus())
    assert oversampler.training_["spam"]["updates"] > 0
    assert oversampler.rejections["kept"] > 5


def test_what_does_not_end_or_fit_is_refused() -> None:
    long = "see you at the station " * 12
    request = WritingRequest(long, len(long) - 1, 1, 0, (0, 0, 0))
    assert written(trained("bart"), [request]) == [Refused("too long")]
    tight = ClassAdapters.load(writer_folder("bart"))
    tight.max_length = len(tight.texts.first) + 6
    many = [WritingRequest("see you", 3, 1, 0, (row, 0, 0)) for row in range(8)]
    assert Refused("unfinished") in written(tight, many)


def test_what_cannot_work_is_named(tmp_path: Path) -> None:
    folder = str(folder_of("t5"))
    with pytest.raises(ValueError, match="latents are read by a causal language model"):
        LanguageModelOversampler(folder, latents=str(latents_folder())).fit(corpus())
    with pytest.raises(ValueError, match="prompting asks a causal language model"):
        LanguageModelOversampler(folder, prompting=True).fit(corpus())
    with pytest.raises(ValueError, match="has places for 64 tokens"):
        ClassAdapters.new(str(folder_of("bart")), None, ["a"], 100)
    with pytest.raises(ValueError, match="type 'miso', which does not write texts from left"):
        load_language_model(str(latents_folder()))
    config = BartConfig(
        vocab_size=400, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8,
        decoder_start_token_id=None,
    )  # fmt: skip
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer_of("bart").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no decoder_start_token_id"):
        load_language_model(str(tmp_path))
