"""How long a fine-tuning is where nobody says, what it is called, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_oversample.training.reembedding import ReembeddingTrainer, TrainingRows
from hf_oversample.training.reembedding_arguments import LEAST_STEPS, ReembeddingArguments
from reembedding_fixtures import reembedder, rows


@given(
    st.integers(1, 10**6), st.integers(1, 64), st.integers(1, 8), st.integers(1, 8),
    st.sampled_from([0.5, 1.0, 2.0, 3.3]),
)  # fmt: skip
def test_all_rows_are_read_as_often_as_passes_says_and_no_more(
    number: int, batch: int, processes: int, accumulation: int, passes: float
) -> None:
    arguments = ReembeddingArguments(
        batch_size=batch,
        gradient_accumulation_steps=accumulation,
        passes=passes,
        save_steps=0,
    ).of_rows(number, processes)
    steps, a_step = arguments.steps, batch * processes
    assert steps is not None
    assert steps % accumulation == 0
    assert steps >= LEAST_STEPS
    assert steps * a_step >= passes * number
    one_less = steps - accumulation
    assert one_less < LEAST_STEPS or one_less * a_step < passes * number


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "contrastive"},
        {"balanced": True},
        {"objective": "joint", "balanced": True},
    ],
)
def test_what_draws_its_rows_makes_no_passes(settings: dict) -> None:
    arguments = ReembeddingArguments(**settings)
    assert arguments.of_rows(10**6).steps == LEAST_STEPS
    assert not arguments.is_plain


def test_steps_that_are_given_stay() -> None:
    arguments = ReembeddingArguments(steps=0)
    assert arguments.of_rows(10**6) is arguments


def test_plain_is_cross_entropy_on_all_rows_and_nothing_else() -> None:
    assert ReembeddingArguments().is_plain
    for name in ("head_first", "interpolate", "balanced"):
        assert not ReembeddingArguments(**{name: True}).is_plain
    assert not ReembeddingArguments(objective="joint").is_plain


def test_texts_of_a_step() -> None:
    balanced = {"rare_rows": 6, "majority_rows": 6, "batch_size": 20, "balanced": True}
    assert ReembeddingArguments(**balanced).texts_a_step == 12
    assert ReembeddingArguments(objective="joint", balanced=True).texts_a_step == 64


def test_a_trainer_reads_every_row_where_steps_are_not_given() -> None:
    made, train = reembedder(objective="classification", steps=None, batch_size=2), rows((400, 20))
    encoded = [np.array([1, 2]) for _ in train.texts]
    trainer = ReembeddingTrainer(
        made.model, TrainingRows(encoded, train.labels, {}), made.arguments
    )
    assert trainer.steps == 420  # two passes of 420 rows, two a step
    read = np.concatenate([trainer._shuffled(step) for step in range(trainer.steps)])
    assert (np.bincount(read, minlength=420) == 2).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_balanced_batches_have_any_others_unless_near_ones_are_asked_for(share: float) -> None:
    train = rows((60, 8))
    settings = {"objective": "classification", "balanced": True, "balanced_hard_share": share}
    settings |= {"rare_rows": 2, "majority_rows": 6, "hard_neighbors": 12, "steps": 1}
    # the share of contrastive batches is another
    made = reembedder(**settings, hard_share=1.0 - share)
    made.fit(train)
    assert made.trainer is not None
    of = made.trainer.rows.classes[1]
    near_to = dict(zip(of.rows.tolist(), of.hard_negatives, strict=True))
    shares = []
    for step in range(40):
        drawn = made.trainer._balanced(step)
        rare, others = drawn[train.labels[drawn] == 1], drawn[train.labels[drawn] == 0]
        assert (len(rare), len(others)) == (2, 6)
        shares.append(np.isin(others, np.concatenate([near_to[row] for row in rare])).mean())
    if share:
        assert min(shares) == 1.0
    else:
        assert np.mean(shares) < 0.6  # 12 to 24 of 60 rows are near


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rare_rows": 1}, "rare_rows is 1"),
        ({"head_first": True, "objective": "contrastive"}, "head_first goes with objective"),
        ({"balanced": True, "objective": "contrastive"}, "balanced goes with objective"),
        ({"objective": "other"}, "objective is 'other'; it must be one of"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be positive"),
        ({"passes": 0.0}, "passes is 0.0; it must be positive"),
        ({"steps": -1}, "steps is -1; it must not be negative"),
        ({"steps": 3, "gradient_accumulation_steps": 2}, "steps is 3, no multiple"),
    ],
)
def test_arguments_that_cannot_work(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReembeddingArguments(**settings)
