"""The tables of the Bayesian-network GAN's paper: MNIST made imbalanced, and disentanglement.

    python benchmarks/bayesian_gan.py mnist --data_dir … --output benchmarks/bayesian_gan.jsonl
    python benchmarks/bayesian_gan.py shapes --output benchmarks/bayesian_gan.jsonl
    python benchmarks/bayesian_gan.py table benchmarks/bayesian_gan.jsonl

MNIST (Table 1, Figure 3): one class is thinned to the largest class's rows ÷ ratio, oversampled to
the largest, and a CNN is trained on real and new rows; recall and F1 of that class are those of
MNIST's own test split, which is used for nothing else (the paper has ten folds instead, and says
nothing of how it chose anything). `--rows_per_class` is the reduced form: at most so many training
rows of a class.

Shapes (Figure 4b): the score of Kim and Mnih on generated images in the manner of dSprites, one
shape of which is rare; codes are those that the feature extractor reads from real images.

`DGC-like` is an end-to-end classifier after Wang et al. (2020): a variational autoencoder whose
latents are classified, with as many latents drawn for each class. `mnist` and `shapes` skip what
their output holds already.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor, nn

from hf_oversample.bayesian_network import BayesianNetwork
from hf_oversample.metrics.disentanglement import kim_mnih_score
from hf_oversample.metrics.statistics import paired_test
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.report import markdown_table
from hf_oversample.shapes import FACTORS, SHAPES, draw_shapes, random_factors
from hf_oversample.training.bayesian_gan import BayesianGanTrainer, new_bayesian_gan
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments

OURS = "Bayesian GAN"
# Table 1: (recall, F1) on class 8 at 67:1 and class 9 at 100:1.
PRINTED: dict[str, dict[str, tuple[float, float]]] = {
    "mnist 8 67:1": {
        "SMOTE": (0.829, 0.899),
        "InfoGAN": (0.802, 0.876),
        "DGC-like": (0.847, 0.911),
        OURS: (0.893, 0.930),
    },
    "mnist 9 100:1": {
        "SMOTE": (0.767, 0.860),
        "InfoGAN": (0.780, 0.855),
        "DGC-like": (0.740, 0.843),
        OURS: (0.859, 0.915),
    },
}
Rows = tuple[np.ndarray, np.ndarray]


# ---- MNIST --------------------------------------------------------------------------------------


def read_mnist(folder: Path, split: str) -> Rows:
    """Pixels [n, 784] float32 in 0 … 1, and digits [n]."""
    with np.load(folder / "mnist" / f"{split}.npz") as data:
        x, y = data["x"], data["y"]
    return x.reshape(len(x), -1).astype(np.float32) / 255, y.astype(np.int64)


def thinned(x: np.ndarray, y: np.ndarray, digit: int, ratio: float, most: int, seed: int) -> Rows:
    """At most `most` rows a class, and of `digit` the largest class's rows ÷ ratio."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(y == c))[: most or None] for c in range(10)]
    rows[digit] = rows[digit][: max(2, round(max(map(len, rows)) / ratio))]
    chosen = rng.permutation(np.concatenate(rows))
    return x[chosen], y[chosen]


def gan_oversampler(loss: str, options: argparse.Namespace, seed: int) -> BayesianGanOversampler:
    """The GAN with one of the regularisers, on images."""
    return BayesianGanOversampler(
        seed=seed,
        kind="image",
        structure=BayesianNetwork.disentangled(options.variables),
        model_options={"structure_loss": loss, "num_channels": options.channels},
        training={"steps": options.gan_steps, "max_translation": options.max_translation},
    )


def balanced(method: str, x: np.ndarray, y: np.ndarray, seed: int, options: Any) -> Rows:
    """Real rows, and those that a method made of the smallest class."""
    if method in ("none", "DGC-like"):
        return x, y
    makers: dict[str, Callable[[], Any]] = {
        "SMOTE": lambda: SmoteOversampler(seed=seed),
        "InfoGAN": lambda: gan_oversampler("infogan", options, seed),
        OURS: lambda: gan_oversampler("bounded", options, seed),
    }
    oversampler = makers[method]()
    oversampler.sampling_strategy = "minority"
    made, labels, _, _ = oversampler.fit_arrays(x, y).new_rows()
    return np.concatenate([x, made]), np.concatenate([y, labels])


def convolutions() -> nn.Sequential:
    """The body of both classifiers: images → [n, 1568]."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


class Cnn(nn.Module):
    """A plain small CNN."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(convolutions(), nn.Linear(1568, 128), nn.ReLU())
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self(x), y)


