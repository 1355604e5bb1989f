"""What both realisers share: a request for an anchor, and z of the texts anchors start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.text.encoding import SMALLEST_BATCH, EncodedText, pad, token_budget_batches


@dataclass(frozen=True)
class AnchorRequest:
    """
    One anchor to write.

    Args:
        source: the encoded text that it starts from.
        label: the class that it is for.
        avoid: the class that guidance leads away from: the source's own, or its nearest
            neighbours'.
        key: counters that its randomness is a function of: (row, child, try).
        weights: `[words]`, how much each word of the source should be replaced; equal weights where
            none.
        share: share of the source's words to replace.
    """

    source: EncodedText
    label: int
    avoid: int
    key: tuple[int, ...]
    weights: np.ndarray | None = None
    share: float = 0.35


def autocast(model: MisoForAnchorGeneration, precision: str) -> torch.autocast:
    """bfloat16 products where asked; nothing for "float32"."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bfloat16")


@torch.no_grad()
def source_latents(
    model: MisoForAnchorGeneration,
    rows: Sequence[np.ndarray],
    labels: Tensor | None,
    padding: int,
    token_budget: int = 4096,
) -> Tensor:
    """
    z of texts (q where the generator has no fusion).

    Args:
        model: the generator.
        rows: n texts as token ids.
        labels: `[n]`, the class that each anchor is for; None gives q.
        padding: id of the padding token.
        token_budget: padded tokens of a batch.

    Returns: `[n, h, d]`; a text's z does not depend on the others.
    """
    config = model.config
    result = torch.empty(
        len(rows),
        config.num_latent_heads,
        config.latent_size,
        device=model.device,
        dtype=model.dtype,
    )

    def read(batch: np.ndarray, length: int) -> None:
        filler = [batch[0]] * max(0, SMALLEST_BATCH - len(batch))
        ids, mask = pad([rows[i] for i in [*batch, *filler]], padding, model.device, length)
        index = torch.as_tensor(batch, device=model.device)
        if labels is None:
            latents = model.miso(ids, mask).last_hidden_state
        else:
            classes = torch.cat([labels[index], labels[index[:1]].expand(len(filler))])
            output = model.miso(ids, mask, class_ids=classes, fuse=config.use_sfm)
            latents = output.last_hidden_state
        result[index] = latents[: len(batch)].to(result.dtype)

    batches = token_budget_batches([len(row) for row in rows], token_budget)
    work_in_batches(batches, read, what="reading the texts that anchors start from")
    return result


def generator_labels(
    model: MisoForAnchorGeneration, names: Sequence[str], written: Iterable[int]
) -> np.ndarray:
    """
    A generator's label of each class, by name: `[classes]` int64.

    Args:
        model: the generator.
        names: the data set's classes, by class code.
        written: codes of the classes that texts are to be written for.

    Raises:
        ValueError: a class that the generator does not know, or was not trained to write.
    """
    config, generator = model.config, model.name_or_path
    known = {str(name): label for name, label in config.label2id.items()}
    if missing := [name for name in names if name not in known]:
        raise ValueError(
            f"The generator {generator} does not know the class(es) {missing}; it was "
            f"trained with {sorted(known)}. Train one on this data set, or rename the labels."
        )
    ids = np.asarray([known[name] for name in names], np.int64)
    if untrained := [names[code] for code in written if ids[code] not in config.target_classes]:
        raise ValueError(
            f"The generator {generator} was not trained to write the class(es) "
            f"{untrained}: train it with them among its target classes, or ask for other "
            "classes with sampling_strategy."
        )
    return ids
