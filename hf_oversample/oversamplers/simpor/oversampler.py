"""SIMPOR: synthetic neighbours of maximum posterior ratio (Nguyen and Chang; arXiv preprint)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from hf_oversample.neighbors.difficult import nearest_neighbors
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC, FloatMatrix
from hf_oversample.oversamplers.embedding import EmbeddingOversampler, MadeEmbeddings
from hf_oversample.oversamplers.option_checks import check_numbers, check_values
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import checked_array
from hf_oversample.oversamplers.simpor.densities import (
    CHUNK_ROWS,
    LogDensityRatio,
    Precision,
    bandwidth_from_neighbors,
)
from hf_oversample.oversamplers.simpor.spheres import LARGEST_ANGLE, ascend, random_directions
from hf_oversample.oversamplers.strategy import spread
from hf_oversample.training.heads import head_logits, train_head

logger = logging.getLogger(__name__)

# About what a block of points may take; a block is also the unit whose bits are fixed, so neither
# number is an argument.
_BLOCK_BYTES = 64 * 2**20
_LARGEST_BLOCK_ROWS = 1024
_BANDWIDTH_QUERIES = 101
_HEAD_MIN_STEPS = 200
_SHARE = "above 0 and at most 1"


class SimporOversampler(EmbeddingOversampler):
    """Place new rows around rare rows where their class is densest against the largest class.

    Informative rows, those that a classifier is unsure of, are found by active learning (section
    2.3). Rows of a class among them get children first, until the informative set is balanced, the
    other rows of the class get the rest (Algorithm 2). A child lies on a sphere of radius
    r ~ U(0, R) around its parent, R being the mean distance to the k nearest rows of the class
    (Eq. 14): for informative parents at a local maximum of the ratio of kernel densities (Eq. 12,
    15; Algorithm 1), for others in a random direction.

    Departures from the paper: the kernels' exponents are negative (Eq. 10–12 print them positive);
    logarithms of sums; the tangent and the rotation of Algorithm 1 are right for every radius; the
    step backtracks, as the paper's 300 steps of 1e-5 turn a point by under 0.02 radians; the
    bandwidth, which the paper does not state, comes from the data; a class's parents take turns
    instead of being drawn at random; the classifier has one hidden layer instead of three, and its
    first rows hold one of each class; active learning ends after ``query_rounds`` rounds, so that
    at most ``query_rounds`` · ``query_fraction`` of the rows (half of them) are informative; a
    class whose rows are all informative gets all its children there, one without informative rows
    gets random directions only. With more than two classes each class is set against the largest
    other one. A row whose neighbours are its copies (R = 0) gets copies, marked ``resampled``.

    Args:
        sampling_strategy, seed, copy_columns: as for every oversampler.
        k_neighbors: k of Eq. 14, or all other rows of a smaller class; the paper takes 5 to 20.
        informative_fraction: share of all rows that is informative, those of the highest entropy;
            None takes ``entropy_threshold``.
        entropy_threshold: rows are informative from this predictive entropy on (Eq. 4; in units of
            log K, so from 0 to 1; the paper's 0.7).
        query_fraction: share of the rows that active learning starts with, and, with a threshold,
            adds a round at most.
        query_rounds: rounds at most.
        hidden_size: units of the classifier's hidden layer, 0 for a linear one.
        effective_neighbors: bandwidth h such that the median rare row has so many effective
            neighbours; see ``bandwidth_from_neighbors`` in ``densities.py``.
        bandwidth: h itself, the same for all classes.
        steps: evaluations of the ratio a child at most, after the first.
        step_angle: first angle of rotation, in radians.
        precision: "float32" or "bfloat16", of the ratio's matrix products while it climbs. Rows
            that float32 cannot hold apart at the bandwidth (a column that dwarfs the others, say)
            are computed with as float64, at about twice the time.

    Attributes (after ``fit``):
        informative_: bool [n], the informative rows.
        bandwidths_: h by the code of the class that grows; classes without informative rows need
            none.
        children_: float32 [children, d], made when fitted, in blocks that the plan alone fixes:
            a matrix product's last bits depend on the rows that are multiplied together.
        copied_: bool [children], the copies.

    Raises:
        TypeError: a count that is no int, or a number that is no plain one.
        ValueError: an argument outside its range; when fitted, for a class that grows but has one
            row, for rows too alike to take a bandwidth from, or a bandwidth too small for
            bfloat16.
    """

    code_version: ClassVar[int] = 3

    informative_: npt.NDArray[np.bool_]
    bandwidths_: dict[int, float]
    children_: FloatMatrix
    copied_: npt.NDArray[np.bool_]

    def __init__(
        self,
        *,
        k_neighbors: int = 5,
        informative_fraction: float | None = None,
        entropy_threshold: float = 0.7,
        query_fraction: float = 0.05,
        query_rounds: int = 10,
        hidden_size: int = 100,
        effective_neighbors: float = 5.0,
        bandwidth: float | None = None,
        steps: int = 50,
        step_angle: float = 0.5,
        precision: Precision = "float32",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        check_numbers(
            int,
            k_neighbors=k_neighbors,
            query_rounds=query_rounds,
            hidden_size=hidden_size,
            steps=steps,
        )
        optional = {"informative_fraction": informative_fraction, "bandwidth": bandwidth}
        check_numbers(
            float,
            entropy_threshold=entropy_threshold,
            query_fraction=query_fraction,
            effective_neighbors=effective_neighbors,
            step_angle=step_angle,
            **{name: value for name, value in optional.items() if value is not None},
        )
        share = informative_fraction
        check_values(
            k_neighbors=(k_neighbors, k_neighbors >= 1, "at least 1"),
            query_rounds=(query_rounds, query_rounds >= 1, "at least 1"),
            hidden_size=(hidden_size, hidden_size >= 0, "at least 0"),
            steps=(steps, steps >= 0, "at least 0"),
            informative_fraction=(share, share is None or 0 < share <= 1, _SHARE),
            query_fraction=(query_fraction, 0 < query_fraction <= 1, _SHARE),
            entropy_threshold=(
                entropy_threshold,
                0 <= entropy_threshold <= 1,
                "in 0 … 1: it is in units of log K",
            ),
            effective_neighbors=(effective_neighbors, effective_neighbors > 1, "above 1"),
            bandwidth=(bandwidth, bandwidth is None or bandwidth > 0, "positive, or None"),
            step_angle=(
                step_angle,
                0 < step_angle <= LARGEST_ANGLE,
                "above 0 and at most π/2 radians",
            ),
        )
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f'precision must be "float32" or "bfloat16", got {precision!r}')
        self.k_neighbors = k_neighbors
        self.informative_fraction = informative_fraction
        self.entropy_threshold = entropy_threshold
        self.query_fraction, self.query_rounds = query_fraction, query_rounds
        self.hidden_size = hidden_size
        self.effective_neighbors, self.bandwidth = effective_neighbors, bandwidth
        self.steps, self.step_angle = steps, step_angle
        self.precision: Precision = precision

    # ---- Algorithm 2 ----------------------------------------------------------------------------

    def _learn(self, embeddings: FloatMatrix, children: Mapping[int, int]) -> Plan:
        counts = np.bincount(self.labels_, minlength=len(self.label_names_))
        grown = {code: total for code, total in children.items() if total}
        for code, total in grown.items():
            if counts[code] < 2:
                raise ValueError(
                    f"class {self.label_names_[code]!r} has 1 row and is to get {total} more: "
                    "SIMPOR takes its radius from other rows of the class and needs 2; use "
                    "RandomOversampler, or leave the class out of sampling_strategy"
                )
        self.bandwidths_ = {}
        self.informative_ = np.zeros(len(embeddings), dtype=bool)
        if grown:
            self.informative_ = informative_rows(
                embeddings,
                self.labels_,
                threshold=self.entropy_threshold,
                fraction=self.informative_fraction,
                query_fraction=self.query_fraction,
                rounds=self.query_rounds,
                hidden_size=self.hidden_size,
                seed=self.seed,
            )
        opponents = {code: _largest_other(counts, code) for code in grown}
        plans = [self._plan_class(code, grown[code], opponents[code]) for code in grown]
        plan = Plan.join(plans)
        self.children_ = np.empty((len(plan), embeddings.shape[1]), dtype=np.float32)
        self.copied_ = np.zeros(len(plan), dtype=bool)
        for code in grown:
            self._make_class(embeddings, plan, code, opponents[code])
        return Plan(plan.parent, plan.child, plan.label, {"entry": np.arange(len(plan))})

    def _plan_class(self, code: int, total: int, opponent: int) -> Plan:
        """Parents of a class: the informative set is balanced first (lines 3–11), then the rest
        (lines 12–20)."""
        rows = np.flatnonzero(self.labels_ == code)
        unsure, sure = rows[self.informative_[rows]], rows[~self.informative_[rows]]
        missing = int(self.informative_[self.labels_ == opponent].sum()) - len(unsure)
        first = min(total, max(0, missing)) if len(unsure) else 0
        if not len(sure):
            first = total
        logger.info(
            "class %r: %d of %d rows are informative; %d of %d children are theirs",
            *(self.label_names_[code], len(unsure), len(rows), first, total),
        )
        parents = np.concatenate([unsure, sure])
        shares = [spread(first, unsure, self.seed, 0), spread(total - first, sure, self.seed, 1)]
        return Plan.from_counts(parents, np.concatenate(shares), code)

    def _make_class(self, embeddings: FloatMatrix, plan: Plan, code: int, opponent: int) -> None:
        """All children of a class, in the plan's order, in blocks of a fixed size."""
        rows = np.flatnonzero(self.labels_ == code)
        others = np.flatnonzero(self.labels_ == opponent)
        entries = np.flatnonzero(plan.label == code)
        parents, places = np.unique(plan.parent[entries], return_inverse=True)
        ranges = mean_neighbor_distance(
            embeddings[rows], np.searchsorted(rows, parents), self.k_neighbors
        )
        draws = noise.uniform(
            self.seed, noise.stream("simpor radius"), plan.parent[entries], plan.child[entries]
        )
        radii = (draws * ranges[places]).astype(np.float32)
        self.copied_[entries] = radii == 0
        climbs = self.informative_[plan.parent[entries]]
        ratio = exact = None
        if climbs.any():
            ratio, exact = self._ratio(embeddings, rows, others, code)
        for mask in (climbs, ~climbs):
            group, size = np.flatnonzero(mask), _block_rows(embeddings.shape[1])
            for start in range(0, len(group), size):
                block = group[start : start + size]
                parent, child = plan.parent[entries[block]], plan.child[entries[block]]
                directions = random_directions(embeddings.shape[1], self.seed, parent, child)
                centers = torch.from_numpy(embeddings[parent])
                radius = torch.from_numpy(radii[block])
                if mask is climbs and ratio is not None:
                    points = ascend(
                        ratio,
                        centers,
                        radius,
                        directions,
                        steps=self.steps,
                        step_angle=self.step_angle,
                        judge=exact,
                    ).points
                else:
                    points = torch.addcmul(centers, directions, radius[:, None])
                self.children_[entries[block]] = points.numpy()

    def _ratio(
        self, embeddings: FloatMatrix, rows: IntArray, others: IntArray, code: int
    ) -> tuple[LogDensityRatio, LogDensityRatio | None]:
        """The ratio to climb, and for bfloat16 the one that judges where it ended."""
        bandwidth = self.bandwidth
        if bandwidth is None:
            draws = noise.uniform(self.seed, noise.stream("simpor bandwidth"), rows)
            queries = np.argsort(draws, kind="stable")[:_BANDWIDTH_QUERIES]
            both = embeddings[np.concatenate([rows, others])]
            bandwidth = bandwidth_from_neighbors(both, queries, self.effective_neighbors)
        self.bandwidths_[code] = bandwidth
        target, other = torch.from_numpy(embeddings[rows]), torch.from_numpy(embeddings[others])
        ratio = LogDensityRatio(target, other, bandwidth, precision=self.precision)
        if ratio.dtype == torch.float64:
            logger.info(
                "class %r: its densities are computed in float64, as float32 would round their "
                "logarithms too far (bandwidth %.3g; standardised columns are faster)",
                *(self.label_names_[code], bandwidth),
            )
        if self.precision == "float32":
            return ratio, None
        return ratio, LogDensityRatio(target, other, bandwidth)

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        entries = plan.extra["entry"]
        origin = np.where(self.copied_[entries], RESAMPLED, SYNTHETIC).astype(np.int64)
        return MadeEmbeddings(self.children_[entries], origin)

    # ---- state ----------------------------------------------------------------------------------

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {"made": self.children_, "copied": self.copied_, "informative": self.informative_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.children_ = self._loaded_rows(arrays)
        self.copied_ = checked_array(arrays, "copied", "b", len(self.children_))
        self.informative_ = checked_array(arrays, "informative", "b", len(self.labels_))

    def _state_config(self) -> dict[str, Any]:
        return {"bandwidths": [[code, h] for code, h in self.bandwidths_.items()]}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.bandwidths_ = {int(code): float(h) for code, h in config["bandwidths"]}


# ---- the informative set (section 2.3) ----------------------------------------------------------


def informative_rows(
    embeddings: FloatMatrix,
    labels: npt.ArrayLike,
    *,
    threshold: float = 0.7,
    fraction: float | None = None,
    query_fraction: float = 0.05,
    rounds: int = 10,
    hidden_size: int = 100,
    seed: int = 0,
) -> npt.NDArray[np.bool_]:
    """Rows that a classifier is unsure of, by entropy-based active learning.

    A classifier is trained on a random batch of rows; the rows of the highest predictive entropy
    join the informative set and the training rows; and again, until no row outside the set reaches
    the threshold (or the set has the asked size), or for ``rounds`` rounds. No other rows than
    these are used, for training or for choosing.

    Args:
        embeddings: [n, d].
        labels: [n], integers.
        threshold: the least entropy of an informative row, to the base of the number of classes
            (Eq. 4).
        fraction: share of the rows that is informative; the threshold is then without effect.
        query_fraction: share of the rows in the first batch, and at most added a round.
        rounds: trainings at most.
        hidden_size: units of the classifier's hidden layer.
        seed: of the first batch and the classifiers.

    Returns:
        bool [n].
    """
    _, truth = np.unique(np.asarray(labels), return_inverse=True)
    total, classes = len(truth), int(truth.max()) + 1
    batch = math.ceil(query_fraction * total)
    wanted = total if fraction is None else math.ceil(fraction * total)
    if fraction is not None:
        batch = math.ceil(wanted / rounds)
    order = np.argsort(noise.uniform(seed, noise.stream("simpor start"), np.arange(total)))
    known = np.zeros(total, dtype=bool)
    known[order[: math.ceil(query_fraction * total)]] = True
    # The first row of each class: with rare classes a random batch would often hold one class only.
    known[order[np.unique(truth[order], return_index=True)[1]]] = True
    informative = np.zeros(total, dtype=bool)
    for round_number in range(rounds):
        head = train_head(
            embeddings[known],
            truth[known],
            num_labels=classes,
            hidden_size=hidden_size,
            min_steps=_HEAD_MIN_STEPS,
            seed=int(noise.hash_counters(seed, noise.stream("simpor head"), round_number) >> 1),
        )
        pool = np.flatnonzero(~informative)
        entropy = predictive_entropy(head_logits(head, embeddings[pool]))
        best = np.argsort(-entropy, kind="stable")[: min(batch, wanted - int(informative.sum()))]
        if fraction is None:
            best = best[entropy[best] >= threshold]
        if not len(best):
            break
        informative[pool[best]] = known[pool[best]] = True
    return informative


def predictive_entropy(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """−Σ p log_K p of scores [n, K] (Eq. 4): 0 where sure, 1 where all classes are as likely."""
    scores = torch.from_numpy(np.asarray(logits, dtype=np.float64))
    logarithms = scores.log_softmax(dim=1)
    entropy = -(logarithms.exp() * logarithms).sum(dim=1) / math.log(scores.shape[1])
    return entropy.numpy()


# ---- small parts --------------------------------------------------------------------------------


def mean_neighbor_distance(
    rows: FloatMatrix, queries: IntArray, k_neighbors: int
) -> npt.NDArray[np.float64]:
    """R of Eq. 14 [q]: mean distance of some rows to their k nearest in the class."""
    k = min(k_neighbors, len(rows) - 1)
    distances, _ = nearest_neighbors(rows[queries], rows, k, exclude=queries)
    return distances.double().mean(dim=1).numpy()


def _largest_other(counts: IntArray, code: int) -> int:
    others = counts.copy()
    others[code] = -1
    return int(others.argmax())


def _block_rows(width: int) -> int:
    """Points that are made together: about eleven vectors each, and a chunk of exponents."""
    return max(1, min(_LARGEST_BLOCK_ROWS, _BLOCK_BYTES // (4 * (11 * width + CHUNK_ROWS))))
