"""Draws in which rare classes come more often, the same for any number of processes.

An epoch's rows are a function of (seed, epoch) alone. Accelerate gives each process every n-th
batch of a sampler's one sequence (`BatchSamplerShard`), so all processes together draw what one
would, and a training that is resumed in the middle of an epoch skips what was drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import IterableDataset, Sampler, get_worker_info

from hf_oversample.data.class_counts import class_ids, counted
from hf_oversample.numeric import noise

if TYPE_CHECKING:
    from datasets import Dataset

STRATEGIES = {"balanced": 0.0, "square_root": 0.5, "rows": 1.0}
"""Name → q: a class of n rows is drawn in proportion to n^q."""


def class_shares(counts: npt.NDArray[np.int64], strategy: str | float) -> npt.NDArray[np.float64]:
    """The share of the draws that each class gets (Kang et al. 2020, "Decoupling Representation and
    Classifier for Long-Tailed Recognition", equation 1).

    Args:
        counts: [classes] rows.
        strategy: ``"balanced"``: every class as often; ``"square_root"``: in proportion to the
            root of its rows; ``"rows"``: to its rows; or the power q itself, from 0 to 1.

    Raises:
        ValueError: an unknown strategy.
    """
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        raise ValueError(
            f"there is no sampling {strategy!r}: take one of {', '.join(STRATEGIES)}, or the power"
        )
    power = STRATEGIES[strategy] if isinstance(strategy, str) else float(strategy)
    if not 0 <= power <= 1:
        raise ValueError(f"the power of the class counts is {power}: it must be from 0 to 1")
    scaled = counts.astype(np.float64) ** power
    shares: npt.NDArray[np.float64] = scaled / scaled.sum()
    return shares


class MinoritySampler(Sampler[int]):
    """Row numbers of an epoch, with classes in chosen shares.

    A class's draws are its share of the epoch to within one row, and each of its rows comes as
    often as any other, to within one: nothing is left to chance but which rows, and the order.

    Args:
        dataset: the training rows.
        strategy: see `class_shares`.
        label_column: a ClassLabel, or integers from 0.
        start_epoch: epochs before it have each row once (deferred sampling).
        num_samples: rows of an epoch; default: as many as the data set has.
        seed: of the draws.

    Raises:
        ValueError: an unknown column or strategy, labels that are no class ids, a class without
            rows, a negative start, or no samples.
    """

    def __init__(
        self,
        dataset: Dataset,
        strategy: str | float = "balanced",
        *,
        label_column: str = "label",
        start_epoch: int = 0,
        num_samples: int | None = None,
        seed: int = 0,
    ) -> None:
        counts = counted(dataset, label_column)
        self.labels, _ = class_ids(dataset, label_column)
        self.num_samples = len(dataset) if num_samples is None else num_samples
        if self.num_samples < 1 or start_epoch < 0:
            raise ValueError(
                f"num_samples={num_samples} must be at least 1, and start_epoch={start_epoch} not "
                "negative"
            )
        self.shares = class_shares(counts, strategy)
        self.start_epoch, self.seed, self.epoch = start_epoch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose rows come next; Accelerate's loaders and `MinorityTrainer` call it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        """The rows of the epoch, in order."""
        return iter(self.rows(self.epoch).tolist())

    def rows(self, epoch: int) -> npt.NDArray[np.int64]:
        """The rows of any epoch: int64 [num_samples]."""
        draws = noise.generator(self.seed, noise.stream("minority sampler"), epoch)
        total = self.num_samples
        if epoch < self.start_epoch:
            return _repeated(np.arange(len(self.labels)), total, draws)
        parts = [
            _repeated(np.flatnonzero(self.labels == code), number, draws)
            for code, number in enumerate(_whole(self.shares, total, draws))
        ]
        return draws.permutation(np.concatenate(parts))


def _whole(
    shares: npt.NDArray[np.float64], total: int, draws: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Shares of a total as whole numbers that add up to it; what is left over is drawn by the
    fractions, so that classes with less than a row an epoch come in some epochs."""
    exact = shares * total
    numbers = np.floor(exact).astype(np.int64)
    left = total - int(numbers.sum())
    fractions = exact - numbers
    if left:
        places = draws.choice(len(shares), size=left, replace=False, p=fractions / fractions.sum())
        numbers[places] += 1
    return numbers


def _repeated(
    rows: npt.NDArray[np.int64], number: int, draws: np.random.Generator
) -> npt.NDArray[np.int64]:
    """So many of the rows: whole rounds of all, and a part of a round without repeats."""
    rounds = [draws.permutation(rows) for _ in range(-(-number // len(rows)))]
    return np.concatenate(rounds)[:number] if rounds else rows[:0]


class MinorityStream(IterableDataset):
    """A stream in which rows come with the frequency that gives classes chosen shares: rows of rare
    classes several times, rows of common ones sometimes not at all, in an order that a buffer
    shuffles. An epoch has as many rows as the stream.

    How often a row comes depends on (seed, epoch, its place among the rows of its class) alone:
    of a class of n rows that is to come T times, the m-th comes ⌊((m + 1) T + φ) / n⌋ −
    ⌊(m T + φ) / n⌋ times, with a whole φ that is drawn for the epoch, which makes exactly T.

    Every process reads the whole stream in the same order; Accelerate deals out its rows. With
    collators that pad to the longest row of a batch, several processes need
    ``TrainingArguments(accelerator_config={"dispatch_batches": False})``.

    Args:
        dataset: an `datasets.IterableDataset`, or any iterable of dicts that can be read again.
        counts: rows of each class in the whole stream: a stream cannot be counted beforehand.
        strategy: see `class_shares`.
        label_column: of class ids.
        buffer_size: rows that are shuffled among each other.
        start_epoch: epochs before it have each row once.
        seed: of the draws.

    Raises:
        ValueError: a count of 0, an unknown strategy, a buffer below 1; when read: a row without
            the column, or with a class that was not counted, other counts than were given, or
            several workers of a DataLoader, each of which would read a part.
    """

    def __init__(
        self,
        dataset: Any,
        counts: npt.ArrayLike,
        strategy: str | float = "balanced",
        *,
        label_column: str = "label",
        buffer_size: int = 1000,
        start_epoch: int = 0,
        seed: int = 0,
    ) -> None:
        self.counts = counted(np.asarray(counts))
        if buffer_size < 1:
            raise ValueError(f"buffer_size={buffer_size} must be at least 1")
        self.dataset, self.label_column, self.buffer_size = dataset, label_column, buffer_size
        self.shares = class_shares(self.counts, strategy)
        self.start_epoch, self.seed, self.epoch = start_epoch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose rows come next, told to the stream too; loaders call it."""
        self.epoch = epoch
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows of the epoch."""
        worker = get_worker_info()
        if worker is not None and worker.num_workers > 1:
            raise ValueError(
                f"this is one of {worker.num_workers} workers that each read a part of the stream, "
                "whose class counts are not known: set dataloader_num_workers to 0 or 1"
            )
        draws = noise.generator(self.seed, noise.stream("minority stream"), self.epoch)
        buffer: list[dict[str, Any]] = []
        for row in self._repeated(draws):
            if len(buffer) < self.buffer_size:
                buffer.append(row)
                continue
            place = int(draws.integers(len(buffer)))
            buffer[place], row = row, buffer[place]
            yield row
        for place in draws.permutation(len(buffer)).tolist():
            yield buffer[place]

    def _repeated(self, draws: np.random.Generator) -> Iterator[dict[str, Any]]:
        totals = self.counts
        if self.epoch >= self.start_epoch:
            totals = _whole(self.shares, len(self), draws)
        phases = draws.integers(self.counts)
        seen = np.zeros_like(self.counts)
        for number, row in enumerate(self.dataset):
            label = self._label(row, number)
            ends = (np.arange(2) + seen[label]) * totals[label] + phases[label]
            first, last = ends // self.counts[label]
            seen[label] += 1
            for _ in range(last - first):
                yield row
        if not np.array_equal(seen, self.counts):
            raise ValueError(
                f"the stream had {seen.tolist()} rows of each class, and counts="
                f"{self.counts.tolist()} were given: give those of the whole stream"
            )

    def _label(self, row: Mapping[str, Any], number: int) -> int:
        if self.label_column not in row:
            raise ValueError(
                f"row {number} of the stream has no {self.label_column!r}, but {list(row)}: name "
                "one of these as label_column"
            )
        label: int = row[self.label_column]
        if not 0 <= label < len(self.counts):
            raise ValueError(
                f"{self.label_column!r} is {label} in row {number} of the stream, outside of the "
                f"{len(self.counts)} classes that were counted"
            )
        return label
