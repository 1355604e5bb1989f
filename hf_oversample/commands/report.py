"""What a run shows a person: the picture, the anchors beside their texts, what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import DatasetDict

from hf_oversample.commands.data import RunData
from hf_oversample.commands.figures import projection_figure
from hf_oversample.commands.output import OutputFolder
from hf_oversample.commands.screen import screen_lines, screen_of
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.hub.tables import anchors_markdown
from hf_oversample.metrics.texts import text_report
from hf_oversample.neighbors.difficult import DifficultSamples, difficult_samples
from hf_oversample.oversamplers.anchors.plan import MAJORITY_ANCHOR, OWN_ANCHOR
from hf_oversample.oversamplers.anchors.shortfall import TextCounts
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.oversamplers.plan import ORIGINS
from hf_oversample.training.miso import MisoTrainer

TEXTS_SHOWN = 20


@dataclass(frozen=True)
class BalancedData:
    """
    What an oversampler made of a run's data.

    Args:
        parts: the data set, its training part balanced.
        oversampler: the fitted oversampler.
        anchors: the new texts.
        parents: `[anchors]`, the training row that each comes from.
        text_column, label_column: of the data set.
    """

    parts: DatasetDict
    oversampler: MisoOversampler
    anchors: Texts
    parents: np.ndarray
    text_column: str
    label_column: str

    @classmethod
    def make(
        cls, oversampler: MisoOversampler, parts: DatasetDict, text_column: str, label_column: str
    ) -> BalancedData:
        """Balance the training part."""
        balanced = oversampler.balance(parts, label_column=label_column, text_column=text_column)
        train = balanced["train"]
        origin = np.asarray(train["origin"])
        made = train.select(np.flatnonzero(origin == ORIGINS.index("synthetic")))
        return cls(
            balanced,
            oversampler,
            Texts.of(made, text_column, label_column),
            np.asarray(made["parent"], np.int64),
            text_column,
            label_column,
        )


@dataclass(frozen=True)
class AnchorReport:
    """
    What anchors are worth without a classifier.

    Args:
        quality: number, copies and diversity of the anchors.
        before, after: :meth:`~hf_oversample.neighbors.difficult.DifficultSamples.summary` of the
            rare classes' real rows, without and with the anchors among their neighbours.
        screen: whether anchors are told from real texts (`screen_of`); None without anchors.
    """

    quality: dict[str, Any]
    before: dict[str, float]
    after: dict[str, float]
    screen: dict[str, Any] | None

    def shares(self, measure: str) -> dict[str, float]:
        """One of their shares before and after, and what chance gives."""
        chance = f"{measure}_by_chance"
        return {
            "before": self.before[measure],
            "after": self.after[measure],
            "before_by_chance": self.before[chance],
            "after_by_chance": self.after[chance],
        }


def write_report(
    output: OutputFolder, data: RunData, balanced: BalancedData, neighbors: int
) -> AnchorReport:
    """
    Write `report.png` and `anchors.md`, and measure the anchors.

    Args:
        output: where they go.
        data, balanced: before and after.
        neighbors: k of the difficult samples (section 7.1).
    """
    train, anchors = data.train, balanced.anchors
    before = balanced.oversampler.embed(train.texts)
    added = balanced.oversampler.embed(anchors.texts)
    joined = np.concatenate([before, added]) if len(anchors) else before
    k = min(neighbors, len(train) - 1)
    found = difficult_samples(before, train.labels, k=k, minority=data.targets)
    kinds = np.where(np.isin(train.labels, data.targets), "minority", "majority").astype(object)
    kinds[found.rows[found.is_outvoted]] = "difficult"
    with output.file("report.png") as path:
        projection_figure(
            joined,
            [*kinds.tolist(), *["anchor"] * len(anchors)],
            path,
            title=f"{data.name}: training texts before and after MISO",
        )
    screen = screen_of(
        balanced.parts["train"],
        data.class_names,
        text_column=balanced.text_column,
        label_column=balanced.label_column,
        language=data.language,
        seed=balanced.oversampler.seed,
    )
    _write_anchors(output, data, balanced, found, screen_lines(screen))
    quality: dict[str, Any] = {"anchors": len(anchors)}
    summary = after = found.summary()
    if len(anchors):
        quality |= text_report(anchors.texts, train.texts, data.language)
        # the same rows, with the anchors among their neighbours
        labels = np.concatenate([train.labels, anchors.labels])
        now = difficult_samples(joined, labels, k=neighbors, minority=data.targets)
        after = now.summary(rows=len(train))
    return AnchorReport(quality, summary, after, screen)


def _write_anchors(
    output: OutputFolder,
    data: RunData,
    balanced: BalancedData,
    found: DifficultSamples,
    told: Sequence[str],
) -> None:
    """The most difficult texts that gave anchors, each beside them, under what is told of all."""
    order = found.rows[np.argsort(-found.weighted_other_share, kind="stable")]
    by_parent: dict[int, list[str]] = {}
    for parent, text in zip(balanced.parents.tolist(), balanced.anchors.texts, strict=True):
        by_parent.setdefault(parent, []).append(text)
    shown = [row for row in order.tolist() if row in by_parent][:TEXTS_SHOWN]
    with output.file("anchors.md") as path:
        anchors_markdown(
            (
                {
                    "source": data.train.texts[row],
                    "source_label": data.class_names[data.train.labels[row]],
                    "anchors": by_parent[row],
                }
                for row in shown
            ),
            path,
            lines=told,
        )


def measured(
    balanced: BalancedData,
    trainer: MisoTrainer,
    report: AnchorReport,
    *,
    metrics: dict[str, dict[str, float]],
    timings: dict[str, float],
) -> dict[str, Any]:
    """
    What a MISO run's record says beyond `run_record`.

    Args:
        balanced: after balancing.
        trainer: the generator's trainer, after training.
        report: what the anchors are worth.
        metrics: classifier and remedy → metrics.
        timings: part of the run → seconds.
    """
    seconds = {f"training: {phase}": round(s, 2) for phase, s in trainer.record.seconds.items()}
    return {
        "difficult_share": report.shares("difficult_share"),
        "outvoted_share": report.shares("outvoted_share"),
        "losses": trainer.record.losses,
        "history": trainer.record.history,
        "rejections": dict(balanced.oversampler.rejections or {}),
        "made_texts": asdict(TextCounts.of_anchors(balanced.oversampler, len(balanced.anchors))),
        "timings": timings | seconds,
        "steps": trainer.record.steps,
        "cut_short": trainer.record.cut_short,
        "metrics": metrics,
        "quality": report.quality,
        "screen": report.screen,
    }


def planned_anchors(oversampler: MisoOversampler) -> dict[str, int]:
    """How many anchors a fitted oversampler planned, of its rare rows and of majority rows."""
    kinds = oversampler.fitted_plan().extra["kind"]
    return {
        "own": int((kinds == OWN_ANCHOR).sum()),
        "majority": int((kinds == MAJORITY_ANCHOR).sum()),
    }
