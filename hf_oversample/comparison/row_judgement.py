"""Made rows judged without training on them: copies, repeats, variety, labels, marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset

from hf_oversample.comparison.embedders import Embed, LatentSemanticEmbedder, pretrained_embedder
from hf_oversample.comparison.given_rows import GivenRows, leaks
from hf_oversample.comparison.given_rows_data import as_given_rows
from hf_oversample.comparison.made_texts import SAMPLE
from hf_oversample.comparison.problem import Problem
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.data.reading import check_text_column, prepare_labels
from hf_oversample.metrics.screening import LEVEL, screen_classes
from hf_oversample.metrics.texts import copy_rate, text_report
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.anchors.judge import FOLDS, LinearJudge, spread_over_folds
from hf_oversample.text.words import Language, Segmenter, guess_language, normalized

PENALTY = 10.0
"""The judges' C on embeddings of length 1, as the screen's classifier has it."""
GIVEAWAYS = 4
"""Marks of made texts that are named."""


@dataclass(frozen=True)
class RowsJudgement:
    """What made rows are like, beside the real rows that they were made for.

    Attributes:
        identity: 16 hexadecimal digits of all that is trained on.
        rows: that have a text and were made.
        classes: class name → rows.
        left_out: rows that were given and are none of these, by reason.
        with_parent: rows that tell what they were made of.
        has_weights: whether they have weights.
        too_long: rows longer than every real one, in characters.
        repeats: rows whose text stands in an earlier one, but for case and spaces.
        equal, near: rows that are held-out rows, or nearly
            (:func:`~hf_oversample.comparison.given_rows.leaks`); None where none were given.
        texts: ``exact_copies`` and ``near_copies`` of real rows, shares of all made rows;
            ``distinct_1``, ``distinct_2`` and ``self_bleu`` of 200 of them.
        label_agreement: class name → share of its rows that judges place there: logistic regression
            on embeddings of real rows, without the row's parents, or, where none is told, the real
            row that it shares most words with. "" → of all rows. Rows without a judge, whose class
            has no other row or whose parents are all over the data, are none of them.
        label_agreement_real: the same of the real rows of these classes, each out of fold.
        screen: :func:`~hf_oversample.metrics.screening.screen_classes`.
        cost: what making them took: "tokens", "seconds", "usd", "cost"; empty where nothing is
            stated.
    """

    identity: str
    rows: int
    classes: dict[str, int]
    left_out: dict[str, int]
    with_parent: int
    has_weights: bool
    too_long: int
    repeats: int
    equal: int | None
    near: int | None
    texts: dict[str, float]
    label_agreement: dict[str, float]
    label_agreement_real: dict[str, float]
    screen: dict[str, Any]
    cost: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same in words: sentences."""
        return judgement_lines(self.to_dict())


def judge_rows(
    train: Dataset,
    made: Dataset | GivenRows,
    *,
    held_out: Dataset | None = None,
    text_column: str = "text",
    label_column: str = "label",
    parent_column: str | None = None,
    encoder_name: str | None = None,
    embed: Embed | None = None,
    language: Language | None = None,
    seed: int = 0,
) -> RowsJudgement:
    """Judge rows that somebody made; nothing is trained on them.

    Args:
        train: the real rows that they were made for.
        made: the rows, see :func:`~hf_oversample.comparison.as_given_rows`.
        held_out: validation and test rows, which no made row should equal.
        text_column, label_column: of all of these.
        parent_column: of ``made``.
        encoder_name: a pretrained encoder; default: latent semantic analysis of the real rows.
        embed: texts → `[n, d]`, in place of an encoder.
        language: default: guessed from the real rows.
        seed: of samples and folds.

    Raises:
        ValueError: bad columns or texts, or a class that the real rows do not have.
    """
    for rows in (train, *([] if held_out is None else [held_out])):
        check_text_column(rows, text_column)
    own = prepare_labels(train, label_column)
    texts = Texts.of(own, text_column, label_column)
    if not isinstance(made, GivenRows):
        made = as_given_rows(
            made,
            text_column=text_column,
            label_column=label_column,
            parent_column=parent_column,
            train=texts.texts,
        )
    if embed is None and encoder_name is not None:
        embed = pretrained_embedder(encoder_name)
    return judgement_of(
        made,
        texts,
        own.features[label_column].names,
        held_out=[] if held_out is None else held_out.with_format(None)[text_column][:],
        segmenter=Segmenter(language or guess_language(texts.texts)),
        embed=embed,
        seed=seed,
    )


