"""What changes while MISO is trained: its phases, the temperature τ_e, the weight α, the Gumbel
temperature. Learning rates are in `players.py`."""

from __future__ import annotations

from hf_oversample.models.miso.configuration_miso import MisoConfig
from hf_oversample.training.arguments import MisoTrainingArguments

PHASES = ("pretrain", "critics", "adversarial")
# Shares of max_train_seconds: those that the default numbers of steps take on two cores
PHASE_SECONDS = {"pretrain": 0.75, "critics": 0.05, "adversarial": 0.20}
EDITOR_SECONDS = {"pretrain": 1.0, "critics": 0.0, "adversarial": 0.0}


def phase_steps(arguments: MisoTrainingArguments, config: MisoConfig) -> dict[str, int]:
    """
    The steps of each phase: an editor has the first one alone, and a generator without critics
    (`use_mi=False`) no second one.

    Args:
        arguments: the run's.
        config: the generator's.
    """
    is_miso = config.parts == "miso"
    return {
        "pretrain": arguments.pretrain_steps,
        "critics": arguments.critic_steps if is_miso and config.use_mi else 0,
        "adversarial": arguments.adversarial_steps if is_miso else 0,
    }


def phase_seconds(arguments: MisoTrainingArguments, config: MisoConfig, phase: str) -> float:
    """A phase's share of `max_train_seconds`; 0: no limit."""
    shares = PHASE_SECONDS if config.parts == "miso" else EDITOR_SECONDS
    return arguments.max_train_seconds * shares[phase]


def temperature(
    arguments: MisoTrainingArguments, progress: float, n_minority: int, n_majority: int
) -> float:
    """
    τ_e = n₋ / (n₊ + t_e) (section 4.2): from the imbalance ratio down to 1 as anchors join the
    minority.

    Args:
        arguments: `temperature_steps` is the share of phase 3 after which all have joined.
        progress: share of phase 3 that is done, from 0 to 1.
        n_minority, n_majority: training rows of the target class and of the largest class.
    """
    steps = arguments.temperature_steps
    joined = (min(1.0, progress / steps) if steps else 1.0) * max(0, n_majority - n_minority)
    return max(1.0, n_majority / (n_minority + joined))


def alpha(arguments: MisoTrainingArguments, temperature: float) -> float:
    """α_e = 1/τ_e (section 5), from `alpha_minimum` to `alpha_maximum`."""
    return min(arguments.alpha_maximum, max(arguments.alpha_minimum, 1 / temperature))


def gumbel_temperature(arguments: MisoTrainingArguments, progress: float) -> float:
    """
    The temperature of the discriminators' soft tokens, linear over phase 3.

    Args:
        arguments: its first and last values.
        progress: share of phase 3 that is done, from 0 to 1.
    """
    first, last = arguments.gumbel_temperature, arguments.gumbel_temperature_final
    return first + progress * (last - first)
