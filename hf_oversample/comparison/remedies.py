"""Every remedy under one interface: a name, what it applies to, and fit on a fold → scores.

``REMEDIES[name].fit(fold, classifier, seed)`` trains on the fold's training part, chooses on its
validation part and gives the probabilities of both held-out parts. ``refusal(fold, classifier)``
says in words why it does not apply to a classifier; what does not apply is left out and said so.

This is the one list of remedies. It loads no torch, so that a command's help can show it: what
trains (:mod:`hf_oversample.comparison.remedy_fits`) is loaded by the first training.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_oversample.comparison.base import Classifier
    from hf_oversample.comparison.fold import Fold
    from hf_oversample.comparison.scores import Scores
    from hf_oversample.data.labeled_texts import Texts

CONTROL = "plain + plain"
"""No remedy: what averaging alone does, for "plain + anchors" to be held against."""
# Oversamplers of embeddings, and their class among OVERSAMPLERS: a method is added by one line.
VECTOR_METHODS = {
    "SMOTE": "SmoteOversampler",
    "Borderline-SMOTE": "BorderlineSmoteOversampler",
    "ADASYN": "AdasynOversampler",
    "AMO": "AmoOversampler",
    "SIMPOR": "SimporOversampler",
    "Bayesian GAN": "BayesianGanOversampler",
}

Fit = Callable[["Fold", "Classifier", int], "Scores"]
Refuse = Callable[["Fold", "Classifier"], "str | None"]
MakeTexts = Callable[["Fold", int], "Texts"]


def _always(fold: Fold, classifier: Classifier) -> str | None:
    return None


@dataclass(frozen=True)
class Remedy:
    """
    A remedy for a rare class.

    Attributes:
        name: as tables show it; a command line may write hyphens for spaces, in any case.
        fit: trains on a fold and gives the scores of its held-out parts.
        source: where it is from.
        refuse: why it does not apply to a classifier on a fold; None where it does.
        texts: the texts that it makes of a fold's, by the seed; None where it makes none.
        needs_generator: whether it uses a MISO generator of the fold's training rows.
        needs_writer: whether it uses texts that a language model writes of the fold's rows.
        moves_scores: whether it trains nothing, and only moves what the plain model says: of two
            classes, it ranks rows as that does.
        is_free: whether it costs no more than the plain training: no rows are made, nothing else
            is trained, and one argument of any library does it. What costs more has to beat it.
        control: what it is held against besides none, an average of as many models.
        identity: of the rows that it brings along, if any: cells of others are not of its kind.
    """

    name: str
    fit: Fit
    source: str
    refuse: Refuse = _always
    texts: MakeTexts | None = None
    needs_generator: bool = False
    needs_writer: bool = False
    moves_scores: bool = False
    is_free: bool = False
    control: str | None = None
    identity: str | None = None

    def refusal(self, fold: Fold, classifier: Classifier) -> str | None:
        """Why it cannot be compared, in words; None where it can."""
        return classifier.needs(fold) or self.refuse(fold, classifier)


REMEDIES: dict[str, Remedy] = {}
"""Remedies by name, in the order of tables."""


def remedy_named(name: str) -> Remedy:
    """The remedy of a name, which may have hyphens or underscores for spaces, in any case.

    Raises:
        ValueError: there is none; those that there are are listed.
    """
    for known, remedy in REMEDIES.items():
        if remedy_key(known) == remedy_key(name):
            return remedy
    raise ValueError(f"there is no remedy {name!r}; there are {', '.join(REMEDIES)}")


def remedy_key(name: str) -> str:
    """The same for all ways to write a remedy's name."""
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").replace("+", " + ").split())


def add_remedy(
    name: str,
    source: str,
    fit: Fit,
    refuse: Refuse = _always,
    texts: MakeTexts | None = None,
    **facts: Any,
) -> None:
    """Register a remedy; ``facts`` are further fields of :class:`Remedy`.

    Raises:
        ValueError: the name is taken.
    """
    if name in REMEDIES:
        raise ValueError(f"there is a remedy {name!r} already")
    REMEDIES[name] = Remedy(name, fit, source, refuse, texts, **facts)


def is_free(name: str) -> bool:
    """Whether a remedy costs no more than the plain training; one that is not registered does."""
    return name in REMEDIES and REMEDIES[name].is_free


