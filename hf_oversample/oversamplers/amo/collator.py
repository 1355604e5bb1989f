"""AMO on the fly: translations made with the classifier as it is at each step of its training.

Section 2.2 of the paper, "Practical implementation via re-sampling": within a class-balanced
batch, some of the smaller classes' repeats give way to translations of the batch's other rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from hf_oversample.models.classifiers.mlp import MlpForEmbeddingClassification
from hf_oversample.numeric import noise
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler, rejection_probability
from hf_oversample.oversamplers.amo.translation import TranslationSettings, translate


class AmoCollator:
    """Row numbers of a class-balanced batch → vectors and labels, with AMO from a step on.

    Every row of a class k is chosen with probability 1 − N_k / N_1; a chosen row gives way to the
    translation, into its class, of a row of the batch drawn by equation 4, unless equation 3 or g
    rejects that: then it stays itself. Before ``start_step`` all rows stay (deferred start).

    The batch should come class-balanced from ``start_step`` on
    (``sampling="balanced"`` of :func:`hf_oversample.training.heads.train_head`, or a
    ``WeightedRandomSampler`` whose weights of the rows are
    ``balanced_class_weights(counts)[labels]`` of :mod:`hf_oversample.training.losses`). As
    ``collate_fn`` of a DataLoader over ``range(n)``, it needs ``num_workers=0``: another process
    would not see f being trained. Draws depend on (seed, step, place in the batch) alone; set
    ``step`` when a training is resumed.

    Rows and batches are on the CPU; what is translated goes to the classifiers' device and back.
    A loader prepared by Accelerate (``accelerator.prepare``) fetches one batch ahead: f is then as
    it was one update before. Give f itself, not what ``prepare`` wraps it in for several processes.

    Args:
        embeddings: [n, d], all training rows.
        labels: [n] class ids.
        generating: g, trained on the imbalanced data.
        receiving: f, the classifier in training: its current weights are read at every call.
        start_step: first step (batch) with translations: steps per epoch × the epoch to start at
            (the paper's protocol defers for the first 160 of 200 epochs on images).
        method: holds β, λ, γ, steps and lengths; its own strategy and classifiers are not used.
            Default: ``AmoOversampler()``.
        seed: of the draws.

    Attributes:
        step: batches so far.
        translated, accepted: rows so far that were translated, and that were accepted.

    Raises:
        ValueError: sizes that do not fit.
        RuntimeError: when called, classifiers on two devices.
    """

    def __init__(
        self,
        embeddings: npt.ArrayLike,
        labels: npt.ArrayLike,
        generating: MlpForEmbeddingClassification,
        receiving: MlpForEmbeddingClassification,
        *,
        start_step: int = 0,
        method: AmoOversampler | None = None,
        seed: int = 0,
    ) -> None:
        # A copy where the memory is another's and not to be written to, of which torch warns.
        vectors = np.require(embeddings, np.float32, ["C", "W"])
        codes = np.asarray(labels, dtype=np.int64)
        if vectors.ndim != 2 or codes.shape != vectors.shape[:1] or not len(codes):
            raise ValueError(
                f"embeddings have shape {vectors.shape} and labels {codes.shape}: [n, d] and [n] "
                "are needed"
            )
        method = method or AmoOversampler()
        self.settings: TranslationSettings = method.settings(vectors)
        self.generating, self.receiving = generating, receiving
        self.start_step, self.seed = start_step, seed
        self.beta, self.clean = method.beta, method.clean
        self.step = self.translated = self.accepted = 0
        self._rows, self._labels = torch.from_numpy(vectors), torch.from_numpy(codes)
        self._codes, self._counts = codes, np.bincount(codes)

    def __call__(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Row numbers [batch] → vectors float32 [batch, d] (new memory) and labels int64 [batch].

        Raises:
            RuntimeError: called in a worker process of a DataLoader.
        """
        if get_worker_info() is not None:
            raise RuntimeError(
                "AmoCollator translates with the classifier in training, of which a worker process "
                "has an old copy: use DataLoader(num_workers=0)"
            )
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        vectors, labels = self._rows[index], self._labels[index]
        if self.step >= self.start_step:
            self._translate(vectors, self._codes[index.numpy()])
        self.step += 1
        return vectors, labels

    def _draw(self, name: str, number: int) -> npt.NDArray[np.float64]:
        return noise.uniform(self.seed, noise.stream(name), self.step, np.arange(number))

    def _translate(self, vectors: Tensor, codes: npt.NDArray[np.int64]) -> None:
        """Replace some of the batch's vectors, in place."""
        number, counts = len(codes), self._counts[codes]
        # Eq. 4 over the batch's rows [target, source].
        rejection = rejection_probability(self.beta, counts[None, :], counts[:, None])
        ends = np.cumsum(1 - rejection, axis=1)
        is_chosen = self._draw("amo choice", number) < 1 - counts / self._counts.max()
        places = np.flatnonzero(is_chosen & (ends[:, -1] > 0))
        marks = self._draw("amo class", number)[places] * ends[places, -1]
        sources = (ends[places] <= marks[:, None]).sum(axis=1).clip(max=number - 1)
        is_kept = self._draw("amo reject", number)[places] >= rejection[places, sources]
        places, sources = places[is_kept], sources[is_kept]
        if not len(places):
            return
        # Read at every call: a training loop may move f after the collator is made.
        device = self.generating.device
        if self.receiving.device != device:
            raise RuntimeError(
                f"the generating classifier is on {device}, the receiving one on "
                f"{self.receiving.device}: move both to one device, with generating.to(device)"
            )
        seeds = vectors[torch.from_numpy(sources)]
        moved = translate(
            seeds.to(device),
            torch.from_numpy(codes[sources]).to(device),
            torch.from_numpy(codes[places]).to(device),
            self.generating,
            self.receiving,
            self.settings,
            seed=self.seed,
            counters=(self.step, places),
        )
        accepted = moved.accepted.cpu()
        made = seeds if self.clean else moved.rows.cpu()
        vectors[torch.from_numpy(places)[accepted]] = made[accepted]
        self.translated += len(places)
        self.accepted += int(accepted.sum())