def judgement_of(
    rows: GivenRows,
    real: Texts,
    class_names: Sequence[str],
    *,
    segmenter: Segmenter,
    held_out: Sequence[str] = (),
    embed: Embed | None = None,
    seed: int = 0,
) -> RowsJudgement:
    """As :func:`judge_rows`, of rows that were read: `real` with class codes, `held_out` texts."""
    made, language = rows.coded(class_names), segmenter.language
    if missing := {*np.unique(made.labels)} - {*np.unique(real.labels)}:
        names = [class_names[code] for code in sorted(missing)]
        raise ValueError(f"there are made rows of {names}, and no real ones to hold them against")
    equal = near = None
    if held_out:
        found = leaks(made.texts, real.texts, held_out, language=language, embed=embed)
        equal, near = (int(one.sum()) for one in found)
    drawn = noise.generator(seed, noise.stream("made texts")).permutation(len(made))[:SAMPLE]
    texts = text_report([made.texts[row] for row in drawn.tolist()], real.texts, language)
    copies = copy_rate(made.texts, real.texts, language=language)
    texts |= {"exact_copies": copies.exact_rate, "near_copies": copies.near_rate}
    del texts["distinct"]  # of a sample: repeats are counted among all
    agreement, of_real = _agreement(
        rows, made, real, class_names, copies.nearest, embed or _latent(real, segmenter), seed
    )
    longest = max(map(len, real.texts))
    return RowsJudgement(
        identity=rows.identity(),
        rows=len(rows),
        classes=dict(Counter(rows.classes)),
        left_out=dict(rows.left_out),
        with_parent=sum(bool(parents) for parents in rows.parents),
        has_weights=rows.weights is not None,
        too_long=sum(len(text) > longest for text in made.texts),
        repeats=len(made) - len({normalized(text) for text in made.texts}),
        equal=equal,
        near=near,
        texts=texts,
        label_agreement=agreement,
        label_agreement_real=of_real,
        screen=screen_classes(
            real.texts,
            real.labels,
            made.texts,
            made.labels,
            class_names,
            language=language,
            seed=seed,
        ),
        cost=dict(rows.cost),
    )


def judged(name: str, rows: GivenRows, problem: Problem, embed: Embed | None) -> dict[str, Any]:
    """The judgement of rows beside all that they may be made of: of folds all rows, since each is a
    training row of some; of given splits the training rows of the first, whose validation and test
    rows are held out.

    Raises:
        ValueError: parents are told, and none is among the rows of the problem; rows of a class
            without real ones.
    """
    split = problem.splits[0]
    everything = [split.train, split.validation, split.test]
    known = {normalized(text) for part in everything for text in part.texts}
    told = [text for parents in rows.parents for text in parents]
    if told and not any(normalized(text) in known for text in told):
        raise ValueError(
            f"{name}: none of the {len(told)} parents that are told is a row of {problem.name!r}, "
            f"the first is {told[0][:80]!r}: name the column that holds training rows' numbers or "
            "texts (--made_parent), or rename the one that is called parent"
        )
    real, held_out = split.train, split.validation.texts + split.test.texts
    if problem.overlap:
        texts = [text for part in everything for text in part.texts]
        real = Texts(texts, np.concatenate([part.labels for part in everything]))
        held_out = []
    try:
        return judgement_of(
            rows,
            real,
            problem.class_names,
            segmenter=Segmenter(problem.language, problem.user_dictionary),
            held_out=held_out,
            embed=embed,
        ).to_dict()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


# ---- labels -------------------------------------------------------------------------------------


def _latent(real: Texts, segmenter: Segmenter) -> Embed:
    return LatentSemanticEmbedder(real.texts, segmenter)


