"""Texts a second through an encoder: sorted by length into batches of so many tokens, or as they
come in batches of so many texts.

    python benchmarks/embeddings_text.py --output benchmarks/embeddings_text.jsonl

The demo extra's SMS through its encoder. The ways alternate in one process, and turn about each
round. Ratios are medians over rounds of two neighbouring runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from embeddings_measuring import Records, alternating, machine, summary, timed

from hf_oversample.data.demo import demo_encoder_path, demo_sms
from hf_oversample.numeric.precision import has_fast_bfloat16
from hf_oversample.transforms.embed import TextEmbedder

LARGEST_DIFFERENCE = 1e-4


def as_they_come(
    embedder: TextEmbedder, texts: list[str], batch_size: int, dtype: torch.dtype
) -> np.ndarray:
    """Mean-pooled embeddings of length 1, in batches of the texts' own order, padded to the
    longest of each: the loop of the model's own page."""
    model, tokenizer = embedder.loaded
    result = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            batch = tokenizer(
                texts[start : start + batch_size],
                padding=True,
                truncation=True,
                max_length=embedder.max_length,
                return_tensors="pt",
            )
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(dtype)
            pooled = (states * mask).sum(1) / mask.sum(1)
            result.append(torch.nn.functional.normalize(pooled.float(), dim=-1).numpy())
    return np.concatenate(result)


def main() -> None:
    """Measure, and write the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--batch_size", type=int, default=32, help="of the texts as they come")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="file that the JSON lines are appended to")
    arguments = parser.parse_args()
    sms = demo_sms().shuffle(seed=arguments.seed)
    texts = sms["text"][: arguments.texts]
    for precision in ["float32"] + (["bfloat16"] if has_fast_bfloat16("cpu") else []):
        embedder = TextEmbedder(demo_encoder_path(), dtype=precision, device="cpu")  # type: ignore[arg-type]
        dtype = getattr(torch, precision)
        ways: dict[str, Callable[[], Any]] = {
            "as they come": lambda embedder=embedder, dtype=dtype: as_they_come(  # type: ignore[misc]
                embedder, texts, arguments.batch_size, dtype
            ),
            "TextEmbedder": lambda embedder=embedder: embedder.embed(texts),  # type: ignore[misc]
        }
        made = [work() for work in ways.values()]  # the warm-up, too
        difference = float(np.abs(made[0] - made[1]).max())
        if precision == "float32" and difference > LARGEST_DIFFERENCE:
            raise RuntimeError(f"the two ways differ by {difference:.2g}: they do not do the same")
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for _, name in alternating(tuple(ways), arguments.rounds):
            found[name].append(timed(ways[name]))
        Records(arguments.output).write(
            benchmark="text",
            precision=precision,
            texts=len(texts),
            batch_size=arguments.batch_size,
            rounds=arguments.rounds,
            largest_difference=difference,
            reference="as they come",
            summary=summary(found, "as they come"),
            machine=machine(),
        )


if __name__ == "__main__":
    main()
