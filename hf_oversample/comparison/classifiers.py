"""Classifiers of texts: TextCNN, TextRNN, and any pretrained encoder, fine-tuned.

Heads on frozen embeddings are in :mod:`hf_oversample.comparison.heads`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    set_seed,
)

from hf_oversample.comparison.base import Classifier, Trained, Training
from hf_oversample.comparison.fold import Fold
from hf_oversample.models.classifiers.textcnn import (
    TextCnnConfig,
    TextCnnForSequenceClassification,
)
from hf_oversample.models.classifiers.textrnn import (
    TextRnnConfig,
    TextRnnForSequenceClassification,
)
from hf_oversample.models.encoders import (
    check_complete,
    load_encoder,
    load_tokenizer,
    longest_text,
)
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.training.classifier import (
    predict_logits,
    ranking_score,
    text_features,
    train_classifier,
)
from hf_oversample.training.hidden_states import TMix, classifier_head, use_cosine_head
from hf_oversample.training.words import encode_words, word_vectors, word_vocabulary
from hf_oversample.transforms.embed import LONGEST


class _TrainedNetwork(Trained):
    def __init__(self, model: PreTrainedModel, encoded: Callable[[str], list[list[int]]]) -> None:
        self.model, self.encoded = model, encoded

    def logits(self, part: str) -> np.ndarray:
        return predict_logits(self.model, self.encoded(part))

    def features(self, part: str) -> np.ndarray:
        return text_features(self.model, self.encoded(part))

    def head(self) -> tuple[np.ndarray, np.ndarray]:
        head = classifier_head(self.model)
        weight = head.weight.detach().float().cpu().numpy()
        bias = np.zeros(len(weight)) if head.bias is None else head.bias.detach().cpu().numpy()
        return weight, bias


def best_rate(fold: Fold, rates: Sequence[float], train: Callable[[float], Trained]) -> Trained:
    """
    What was trained at the learning rate that validation rows choose, by how they are ranked.

    Args:
        fold: has the validation rows.
        rates: what is tried, in order; of equals the first is taken.
        train: from a rate to what was trained with it.

    Raises:
        FloatingPointError: training diverged at every rate.
    """
    found: list[tuple[float, Trained]] = []
    for rate in rates:
        try:
            trained = train(rate)
        except FloatingPointError:
            if rate == rates[-1] and not found:
                raise
            continue  # the other rate's network is the answer
        if len(rates) == 1:
            return trained
        told = softmax(trained.logits("validation").astype(np.float64), axis=1)
        found.append((ranking_score(fold.validation.labels, told, fold.minority), trained))
    return max(found, key=lambda pair: pair[0])[1]


class TextNetwork(Classifier):
    """What TextCNN, TextRNN and fine-tuned encoders share: token ids in, trained in steps.

    Args:
        steps: updates of each training, the same for every remedy. Validation rows choose the best
            of five states along the way, of a training with each learning rate.

    Attributes:
        learning_rates: what is tried. One for all would favour remedies: with a rate that suits
            balanced rows, a plain network has not fitted its rare rows in a few hundred updates.
        warmup: share of the updates in which the rate rises.
    """

    learning_rates: ClassVar[tuple[float, ...]] = (3e-3, 1e-2)
    warmup: ClassVar[float] = 0.0
    batch_size: ClassVar[int] = 64
    half_precision: ClassVar[bool] = False

    def __init__(self, steps: int = 400) -> None:
        self.steps = steps

    def train(self, fold: Fold, training: Training, seed: int) -> Trained:
        labels = training.rows(fold).labels
        return best_rate(
            fold,
            self.learning_rates,
            lambda rate: self._trained(fold, training, labels, rate, seed),
        )

    def _trained(
        self, fold: Fold, training: Training, labels: np.ndarray, rate: float, seed: int
    ) -> Trained:
        model, encode = self._model(fold, training.backbone, seed)
        if training.cosine_scale is not None:
            use_cosine_head(model, training.cosine_scale)
        if torch.cuda.is_available():
            model.to("cuda")  # type: ignore[arg-type]

        def encoded(part: str) -> list[list[int]]:
            return fold.cache.get(
                ("encoded", self.kind, part), lambda: encode(fold.part(part).texts)
            )

        train_classifier(
            model,
            encoded("train") + (encode(training.made.texts) if training.made else []),
            labels,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=rate,
            warmup=self.warmup,
            row_weights=training.row_weights,
            class_weights=training.class_weights,
            loss=training.loss,
            batch_losses=TMix(model, seed=seed) if training.mix_hidden else None,
            deferred_start=round(training.deferred * self.steps),
            validation=(encoded("validation"), fold.validation.labels),
            minority=fold.minority,
            eval_every=max(1, self.steps // 5),
            bfloat16=self.half_precision and has_fast_bfloat16(),
            seed=seed,
        )
        return _TrainedNetwork(model, encoded)

    @abstractmethod
    def _model(
        self, fold: Fold, backbone: Path | None, seed: int
    ) -> tuple[PreTrainedModel, Callable[[list[str]], list[list[int]]]]:
        """A new model, and a function from texts to its token ids.

        Random states are set right before weights are drawn: what is loaded from the fold's cache
        for one remedy is made for another, and making it may draw, too.
        """


class WordNetwork(TextNetwork):
    """TextCNN or TextRNN over words of the training part.

    Args:
        steps: as for every network.
        pretrained_words: start the word vectors from the fold's encoder instead of at random.
    """

    model_types: ClassVar[tuple[type[Any], type[Any]]]

    def __init__(self, steps: int = 400, pretrained_words: bool = False) -> None:
        super().__init__(steps)
        self.pretrained_words = pretrained_words

    def needs(self, fold: Fold) -> str | None:
        if self.pretrained_words and fold.encoder_name is None:
            return "its word vectors come from a pretrained encoder, and none is named"
        return None

    def _model(
        self, fold: Fold, backbone: Path | None, seed: int
    ) -> tuple[PreTrainedModel, Callable[[list[str]], list[list[int]]]]:
        # one vocabulary for all remedies: that of the real rows
        vocabulary = training_vocabulary(fold)
        config, model_type = self.model_types
        options: dict[str, Any] = {
            "vocab_size": len(vocabulary),
            "num_labels": len(fold.class_names),
        }
        matrix: Tensor | None = None
        if self.pretrained_words:
            matrix = pretrained_word_vectors(fold)
            options["embedding_size"] = matrix.shape[1]
        set_seed(seed)
        model = model_type(config(**options))
        if matrix is not None:
            model.load_word_vectors(matrix)
        return model, lambda texts: encode_words(vocabulary, texts, fold.segmenter)


def training_vocabulary(fold: Fold) -> Any:
    """Whole words of the training part, as a tokenizer; made once."""
    return fold.cache.get("vocabulary", lambda: word_vocabulary(fold.train.texts, fold.segmenter))


def pretrained_word_vectors(fold: Fold, scale: float | None = 0.15) -> Tensor:
    """Vectors of the training part's words from the fold's encoder; made once."""

    def make() -> Tensor:
        name = str(fold.encoder_name)
        encoder, tokenizer = load_encoder(name), load_tokenizer(name)
        return word_vectors(training_vocabulary(fold), encoder, tokenizer, scale=scale)

    return fold.cache.get(("word vectors", scale), make)


class TextCnn(WordNetwork):
    """Kim's TextCNN."""

    kind, title = "textcnn", "TextCNN"
    model_types = (TextCnnConfig, TextCnnForSequenceClassification)