def moves_scores(name: str) -> bool:
    """Whether a remedy trains nothing."""
    return name in REMEDIES and REMEDIES[name].moves_scores


# ---- what applies where -------------------------------------------------------------------------


def _networks_only(fold: Fold, classifier: Classifier) -> str | None:
    if classifier.is_network:
        return None
    return "it is solved, not trained in steps (the two-layer head, mlp, is)"


def _vectors_only(fold: Fold, classifier: Classifier) -> str | None:
    if classifier.reads_vectors:
        return None
    return "they make embeddings, and it reads words"


def _needs_encoder(fold: Fold, classifier: Classifier) -> str | None:
    return None if fold.encoder_name else "no pretrained encoder is named"


def _needs_anchors(fold: Fold, classifier: Classifier) -> str | None:
    return None if fold.generator is not None else "there is no MISO generator of these rows"


def _needs_writer(fold: Fold, classifier: Classifier) -> str | None:
    return None if fold.writer is not None else "no language model is named to write texts"


def _needs_anchors_and_steps(fold: Fold, classifier: Classifier) -> str | None:
    return _needs_anchors(fold, classifier) or _networks_only(fold, classifier)


def _trained_encoders_only(fold: Fold, classifier: Classifier) -> str | None:
    if classifier.has_backbone and classifier.is_network and not classifier.reads_vectors:
        return None
    return "it trains no pretrained encoder (finetune does)"


def _encoders_and_their_heads(fold: Fold, classifier: Classifier) -> str | None:
    if classifier.kind not in ("linear", "finetune"):
        return "it reads a pretrained encoder (linear and finetune have one)"
    return "no pretrained encoder is named" if fold.encoder_name is None else None


def _needs_anchors_and_encoder(fold: Fold, classifier: Classifier) -> str | None:
    return _needs_anchors(fold, classifier) or _trained_encoders_only(fold, classifier)


def _needs_backbone(fold: Fold, classifier: Classifier) -> str | None:
    if fold.generator is None or not fold.generator.has_backbone:
        return "there is no MISO generator of these rows"
    if not classifier.has_backbone:
        return "it starts from no encoder"
    return None


# ---- the list -----------------------------------------------------------------------------------


def _by(function: str, *arguments: str, module: str = "remedy_fits") -> Fit:
    """A function of remedy_fits, or of another module beside it, by its name."""

    def fit(fold: Fold, classifier: Classifier, seed: int) -> Scores:
        fits = importlib.import_module(f"hf_oversample.comparison.{module}")
        scores: Scores = getattr(fits, function)(fold, classifier, seed, *arguments)
        return scores

    return fit


def _made_by(function: str) -> MakeTexts:
    """A function of resampling, by its name."""

    def make(fold: Fold, seed: int) -> Texts:
        resampling = importlib.import_module("hf_oversample.comparison.resampling")
        texts: Texts = getattr(resampling, function)(fold, seed)
        return texts

    return make


_GENERATED: dict[str, Any] = {"needs_generator": True}
_WRITTEN: dict[str, Any] = {"needs_writer": True}
_MOVED: dict[str, Any] = {"moves_scores": True, "is_free": True}

