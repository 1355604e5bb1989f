from __future__ import annotations

import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertConfig, PreTrainedTokenizerFast

from hf_oversample.data import demo
from hf_oversample.text.tokenization import (
    SPECIAL_TOKENS,
    JiebaTokenizer,
    special_token_frame,
    train_tokenizer,
    word_tokens,
)
from hf_oversample.text.words import Segmenter

ENGLISH = [
    "The food isn't good, but the staff were friendly!",
    "Win £1000 now: text WIN to 87121 or see www.x.com.",
    "the food was good and the staff friendly ...",
    "Don't text me at 10:30am, I'm busy",
] * 3
CHINESE = [
    "我不喜欢这个手机，价格太贵！",
    "这个手机价格便宜，我很喜欢。",
    "iPhone 15 Pro价格3.5元，龘",
] * 3

KINDS = [("bpe", "en", ENGLISH), ("word", "en", ENGLISH), ("word", "zh", CHINESE)]


def split(text, language):
    segmenter = Segmenter(language)
    spans = segmenter.spans(text)
    words = [text[start:end] for start, end in spans]
    return words, [start > 0 and text[start - 1].isspace() for start, _ in spans]


def joined(tokenizer, text, language="en"):
    return [token for ids in word_tokens(tokenizer, *split(text, language)) for token in ids]


@pytest.mark.parametrize(("kind", "language", "texts"), KINDS)
class TestTrained:
    @pytest.fixture
    def tokenizer(self, kind, language, texts):
        return train_tokenizer(texts, kind=kind, language=language, vocab_size=400, min_frequency=2)

    def test_special_tokens_and_frame(self, tokenizer, texts):
        assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4]
        assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (
            0,
            1,
            4,
        )
        assert special_token_frame(tokenizer) == ([2], [3])
        batch = tokenizer(texts[:3], padding=True)
        assert set(batch) == {"input_ids", "attention_mask"}
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            kept = [i for i, m in zip(ids, mask, strict=True) if m]
            assert kept[0] == 2
            assert kept[-1] == 3
            assert set(ids[len(kept) :]) <= {0}

    def test_is_deterministic(self, tokenizer, kind, language, texts):
        for _ in range(3):
            again = train_tokenizer(texts, kind=kind, language=language, vocab_size=400)
            assert again.get_vocab() == tokenizer.get_vocab()
            assert again(texts)["input_ids"] == tokenizer(texts)["input_ids"]

    def test_decoding_gives_the_text(self, tokenizer, language, texts):
        for text in texts[:2]:
            decoded = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
            if language == "zh":
                assert decoded == text
            else:
                assert decoded.replace(" ", "") == text.lower().replace(" ", "")

    def test_words_joined_are_the_text(self, tokenizer, language, texts):
        for text in texts:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert joined(tokenizer, text, language) == ids

    def test_saves_and_reloads_as_auto_tokenizer(self, tokenizer, language, texts, tmp_path):
        tokenizer.save_pretrained(tmp_path)
        again = AutoTokenizer.from_pretrained(tmp_path)
        assert isinstance(again, JiebaTokenizer) == (language == "zh")
        assert again.get_vocab() == tokenizer.get_vocab()
        assert dict(again(texts, padding=True)) == dict(tokenizer(texts, padding=True))
        # Beside a model of another library's type, as a generator's folder has it.
        BertConfig().save_pretrained(tmp_path)
        beside = AutoTokenizer.from_pretrained(tmp_path)
        assert beside(texts)["input_ids"] == tokenizer(texts)["input_ids"]


def test_word_kind_gives_one_token_a_word():
    tokenizer = train_tokenizer(ENGLISH, kind="word", min_frequency=1)
    for text in [*ENGLISH, "unseen words"]:
        words, spaces = split(text, "en")
        assert all(len(ids) == 1 for ids in word_tokens(tokenizer, words, spaces))
    assert word_tokens(tokenizer, ["unseen"], [True]) == [[1]]


def test_case_is_kept_when_asked():
    tokenizer = train_tokenizer(ENGLISH, kind="word", min_frequency=1, lowercase=False)
    assert {"WIN", "Win", "The", "the"} <= set(tokenizer.get_vocab())