class TextRnn(WordNetwork):
    """A bidirectional GRU with max pooling."""

    kind, title = "textrnn", "TextRNN"
    model_types = (TextRnnConfig, TextRnnForSequenceClassification)


class TextCnnPretrainedWords(TextCnn):
    """TextCNN whose word vectors start from the encoder's."""

    kind, title = "textcnn-pretrained-words", "TextCNN, pretrained words"
    learning_rates = (1e-3, 3e-3)

    def __init__(self, steps: int = 400) -> None:
        super().__init__(steps, pretrained_words=True)


class FineTuned(TextNetwork):
    """The pretrained encoder as `AutoModelForSequenceClassification`, all weights trained; with
    products in bfloat16 where the machine is faster in them.

    Args:
        steps: as for every network.
    """

    kind, title = "finetune", "fine-tuned encoder"
    # two of BERT's fine-tuning rates (Devlin et al., 2019, A.3); RoBERTa's warm-up
    learning_rates, warmup = (2e-5, 5e-5), 0.06
    batch_size, half_precision = 32, True
    has_backbone = True

    def needs(self, fold: Fold) -> str | None:
        return "no pretrained encoder is named" if fold.encoder_name is None else None

    def _model(
        self, fold: Fold, backbone: Path | None, seed: int
    ) -> tuple[PreTrainedModel, Callable[[list[str]], list[list[int]]]]:
        name = str(backbone or fold.encoder_name)
        tokenizer = load_tokenizer(name)
        set_seed(seed)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            name,
            num_labels=len(fold.class_names),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # a head of another number of classes is drawn anew
            output_loading_info=True,
            trust_remote_code=False,
        )
        body = f"{model.base_model_prefix}."  # all but the head, which is always drawn anew
        check_complete(name, model, (key for key in found["missing_keys"] if key.startswith(body)))
        if model.config.pad_token_id is None:
            # Decoders are often without one, and refuse batches. Padding is masked out.
            known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
            model.config.pad_token_id = next(one for one in known if one is not None)

        own = longest_text(model, tokenizer)
        longest = LONGEST if own is None else min(LONGEST, own)

        def encode(texts: list[str]) -> list[list[int]]:
            return tokenizer(texts, truncation=True, max_length=longest)["input_ids"]

        return model, encode
