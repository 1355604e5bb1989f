"""The table of the Bayesian-network GAN's paper."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.papers import bayesian_gan
from benchmarks.papers.arguments import ReproduceArguments
from benchmarks.papers.bayesian_gan import OURS, SIZES, MnistSizes
from benchmarks.papers.mnist import LatentClassifier, predictions, thinned, train_cnn
from benchmarks.papers.run import run_reproduce

TINY = MnistSizes(
    gan_steps=2, rows_per_class=20, cnn_steps=2, channels=2, max_translation=0, variables=1
)


def digits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 10
    return (labels[:, None, None] * 20 + rng.integers(20, size=(rows, 28, 28))), labels


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "mnist").mkdir()
    for split, rows in {"train": 300, "test": 60}.items():
        x, y = digits(rows)
        np.savez(tmp_path / "mnist" / f"{split}.npz", x=x.astype(np.uint8), y=y.astype(np.uint8))
    return tmp_path


def test_one_digit_is_thinned_to_the_ratio() -> None:
    x, y = digits(300)
    rows, labels = thinned(x.reshape(300, -1).astype(np.float32), y, 8, 10, 20, seed=1)
    assert np.bincount(labels).tolist() == [20] * 8 + [2, 20]
    assert rows.shape == (182, 784)
    assert np.bincount(thinned(rows, labels, 9, 4, 0, seed=1)[1])[9] == 5  # 0: all rows


def test_classes_of_the_latent_classifier_are_drawn_evenly_and_it_predicts() -> None:
    x, y = digits(100)
    rows = x.reshape(100, -1).astype(np.float32) / 255
    model = train_cnn("DGC-like", rows, y.astype(np.int64), 2, 0)
    assert isinstance(model, LatentClassifier)
    assert predictions(model, rows).shape == (100,)
    with torch.no_grad():
        assert torch.isfinite(model.loss(torch.from_numpy(rows), torch.from_numpy(y)))


@pytest.mark.slow
def test_a_run_goes_on_and_prints_the_papers_figures(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SIZES, "reduced", TINY)
    output = tmp_path / "records.jsonl"

    def call(*methods: str) -> str:
        arguments = ReproduceArguments(
            "bayesian1",
            data_dir=str(data_dir),
            output=str(output),
            sizes="reduced",
            methods=methods,
        )
        return run_reproduce(arguments, progress=lambda line: None)

    call("none")
    first = output.read_text().splitlines()
    page = call()
    lines = output.read_text().splitlines()
    assert lines[: len(first)] == first
    assert len(lines) == 2 * 2 * 6  # two digits, two seeds, six methods; no ratio of Figure 3
    assert call() == page
    assert output.read_text().splitlines() == lines
    assert json.loads(lines[0])["settings"] == asdict(TINY)
    assert "### mnist 8 67:1" in page
    assert "### mnist 9 100:1" in page
    assert "(0.893)" in page  # the paper's recall
    assert f"| {OURS} | 2 |" in page
    assert "- Training rows: at most 20 of a class" in page
    assert "- Steps of a GAN: 2 (full sizes: 20000; the paper does not say)." in page
    assert "- Fashion-MNIST, bag 67:1: no data. The paper's recall and F1: SMOTE 0.686" in page

    output.write_text("".join(f"{line}\n" for line in lines[:-3]) + lines[-3][:30])
    assert call() == page
    # What was made with other settings is not taken for this.
    monkeypatch.setitem(SIZES, "reduced", bayesian_gan.MnistSizes(cnn_steps=3))
    shown = run_reproduce(
        ReproduceArguments("bayesian1", output=str(output), sizes="reduced", records_only=True)
    )
    assert "No cell of these sizes" in shown