def _agreement(
    rows: GivenRows,
    made: Texts,
    real: Texts,
    class_names: Sequence[str],
    nearest: np.ndarray,
    embed: Embed,
    seed: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """Of made and of real rows, each judged without what it is made of or, if real, itself.

    Args:
        nearest: `[m]`, the real row that shares most words with a made one; −1: none does.
    """
    own = _scaled(embed(real.texts))
    # of fewer rows than folds, each is held out by itself
    fold = spread_over_folds(own, real.labels, FOLDS, seed)
    place = {normalized(text): row for row, text in enumerate(real.texts)}
    # what a judge may not have seen, as folds of real rows: of each made row, then of each real one
    unseen = [
        frozenset(fold[[place[key] for key in map(normalized, parents) if key in place]].tolist())
        or frozenset(fold[[near] if near >= 0 else []].tolist())
        for parents, near in zip(rows.parents, nearest.tolist(), strict=True)
    ]
    unseen += [frozenset([number]) for number in fold.tolist()]
    labels = np.concatenate([made.labels, real.labels])
    vectors = np.concatenate([_scaled(embed(made.texts)), own])
    told = np.full(len(labels), -1)
    for numbers in set(unseen):
        rest = ~np.isin(fold, [*numbers])
        learnt = np.unique(real.labels[rest])
        if len(learnt) < 2:  # parents in all folds, or a class of one row
            continue
        judge = LinearJudge.fit(own[rest], real.labels[rest], len(class_names), PENALTY)
        judged = np.array([one == numbers for one in unseen]) & np.isin(labels, learnt)
        if judged.any():
            told[judged] = judge.logits(vectors[judged]).argmax(axis=1)
    told, told_real = told[: len(made)], told[len(made) :]
    compared = np.isin(real.labels, made.labels)
    return (
        _by_class(told, made.labels, class_names),
        _by_class(told_real[compared], real.labels[compared], class_names),
    )


def _scaled(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: np.ndarray = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def _by_class(told: np.ndarray, wanted: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    judged = told >= 0
    if not judged.any():
        return {}
    agrees = (told == wanted)[judged]
    codes = wanted[judged]
    shares = {class_names[code]: float(agrees[codes == code].mean()) for code in np.unique(codes)}
    return {"": float(agrees.mean()), **shares}


# ---- in words -----------------------------------------------------------------------------------


def judgement_lines(one: Mapping[str, Any]) -> list[str]:
    """A judgement in words, from its values: sentences."""
    counts = ", ".join(f"{rows} {name}" for name, rows in one["classes"].items())
    weights = "; those of a class are drawn by their weights" if one["has_weights"] else ""
    reasons = "".join(f", besides {rows} {reason}" for reason, rows in one["left_out"].items())
    lines = [
        f"{one['rows']} made rows ({counts}){reasons}{weights}; cost of making them: "
        f"{cost_words(one['cost'])}."
    ]
    if one["equal"] is not None:
        lines.append(f"{one['equal']} equal a held-out row, {one['near']} nearly do.")
    texts = one["texts"]
    variety = ", ".join(
        f"{title} {texts[name]:.2f}"
        for name, title in (
            ("distinct_1", "distinct-1"),
            ("distinct_2", "distinct-2"),
            ("self_bleu", "self-BLEU"),
        )
        if name in texts
    )
    lines.append(
        f"{_percent(texts['exact_copies'])} equal a real row, {_percent(texts['near_copies'])} "
        f"equal one or share four of five words with it; {one['repeats']} repeat another made row, "
        f"{one['too_long']} are longer than every real one; variety of {min(SAMPLE, one['rows'])}: "
        f"{variety}."
    )
    if one["label_agreement"]:
        real = one["label_agreement_real"]
        beside = f" (of real rows {_percent(real[''])})" if real else ""
        lines.append(
            f"{_percent(one['label_agreement'][''])} are placed in their class{beside} by judges "
            "that did not see what the row was made of or is most like."
        )
    return lines + _surface_lines(one["screen"])


def _surface_lines(screen: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, found in screen["classes"].items():
        if found["auc"] is None:
            lines.append(
                f"{name}: {found['made']} made and {found['real']} real texts are too few to say "
                "whether they are told apart by their surface."
            )
            continue
        told = f"{name}: told from real texts by their surface with an AUC of {found['auc']:.2f}"
        if found["auc"] > LEVEL:
            by = ", ".join(found["giveaways"][:GIVEAWAYS])
            lines.append(
                f"Warning: {told} (0.5 is chance, above {LEVEL:.2f} is warned of), by {by}: a "
                "classifier may learn the mark in place of the class."
            )
        else:
            lines.append(f"{told} (0.5 is chance).")
    return lines


def cost_words(cost: Mapping[str, float]) -> str:
    """What making rows took: "12,000 tokens, 34 seconds, 0.12 US dollars", or "not stated"."""
    units = {"tokens": "tokens", "seconds": "seconds", "usd": "US dollars"}
    units["cost"] = "of money (no currency is stated)"
    shown = [f"{_number(cost[name])} {unit}" for name, unit in units.items() if name in cost]
    return ", ".join(shown) or "not stated"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
