"""The Bayesian-network GAN's disentanglement on generated images in the manner of dSprites, one
shape of which is rare (Figure 4b of its paper).

    python benchmarks/bayesian_gan.py shapes --output benchmarks/bayesian_gan.jsonl
    python benchmarks/bayesian_gan.py table benchmarks/bayesian_gan.jsonl
    python benchmarks/bayesian_gan.py picture docs/pictures/bayesian_gan_traversal.png
    python benchmarks/bayesian_gan.py tune --data_dir DATA --digit 9 --ratio 100 --batch_size 32

What is measured of a trained GAN:
- `score`: of Kim and Mnih, of the codes that the feature extractor reads from real images;
- `r_squared`: the least share of a code's variance that its parents explain, in made images, the
  class's codes apart;
- `agreement` and `agreement (rare)`: share of images along traversals of single codes that a judge,
  fitted on real images of all shapes and never on made ones, places with the class asked for
  (its accuracy on other real images is recorded too);
- `one factor`: of all change of the factors along a traversal, as a reader fitted on real images
  sees it, the share of the factor that changes most; 1 / 4 is no preference.

`shapes` skips what its output holds already. The paper's table of MNIST is `recipes/reproduce.py
--table bayesian1`, which may write to the same file; `tune` scores a method with settings of that
table on training rows that thinning leaves over, and never reads the test rows.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.papers.bayesian_gan import (
    OURS,
    SIZES,
    BayesianGanTable1,
    MnistSizes,
    balanced,
    recall_and_f1,
    task_table,
)
from benchmarks.papers.disentanglement import kim_mnih_score
from benchmarks.papers.mnist import predictions, read_mnist, thinned, train_cnn
from benchmarks.papers.records import JsonlRecords
from benchmarks.papers.shapes import FACTORS, SHAPES, draw_shapes, random_factors
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.models.bayesian_gan.traversals import traversal_figure
from hf_oversample.training.bayesian_gan import BayesianGanTrainer, new_bayesian_gan
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments

LOSSES = {"InfoGAN": "infogan", OURS: "bounded"}
RATIOS = (1, 10, 50)
MEASURES = ("score", "r_squared", "agreement", "agreement (rare)", "one factor")
MOVED_TO = (-1.5, -0.5, 0.5, 1.5)
SETTINGS = (
    "gan_steps",
    "rows_per_class",
    "channels",
    "side",
    "learning_rate",
    "hidden_size",
    "noise_size",
    "votes",
)


class Judges:
    """Networks that read shape and factors from real images, of rows that no GAN is trained on."""

    def __init__(self, side: int) -> None:
        factors, kinds = random_factors(6000, seed=10**6), np.arange(6000) % len(SHAPES)
        images = draw_shapes(kinds, factors, side)
        options: dict[str, Any] = {"hidden_layer_sizes": (128,), "max_iter": 80, "random_state": 0}
        self.shape = MLPClassifier(**options).fit(images, kinds)
        self.factors = MLPRegressor(**options).fit(images, factors)
        unseen, kinds = random_factors(3000, seed=10**6 + 1), np.arange(3000) % len(SHAPES)
        images = draw_shapes(kinds, unseen, side)
        self.accuracy = float(self.shape.score(images, kinds))
        self.explained = float(self.factors.score(images, unseen))

    def measure(self, model: BayesianGanModel) -> dict[str, float]:
        """Agreement, and how much of a code's effect is on one factor."""
        agreements, purities = [], []
        for kind in range(len(SHAPES)):
            for variable in model.config.network["observed"]:
                moved = model.traverse(variable, kind, MOVED_TO, n=50).numpy()
                flat = moved.reshape(-1, moved.shape[-1])
                agreements.append(float((self.shape.predict(flat) == kind).mean()))
                seen = self.factors.predict(flat).reshape(*moved.shape[:2], len(FACTORS))
                change = np.abs(seen[:, -1] - seen[:, 0]).mean(axis=0)
                purities.append(float(change.max() / change.sum()))
        rare = agreements[-len(model.config.network["observed"]) :]
        return {
            "agreement": float(np.mean(agreements)),
            "agreement (rare)": float(np.mean(rare)),
            "one factor": float(np.mean(purities)),
            "judge's accuracy": self.accuracy,
            "reader's R²": self.explained,
        }


def trained_model(
    ratio: int, loss: str, seed: int, options: argparse.Namespace
) -> BayesianGanModel:
    """A GAN of the shapes, the last of which is so many times rarer than the others."""
    counts = [options.rows_per_class] * len(SHAPES)
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
        hidden_size=options.hidden_size,
        noise_size=options.noise_size,
    )
    arguments = BayesianGanTrainingArguments(
        steps=options.gan_steps,
        learning_rate=options.learning_rate,
        discriminator_learning_rate=options.learning_rate,
        seed=seed,
    )
    BayesianGanTrainer(model, images, kinds, arguments, targets=[len(SHAPES) - 1]).train()
    return model


