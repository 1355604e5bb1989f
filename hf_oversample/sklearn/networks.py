"""The methods that train or differentiate in torch."""

from __future__ import annotations

from hf_oversample.oversamplers.amo.oversampler import AmoOversampler
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.oversamplers.simpor.oversampler import SimporOversampler
from hf_oversample.sklearn.base import OversamplerSampler


class AmoSampler(OversamplerSampler, method=AmoOversampler):
    """
    Adversarial minority over-sampling by major-to-minor translation; parameters: see
    :class:`~hf_oversample.oversamplers.amo.oversampler.AmoOversampler`, and `random_state`.
    """


class SimporSampler(OversamplerSampler, method=SimporOversampler):
    """
    Synthetic neighbours of maximum posterior ratio; parameters: see
    :class:`~hf_oversample.oversamplers.simpor.oversampler.SimporOversampler`, and `random_state`.
    """


class BayesianGanSampler(OversamplerSampler, method=BayesianGanOversampler):
    """
    A GAN whose codes follow a Bayesian network; parameters: see
    :class:`~hf_oversample.oversamplers.bayesian_gan.BayesianGanOversampler`, and `random_state`.
    """
