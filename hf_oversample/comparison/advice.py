"""Lines of Python that do what a comparison recommends; each of them is run by the tests."""

from __future__ import annotations

from collections.abc import Sequence

from hf_oversample.comparison.remedies import VECTOR_METHODS

# Names that the lines take as given: `train`, a data set of the training rows with the columns
# text and label; `counts`, rows of each class in it; `probabilities` [n, classes] and, of rows that
# training did not see, `validation_labels` [m] and `validation_probabilities` [m, classes], arrays;
# `encoder`, `generator` and `fold` where a comment says what they are.
_LOSS = "loss = {call}  # give it to the training loop: loss(logits, labels)"
_WEIGHTS = (
    "import torch\n"
    "from hf_oversample.training.losses import {name}\n"
    "loss = torch.nn.CrossEntropyLoss(torch.tensor({name}(counts)).float())"
    "  # counts: training rows of each class"
)
_EMBEDDED = (
    "from hf_oversample import {name}, TextEmbedder\n"
    "embedded = TextEmbedder(encoder).embed_dataset(train)  # encoder: {encoder}\n"
    "balanced = {name}().balance(embedded)"
)
_LINES = {
    "logit adjustment": (
        "import numpy as np\n"
        "shares = np.asarray(counts) / np.sum(counts)  # counts: training rows of each class\n"
        "predicted = (probabilities / shares).argmax(axis=1)"
    ),
    "class weights": _WEIGHTS.format(name="balanced_class_weights"),
    "effective number weights": _WEIGHTS.format(name="class_balanced_weights"),
    **{
        remedy: f"from hf_oversample.training.losses import {call.partition('(')[0]}\n"
        + _LOSS.format(call=call)
        for remedy, call in {
            "focal loss": "FocalLoss()",
            "dice loss": "SelfAdjustingDiceLoss()",
            "logit-adjusted loss": "LogitAdjustedLoss(counts)",
        }.items()
    },
    "duplicates": (
        "from hf_oversample import RandomOversampler\nbalanced = RandomOversampler().balance(train)"
    ),
    "EMCO": (
        "from hf_oversample import EmcoOversampler\nbalanced = EmcoOversampler().balance(train)"
    ),
    "anchors": (
        "from hf_oversample import MisoOversampler\n"
        "balanced = MisoOversampler(generator).balance(train)"
        "  # generator: a folder that recipes/miso.py wrote"
    ),
    "language model": (
        "from hf_oversample import LanguageModelOversampler\n"
        "balanced = LanguageModelOversampler(writer).balance(train)"
        "  # writer: a causal language model, a folder or a name on the Hub"
    ),
}

_MULTI_LABEL_LINES = {
    "class weights": (
        "from hf_oversample import minority_loss\n"
        'loss = minority_loss("pos_weight", train, label_column="labels")'
        "  # Trainer(compute_loss_func=loss)"
    ),
    "ML-ROS": (
        "from hf_oversample import MlRosOversampler\n"
        'balanced = MlRosOversampler().balance(train, label_column="labels")'
    ),
    "MLSMOTE": (
        "from hf_oversample import MlsmoteOversampler, TextEmbedder\n"
        "embedded = TextEmbedder(encoder).embed_dataset(train)  # encoder: what embeds texts\n"
        'balanced = MlsmoteOversampler().balance(embedded, label_column="labels")'
    ),
}


def given_lines() -> str:
    """Lines that train with rows that somebody made: `made`, with the columns of `train`."""
    return (
        "from datasets import concatenate_datasets\n"
        "from hf_oversample import RandomOversampler\n"
        "balanced = RandomOversampler().balance(concatenate_datasets([train, made]))"
        "  # made: the rows that were given, with the columns of train"
    )


def remedy_lines(remedy: str, classifier: str, encoder: str | None) -> str:
    """Lines that train with a remedy.

    Args:
        remedy: its name.
        classifier: the kind that it was compared with.
        encoder: what embeds texts; None: no pretrained encoder.
    """
    if remedy in _LINES:
        return _LINES[remedy]
    if remedy in VECTOR_METHODS and encoder is not None:
        return _EMBEDDED.format(name=VECTOR_METHODS[remedy], encoder=encoder)
    return (
        "from hf_oversample.comparison import CLASSIFIERS, REMEDIES\n"
        f"scores = REMEDIES[{remedy!r}].fit(fold, CLASSIFIERS[{classifier!r}](), 0)"
        "  # fold: a hf_oversample.comparison.fold.Fold of your rows\n"
        "validation_probabilities, probabilities = scores.validation, scores.test"
    )


def multi_label_lines(remedy: str) -> str:
    """Lines that train with a remedy, where rows have any number of labels, and choose a threshold
    for each label. They take as given `train`, a data set with the columns text and labels (lists);
    `validation_logits` and `validation_labels` [m, labels], and `logits` [n, labels]."""
    lines = (
        "from hf_oversample.metrics.label_decisions import choose_label_decision\n"
        "decision = choose_label_decision(validation_logits, validation_labels)\n"
        "taken = decision.labels(decision.probabilities(logits))"
    )
    return f"{_MULTI_LABEL_LINES[remedy]}\n{lines}" if remedy in _MULTI_LABEL_LINES else lines


def threshold_lines(
    class_names: Sequence[str], minority: int, threshold: float | None, of_all_classes: bool
) -> str:
    """Lines that choose a threshold on validation rows and use it.

    Args:
        class_names: in the order of the class codes.
        minority: the code of the class whose threshold is moved.
        threshold: about what they will find; None: not known.
        of_all_classes: an offset for each class, for the best macro-F1, in place of a threshold.
    """
    if of_all_classes:
        return (
            "from hf_oversample.metrics.thresholds import moved, tuned_offsets\n"
            "offsets = tuned_offsets(validation_labels, validation_probabilities, "
            f"{minority})\n"
            "predicted = moved(probabilities, offsets).argmax(axis=1)"
        )
    about = "" if threshold is None else f"  # about {shown_threshold(threshold)} here"
    return (
        "from hf_oversample.metrics.classification import best_threshold\n"
        f"threshold = best_threshold(validation_labels == {minority}, "
        f"validation_probabilities[:, {minority}]){about}\n"
        f"is_minority = probabilities[:, {minority}] >= threshold"
        f"  # column {minority}: {class_names[minority]!r}"
    )


def shown_threshold(threshold: float) -> str:
    """A threshold with two digits that count: 0.21, 0.0034, 0.998."""
    if threshold > 0.5:
        return "1" if threshold >= 1 else f"{1 - float(f'{1 - threshold:.2g}'):.10g}"
    return f"{threshold:.2g}"