def test_chinese_word_falls_back_to_characters_then_unknown():
    tokenizer = train_tokenizer(CHINESE, kind="word", language="zh", min_frequency=2)
    assert tokenizer.tokenize_word("喜欢") == ["喜欢"]
    assert tokenizer.tokenize_word("喜价") == ["喜", "价"]
    assert tokenizer.tokenize_word("PRI") == ["p", "##r", "##i"]
    assert tokenizer.convert_tokens_to_ids("魑") == tokenizer.unk_token_id
    assert tokenizer.decode(tokenizer.convert_tokens_to_ids(["p", "##r", "喜", "价"])) == "pr喜价"


def test_chinese_vocabulary_respects_its_size():
    tokenizer = train_tokenizer(CHINESE, language="zh", vocab_size=20, min_frequency=1)
    assert len(tokenizer) == 20


def test_chinese_tokenizer_reloads_in_a_fresh_process(tmp_path):
    tokenizer = train_tokenizer(CHINESE, language="zh")
    tokenizer.save_pretrained(tmp_path)
    text = CHINESE[0]
    for first, second in (
        ("import hf_oversample", "from transformers import AutoTokenizer"),
        ("from transformers import AutoTokenizer", "import hf_oversample"),
    ):
        code = (
            f"{first}\n{second}\nt = AutoTokenizer.from_pretrained({str(tmp_path)!r})\n"
            f"assert type(t).__name__ == 'JiebaTokenizer', type(t)\n"
            f"assert t({text!r})['input_ids'] == {tokenizer(text)['input_ids']}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_words_of_byte_level_bpe_depend_on_the_space_before():
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(
        ENGLISH,
        trainers.BpeTrainer(
            vocab_size=320,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    for text in ENGLISH:
        assert joined(tokenizer, text) == tokenizer(text)["input_ids"]
    bare, spaced = word_tokens(tokenizer, ["staff", "staff"], [False, True])
    assert bare != spaced


def test_words_of_sentencepiece_get_no_mark_inside_a_word():
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(
        ENGLISH,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    inside, outside = word_tokens(tokenizer, ["staff", "staff"], [False, True])
    assert not tokenizer.convert_ids_to_tokens(inside)[0].startswith("▁")
    assert tokenizer.convert_ids_to_tokens(outside)[0].startswith("▁")


def test_remembered_words_are_forgotten_when_tokens_are_added():
    tokenizer = train_tokenizer(ENGLISH, kind="word", min_frequency=1)
    assert word_tokens(tokenizer, ["zebra"], [True]) == [[1]]
    tokenizer.add_tokens(["zebra"])
    assert word_tokens(tokenizer, ["zebra"], [True]) == [[len(tokenizer) - 1]]


def test_results_are_copies():
    tokenizer = train_tokenizer(ENGLISH, kind="word", min_frequency=1)
    word_tokens(tokenizer, ["the"], [True])[0].append(99)
    assert len(word_tokens(tokenizer, ["the"], [True])[0]) == 1


def test_frame_of_a_tokenizer_without_special_tokens():
    backend = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert special_token_frame(tokenizer) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ENGLISH, "kind": "char"}, "kind='char'"),
        ({"texts": ENGLISH, "vocab_size": 5}, "vocab_size=5 leaves no room"),
        ({"texts": [], "kind": "word"}, "no word was learnt"),
        ({"texts": [""], "language": "zh"}, "no word was learnt"),
        ({"texts": ENGLISH, "language": "fr"}, "'fr' is not supported"),
    ],
)
def test_bad_training_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(**arguments)


def test_bad_vocabulary_and_flags():
    with pytest.raises(ValueError, match="lacks the special tokens"):
        JiebaTokenizer({"a": 0})
    with pytest.raises(ValueError, match="2 words but 1 flags"):
        word_tokens(train_tokenizer(ENGLISH), ["a", "b"], [True])


def test_words_joined_are_the_text_for_minilm():
    try:
        folder, texts = demo.demo_encoder_path(), demo.demo_sms()["text"][:]
    except FileNotFoundError as error:
        pytest.skip(str(error))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    references = tokenizer(texts, add_special_tokens=False)["input_ids"]
    same = sum(joined(tokenizer, text) == ids for text, ids in zip(texts, references, strict=True))
    assert same >= 0.998 * len(texts)