add_remedy("none", "the classifier on the rows as they are", _by("none"), is_free=True)
add_remedy(
    "threshold moving",
    "threshold with the best F1 on validation",
    _by("threshold_moving"),
    **_MOVED,
)
add_remedy("logit adjustment", "Menon et al. 2021, equation 9", _by("logit_adjustment"), **_MOVED)
add_remedy(
    "class weights",
    'n / (classes · n_k), scikit-learn\'s "balanced"; in networks the weighted mean over a batch, '
    "as PyTorch's cross-entropy has it: batches without the rare class count in full",
    _by("class_weights"),
    is_free=True,
)
add_remedy(
    "effective number weights",
    "Cui et al. 2019, β 0.9999",
    _by("effective_number_weights"),
    is_free=True,
)
add_remedy("focal loss", "Lin et al. 2017, γ 2", _by("focal_loss"), _networks_only)
add_remedy("dice loss", "Li et al. 2020, section 3.4, α 0.01", _by("dice_loss"), _networks_only)
add_remedy(
    "logit-adjusted loss",
    "Menon et al. 2021, equation 10",
    _by("logit_adjusted_loss"),
    _networks_only,
)
add_remedy("LDAM-DRW", "Cao et al. 2019, Algorithm 1", _by("ldam"), _networks_only)
add_remedy("DRS", "Cao et al. 2019, section 4", _by("deferred_resampling"), _networks_only)
add_remedy("cRT", "Kang et al. 2020, section 4", _by("retrained_head"), _networks_only)
add_remedy(
    "tau normalisation", "Kang et al. 2020, section 4", _by("tau_normalised"), _networks_only
)
add_remedy("TMix", "Chen et al. 2020, section 3.1", _by("mixed_hidden_states"), _networks_only)
add_remedy("duplicates", "random oversampling", _by("duplicates"))
add_remedy(
    "EDA edits",
    "Wei and Zou 2019 without synonyms: words swapped, left out or put elsewhere",
    _by("eda_edits"),
    texts=_made_by("eda_texts"),
)
add_remedy(
    "synonym edits",
    "neighbours in a word table",
    _by("synonym_edits"),
    _needs_encoder,
    _made_by("synonym_texts"),
)
add_remedy(
    "EMCO",
    "Avela and Ilmonen 2026, γ 1: texts by a Markov chain of words",
    _by("emco"),
    texts=_made_by("emco_texts"),
)
for _method in VECTOR_METHODS:
    add_remedy(_method, "this library", _by("made_embeddings", _method), _vectors_only)
add_remedy(
    "anchors", "MISO", _by("anchors"), _needs_anchors, _made_by("made_anchors"), **_GENERATED
)
add_remedy(
    "MISO backbone",
    "the generator's encoder",
    _by("miso_backbone"),
    _needs_backbone,
    **_GENERATED,
)
add_remedy(
    "anchors once + logit adjustment",
    "a combination",
    _by("anchors_once_adjusted"),
    _needs_anchors,
    **_GENERATED,
)
add_remedy(
    "anchors once + logit-adjusted loss",
    "a combination",
    _by("anchors_once_with_loss"),
    _needs_anchors_and_steps,
    **_GENERATED,
)
add_remedy(
    "plain + anchors",
    "mean of two models",
    _by("plain_and_anchors"),
    _needs_anchors,
    control=CONTROL,
    **_GENERATED,
)
add_remedy(
    "language model",
    "new texts by a pretrained language model with an adapter a class",
    _by("written"),
    _needs_writer,
    _made_by("written_texts"),
    **_WRITTEN,
)
add_remedy(
    "language model once + logit adjustment",
    "a combination",
    _by("written_once_adjusted"),
    _needs_writer,
    **_WRITTEN,
)
add_remedy(CONTROL, "control: mean of two plain models", _by("plain_and_plain"), _networks_only)
# Other trainings of a pretrained encoder; averages are held against that of two plain models.
for _name, _source, _function in (
    ("re-embedding", "mined contrastive training, then balanced LR", "reembedding"),
    ("joint re-embedding", "cross-entropy and the same loss", "joint"),
    ("LP-FT", "Kumar et al. 2022: the head first, then all", "lp_ft"),
    ("interpolated LP-FT", "Wortsman et al. 2022, WiSE-FT, on LP-FT", "interpolated"),
    ("re-embedding with duplicates", "control: rare texts for anchors", "with_duplicates"),
):
    add_remedy(_name, _source, _by(_function, module="reembedding"), _trained_encoders_only)
add_remedy(
    "frozen with n-grams",
    "balanced LR on the frozen encoder's vectors and on n-grams of tokens",
    _by("frozen_with_ngrams", module="reembedding"),
    _encoders_and_their_heads,
)
for _name, _function in (
    ("plain + frozen", "plain_and_frozen"),
    ("plain + frozen with n-grams", "plain_and_ngrams"),
    ("re-embedding + frozen", "reembedding_and_frozen"),
    ("plain + re-embedding", "plain_and_reembedding"),
    ("plain + re-embedding + frozen with n-grams", "all_three"),
):
    add_remedy(
        _name,
        "mean of standardised scores",
        _by(_function, module="reembedding"),
        _trained_encoders_only,
        control=CONTROL,
    )
add_remedy(
    "re-embedding with anchors",
    "MISO",
    _by("with_anchors", module="reembedding"),
    _needs_anchors_and_encoder,
    **_GENERATED,
)
