"""Batches of the Bayesian-network GAN's training, by (seed, step), dealt to the processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hf_oversample.models.bayesian_gan.configuration_bayesian_gan import BayesianGanConfig
from hf_oversample.numeric import noise
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments
from hf_oversample.training.gathering import own_share

# in the noise's counters, where a process's number was: what one process draws is as it was
_FORMER_PROCESS = 0


class GanBatches:
    """
    Real rows, noise and shifts of a step.

    Args:
        rows: `[n, d]`, in the networks' units, on the device that is trained on.
        codes: `[n]`, class ids.
        config: the model's.
        arguments: batch size, shares of the classes, shifts and seed.
        process, processes: number of this process, and how many train together: each has its share
            of the batch of all.
        targets: class ids that are to be made; all by default.
    """

    def __init__(
        self,
        rows: Tensor,
        codes: npt.NDArray[np.int64],
        config: BayesianGanConfig,
        arguments: BayesianGanTrainingArguments,
        process: int,
        processes: int,
        targets: Sequence[int] | None = None,
    ) -> None:
        self.rows, self.device = rows, rows.device
        self.labels = torch.from_numpy(codes).to(rows.device)
        self.config, self.arguments = config, arguments
        # of the batch of all processes
        self.processes = processes
        every = np.arange(arguments.batch_size * processes)
        self.places = own_share(every, process, processes)
        self.variables = len((config.network or {})["observed"])
        self.by_class = [np.flatnonzero(codes == c) for c in range(config.num_labels)]
        counts = np.array([len(found) for found in self.by_class], dtype=np.float64)
        self.class_ends = np.cumsum(class_shares(counts, arguments, targets))

    def real(self, step: int, draw: int) -> tuple[Tensor, Tensor]:
        """Rows `[m, d]` of classes drawn by `class_shares`, and their class ids `[m]`."""
        a = self.arguments
        key = (step, _FORMER_PROCESS, draw, self.places)
        u = noise.uniform(a.seed, noise.stream("bayesian gan class"), *key)
        # Rounding may leave the last end below a draw: it then is of the last class with rows.
        largest = max(c for c, found in enumerate(self.by_class) if len(found))
        classes = np.minimum(np.searchsorted(self.class_ends, u, side="right"), largest)
        sizes = np.array([len(found) for found in self.by_class])[classes]
        within = noise.integers(sizes, a.seed, noise.stream("bayesian gan row"), *key)
        rows = np.array([self.by_class[c][i] for c, i in zip(classes, within, strict=True)])
        chosen = torch.from_numpy(rows).to(self.device)
        return self.rows[chosen], self.labels[chosen]

    def noise(self, step: int, draw: int) -> tuple[Tensor, Tensor]:
        """z `[m, noise_size]` and c `[m, variables]`, standard normal."""
        width = self.config.noise_size
        values = noise.normal(
            self.arguments.seed,
            noise.stream("bayesian gan noise"),
            *(step, _FORMER_PROCESS, draw),
            self.places[:, None],
            np.arange(width + self.variables),
        )
        drawn = torch.from_numpy(values.astype(np.float32)).to(self.device)
        return drawn[:, :width], drawn[:, width:]

    def moved(self, rows: Tensor, step: int, draw: int) -> Tensor:
        """Images, each shifted by a random whole number of pixels; their edges are repeated."""
        a = self.arguments
        if not a.max_translation:
            return rows
        side = self.config.image_side
        # real rows of all processes, then made ones
        parts, size = len(rows) // len(self.places), len(self.places) * self.processes
        places = np.concatenate([self.places + part * size for part in range(parts)])
        shifts = noise.integers(
            2 * a.max_translation + 1,
            a.seed,
            noise.stream("bayesian gan shift"),
            *(step, _FORMER_PROCESS, draw),
            places[:, None],
            np.arange(2),
        )
        moves = torch.from_numpy(shifts - a.max_translation).to(rows.device)
        pixels = (torch.arange(side, device=rows.device) + moves[:, :, None]).clamp(0, side - 1)
        images, numbers = rows.unflatten(1, (side, side)), torch.arange(len(rows))
        index = numbers.to(rows.device)[:, None, None]
        return images[index, pixels[:, 0, :, None], pixels[:, 1, None, :]].flatten(1)


def class_shares(
    counts: npt.NDArray[np.float64],
    arguments: BayesianGanTrainingArguments,
    targets: Sequence[int] | None = None,
) -> npt.NDArray[np.float64]:
    """
    Shares of the classes in a step's rows: by `class_smoothing`, but for `target_share`.

    Args:
        counts: rows by class id.
        arguments: with both.
        targets: class ids that are to be made; all by default.
    """
    shares = np.zeros(len(counts))
    shares[counts > 0] = counts[counts > 0] ** arguments.class_smoothing
    shares /= shares.sum()
    wanted = np.zeros(len(counts), dtype=bool)
    wanted[list(range(len(counts)) if targets is None else targets)] = True
    share, least = shares[wanted].sum(), arguments.target_share
    if 0 < share < least:
        shares = np.where(wanted, shares * least / share, shares * (1 - least) / (1 - share))
    return shares


def checked_rows(rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Rows as a float32 matrix.

    Raises:
        ValueError: no matrix, or values that are not finite.
    """
    matrix = np.ascontiguousarray(rows, dtype=np.float32)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"The rows have shape {matrix.shape}; a matrix [n, width] is needed.")
    if not np.isfinite(matrix).all():
        row, place = (int(found[0]) for found in np.nonzero(~np.isfinite(matrix)))
        raise ValueError(
            f"The rows have {matrix[row, place]} in row {row}, position {place}: they must be "
            "finite; embed the row again or drop it."
        )
    return matrix


def checked_codes(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Class ids as integers.

    Raises:
        ValueError: values that are no whole numbers.
    """
    given = np.asarray(labels)
    if given.dtype.kind not in "iub":
        raise ValueError(
            f"The labels are of type {given.dtype}; class ids are whole numbers from 0 on."
        )
    return given.astype(np.int64)


def check_labels(
    matrix: npt.NDArray[np.float32],
    codes: npt.NDArray[np.int64],
    config: BayesianGanConfig,
    targets: Sequence[int] | None = None,
) -> None:
    """Refuse rows and labels that do not fit a model.

    Raises:
        ValueError: another width or number of rows, unknown classes, one class alone, or a class
            that is to be made and has no rows.
    """
    if matrix.shape[1] != config.input_size:
        raise ValueError(
            f"The rows have {matrix.shape[1]} numbers and the model reads {config.input_size}: "
            "make the model with new_bayesian_gan(rows, …)."
        )
    if codes.shape != matrix.shape[:1]:
        raise ValueError(f"There are {len(matrix)} rows and labels of shape {codes.shape}.")
    if codes.min() < 0 or codes.max() >= config.num_labels:
        raise ValueError(
            f"The labels run from {codes.min()} to {codes.max()}; the model knows the classes 0 to "
            f"{config.num_labels - 1}."
        )
    if absent := sorted({int(code) for code in targets or ()} - set(codes.tolist())):
        raise ValueError(
            f"Rows of class {config.id2label[absent[0]]!r} are to be made, and there are none to "
            "learn them from."
        )
    if len(np.unique(codes)) < 2:
        raise ValueError(
            f"All rows are of class {config.id2label[int(codes[0])]!r}: a GAN that is told the "
            "class needs rows of at least two."
        )
