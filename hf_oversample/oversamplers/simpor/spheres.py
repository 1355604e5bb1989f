"""Points on spheres: random ones, and those that climb a density ratio (SIMPOR, section 4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hf_oversample.numeric import noise
from hf_oversample.oversamplers.plan import IntArray
from hf_oversample.oversamplers.simpor.densities import LogDensityRatio

LARGEST_ANGLE = math.pi / 2
_SMALLEST_ANGLE = 1e-3  # radians; a smaller step is taken for none
_ANGLE_GROWTH, _ANGLE_CUT = 1.5, 0.5


def random_directions(width: int, seed: int, parent: IntArray, child: IntArray) -> Tensor:
    """Unit vectors [children, width], uniform on the sphere, each addressed by its child."""
    draws = noise.normal(
        seed,
        noise.stream("simpor direction"),
        parent[:, None],
        child[:, None],
        np.arange(width),
    )
    return torch.from_numpy(draws / np.linalg.norm(draws, axis=1, keepdims=True)).float()


@dataclass(frozen=True, eq=False)
class Ascent:
    """Where :func:`ascend` ended.

    Attributes:
        points: [b, d], the places themselves, of the centres' type.
        directions: [b, d], unit vectors from the centres to the points.
        start, end: [b], the ratio before and after, in its type.
        evaluations: points at which the ratio and its gradient were computed, over all rows.
    """

    points: Tensor
    directions: Tensor
    start: Tensor
    end: Tensor
    evaluations: int


@torch.no_grad()
def ascend(
    ratio: LogDensityRatio,
    centers: Tensor,
    radii: Tensor,
    directions: Tensor,
    *,
    steps: int = 50,
    step_angle: float = 0.5,
    judge: LogDensityRatio | None = None,
) -> Ascent:
    """Climb to a local maximum of a ratio on spheres, all points at once (Algorithm 1).

    With u the unit vector from the centre x₀, so that x' = x₀ + r u, the gradient g is projected on
    the tangent, p = g − (g·u) u, and u turns by an angle θ towards p: u ← u cos θ + sin θ p/‖p‖.
    (The printed p = g − (g·x')x' and x' cos θ + p sin θ hold for r = 1 only.) θ is at most the
    angle between u and g, where a linear function has its maximum. A step that does not improve is
    taken back and θ is halved; after one that does θ grows by a half. A point stops when θ is below
    1e-3 or it has no tangent left. Points are evaluated as they are, rounded to the type of the
    centres; one that gained no more than the rounding of the ratio goes back to its start.

    Args:
        ratio: what to climb. The value at a candidate comes with its gradient, so a step that is
            kept costs no further evaluation.
        centers: x₀ [b, d].
        radii: r [b]; points of radius 0 stay.
        directions: u [b, d] at the start.
        steps: evaluations a point at most, after the first.
        step_angle: θ at the start, in radians.
        judge: a more exact ratio, by which the gain is found instead.

    Returns:
        where the points ended. ``end`` ≥ ``start`` for every one, and not by rounding: exact
        arithmetic agrees.
    """
    directions, at_start = directions.clone(), directions
    starts = torch.addcmul(centers, directions, radii[:, None])
    values, gradients = ratio.value_and_gradient(starts)
    gradients = gradients.to(directions.dtype)
    points, start, evaluations = starts.clone(), values.clone(), len(values)
    angles = torch.full_like(radii, step_angle)
    active = torch.nonzero(radii > 0).squeeze(1)
    for _ in range(steps):
        outward = (gradients[active] * directions[active]).sum(dim=1)
        tangents = gradients[active] - outward[:, None] * directions[active]
        lengths = tangents.norm(dim=1)
        tried = torch.minimum(angles[active], torch.atan2(lengths, outward))
        moving = (tried >= _SMALLEST_ANGLE) & (lengths > 0)
        active, tried = active[moving], tried[moving, None]
        if not len(active):
            break
        tangents = tangents[moving].div_(lengths[moving, None])
        candidates = directions[active] * tried.cos() + tangents * tried.sin()
        candidates /= candidates.norm(dim=1, keepdim=True)
        places = torch.addcmul(centers[active], candidates, radii[active, None])
        new_values, new_gradients = ratio.value_and_gradient(places)
        evaluations += len(active)
        better = new_values > values[active]
        kept = active[better]
        directions[kept], points[kept] = candidates[better], places[better]
        values[kept] = new_values[better]
        gradients[kept] = new_gradients[better].to(gradients.dtype)
        grown = (angles[active] * _ANGLE_GROWTH).clamp_(max=LARGEST_ANGLE)
        angles[active] = torch.where(better, grown, tried[:, 0] * _ANGLE_CUT)
    if judge is not None:
        start, values = judge.value(starts), judge.value(points)
    judge = judge or ratio
    # Two values are compared, and each may be off.
    doubtful = values - start <= 2.0 * max(judge.rounding(starts), judge.rounding(points))
    directions[doubtful], points[doubtful] = at_start[doubtful], starts[doubtful]
    values[doubtful] = start[doubtful]
    return Ascent(points, directions, start, values, evaluations)
