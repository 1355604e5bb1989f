"""Losses of the Bayesian-network GAN: local conditionals, the regulariser, the adversarial terms.

All of a batch's least squares come from one matrix: with C the correlations of all variables, the
weights of a code on its parents P are C[P, P]⁻¹ C[P, i], and what the residual has in common with
any variable v is C[i, v] − wᵀ C[P, v].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Added to variances: a variable that is the same in the whole batch has no correlations.
_SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True)
class Structure:
    """
    A network over columns of numbers: observed variables, classes, codes, codes of the classes.

    Args:
        names: of the columns, in the order in which `columns` joins them.
        observed: columns of the observed variables.
        codes: columns of the codes, the classes' codes last.
        parents: for each code, columns of its parents.
        others: for each code, columns that are neither itself, nor its parents, nor its
            descendants: by the Markov condition the code is independent of them, given its
            parents. The columns of the classes and of their codes count as one variable: those of
            other classes are not among a class code's others.
        descendants: for each code, columns of its descendants.
        num_classes: how many of the codes, the last ones, are the classes'.
    """

    names: tuple[str, ...]
    observed: tuple[int, ...]
    codes: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]
    others: tuple[tuple[int, ...], ...]
    descendants: tuple[tuple[int, ...], ...]
    num_classes: int

    @classmethod
    def of(cls, network: Mapping[str, Any], class_names: Sequence[str]) -> Structure:
        """The structure of a network (as `BayesianNetwork.to_dict` writes it) and of classes."""
        observed, latent = list(network["observed"]), list(network["latent"])
        k, first_code = len(class_names), len(observed) + len(class_names)
        first_class_code = first_code + len(latent)
        classes = range(len(observed), first_code)
        class_codes = range(first_class_code, first_class_code + k)
        place = {name: number for number, name in enumerate(observed)}
        place |= {name: first_code + number for number, name in enumerate(latent)}
        names = [*observed, *(f"class {name}" for name in class_names)]
        names += [*latent, *(f"class' {name}" for name in class_names)]
        edges = [(place[parent], place[child]) for parent, child in network["edges"]]
        edges += list(zip(classes, class_codes, strict=True))
        of_classes = {*classes, *class_codes}
        codes = range(first_code, len(names))
        parents, others, below = [], [], []
        for code in codes:
            own = tuple(parent for parent, child in edges if child == code)
            descendants = _descendants(code, edges)
            excluded = {code, *own, *descendants} | (of_classes if code in of_classes else set())
            parents.append(own)
            below.append(tuple(sorted(descendants)))
            others.append(tuple(v for v in range(len(names)) if v not in excluded))
        return cls(
            tuple(names),
            tuple(range(len(observed))),
            tuple(codes),
            tuple(parents),
            tuple(others),
            tuple(below),
            k,
        )


def _descendants(node: int, edges: Sequence[tuple[int, int]]) -> set[int]:
    found: set[int] = set()
    waiting = [node]
    while waiting:
        parent = waiting.pop()
        new = {child for p, child in edges if p == parent} - found
        found |= new
        waiting += new
    return found


@dataclass(frozen=True)
class LocalConditionals:
    """
    P(c'_i | p_i) = N(w_iᵀ p_i + b_i, σ_i²) of every code, fitted to a batch (Eq. 3 and 4).

    Args:
        weights: `[codes, columns]`, w_i in the columns' units; 0 where a column is no parent.
        intercepts: `[codes]`, b_i. The paper has none: its variables have mean 0, which a batch's
            codes have not.
        variances: `[codes]`, σ_i².
        r_squared: `[codes]`, the share of a code's variance that its parents explain, 0 to 1.
        semi_partial: `[codes, columns]`, correlation of a code's residual with a column,
            cov(residual, v) / (sd c'_i · sd v).
    """

    weights: Tensor
    intercepts: Tensor
    variances: Tensor
    r_squared: Tensor
    semi_partial: Tensor


def fit_conditionals(
    values: Tensor, structure: Structure, ridge: float = 1e-4
) -> LocalConditionals:
    """
    Ordinary least squares of every code on its parents, with an intercept, all at once.

    Args:
        values: `[m, columns]`, in the order of `structure.names`.
        structure: who depends on whom.
        ridge: added to the parents' correlation matrix; 0 is ordinary least squares.
    """
    means = values.mean(dim=0)
    centered = values - means
    deviations = (centered.square().mean(dim=0) + _SMALLEST_VARIANCE).sqrt()
    standard = centered / deviations
    correlations = standard.T @ standard / len(values)
    codes = torch.tensor(structure.codes, device=values.device)
    width = max(len(parents) for parents in structure.parents)
    padded = [[*parents, *[-1] * (width - len(parents))] for parents in structure.parents]
    index = torch.tensor(padded, device=values.device)
    present = index >= 0
    index = index.clamp(min=0)
    # C[P, P] of every code at once; what pads it is the identity, whose weights come out as 0.
    both = present[:, :, None] & present[:, None, :]
    gram = correlations[index[:, :, None], index[:, None, :]] * both
    gram = gram + torch.diag_embed(torch.where(present, ridge, 1.0).to(values.dtype))
    target = correlations[index, codes[:, None]] * present
    solved = torch.linalg.solve(gram, target)
    weights = torch.zeros(len(codes), values.shape[1], dtype=values.dtype, device=values.device)
    weights = weights.scatter_add(1, index, solved * present)
    residual = correlations[codes] - weights @ correlations
    explained = 2 * (weights * correlations[codes]).sum(1) - (weights @ correlations * weights).sum(
        1
    )
    code_deviations = deviations[codes]
    in_units = weights * code_deviations[:, None] / deviations
    return LocalConditionals(
        weights=in_units,
        intercepts=means[codes] - in_units @ means,
        variances=(correlations[codes, codes] - explained) * code_deviations.square(),
        r_squared=explained,
        semi_partial=residual,
    )


def log_likelihood(values: Tensor, structure: Structure, fitted: LocalConditionals) -> Tensor:
    """
    log P(c, c'; B) of rows under fitted conditionals (Eq. 5), in nats: `[m]`.

    Observed variables are N(0, 1); the class, which is drawn by its own frequencies, is left out.
    """
    codes = torch.tensor(structure.codes, device=values.device)
    residuals = values[:, codes] - values @ fitted.weights.T - fitted.intercepts
    variances = fitted.variances.clamp(min=_SMALLEST_VARIANCE)
    local = -0.5 * ((2 * math.pi * variances).log() + residuals.square() / variances)
    drawn = list(structure.observed)
    normal = -0.5 * (math.log(2 * math.pi) + values[:, drawn].square())
    return local.sum(dim=1) + normal.sum(dim=1)


# ---- the regulariser (section 3.2) ---------------------------------------------------------------


def bounded_regularizer(
    values: Tensor, structure: Structure, ridge: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """
    The intent of Eq. 6 with a lower bound: 1 − R² of each code on its parents, and the squared
    semi-partial correlations of what it should not depend on.

    Eq. 6 as printed can fall for ever, and pushes a code away from its own children too; this one
    is at least 0, and spares descendants.

    Args:
        values: `[m, columns]`, in the order of `structure.names`.
        structure: who depends on whom.
        ridge: of the least squares.

    Returns:
        `structure`: mean over the codes of 1 − R², 0 to 1; and `leakage`: mean over the codes of
            the summed squared semi-partial correlations, each from 0 to 1. In both means the
            classes' codes together weigh as much as all others, however many classes there are.
    """
    fitted = fit_conditionals(values, structure, ridge)
    mask = torch.zeros_like(fitted.semi_partial)
    for row, others in enumerate(structure.others):
        mask[row, list(others)] = 1.0
    leakage = (fitted.semi_partial.square() * mask).sum(dim=1)
    first = len(structure.codes) - structure.num_classes
    near, far = (
        (values[:first].mean() + values[first:].mean()) / 2
        for values in (1 - fitted.r_squared, leakage)
    )
    return near, far


def literal_regularizer(values: Tensor, structure: Structure) -> tuple[Tensor, Tensor]:
    """
    Eq. 6 as printed: Σ ℓ(E c'_i, E p_ij) − Σ ℓ(E c'_i, E p̄_ij), with E the mean over the batch
    and ℓ the squared error of the two means.

    It compares means and no rows, so it is blind to whether codes follow their parents, and it is
    unbounded below: kept for comparison.

    Args:
        values: `[m, columns]`, in the order of `structure.names`.
        structure: who depends on whom.

    Returns:
        both sums; the second, which is to be subtracted, already with its minus sign.
    """
    means, total = values.mean(dim=0), (values.new_zeros(()), values.new_zeros(()))
    for row, code in enumerate(structure.codes):
        errors = (means[code] - means).square()
        far = [*structure.others[row], *structure.descendants[row]]
        total = total[0] + errors[list(structure.parents[row])].sum(), total[1] - errors[far].sum()
    return total


def mutual_information_bound(observed: Tensor, estimates: Tensor, log_variances: Tensor) -> Tensor:
    """
    InfoGAN's lower bound of I(c; G(z, c)), in nats, summed over the variables: E log Q(c | x) +
    H(c), with Q(c | x) = N(c', σ²) and c ~ N(0, 1).

    Args:
        observed: c, `[m, q]`.
        estimates: c', `[m, q]`, each of the variable in the same place.
        log_variances: log σ² of each, `[q]`.
    """
    error = (observed - estimates).square() / log_variances.exp()
    gain = 0.5 * (1 + math.log(2 * math.pi)) - 0.5 * (math.log(2 * math.pi) + log_variances + error)
    return gain.mean(dim=0).sum()


# ---- the adversarial terms ----------------------------------------------------------------------


def least_squares_discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """½ (D(real) − 1)² + ½ D(made)² (Mao et al., 2017), of scores `[m]` each."""
    return 0.5 * ((real - 1).square().mean() + made.square().mean())


def least_squares_generator_loss(made: Tensor) -> Tensor:
    """½ (D(made) − 1)², of scores `[m]`."""
    return 0.5 * (made - 1).square().mean()


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """
    Cross-entropy of the class's code, read as logits.

    The paper matches classes to codes by hand; R² alone would be high for codes that tell the
    classes of made rows by what no real row shows.
    """
    return F.cross_entropy(logits.float(), labels)
