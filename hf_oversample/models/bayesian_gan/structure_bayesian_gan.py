"""What a Bayesian-network GAN has learnt of its network: edges, codes, and what leaks past them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from .losses_bayesian_gan import Structure, fit_conditionals, log_likelihood


@dataclass(frozen=True)
class StructureReport:
    """
    The structure as it was learnt, on rows that the generator made.

    Args:
        rows: how many rows it was fitted on.
        edges: one dict per edge: `parent`, `child`, and `weight`, in units of the child's standard
            deviation per one of the parent's.
        codes: one dict per code: `code`, `r_squared` on its parents, `variance` (σ²) left, and
            `largest_leak`, the largest correlation in size among its non-edges.
        non_edges: one dict per code and variable that it should not depend on: `variable`, `code`,
            `correlation` (semi-partial).
        log_likelihood: mean of Eq. 5 over the rows, in nats.
    """

    rows: int
    edges: list[dict[str, Any]]
    codes: list[dict[str, Any]]
    non_edges: list[dict[str, Any]]
    log_likelihood: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def report_structure(values: Tensor, structure: Structure, ridge: float) -> StructureReport:
    """
    Fit Eq. 3 to rows, and tell what it found.

    Args:
        values: of the network's variables in the rows, `[n, columns]`, in the order of
            `structure.names`.
        structure: who depends on whom.
        ridge: added to the parents' correlation matrix.
    """
    fitted = fit_conditionals(values, structure, ridge)
    deviations = values.std(dim=0, unbiased=False).clamp(min=1e-12)
    names, edges, codes, non_edges = structure.names, [], [], []
    for row, code in enumerate(structure.codes):
        for parent in structure.parents[row]:
            weight = fitted.weights[row, parent] * deviations[parent] / deviations[code]
            edge = {"parent": names[parent], "child": names[code], "weight": float(weight)}
            edges.append(edge)
        leaks = [float(fitted.semi_partial[row, other]) for other in structure.others[row]]
        for other, leak in zip(structure.others[row], leaks, strict=True):
            non_edges.append({"variable": names[other], "code": names[code], "correlation": leak})
        codes.append(
            {
                "code": names[code],
                "r_squared": float(fitted.r_squared[row]),
                "variance": float(fitted.variances[row]),
                "largest_leak": max(leaks, key=abs, default=0.0),
            }
        )
    likelihood = float(log_likelihood(values, structure, fitted).mean())
    return StructureReport(len(values), edges, codes, non_edges, likelihood)


__all__ = ["StructureReport", "report_structure"]