class LatentClassifier(nn.Module):
    """DGC-like: latents are drawn, classified and decoded; rows come with classes drawn evenly."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(convolutions(), nn.Linear(1568, 128), nn.ReLU())
        self.latent = nn.Linear(128, 2 * width)
        self.decoder = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 784))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.latent(self.body(x)).chunk(2, dim=1)[0])

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        mean, log_variance = self.latent(self.body(x)).chunk(2, dim=1)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        rebuilt = F.mse_loss(self.decoder(drawn).sigmoid(), x)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return F.cross_entropy(self.head(drawn), y) + rebuilt + 0.01 * divergence


def train_cnn(method: str, x: np.ndarray, y: np.ndarray, steps: int, seed: int) -> nn.Module:
    """Either classifier, by Adam at 0.001 with batches of 128."""
    torch.manual_seed(seed)
    model = LatentClassifier() if method == "DGC-like" else Cnn()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    counts = torch.bincount(labels, minlength=10).double()
    weights = 1 / counts[labels] if method == "DGC-like" else torch.ones(len(y)).double()
    for _ in range(steps):
        chosen = torch.multinomial(weights, 128, replacement=True)
        loss = model.loss(rows[chosen], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def predictions(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """Classes of rows, 1000 at a time."""
    parts = torch.from_numpy(x).split(1000)
    return torch.cat([model(part).argmax(dim=1) for part in parts]).numpy()


def mnist(options: argparse.Namespace) -> None:
    """Every task, method and seed that the output does not hold yet."""
    x, y = read_mnist(options.data_dir, "train")
    x_test, y_test = read_mnist(options.data_dir, "test")
    tasks = [(8, 67), (9, 100)] + [(8, ratio) for ratio in options.ratios]
    done = {(r["task"], r["method"], r["seed"]) for r in read(options.output)}
    for seed in range(options.seeds):
        for digit, ratio in tasks:
            for method in options.methods or ("none", "SMOTE", "InfoGAN", "DGC-like", OURS):
                task = f"mnist {digit} {ratio}:1"
                if (task, method, seed) in done:
                    continue
                start = time.perf_counter()
                rows, labels = thinned(x, y, digit, ratio, options.rows_per_class, seed)
                together, classes = balanced(method, rows, labels, seed, options)
                model = train_cnn(method, together, classes, options.cnn_steps, seed)
                _, recall, f1, _ = precision_recall_fscore_support(
                    y_test == digit,
                    predictions(model, x_test) == digit,
                    average="binary",
                    zero_division=0.0,
                )
                record = {"recall": float(recall), "f1": float(f1)}
                record |= {"rare_rows": int((labels == digit).sum()), "train_rows": len(labels)}
                record |= {"seconds": round(time.perf_counter() - start, 1)}
                write(options, {"task": task, "method": method, "seed": seed, **record})


# ---- shapes -------------------------------------------------------------------------------------


def shapes(options: argparse.Namespace) -> None:
    """The score of every regulariser, ratio and seed that the output does not hold yet."""
    losses = {"InfoGAN": "infogan", OURS: "bounded"}
    done = {(r["task"], r["method"], r["seed"]) for r in read(options.output)}
    for seed in range(options.seeds):
        for ratio in options.ratios or (1, 10, 50):
            for method, loss in losses.items():
                task = f"shapes {ratio}:1"
                if (task, method, seed) in done:
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
                write(options, {"task": task, "method": method, "seed": seed, **record})


# ---- records and tables -------------------------------------------------------------------------


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Append a record, with the settings that it was made with."""
    names = ("gan_steps", "rows_per_class", "cnn_steps", "channels", "max_translation", "variables")
    settings = {name: getattr(options, name) for name in names if hasattr(options, name)}
    with options.output.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**record, "settings": settings}) + "\n")
    print({k: v for k, v in record.items() if k != "settings"}, flush=True)


def table(options: argparse.Namespace) -> None:
    """Ours, mean ± sd over the seeds, with the paper's figures in brackets; a table a task."""
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for record in read(options.records):
        found[record["task"]][record["method"]][record["seed"]] = record
    for task, methods in found.items():
        is_mnist = task.startswith("mnist")
        measures = ("recall", "f1") if is_mnist else ("score", "r_squared")
        compared = "f1" if is_mnist else "score"
        rows = []
        for method, runs in methods.items():
            cells = []
            for number, measure in enumerate(measures):
                values = [run[measure] for run in runs.values()]
                sd = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
                printed = PRINTED.get(task, {}).get(method)
                paper = "" if printed is None else f" ({printed[number]:.3f})"
                cells.append(f"{np.mean(values):.3f}{sd}{paper}")
            rows.append([method, len(runs), *cells, difference(methods, method, compared)])
        last = f"{compared}, {OURS} less this"
        print(f"\n### {task}\n\n{markdown_table(['method', 'seeds', *measures, last], rows)}")


def difference(methods: dict[str, Any], other: str, measure: str) -> str:
    """Ours less another method over the seeds of both, with the p of a paired test."""
    seeds = sorted(set(methods.get(OURS, {})) & set(methods[other]))
    if other == OURS or len(seeds) < 2:
        return "–"
    ours, theirs = ([methods[m][seed][measure] for seed in seeds] for m in (OURS, other))
    test = paired_test(ours, theirs)
    return f"{test.mean:+.3f} (p {test.p_value:.2f})"


def main() -> None:
    """Run, or print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    default = Path(__file__).parent / "bayesian_gan.jsonl"
    for name, work in (("mnist", mnist), ("shapes", shapes)):
        runner = commands.add_parser(name)
        runner.add_argument("--output", type=Path, default=default)
        runner.add_argument("--seeds", type=int, default=5)
        runner.add_argument("--ratios", type=int, nargs="*", default=[], help="such as 50 … 500")
        runner.add_argument("--rows_per_class", type=int, default=0, help="at most; 0: all")
        runner.add_argument("--gan_steps", type=int, default=4000)
        runner.add_argument("--channels", type=int, default=32)
        runner.set_defaults(work=work)
        if name == "mnist":
            runner.add_argument("--data_dir", type=Path, required=True, help="holds mnist/*.npz")
            runner.add_argument("--methods", nargs="*", help="default: all")
            runner.add_argument("--cnn_steps", type=int, default=2000)
            runner.add_argument("--max_translation", type=int, default=2)
            runner.add_argument("--variables", type=int, default=5)
        else:
            runner.add_argument("--side", type=int, default=16)
            runner.add_argument("--votes", type=int, default=800)
    printer = commands.add_parser("table")
    printer.add_argument("records", type=Path)
    printer.set_defaults(work=table)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
