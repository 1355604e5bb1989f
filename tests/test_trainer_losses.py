"""Losses for the Trainer of transformers: the gradient is that of one large batch."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_oversample.data.class_counts import class_ids, counted, label_counts
from hf_oversample.training.losses import LdamLoss, LogitAdjustedLoss
from hf_oversample.training.multi_label_losses import (
    DistributionBalancedLoss,
    PositiveWeightLoss,
    positive_weights,
)
from hf_oversample.training.trainer_losses import LOSS_NAMES, TrainerLoss, minority_loss
from trainer_fixtures import gradient, new_model, rows_of, trained
from two_processes import run_two_processes

IDS = [0, 0, 0, 0, 0, 1, 1, 2]
WEIGHTED = [[0.5, 0, 0]] * 5 + [[0, 1.5, 0]] * 2 + [[0, 0, 3.0]]
SOFT = [[0.8, 0.1, 0.1]] * 5 + [[0, 1, 0]] * 2 + [[0.2, 0.2, 0.6]]
SEVERAL = [[1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
CASES: dict[str, tuple[str, list[Any]]] = {name: (name, IDS) for name in LOSS_NAMES[:-2]}
CASES |= {name: (name, SEVERAL) for name in LOSS_NAMES[-2:]}
CASES |= {"row weights": ("cross_entropy", WEIGHTED), "soft labels": ("logit_adjusted", SOFT)}
CASES |= {"row weights, focal": ("focal", WEIGHTED)}


def loss_of(case: str) -> Any:
    name, labels = CASES[case]
    source: Any = rows_of(labels) if labels is SEVERAL else [5, 2, 1]
    # deferred weights count from the first update on here: their callback has a test of its own
    return minority_loss(name, source, **({"start": 0.0} if name == "ldam_drw" else {}))


def one_large_batch(rows: Dataset, loss: Any) -> torch.Tensor:
    """The gradient of the loss of all rows at once, without a Trainer."""
    model = new_model()
    loss(
        model(input_ids=torch.tensor(rows["input_ids"][:])), torch.tensor(rows["label"][:])
    ).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# one kind of label each, in the tests that take seconds
FEW = ("logit_adjusted", "row weights", "pos_weight")


@pytest.mark.parametrize(
    ("case", "steps"),
    [
        pytest.param(case, steps, marks=[pytest.mark.slow] * (case not in FEW and steps != 4))
        for case in CASES
        for steps in (1, 4, 8)
    ],
)
def test_accumulation_changes_nothing(case: str, steps: int, tmp_path: Path) -> None:
    rows, loss = rows_of(CASES[case][1]), loss_of(case)
    whole = one_large_batch(rows, loss)
    assert whole.abs().max() > 1e-3
    options = {"per_device_train_batch_size": 8 // steps, "gradient_accumulation_steps": steps}
    parts = gradient(rows, tmp_path, loss, **options)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)


def test_the_models_own_loss_is_as_many_times_too_large(tmp_path: Path) -> None:
    """What the losses are for: without one, four micro-batches make four times the gradient."""
    rows = rows_of(IDS)
    fixed = minority_loss("cross_entropy", rows)
    whole = one_large_batch(rows, fixed)
    parts = gradient(
        rows, tmp_path, None, per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    ratio = float(parts.norm() / whole.norm())
    assert ratio == pytest.approx(4.0, rel=1e-3), "transformers has changed: see docs"


TWO_PROCESSES = """
import sys
from pathlib import Path
import torch
from test_trainer_losses import CASES, FEW, loss_of
from trainer_fixtures import gradient, rows_of
folder, found = Path(sys.argv[1]), {}
for case in CASES:
    for steps in (1, 4) if case in FEW else (4,):
        options = {"per_device_train_batch_size": 4 // steps, "gradient_accumulation_steps": steps}
        found[f"{case} {steps}"] = gradient(
            rows_of(CASES[case][1]), folder, loss_of(case), **options
        )
own = {"average_tokens_across_devices": False, "per_device_train_batch_size": 4}
rows, loss = rows_of(CASES["focal"][1]), loss_of("focal")
found["counted by each process"] = gradient(rows, folder, loss, **own)
torch.save(found, folder / f"{sys.argv[2]}-{torch.distributed.get_rank()}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_change_nothing(tmp_path: Path) -> None:
    script = tmp_path / "losses.py"
    script.write_text(TWO_PROCESSES)
    first, second = run_two_processes(script, tmp_path, "gradients")
    assert len(first) == len(CASES) + len(FEW) + 1
    for name, found in first.items():
        case = "focal" if name.startswith("counted") else name.rsplit(" ", 1)[0]
        whole = one_large_batch(rows_of(CASES[case][1]), loss_of(case))
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4, msg=name)
        assert torch.equal(found, second[name])


def test_evaluation_gives_the_mean(tmp_path: Path) -> None:
    rows = rows_of(IDS)
    loss = minority_loss("logit_adjusted", rows)
    trainer = trained(rows, tmp_path, given={"compute_loss_func": loss, "eval_dataset": rows})
    stated = trainer.predict(rows)
    expected = LogitAdjustedLoss([5, 2, 1])(
        torch.from_numpy(stated.predictions), torch.from_numpy(stated.label_ids)
    )
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(expected), rel=1e-5)
    outputs = SequenceClassifierOutput(logits=torch.from_numpy(stated.predictions))
    labels = torch.from_numpy(stated.label_ids)
    assert float(loss(outputs, labels)) == pytest.approx(float(expected), rel=1e-5)


