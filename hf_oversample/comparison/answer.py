"""The answer of a comparison as values: what to do, on what grounds, and what was left open."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

# what to do
MOVE_THRESHOLD = "move the threshold"
KEEP = "train on the rows as they are"
USE_REMEDY = "use a remedy"
NOTHING_LEARNT = "look for other rows or labels"
NO_ANSWER = "no answer"

# what a remedy is worth against none, both with the threshold that validation rows chose
HELPS = "helps"
NOT_ABOVE_FREE = "better than none, not shown to beat what is free"
ONE_SIDED = "better in one measure, lower in the other"
ONLY_AVERAGING = "better than none, not shown to beat an average of two plain models"
EQUAL = "equal"
CANNOT_TELL = "cannot tell"
WORSE = "worse"
SAME_IN_EVERY_RUN = "the same difference in every run: no test"
RANKS_NO_BETTER = "not shown to rank better than chance"
NOT_COMPARED = "fewer than two runs in common with none"
FAILED = "no result"


@dataclass(frozen=True)
class Contrast:
    """A remedy against none in one measure, over the runs that both have.

    Attributes:
        mean, reference: mean of the remedy, and of none, in [0, 1].
        difference: mean difference; positive where the remedy is better.
        half_width: half of its 95 % interval; None where fewer than two runs are in common.
        p_value: after Holm's correction over the classifier's remedies; None without a test.
        outcome: "better", "worse", "equal" (the interval lies within ± `Verdict.rope`), "cannot
            tell" (it does not), "untested" (the same difference in every run) or "not compared".
    """

    mean: float
    reference: float
    difference: float
    half_width: float | None
    p_value: float | None
    outcome: str


@dataclass(frozen=True)
class RemedyAnswer:
    """What one remedy with one classifier is worth.

    Attributes:
        remedy: its name.
        outcome: one of the words above, over both measures.
        contrasts: measure → against none.
        runs: folds or seeds with a result.
        seconds: mean, for one run.
        cost: seconds over those of none.
        is_free: whether it costs no more than the plain training: a moved threshold, class weights.
        why: of what failed, the reason.
    """

    remedy: str
    outcome: str
    contrasts: dict[str, Contrast] = field(default_factory=dict)
    runs: int = 0
    seconds: float | None = None
    cost: float | None = None
    is_free: bool = False
    why: str | None = None


@dataclass(frozen=True)
class Recommendation:
    """What to do.

    Attributes:
        action: one of the words above.
        remedy: what to train with; "none" for the rows as they are.
        threshold: the middle one of those that validation rows chose, one a run, on the minority's
            probability; None where none is known, and where the usual rule does as well.
        thresholds: smallest and largest of them.
        gain: measure → points (of 100) that it adds: a moved threshold to the usual one, a remedy
            to none with its threshold moved.
        python: lines that do it.
    """

    action: str
    remedy: str = "none"
    threshold: float | None = None
    thresholds: tuple[float, float] | None = None
    gain: dict[str, float] = field(default_factory=dict)
    python: str | None = None


@dataclass(frozen=True)
class BestArea:
    """The best ROC AUC, where no model is shown to rank rows better than chance.

    Attributes:
        remedy, area, half_width: whose it is, and its 95 % interval.
        label: the class that it tells from the others; None for the mean over several.
        is_low: whether it and that of none are so low that there is nothing to learn; else too few
            rows or runs may be the cause.
    """

    remedy: str
    area: float
    half_width: float
    label: str | None
    is_low: bool


@dataclass(frozen=True)
class ClassifierAnswer:
    """The answer for one classifier.

    Attributes:
        classifier, title: its kind, and its name for people.
        recommendation: what to do.
        runs: folds or seeds that none has.
        means: measure → mean of none.
        score: mean in the measure of ranking of what is recommended; None where there is none.
        moving: what the threshold that validation rows chose adds to the F1 of none at the usual
            one, each row of its likeliest class; None where that was not measured.
        best_free: the best of what is free, by F1 at the chosen threshold, none among them: what a
            remedy has to beat. None where nothing was compared.
        learnt: what is shown of ranking rows better than chance, where it is not shown at all.
        remedies: the others, in the order of the tables.
        warnings: what limits the answer, sentences.
    """

    classifier: str
    title: str
    recommendation: Recommendation
    runs: int = 0
    means: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    moving: Contrast | None = None
    best_free: str | None = None
    learnt: BestArea | None = None
    remedies: list[RemedyAnswer] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def with_outcome(self, *outcomes: str) -> list[RemedyAnswer]:
        """Remedies that came out so."""
        return [one for one in self.remedies if one.outcome in outcomes]


@dataclass(frozen=True)
class Verdict:
    """The answer of a comparison.

    Attributes:
        data, minority: what was compared on.
        ranking, tuned: names of the measures that it rests on: one that no threshold changes, and
            F1 at a threshold that validation rows chose, for every remedy alike.
        alpha: level of the tests, after correction.
        rope: differences within ± this are equal for all that matters.
        classifier: kind of the classifier that ranks best with what is recommended for it.
        classifiers: an answer each.
        notes: how it was tested and what was left out, sentences.
        made: name of rows that were given → what they are like
            (:class:`~hf_oversample.comparison.row_judgement.RowsJudgement`), and under "runs", fold
            → how many it does not train on, by reason.
    """

    data: str
    minority: str
    ranking: str
    tuned: str
    alpha: float
    rope: float
    classifier: str | None
    classifiers: list[ClassifierAnswer]
    notes: list[str]
    made: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def recommendation(self) -> Recommendation | None:
        """What to do with the classifier that ranks best; None where no classifier has a result."""
        return next(
            (a.recommendation for a in self.classifiers if a.classifier == self.classifier), None
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON: numbers are finite, or null."""
        chosen = self.recommendation
        return {
            "recommendation": None if chosen is None else asdict(chosen),
            **asdict(self),
        }
