"""Callbacks for the Trainer of transformers: difficult rows, and AMO on the fly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import Trainer

from hf_oversample import difficult_samples
from hf_oversample.oversamplers.amo.collator import AmoCollator
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler
from hf_oversample.oversamplers.amo.trainer import AmoForTrainer
from hf_oversample.training.callbacks import DifficultRows
from hf_oversample.training.classifier import text_features
from hf_oversample.training.heads import new_head, train_head
from trainer_fixtures import arguments, new_model, rows_of

IDS = [0] * 10 + [1] * 4


def test_difficult_rows_are_looked_for_after_each_epoch(tmp_path: Path) -> None:
    rows = rows_of(IDS, names=["a", "b"])
    settings = {"max_steps": -1, "num_train_epochs": 2, "per_device_train_batch_size": 7}
    trainer = Trainer(new_model(2), arguments(tmp_path, **settings), train_dataset=rows)
    callback = DifficultRows(trainer, rows, k=3)
    trainer.add_callback(callback)
    trainer.train()
    logged = [one for one in trainer.state.log_history if "difficult_share" in one]
    assert [one["epoch"] for one in logged] == [1.0, 2.0]
    vectors = text_features(trainer.model, rows["input_ids"][:])
    expected = difficult_samples(vectors, IDS, k=3)
    assert logged[-1]["difficult_share"] == expected.share()
    assert logged[-1]["outvoted_share"] == expected.outvoted_share()
    assert callback.found is not None
    assert callback.found.rows.tolist() == expected.rows.tolist()
    with pytest.raises(ValueError, match="no column 'class'"):
        DifficultRows(trainer, rows, "class")


def test_amo_on_the_fly(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    labels = np.array([0] * 24 + [1] * 8)
    vectors = draws.normal(size=(32, 4)).astype(np.float32) + 2 * labels[:, None]
    g = train_head(vectors, labels, num_labels=2, hidden_size=8, min_steps=30)
    f = new_head(4, 2, 8, seed=1)
    method = AmoOversampler(beta=0.5, penalty=0.1)
    amo = AmoForTrainer(AmoCollator(vectors, labels, g, f, start_step=2, method=method))
    rows = Dataset.from_dict({"row": range(32), "label": labels})
    trainer = Trainer(
        f,
        arguments(
            tmp_path, max_steps=6, per_device_train_batch_size=16, remove_unused_columns=False
        ),
        train_dataset=rows,
        data_collator=amo.collate,
        callbacks=[amo],
    )
    before = f.classifier.weight.detach().clone()
    trainer.train()
    assert amo.collator.step == 6
    assert amo.collator.translated > 0
    assert not torch.equal(before, f.classifier.weight)
    amo.on_train_begin(
        trainer.args,
        trainer.state,
        trainer.control,
        train_dataloader=trainer.get_train_dataloader(),
    )
    assert amo.collator.step == 6  # three epochs of two batches
    held_out = Dataset.from_dict({"embeddings": vectors.tolist(), "label": labels})
    assert "eval_loss" in trainer.evaluate(held_out)
    with pytest.raises(ValueError, match="number as 'row'"):
        amo.collate([{"label": 1}])
