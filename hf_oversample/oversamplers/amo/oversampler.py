"""AMO: rows of larger classes translated into rows of smaller ones.

"Imbalanced Classification via Adversarial Minority Over-sampling" (ICLR 2020 submission; later M2m,
CVPR 2020), section 2, as an oversampler of embeddings.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.models.in_memory import folder_or_name, name_of
from hf_oversample.models.loading import load_complete
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.amo.translation import TranslationSettings, translate
from hf_oversample.oversamplers.embedding import EmbeddingOversampler, MadeEmbeddings
from hf_oversample.oversamplers.head_options import checked_head_options
from hf_oversample.oversamplers.option_checks import check_numbers, check_values
from hf_oversample.oversamplers.plan import RESAMPLED, SYNTHETIC, IntArray, Plan
from hf_oversample.training.heads import head_of_weights, head_weights, train_head

logger = logging.getLogger(__name__)

LOW_ACCEPTANCE = 0.1
UNIT_TOLERANCE = 0.01
ROLES = ("generating", "receiving")


def rejection_probability(
    beta: float, source_count: npt.ArrayLike, target_count: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """β^(N_k0 − N_k)₊ (equation 3): the chance that a translation is rejected unseen, by the counts
    of its seed's class and of its target class. 1 where the seed's class is not larger."""
    larger = np.subtract(source_count, target_count, dtype=np.float64).clip(min=0)
    return np.power(beta, larger)


class AmoOversampler(EmbeddingOversampler):
    """
    Moves rows of larger classes, by gradient descent on the row itself, until a classifier g that
    was trained on the imbalanced data takes them for the class that grows.

    A child's parent is its seed row, of another class than the child. Where a translation is
    rejected, a random real row of the class takes its place, marked ``resampled``, whose parent is
    that row. A class that no other class exceeds in rows (the largest, under "all") has no seeds:
    its children are all repeated real rows. Small differences between the classes' counts lead to
    much rejection by equation 3: lower ``beta`` then.

    Departures from the paper: steps have a fixed length; of a seed's steps, the best row that is
    accepted is taken, not the last row or none; γ is a probability, as in the authors' later code;
    f is trained before, with deferred balanced sampling (for a live f see
    :class:`~hf_oversample.oversamplers.amo.collator.AmoCollator`).

    Args:
        sampling_strategy, seed, copy_columns: as for every oversampler. Copied columns are the
            seed row's, which is of another class: a text copied so contradicts its label.
        beta: β of equations 3 and 4, in [0, 1); smaller trusts g more (paper: 0.99 or 0.999, chosen
            on validation rows).
        penalty: λ of equation 2 (paper: 0.1 or 0.5); 0 is the paper's ablation without f.
        acceptance: γ as a probability (paper: 0.9 or 0.99): translations that g places in the class
            with less are rejected.
        steps: gradient steps T.
        step_size: length of a step, relative to the rows' median length.
        noise_scale: expected length of a seed's start noise, relative to the same.
        project_to_sphere: whether rows keep their seed's length; "auto": if all rows have length 1
            to 1 %.
        clean: AMO-Clean (section 3.4): the seed itself is the child, where its translation is
            accepted.
        hidden_size: hidden units of the classifiers that are trained here; 0 for linear ones. The
            paper has two layers, without a width.
        epochs: their epochs. g sees all rows; f, from two thirds on, classes drawn evenly.
        head_options: further keywords of :func:`hf_oversample.training.heads.train_head` for both,
            but ``model`` and ``collator``.
        generating_classifier, receiving_classifier: g and f, as folders or as models in memory, in
            place of trained ones. Their class ids are the data set's class codes. A model in memory
            is not saved as such: the classifiers used are, see the attributes.
        precision: of the translation's products, "float32" or "bfloat16".

    Attributes (after ``fit``):
        acceptance_: one dict per pair of classes that had a draw: ``source`` and ``target`` (class
            names), ``drawn`` seeds, ``translated`` ones (not rejected unseen), ``accepted``.
        generating_classifier_, receiving_classifier_: the heads g and f (f None with penalty 0).

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range, or an unknown head option; when fitted, a classifier that
            does not fit the data.
    """

    code_version = 2

    def __init__(
        self,
        *,
        beta: float = 0.999,
        penalty: float = 0.5,
        acceptance: float = 0.9,
        steps: int = 10,
        step_size: float = 0.1,
        noise_scale: float = 0.05,
        project_to_sphere: bool | Literal["auto"] = "auto",
        clean: bool = False,
        hidden_size: int = 256,
        epochs: int = 15,
        head_options: Mapping[str, Any] | None = None,
        generating_classifier: str | Path | MlpForEmbeddingClassification | None = None,
        receiving_classifier: str | Path | MlpForEmbeddingClassification | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        check_numbers(int, steps=steps, hidden_size=hidden_size, epochs=epochs)
        check_numbers(
            float,
            beta=beta,
            penalty=penalty,
            acceptance=acceptance,
            step_size=step_size,
            noise_scale=noise_scale,
        )
        check_values(
            beta=(beta, 0 <= beta < 1, "in [0, 1)"),
            penalty=(penalty, penalty >= 0, "at least 0"),
            acceptance=(acceptance, 0 <= acceptance <= 1, "in [0, 1]"),
            steps=(steps, steps >= 0, "at least 0"),
            step_size=(step_size, step_size > 0, "positive"),
            noise_scale=(noise_scale, noise_scale >= 0, "at least 0"),
            project_to_sphere=(
                project_to_sphere,
                isinstance(project_to_sphere, bool) or project_to_sphere == "auto",
                'a bool or "auto"',
            ),
            clean=(clean, isinstance(clean, bool), "a bool"),
            hidden_size=(hidden_size, hidden_size >= 0, "at least 0"),
            epochs=(epochs, epochs >= 1, "at least 1"),
            precision=(precision, precision in ("float32", "bfloat16"), '"float32" or "bfloat16"'),
        )
        self.beta, self.penalty, self.acceptance = beta, penalty, acceptance
        self.steps, self.step_size, self.noise_scale = steps, step_size, noise_scale
        self.project_to_sphere, self.clean = project_to_sphere, clean
        self.hidden_size, self.epochs, self.precision = hidden_size, epochs, precision
        self.head_options = None if head_options is None else checked_head_options(head_options)
        self.generating_classifier = _name_of(generating_classifier, "generating_classifier")
        self.receiving_classifier = _name_of(receiving_classifier, "receiving_classifier")

    # ---- fitting --------------------------------------------------------------------------------

    def _learn(self, embeddings: npt.NDArray[np.float32], children: Mapping[int, int]) -> Plan:
        counts = np.bincount(self._codes(), minlength=len(self.label_names_))
        heads = {"generating": self._classifier("generating", embeddings)}
        if self.penalty:
            heads["receiving"] = self._classifier("receiving", embeddings)
        self._heads = {role: head_weights(model) for role, model in heads.items()}
        draws = [self._draw_seeds(code, n, counts) for code, n in children.items() if n]
        target, ordinal, seed_row, is_tried = (
            np.concatenate(parts)
            for parts in zip(*(draws or [self._draw_seeds(0, 0, counts)]), strict=True)
        )
        tried = np.flatnonzero(is_tried)
        seeds = embeddings[seed_row[tried]]
        moved = translate(
            torch.from_numpy(seeds),
            torch.from_numpy(self._codes()[seed_row[tried]]),
            torch.from_numpy(target[tried]),
            heads["generating"],
            heads.get("receiving"),
            self.settings(embeddings),
            seed=self.seed,
            counters=(target[tried], ordinal[tried]),
        )
        accepted = np.zeros(len(target), dtype=bool)
        accepted[tried] = moved.accepted.numpy()
        self._report(counts, target, seed_row, is_tried, accepted)
        # Algorithm 1, line 10: rejected ones become a random row of the class.
        repeated = np.where(accepted, -1, self._draw_repeats(target, ordinal))
        repeats, place = np.unique(repeated[~accepted], return_inverse=True)
        made = seeds if self.clean else moved.rows.numpy()
        self.made_ = np.concatenate([made[accepted[tried]], embeddings[repeats]])
        entry = np.empty(len(target), dtype=np.int64)
        entry[accepted] = np.arange(accepted.sum())
        entry[~accepted] = accepted.sum() + place
        parent = np.where(accepted, seed_row, repeated)
        origin = np.where(accepted, SYNTHETIC, RESAMPLED)
        extra = {"entry": entry, "origin": origin}
        return Plan.build(parent, _running_count(parent), target, extra)

    def _moves_rows(self) -> bool:
        return self.generating_classifier is None and self.receiving_classifier is None

    def _codes(self) -> IntArray:
        # Class codes may come in one byte, which an index or a product of codes does not fit.
        return np.asarray(self.labels_, dtype=np.int64)

    def settings(self, embeddings: npt.NDArray[np.float32]) -> TranslationSettings:
        """The translation's settings for rows [n, d], with lengths in the rows' units."""
        lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
        project = self.project_to_sphere
        if project == "auto":
            project = bool((np.abs(lengths - 1) <= UNIT_TOLERANCE).all())
        # Rows of zeros alone have no length to be relative to.
        unit = float(np.median(lengths)) or 1.0
        return TranslationSettings(
            penalty=self.penalty,
            acceptance=self.acceptance,
            steps=self.steps,
            step_length=self.step_size * unit,
            noise_length=self.noise_scale * unit,
            project=bool(project),
            precision=self.precision,
        )

    def _draw_seeds(
        self, code: int, number: int, counts: IntArray
    ) -> tuple[IntArray, IntArray, IntArray, npt.NDArray[np.bool_]]:
        """Of ``number`` children of a class: the class, 0 … number − 1, the seed row (−1: none),
        and whether it is to be translated."""
        target, ordinal = np.full(number, code, dtype=np.int64), np.arange(number)
        rejection = rejection_probability(self.beta, counts, counts[code])
        # Equation 4: P(k0 | k) ∝ 1 − β^(N_k0 − N_k)₊, over classes that have rows.
        shares = np.where(counts > 0, 1 - rejection, 0)
        if not shares.sum():
            if number:
                logger.warning(
                    "class %r (%d rows) has no larger class to translate rows of: its %d children "
                    "repeat its own rows",
                    *(self.label_names_[code], counts[code], number),
                )
            return target, ordinal, np.full(number, -1), np.zeros(number, dtype=bool)
        draws = noise.uniform(self.seed, noise.stream("amo class"), code, ordinal)
        ends = np.cumsum(shares / shares.sum())
        # Rounding may leave the last end below a draw: it then is of the last class with a share.
        source = np.minimum(np.searchsorted(ends, draws, side="right"), np.flatnonzero(shares)[-1])
        rows = self._random_rows("amo seed", source, code, ordinal)
        # Algorithm 1, line 8, drawn first: what is rejected anyhow need not be translated.
        is_kept = noise.uniform(self.seed, noise.stream("amo reject"), code, ordinal)
        return target, ordinal, rows, is_kept >= rejection[source]

    def _draw_repeats(self, target: IntArray, ordinal: IntArray) -> IntArray:
        return self._random_rows("amo repeat", target, target, ordinal)

    def _random_rows(self, name: str, classes: IntArray, *counters: Any) -> IntArray:
        """A random row of each class in ``classes``, with replacement."""
        codes = self._codes()
        counts = np.bincount(codes)
        starts = np.cumsum(counts) - counts
        by_class = np.argsort(codes, kind="stable")
        places = noise.integers(counts[classes], self.seed, noise.stream(name), *counters)
        return by_class[starts[classes] + places]

    def _report(
        self,
        counts: IntArray,
        target: IntArray,
        seed_row: IntArray,
        is_tried: npt.NDArray[np.bool_],
        accepted: npt.NDArray[np.bool_],
    ) -> None:
        names, classes = self.label_names_, len(counts)
        has_seed = seed_row >= 0
        pair = self._codes()[seed_row] * classes + target
        by_pair = [
            np.bincount(pair[chosen], minlength=classes**2).reshape(classes, classes)
            for chosen in (has_seed, is_tried, accepted)
        ]
        self.acceptance_ = [
            {
                "source": names[source],
                "target": names[code],
                "drawn": int(by_pair[0][source, code]),
                "translated": int(by_pair[1][source, code]),
                "accepted": int(by_pair[2][source, code]),
            }
            for source, code in np.argwhere(by_pair[0]).tolist()
        ]
        drawn, tried, taken = (numbers.sum(axis=0).tolist() for numbers in by_pair)
        low = [
            f"{names[code]!r}: {taken[code]} of {drawn[code]} ({tried[code]} were translated, the "
            "others rejected unseen by beta)"
            for code in range(classes)
            if taken[code] < LOW_ACCEPTANCE * drawn[code]
        ]
        if low:
            logger.warning(
                "AMO accepted under %.0f %% of its seeds, and repeats real rows instead, for %s. "
                "Where few were translated, lower beta=%s; where few of those were accepted, the "
                "generating classifier is too weak or acceptance=%s too strict.",
                100 * LOW_ACCEPTANCE,
                "; ".join(low),
                self.beta,
                self.acceptance,
            )

    # ---- classifiers ----------------------------------------------------------------------------

    def _classifier(
        self, role: str, embeddings: npt.NDArray[np.float32]
    ) -> MlpForEmbeddingClassification:
        given = getattr(self, f"{role}_classifier")
        shape = embeddings.shape[1], len(self.label_names_)
        if given is None:
            deferred: dict[str, Any] = {}
            if role == "receiving":
                deferred = {"sampling": "balanced", "deferred_start": round(self.epochs * 2 / 3)}
            return train_head(
                embeddings,
                self.labels_,
                num_labels=shape[1],
                hidden_size=self.hidden_size,
                epochs=self.epochs,
                seed=int(noise.hash_counters(self.seed, noise.stream(role)) >> np.uint64(1)),
                **{**deferred, **(self.head_options or {})},
            )
        model = load_complete(MlpForEmbeddingClassification, folder_or_name(given))
        if (model.config.input_size, model.config.num_labels) != shape:
            raise ValueError(
                f"the {role} classifier reads {model.config.input_size} numbers and knows "
                f"{model.config.num_labels} classes; the data set has {shape[0]} and {shape[1]}"
            )
        return model

    @property
    def generating_classifier_(self) -> MlpForEmbeddingClassification:
        """The classifier g that was used, rebuilt from its saved weights."""
        return head_of_weights(self._heads["generating"])

    @property
    def receiving_classifier_(self) -> MlpForEmbeddingClassification | None:
        """The classifier f that was used; None with ``penalty=0``."""
        return head_of_weights(self._heads["receiving"]) if "receiving" in self._heads else None

    # ---- making and saving ----------------------------------------------------------------------

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        return MadeEmbeddings(self.made_[plan.extra["entry"]], plan.extra["origin"])

    def _state_arrays(self) -> dict[str, np.ndarray]:
        arrays = {"made": self.made_}
        for role, weights in self._heads.items():
            arrays |= {f"{role}.{name}": values for name, values in weights.items()}
        return arrays

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.made_ = self._loaded_rows(arrays)
        self._heads = {}
        for role in ROLES:
            prefix = f"{role}."
            weights = {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
            if weights:
                self._heads[role] = weights

    def _state_config(self) -> dict[str, Any]:
        return {"acceptance": self.acceptance_}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.acceptance_ = config["acceptance"]


def _name_of(given: Any, parameter: str) -> str | None:
    if given is None:
        return None
    return name_of(given, parameter, with_tokenizer=False, kind=MlpForEmbeddingClassification)


def _running_count(keys: IntArray) -> IntArray:
    """For each entry, how many before it are equal to it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    count = np.empty(len(keys), dtype=np.int64)
    count[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    return count