def outputs_of(rows: int, classes: int = 3) -> SequenceClassifierOutput:
    generator = torch.Generator().manual_seed(0)
    return SequenceClassifierOutput(logits=torch.randn(rows, classes, generator=generator))


class TestWhatIsComputed:
    def test_class_weights_are_torchs_over_all_rows(self) -> None:
        outputs, labels = outputs_of(8), torch.tensor(IDS)
        weights = [1.0, 2.0, 7.0]
        loss = minority_loss("cross_entropy", [5, 2, 1], class_weights=weights)
        expected = F.cross_entropy(outputs.logits, labels, torch.tensor(weights))
        assert float(loss(outputs, labels)) == pytest.approx(float(expected), rel=1e-5)

    def test_a_weighted_row_counts_as_many_times(self) -> None:
        outputs = outputs_of(8)
        each = F.cross_entropy(outputs.logits, torch.tensor(IDS), reduction="none")
        loss = minority_loss("cross_entropy", [5, 2, 1])
        expected = (each * torch.tensor(WEIGHTED).sum(dim=1)).mean()
        got = loss(outputs, torch.tensor(WEIGHTED), num_items_in_batch=24)
        assert float(got) == pytest.approx(float(expected), rel=1e-5)

    def test_ignored_rows_do_not_count(self) -> None:
        outputs, labels = outputs_of(8), torch.tensor(IDS)
        loss = minority_loss("focal", [5, 2, 1])
        labels[3] = -100
        kept = [0, 1, 2, 4, 5, 6, 7]
        expected = loss(SequenceClassifierOutput(logits=outputs.logits[kept]), labels[kept])
        assert float(loss(outputs, labels)) == pytest.approx(float(expected), rel=1e-6)

    def test_ldam_is_not_scaled(self) -> None:
        outputs, labels = outputs_of(8), torch.tensor(IDS)
        expected = LdamLoss([5, 2, 1], scale=1.0)(outputs.logits, labels)
        got = minority_loss("ldam", [5, 2, 1])(outputs, labels)
        assert float(got) == pytest.approx(float(expected), rel=1e-6)

    def test_positive_weights_are_torchs(self) -> None:
        outputs, labels = outputs_of(8), torch.tensor(SEVERAL, dtype=torch.float32)
        weights = positive_weights([6, 2, 1], 8)
        np.testing.assert_allclose(weights, [2 / 6, 3, 7])
        expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights).float())
        got = minority_loss("pos_weight", rows_of(SEVERAL))(outputs, labels)
        assert float(got) == pytest.approx(float(expected(outputs.logits, labels)), rel=1e-5)

    def test_distribution_balanced_by_hand(self) -> None:
        outputs, labels = outputs_of(8), torch.tensor(SEVERAL, dtype=torch.float64)
        n, rows, logits = [6, 2, 1], 8, outputs.logits.double()
        got = DistributionBalancedLoss(n, rows, reduction="none")(logits, labels)
        for i in range(8):
            drawn = sum(labels[i, k] / n[k] for k in range(3))
            for k in range(3):
                ratio = (1 / n[k]) / drawn if drawn else torch.tensor(torch.inf)
                weight = 0.1 + torch.sigmoid(10 * (torch.as_tensor(ratio) - 0.2))
                z = logits[i, k] - 0.05 * np.log(rows / n[k] - 1)
                positive = torch.log1p(torch.exp(-z))
                own = positive if labels[i, k] else torch.log1p(torch.exp(2 * z)) / 2
                assert float(got[i, k]) == pytest.approx(float(weight * own), rel=1e-5)

    def test_deferred_weights_begin_where_they_should(self, tmp_path: Path) -> None:
        rows = rows_of(IDS)
        loss = minority_loss("ldam_drw", rows, start=0.5)
        seen: list[tuple[float | None, bool]] = []
        plain = loss._weights

        def weights(logits: torch.Tensor) -> Any:
            found = plain(logits)
            seen.append((loss.progress, found is not None))
            return found

        loss._weights = weights
        options = {"per_device_train_batch_size": 8, "max_steps": 4}
        trained(
            rows,
            tmp_path,
            given={"compute_loss_func": loss, "callbacks": [loss.callback()]},
            **options,
        )
        assert seen == [(0.0, False), (0.25, False), (0.5, True), (0.75, True)]

    def test_deferred_weights_without_their_callback_are_an_error(self, tmp_path: Path) -> None:
        rows = rows_of(IDS)
        with pytest.raises(RuntimeError, match=r"callbacks=\[loss.callback\(\)\]"):
            trained(rows, tmp_path, given={"compute_loss_func": minority_loss("ldam_drw", rows)})

    @pytest.mark.parametrize("case", CASES)
    def test_copies_are_the_same_loss(self, case: str) -> None:
        loss, labels = loss_of(case), torch.tensor(CASES[case][1])
        for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert torch.equal(copied(outputs_of(8), labels), loss(outputs_of(8), labels))


