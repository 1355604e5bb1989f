"""What re-embedding leaves behind: a classifier, a sentence encoder, and triplets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from datasets import Dataset

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.training.averaging import Averaged
from hf_oversample.training.reembedder import Reembedded
from hf_oversample.training.triplets import draw_triplets

# https://sbert.net/docs/package_reference/sentence_transformer/modules.html: the modules that
# sentence-transformers puts one behind the other, under the names that all its versions know.
_MODULES = (
    ("", "Transformer"),
    ("1_Pooling", "Pooling"),
    ("2_Normalize", "Normalize"),
)


def save_classifier(trained: Reembedded | Averaged, folder: Path) -> None:
    """Encoder (or the averaged ones), head and tokenizer, which
    `AutoModelForSequenceClassification` loads once `hf_oversample` is imported."""
    trained.model.save_pretrained(folder)
    _save_tokenizer(trained, folder)


def save_encoder(reembedded: Reembedded, folder: Path) -> None:
    """The encoder alone, as its own architecture, which `AutoModel`, `TextEmbedder` and
    sentence-transformers load; the latter with its pooling, and vectors of length 1."""
    model = reembedded.model
    model.encoder.save_pretrained(folder)
    _save_tokenizer(reembedded, folder)
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": path,
            "type": f"sentence_transformers.models.{name}",
        }
        for place, (path, name) in enumerate(_MODULES)
    ]
    pooling = {
        "word_embedding_dimension": model.config.hidden_size,
        "pooling_mode_cls_token": model.config.pooling == "cls",
        "pooling_mode_mean_tokens": model.config.pooling == "mean",
    }
    settings = {"max_seq_length": reembedded.max_length, "do_lower_case": False}
    for path, _ in _MODULES[1:]:
        (folder / path).mkdir()
    for name, content in (
        ("modules.json", modules),
        ("sentence_bert_config.json", settings),
        ("1_Pooling/config.json", pooling),
        ("2_Normalize/config.json", {}),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _save_tokenizer(trained: Reembedded | Averaged, folder: Path) -> None:
    tokenizer, before = trained.tokenizer, trained.tokenizer.model_max_length
    tokenizer.model_max_length = trained.max_length
    try:
        tokenizer.save_pretrained(folder)
    finally:
        tokenizer.model_max_length = before


def triplets(
    reembedded: Reembedded,
    train: Texts,
    anchors: Texts | None = None,
    *,
    per_text: int = 5,
    anchor_share: float = 0.5,
    seed: int = 0,
) -> Dataset:
    """
    The texts that re-embedding compares, as losses of sentence-transformers read them.

    Args:
        reembedded: tells the rare classes, which of their rows are difficult, and their nearest
            rows of other classes, all by the encoder as it was.
        train: the training rows.
        anchors: made texts, which may be positives.
        per_text: triplets of each rare text; less where it has fewer hard negatives.
        anchor_share: chance of a positive to be a made text, where there are any of the class.
        seed: of the positives.

    Returns: a data set of the columns `anchor` (a rare text), `positive` (another rare text that is
        not difficult, or a made one) and `negative` (a near text of another class), in this order.
    """
    made = {}
    if anchors is not None:
        made = {label: np.flatnonzero(anchors.labels == label) for label in reembedded.classes}
    drawn = draw_triplets(
        reembedded.classes, made, per_text=per_text, made_share=anchor_share, seed=seed
    )
    made_texts = [] if anchors is None else anchors.texts
    positives = [
        (made_texts if is_made else train.texts)[number]
        for number, is_made in zip(drawn.positive.tolist(), drawn.is_made.tolist(), strict=True)
    ]
    return Dataset.from_dict(
        {
            "anchor": [train.texts[row] for row in drawn.anchor],
            "positive": positives,
            "negative": [train.texts[row] for row in drawn.negative],
        }
    )
