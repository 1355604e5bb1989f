"""The Bayesian-network GAN's disentanglement: the score of Kim and Mnih on generated images in the
manner of dSprites, one shape of which is rare (Figure 4b of its paper).

    python benchmarks/bayesian_gan.py shapes --output benchmarks/bayesian_gan.jsonl
    python benchmarks/bayesian_gan.py table benchmarks/bayesian_gan.jsonl

Codes are those that the feature extractor reads from real images. `shapes` skips what its output
holds already. The paper's table of MNIST is `recipes/reproduce.py --table bayesian1`, which may
write to the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_oversample.bayesian_network import BayesianNetwork
from hf_oversample.metrics.disentanglement import kim_mnih_score
from hf_oversample.reproduction.bayesian_gan import OURS, BayesianGanTable1, task_table
from hf_oversample.reproduction.records import JsonlRecords
from hf_oversample.shapes import FACTORS, SHAPES, draw_shapes, random_factors
from hf_oversample.training.bayesian_gan import BayesianGanTrainer, new_bayesian_gan
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments


def shapes(options: argparse.Namespace) -> None:
    """The score of every regulariser, ratio and seed that the output does not hold yet."""
    losses = {"InfoGAN": "infogan", OURS: "bounded"}
    names = ("gan_steps", "rows_per_class", "channels")
    settings = {name: getattr(options, name) for name in names}
    records = JsonlRecords(options.output, BayesianGanTable1.key)
    for seed in range(options.seeds):
        for ratio in options.ratios or (1, 10, 50):
            for method, loss in losses.items():
                cell = {"task": f"shapes {ratio}:1", "method": method, "seed": seed}
                if records.find({**cell, "settings": settings}) is not None:
                    continue
                counts = [options.rows_per_class or 2000] * len(SHAPES)
                counts[-1] = max(2, round(counts[0] / ratio))
                kinds = np.repeat(np.arange(len(SHAPES)), counts)
                images = draw_shapes(kinds, random_factors(len(kinds), seed), options.side)
                model = new_bayesian_gan(
                    images,
                    SHAPES,
                    BayesianNetwork.disentangled(len(FACTORS)),
                    kind="image",
                    seed=seed,
                    structure_loss=loss,
                    num_channels=options.channels,
                )
                arguments = BayesianGanTrainingArguments(steps=options.gan_steps, seed=seed)
                BayesianGanTrainer(model, images, kinds, arguments).train()

                def encode(factors: np.ndarray, model: Any = model) -> np.ndarray:
                    of_each = np.arange(len(factors)) % len(SHAPES)
                    with torch.no_grad():
                        parts = [
                            model(torch.from_numpy(draw_shapes(k, f, options.side))).codes
                            for k, f in zip(
                                np.array_split(of_each, 1 + len(factors) // 2000),
                                np.array_split(factors, 1 + len(factors) // 2000),
                                strict=True,
                            )
                        ]
                    return torch.cat(parts).numpy()

                score = kim_mnih_score(
                    encode, random_factors, len(FACTORS), votes=options.votes, seed=seed
                )
                found = model.structure(seed=seed)
                record = {"score": score, "r_squared": min(c["r_squared"] for c in found.codes)}
                records.add({**cell, **record, "settings": settings})
                print({**cell, **record}, flush=True)


def table(options: argparse.Namespace) -> None:
    """Mean ± sd over the seeds; a table a task and a setting."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in JsonlRecords(options.records, BayesianGanTable1.key):
        if record["task"].startswith("shapes"):
            groups.setdefault((record["task"], str(record["settings"])), []).append(record)
    for (task, settings), records in groups.items():
        shown = task_table(records, ["InfoGAN", OURS], ("score", "r_squared"), "score", {})
        print(f"\n### {task}, {settings}\n\n{shown}")


def main() -> None:
    """Run, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    default = Path(__file__).parent / "bayesian_gan.jsonl"
    runner = commands.add_parser("shapes")
    runner.add_argument("--output", type=Path, default=default)
    runner.add_argument("--seeds", type=int, default=5)
    runner.add_argument("--ratios", type=int, nargs="*", default=[], help="default: 1 10 50")
    runner.add_argument("--rows_per_class", type=int, default=0, help="default: 2000")
    runner.add_argument("--gan_steps", type=int, default=4000)
    runner.add_argument("--channels", type=int, default=32)
    runner.add_argument("--side", type=int, default=16)
    runner.add_argument("--votes", type=int, default=800)
    runner.set_defaults(work=shapes)
    printer = commands.add_parser("table")
    printer.add_argument("records", type=Path)
    printer.set_defaults(work=table)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
