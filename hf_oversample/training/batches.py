"""Batches of MISO's training: one is drawn by (seed, step) for all processes, and dealt to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from hf_oversample.models.miso.configuration_miso import MisoConfig
from hf_oversample.neighbors.difficult import difficult_samples, nearest_neighbors
from hf_oversample.numeric import noise
from hf_oversample.text.encoding import EncodedText, pad
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.gathering import own_share


@dataclass(frozen=True)
class MisoPairs:
    """
    For each target class: its rows, their nearest rows of other classes, and how difficult each row
        is.

    Args:
        rows: class → `[m]` training rows, the most difficult first.
        neighbors: class → `[m, k]` nearest rows of other classes, nearest first.
        difficulty: class → `[m]`, the share of other classes among a row's k nearest neighbours.
        outvoted: class → `[m]`, whether other classes outvote the row's own there, votes weighted
            by class size: at any ratio, rows that lie among their own are told from the others.
        counts: class → (its rows, rows of the largest class): n₊ and n₋ of the temperature.
    """

    rows: dict[int, np.ndarray]
    neighbors: dict[int, np.ndarray]
    difficulty: dict[int, np.ndarray]
    outvoted: dict[int, np.ndarray]
    counts: dict[int, tuple[int, int]]

    @classmethod
    def find(
        cls,
        embeddings: np.ndarray,
        labels: np.ndarray,
        targets: Sequence[int],
        arguments: MisoTrainingArguments,
    ) -> MisoPairs:
        """
        Exact neighbours (section 7.1).

        Args:
            embeddings: `[n, d]`, of the training texts.
            labels: `[n]`, theirs.
            targets: the classes that anchors are for.
            arguments: `neighbors` is k.
        """
        largest = int(np.bincount(labels).max())
        samples = difficult_samples(
            embeddings, labels, k=arguments.neighbors, minority=list(targets)
        )
        rows, neighbors, difficulty, outvoted, counts = {}, {}, {}, {}, {}
        for label in targets:
            own = samples.labels == label
            order = np.argsort(-samples.weighted_other_share[own], kind="stable")
            rows[label] = samples.rows[own][order].astype(np.int64)
            difficulty[label] = samples.other_class_share[own][order].astype(np.float32)
            outvoted[label] = samples.is_outvoted[own][order]
            others = np.flatnonzero(labels != label)
            k = min(arguments.neighbors, len(others))
            _, found = nearest_neighbors(embeddings[rows[label]], embeddings[others], k)
            neighbors[label] = others[np.asarray(found)].astype(np.int64)
            counts[label] = (int(own.sum()), largest)
        return cls(rows, neighbors, difficulty, outvoted, counts)

    def all_rows(self) -> np.ndarray:
        """Every training row that a pair can hold: sorted, `[m]`."""
        return np.unique(
            np.concatenate([*self.rows.values(), *(n.ravel() for n in self.neighbors.values())])
        )

    def number_paired(self, label: int) -> int:
        """How many of a class's rows, from its first on, are difficult; all if none is."""
        return int((self.difficulty[label] > 0).sum()) or len(self.difficulty[label])

    def draw(
        self, arguments: MisoTrainingArguments, step: int, size: int
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """
        Pairs of one target class, drawn by (seed, step), for all processes together: its difficult
        rows, outvoted ones twice as often, and majority neighbours of theirs (section 4.2); all
        rows of a class that has no difficult one.

        Returns: the class, `[size]` of its rows, and `[size]` majority neighbours of theirs.
        """
        # the last counter was a process's number: what one process draws is as it was
        rng = noise.generator(arguments.seed, noise.stream("pairs"), step, 0)
        classes = list(self.rows)
        weights = (
            np.asarray([len(self.rows[c]) for c in classes], float) ** arguments.class_smoothing
        )
        label = classes[rng.choice(len(classes), p=weights / weights.sum())]
        # the rows that other classes outvote twice as often as the other difficult ones
        chance = np.where(self.outvoted[label], 2.0, 1.0)[: self.number_paired(label)]
        chosen = rng.choice(len(chance), size, replace=len(chance) < size, p=chance / chance.sum())
        neighbor = rng.integers(self.neighbors[label].shape[1], size=size)
        return label, self.rows[label][chosen], self.neighbors[label][chosen, neighbor]

    def partner(self, row: int, label: int, rng: np.random.Generator) -> int:
        """A majority neighbour of one row of a target class."""
        place = int(np.flatnonzero(self.rows[label] == row)[0])
        return int(rng.choice(self.neighbors[label][place]))

    def reference(self, label: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """
        Pairs for the reference bank, difficult rows as in training, the most difficult first,
        neighbours cycled.

        Returns: `[size]` rows of the class, and `[size]` majority neighbours.
        """
        number, paired = np.arange(size), self.number_paired(label)
        own, other = self.rows[label], self.neighbors[label]
        row = number % paired
        return own[row], other[row, (number // paired) % other.shape[1]]

    def save(self, path: Path) -> None:
        """A safetensors file."""
        arrays = {}
        for label in self.rows:
            arrays[f"rows.{label}"] = self.rows[label]
            arrays[f"neighbors.{label}"] = self.neighbors[label]
            arrays[f"difficulty.{label}"] = self.difficulty[label]
            arrays[f"outvoted.{label}"] = self.outvoted[label]
            arrays[f"counts.{label}"] = np.asarray(self.counts[label])
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, str(path))

    @classmethod
    def load(cls, path: Path) -> MisoPairs:
        """What `save` wrote."""
        arrays = load_file(str(path))
        labels = sorted(int(n.removeprefix("rows.")) for n in arrays if n.startswith("rows."))
        return cls(
            {c: arrays[f"rows.{c}"] for c in labels},
            {c: arrays[f"neighbors.{c}"] for c in labels},
            {c: arrays[f"difficulty.{c}"] for c in labels},
            {c: arrays[f"outvoted.{c}"] for c in labels},
            {c: (int(arrays[f"counts.{c}"][0]), int(arrays[f"counts.{c}"][1])) for c in labels},
        )


# Padded lengths of training batches are multiples of this: kernels are compiled for each new shape
# of a product on some processors, and a few shapes that come again take half the time.
TRAINING_LENGTH_STEP = 8


def _shared_length(rows: Sequence[np.ndarray], most: int | None) -> int:
    longest = max(len(row) for row in rows)
    rounded = -(-longest // TRAINING_LENGTH_STEP) * TRAINING_LENGTH_STEP
    return rounded if most is None else max(longest, min(rounded, most))


class MisoBatches:
    """
    Draws, masks and pads the texts of each training step.

    Args:
        encoded: the training texts.
        labels: `[n]`, theirs.
        arguments: sizes of the batches, shares, the seed.
        positions: `[vocabulary]`, place of each token among the output tokens, −100 for others.
        config: the generator's.
        padding, mask_token: ids of these tokens.
        process, processes: this process's number, and how many train together. Each draws the
            batch of all of them, and keeps its share: two processes with 16 texts each train on
            what one with 32 does.
        device: of the batches.
        places: tokens that the model has places for; None: any number.
    """

    def __init__(
        self,
        encoded: Sequence[EncodedText],
        labels: np.ndarray,
        arguments: MisoTrainingArguments,
        *,
        positions: Tensor,
        config: MisoConfig,
        padding: int,
        mask_token: int,
        process: int,
        processes: int,
        device: torch.device,
        places: int | None = None,
    ):
        self.encoded, self.labels = encoded, np.asarray(labels, np.int64)
        self.arguments, self.config = arguments, config
        self.positions = positions.numpy()
        self.padding, self.mask_token = padding, mask_token
        self.process, self.processes, self.device = process, processes, device
        self.places = places
        counts = np.bincount(self.labels, minlength=config.num_labels)
        weights = np.where(counts > 0, counts.astype(float) ** arguments.class_smoothing, 0.0)
        self.class_chance = weights / weights.sum()
        self.class_rows = [np.flatnonzero(self.labels == c) for c in range(config.num_labels)]

    def padded(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Token ids and mask of training rows `[n]`: `[n, l]` each."""
        ids = [self.encoded[row].input_ids for row in rows]
        return pad(ids, self.padding, self.device, _shared_length(ids, self.places))

    def mask_words(
        self, texts: Sequence[EncodedText], rng: np.random.Generator
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """
        Mask whole words, `mask_share` of them and one at least.

        Returns: for each text `[l]` token ids, and `[l]` output places of what was masked, −100
        elsewhere.
        """
        ids, targets = [], []
        for text in texts:
            words = int(text.word_index.max()) + 1
            chosen = rng.random(max(words, 1)) < self.arguments.mask_share
            if words and not chosen[:words].any():
                chosen[rng.integers(words)] = True
            hit = (text.word_index >= 0) & chosen[np.maximum(text.word_index, 0)]
            ids.append(np.where(hit, self.mask_token, text.input_ids))
            targets.append(np.where(hit, self.positions[text.input_ids], -100))
        return ids, targets

    def _groups(
        self,
        texts: Sequence[EncodedText],
        masked: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        number: int = 4,
    ) -> list[dict[str, Tensor]]:
        """
        A batch, masked by `mask_words`, in `number` groups of like length: half of a batch padded
        to its longest text is padding.

        Each group has its places in the batch (`rows`), `ids`, `masked_ids`, `mask` and `targets`.
        """
        order = np.argsort([len(text) for text in texts], kind="stable")
        groups = []
        for part in np.array_split(order, min(number, len(order))):
            length = _shared_length([texts[i].input_ids for i in part], self.places)
            ids, mask = pad([texts[i].input_ids for i in part], self.padding, self.device, length)
            hidden, _ = pad([masked[i] for i in part], self.padding, self.device, length)
            wanted, inside = pad([targets[i] for i in part], 0, self.device, length)
            groups.append(
                {
                    "rows": torch.as_tensor(part, device=self.device),
                    "ids": ids,
                    "mask": mask,
                    "masked_ids": hidden,
                    "targets": wanted.masked_fill(inside == 0, -100),
                }
            )
        return groups

    def _length_groups(self, rows: np.ndarray, size: int = 8) -> list[dict[str, Tensor]]:
        """Training rows in groups of like length, each with its places (`rows`), `ids`, `mask`."""
        order = np.argsort([len(self.encoded[row]) for row in rows], kind="stable")
        groups = []
        for start in range(0, len(order), size):
            part = order[start : start + size]
            ids, mask = self.padded(rows[part])
            places = torch.as_tensor(part, device=self.device)
            groups.append({"rows": places, "ids": ids, "mask": mask})
        return groups

    def pretrain(self, step: int, pairs: MisoPairs | None) -> dict[str, Any]:
        """
        Texts of phase 1, classes drawn in proportion to rows ** class_smoothing.

        The first `decoder_rows` are also rebuilt by the decoders; those of target classes
        (`paired_rows`) come with a majority neighbour, for Q̃ (none in a generator without SFM).
        `latent_groups` holds the former, then the latter. An editor's batch has neither.
        """
        a = self.arguments
        # the last counters of streams were a process's number: what one draws is as it was
        rng = noise.generator(a.seed, noise.stream("pretrain"), step, 0)
        number = a.batch_size * self.processes
        classes = rng.choice(len(self.class_chance), number, p=self.class_chance)
        rows = np.asarray([rng.choice(self.class_rows[c]) for c in classes])
        masked, targets = self.mask_words([self.encoded[row] for row in rows], rng)
        dropped = rng.random(number) < a.class_dropout
        fill_classes = np.where(dropped, self.config.num_labels, classes)
        own = self._own(range(number))
        batch: dict[str, Any] = {
            "groups": self._own_groups(rows, masked, targets, own),
            "classes": torch.as_tensor(classes[own], device=self.device),
            "fill_classes": torch.as_tensor(fill_classes[own], device=self.device),
        }
        if self.config.parts == "editor":
            return batch
        decoded = own[: a.decoder_rows]
        batch["decoder_ids"], batch["decoder_mask"] = self.padded(rows[decoded])
        known = pairs.rows if pairs is not None and self.config.use_sfm else {}
        partners = {
            place: pairs.partner(int(rows[place]), int(classes[place]), rng)
            for place in range(min(a.decoder_rows * self.processes, number))
            if pairs is not None and int(classes[place]) in known
        }
        paired = [i for i, place in enumerate(decoded) if place in partners]
        batch["paired_rows"] = torch.tensor(paired, dtype=torch.long, device=self.device)
        read = rows[decoded]
        if paired:
            read = np.concatenate([read, [partners[decoded[i]] for i in paired]])
        batch["latent_groups"] = self._length_groups(read)
        return batch

    def adversarial(self, step: int, pairs: MisoPairs) -> tuple[dict[str, Any], int]:
        """
        Pairs of phase 3: first the target class's texts, then their majority neighbours.

        Returns: the batch, and the target class.
        """
        a = self.arguments
        number = a.pair_batch_size * self.processes
        label, minority, majority = pairs.draw(a, step, number)
        rng = noise.generator(a.seed, noise.stream("adversarial"), step, 0)
        rows = np.concatenate([minority, majority])
        masked, targets = self.mask_words([self.encoded[row] for row in rows], rng)
        classes = self.labels[rows]
        dropped = rng.random(len(rows)) < a.class_dropout
        fill_classes = np.where(dropped, self.config.num_labels, classes)
        know = rng.random(len(rows)) < 0.5
        sides = self._own(range(number)), self._own(range(number, 2 * number))
        own = [*sides[0], *sides[1]]
        batch: dict[str, Any] = {
            "groups": self._own_groups(rows, masked, targets, own),
            "classes": torch.as_tensor(classes[own], device=self.device),
            "fill_classes": torch.as_tensor(fill_classes[own], device=self.device),
            "know_latent": torch.as_tensor(know[own], device=self.device).float(),
        }
        batch["minority_ids"], batch["minority_mask"] = self.padded(rows[sides[0]])
        batch["majority_ids"], batch["majority_mask"] = self.padded(rows[sides[1]])
        return batch, label

    def _own(self, places: Sequence[int]) -> list[int]:
        """This process's of places of the batch of all."""
        return list(own_share(places, self.process, self.processes))

    def _own_groups(
        self,
        rows: np.ndarray,
        masked: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        own: Sequence[int],
    ) -> list[dict[str, Tensor]]:
        """`_groups` of this process's places of the batch of all."""
        texts = [self.encoded[rows[place]] for place in own]
        return self._groups(texts, [masked[i] for i in own], [targets[i] for i in own])

    def validation(
        self, encoded: Sequence[EncodedText], labels: np.ndarray, limit: int = 512
    ) -> list[dict]:
        """At most `limit` validation texts, in batches with masks fixed by the seed."""
        rng = noise.generator(self.arguments.seed, noise.stream("validation"))
        rows = rng.permutation(len(encoded))[:limit]
        rows = rows[np.argsort([len(encoded[row]) for row in rows], kind="stable")]
        result = []
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            texts = [encoded[row] for row in part]
            groups = self._groups(texts, *self.mask_words(texts, rng), number=1)
            # a group keeps its rows sorted by length
            classes = torch.as_tensor(labels[part], device=self.device)[groups[0]["rows"]]
            groups[0]["rows"] = torch.arange(len(classes), device=self.device)
            # a token that training never saw cannot be written, and is not asked for
            if (groups[0]["targets"] != -100).any():
                result.append({"groups": groups, "classes": classes})
        return result