class TestCounts:
    def test_of_class_labels_and_of_integers(self) -> None:
        assert counted(rows_of(IDS)).tolist() == [5, 2, 1]
        assert counted(rows_of(IDS, names=None)).tolist() == [5, 2, 1]
        ids, names = class_ids(rows_of(IDS))
        assert ids.tolist() == IDS
        assert names == ["ham", "spam", "scam"]

    def test_of_labels(self) -> None:
        having, rows = label_counts(rows_of(SEVERAL), "label")
        assert having.tolist() == [6, 2, 1]
        assert rows == 8

    def test_a_class_that_a_shard_lacks_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"'scam' \(2\) has no row in the 7 rows.*shard"):
            minority_loss("focal", rows_of(IDS).select(range(7)))

    def test_labels_outside_of_the_head(self) -> None:
        with pytest.raises(ValueError, match=r"is 2 in row 7 .*head of 2 classes"):
            minority_loss("focal", rows_of(IDS, names=None), num_labels=2)

    @pytest.mark.parametrize(
        ("source", "options", "told"),
        [
            (rows_of(IDS), {"label_column": "class"}, "no column 'class'.*'label'"),
            (Dataset.from_dict({"label": ["a", "b"]}), {}, "class_encode_column"),
            ([4, 0], {}, "class '1'"),
            ([4], {}, "one class"),
            ([0.5, 0.5], {}, "whole numbers"),
            ([4, 1], {"num_labels": 3}, "2 counts, but num_labels is 3"),
        ],
    )
    def test_bad_sources(self, source: Any, options: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            minority_loss("focal", source, **options)

    def test_bad_multi_labels(self) -> None:
        with pytest.raises(ValueError, match="is 2 in row 1, position 0"):
            label_counts(rows_of([[1, 0], [2, 0]]), "label")
        with pytest.raises(ValueError, match="label 1 is on 0 of 2 rows"):
            minority_loss("pos_weight", rows_of([[1, 0], [0, 0]]))
        with pytest.raises(ValueError, match="give the data set"):
            minority_loss("pos_weight", [4, 5])


class TestErrors:
    @pytest.mark.parametrize(
        ("weights", "told"),
        [
            ([0, 0, 0], "are all 0"),
            ([1, float("nan"), 1], r"class_weights\[1\] is nan"),
            ([1, -2, 1], r"class_weights\[1\] is -2"),
            ([1, 2], "3 are needed"),
        ],
    )
    def test_bad_weights(self, weights: list[float], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            minority_loss("cross_entropy", [5, 2, 1], class_weights=weights)

    def test_bad_positive_weights(self) -> None:
        with pytest.raises(ValueError, match="not all 0"):
            PositiveWeightLoss([0, 0])
        with pytest.raises(ValueError, match="2 weights for 3 labels"):
            minority_loss("pos_weight", rows_of(SEVERAL), weights=[1.0, 2.0])

    def test_an_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(ValueError, match=r"no loss 'foca'.*focal.*pos_weight"):
            minority_loss("foca", [4, 1])

    @pytest.mark.parametrize(
        ("labels", "told"),
        [
            (torch.tensor([0, 3]), "is 3, outside of the 3 classes"),
            (torch.tensor([0, -1]), "is -1, outside"),
            (torch.tensor([0.0, 1.0]), "whole numbers"),
            (torch.tensor([[0.5, 0.5, 0], [1, 0, 0]]), "shares of several classes"),
            (torch.tensor([[1.0, 0], [0, 1]]), r"labels have shape \(2, 2\)"),
            (torch.tensor([[1.0, 0, float("nan")], [0, 1, 0]]), "NaN"),
            (None, "no labels"),
        ],
    )
    def test_bad_labels(self, labels: Any, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            minority_loss("focal", [5, 2, 1])(outputs_of(2), labels)

    def test_a_head_of_another_size(self, tmp_path: Path) -> None:
        loss = minority_loss("focal", [5, 2])
        with pytest.raises(ValueError, match="num_labels=2"):
            trained(rows_of(IDS), tmp_path, model=new_model(3), given={"compute_loss_func": loss})

    def test_several_gpus_in_one_process(self) -> None:
        loss = minority_loss("focal", [5, 2, 1])
        with pytest.raises(ValueError, match="DataParallel"):
            loss(outputs_of(2), torch.tensor([0, 1]), torch.tensor([[2], [2]]))

    def test_a_start_of_no_weights(self) -> None:
        with pytest.raises(ValueError, match="there are none"):
            minority_loss("focal", [5, 2, 1], start=0.5)
        with pytest.raises(ValueError, match="start=1"):
            TrainerLoss(F.cross_entropy, 2, class_weights=[1, 2], start=1)
