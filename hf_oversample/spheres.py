"""Points on spheres: random ones, and those that climb a density ratio (SIMPOR, section 4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hf_oversample import noise
from hf_oversample.densities import LogDensityRatio
from hf_oversample.plan import IntArray

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
        directions: [b, d], unit vectors from the centres to the points.
        start, end: [b], the ratio before and after.
        evaluations: points at which the ratio and its gradient were computed, over all rows.
    """

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
    1e-3 or it has no tangent left.

    Args:
        ratio: what to climb. The value at a candidate comes with its gradient, so a step that is
            kept costs no further evaluation.
        centers: x₀ [b, d].
        radii: r [b]; points of radius 0 stay.
        directions: u [b, d] at the start.
        steps: evaluations a point at most, after the first.
        step_angle: θ at the start, in radians.
        judge: a more exact ratio; a point that it finds below its start goes back there.

    Returns:
        where the points ended; ``end`` ≥ ``start`` for every one, by the judge if there is one.
    """
    directions, at_start = directions.clone(), directions
    values, gradients = ratio.value_and_gradient(torch.addcmul(centers, directions, radii[:, None]))
    start, evaluations = values.clone(), len(values)
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
        points = torch.addcmul(centers[active], candidates, radii[active, None])
        new_values, new_gradients = ratio.value_and_gradient(points)
        evaluations += len(active)
        better = new_values > values[active]
        kept = active[better]
        directions[kept], values[kept] = candidates[better], new_values[better]
        gradients[kept] = new_gradients[better]
        grown = (angles[active] * _ANGLE_GROWTH).clamp_(max=LARGEST_ANGLE)
        angles[active] = torch.where(better, grown, tried[:, 0] * _ANGLE_CUT)
    if judge is not None:
        start = judge.value(torch.addcmul(centers, at_start, radii[:, None]))
        values = judge.value(torch.addcmul(centers, directions, radii[:, None]))
        worse = values < start
        directions[worse], values[worse] = at_start[worse], start[worse]
    return Ascent(directions, start, values, evaluations)