def score_of(model: BayesianGanModel, options: argparse.Namespace, seed: int) -> float:
    """Kim and Mnih's score of the codes that the extractor reads from real images."""

    def encode(factors: np.ndarray) -> np.ndarray:
        kinds, parts = np.arange(len(factors)) % len(SHAPES), 1 + len(factors) // 2000
        with torch.no_grad():
            codes = [
                model(torch.from_numpy(draw_shapes(k, f, options.side))).codes
                for k, f in zip(
                    np.array_split(kinds, parts), np.array_split(factors, parts), strict=True
                )
            ]
        return torch.cat(codes).numpy()

    return kim_mnih_score(encode, random_factors, len(FACTORS), votes=options.votes, seed=seed)


def shapes(options: argparse.Namespace) -> None:
    """Every regulariser, ratio and seed that the output does not hold yet."""
    settings = {name: getattr(options, name) for name in SETTINGS}
    records = JsonlRecords(options.output, BayesianGanTable1.key)
    judges = Judges(options.side)
    for seed in range(options.seeds):
        for ratio in options.ratios:
            for method, loss in LOSSES.items():
                cell = {"task": f"shapes {ratio}:1", "method": method, "seed": seed}
                if records.find({**cell, "settings": settings}) is not None:
                    continue
                model = trained_model(ratio, loss, seed, options)
                found = model.structure(seed=seed)
                record = {
                    "score": score_of(model, options, seed),
                    "r_squared": min(
                        code["r_squared"]
                        for code in found.codes
                        if code["code"] in model.config.network["latent"]
                    ),
                    **judges.measure(model),
                }
                records.add({**cell, **record, "settings": settings})
                print({**cell, **record}, flush=True)


def tune(options: argparse.Namespace) -> None:
    """Recall and F1 of a digit on 800 left-over training rows of each, by two CNNs."""
    sizes = MnistSizes(**{field.name: getattr(options, field.name) for field in fields(MnistSizes)})
    x, y = read_mnist(options.data_dir / "mnist", "train")
    rng = np.random.default_rng(options.seed)
    held = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:800] for c in range(10)])
    rest = np.setdiff1d(np.arange(len(y)), held)
    rows, labels = thinned(
        x[rest], y[rest], options.digit, options.ratio, sizes.rows_per_class, options.seed
    )
    together, classes = balanced(options.method, rows, labels, options.seed, sizes)
    found = []
    for seed in (options.seed, options.seed + 1):
        model = train_cnn(options.method, together, classes, sizes.cnn_steps, seed)
        found.append(recall_and_f1(y[held], predictions(model, x[held]), options.digit))
    recall, f1 = np.mean(found, axis=0)
    print(f"{options.method}: recall {recall:.3f}, F1 {f1:.3f}, of two CNNs {found}; {sizes}")


def picture(options: argparse.Namespace) -> None:
    """Images along which single codes of a GAN of the shapes move, two lines a code."""
    model = trained_model(10, "bounded", options.seed, options)
    values = (-2.0, -1.0, 0.0, 1.0, 2.0)
    variables = model.config.network["observed"]
    rows = [
        model.traverse(variable, SHAPES[-1], values, n=2, seed=options.seed).numpy()
        for variable in variables
    ]
    names = [variable for variable in variables for _ in range(2)]
    title = "rare triangles, one code moved"
    traversal_figure(np.concatenate(rows), options.path, values, title, names)


def table(options: argparse.Namespace) -> None:
    """Mean ± sd over the seeds; a table a task and a setting."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in JsonlRecords(options.records, BayesianGanTable1.key):
        if record["task"].startswith("shapes"):
            groups.setdefault((record["task"], str(record["settings"])), []).append(record)
    for (task, settings), records in groups.items():
        shown = task_table(records, list(LOSSES), MEASURES, "score", {})
        print(f"\n### {task}, {settings}\n\n{shown}")


def main() -> None:
    """Run, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    default = Path(__file__).parent / "bayesian_gan.jsonl"
    runner, drawer = commands.add_parser("shapes"), commands.add_parser("picture")
    for one in (runner, drawer):
        one.add_argument("--rows_per_class", type=int, default=2000)
        one.add_argument("--gan_steps", type=int, default=1500)
        one.add_argument("--learning_rate", type=float, default=1e-3)
        one.add_argument("--channels", type=int, default=16)
        one.add_argument("--hidden_size", type=int, default=128)
        one.add_argument("--noise_size", type=int, default=8)
        one.add_argument("--side", type=int, default=16)
    runner.add_argument("--output", type=Path, default=default)
    runner.add_argument("--seeds", type=int, default=5)
    runner.add_argument("--ratios", type=int, nargs="+", default=RATIOS)
    runner.add_argument("--votes", type=int, default=800)
    runner.set_defaults(work=shapes)
    drawer.add_argument("path", type=Path)
    drawer.add_argument("--seed", type=int, default=0)
    drawer.set_defaults(work=picture)
    tuner = commands.add_parser("tune")
    tuner.add_argument("--data_dir", type=Path, required=True)
    tuner.add_argument("--digit", type=int, default=9)
    tuner.add_argument("--ratio", type=float, default=100)
    tuner.add_argument("--method", choices=BayesianGanTable1.known_methods, default=OURS)
    tuner.add_argument("--seed", type=int, default=100)
    for field in fields(MnistSizes):
        usual = getattr(SIZES["reduced"], field.name)
        tuner.add_argument(f"--{field.name}", type=type(usual), default=usual)
    tuner.set_defaults(work=tune)
    printer = commands.add_parser("table")
    printer.add_argument("records", type=Path)
    printer.set_defaults(work=table)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
