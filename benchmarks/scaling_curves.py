"""The curves of `scaling.py`: what varies along each, and the points."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """What varies along it, and how far each method is followed: as far as a minute a point."""

    label: str
    setting: dict[str, float]
    values: dict[str, tuple[int, ...]]


CURVES = {
    "rows": Curve(
        "rows",
        {"width": 128, "rare_share": 0.01},
        {
            "random": (10_000, 30_000, 100_000, 300_000, 1_000_000),
            "SMOTE": (10_000, 30_000, 100_000, 300_000, 1_000_000),
            "Borderline-SMOTE": (10_000, 30_000, 100_000, 300_000),
            "ADASYN": (10_000, 30_000, 100_000, 300_000),
            "AMO": (3000, 10_000, 30_000),
            "SIMPOR": (3000, 10_000, 30_000),
            "Bayesian GAN, sampling": (10_000, 30_000, 100_000),
        },
    ),
    "dimensions": Curve(
        "numbers a row",
        {"rows": 10_000, "rare_share": 0.1},
        {
            "random": (16, 64, 256, 1024),
            "SMOTE": (16, 64, 256, 1024),
            "Borderline-SMOTE": (16, 64, 256, 1024),
            "ADASYN": (16, 64, 256, 1024),
            "AMO": (16, 128, 1024),
            "SIMPOR": (16, 64, 256),
            "Bayesian GAN, sampling": (16, 128, 1024),
        },
    ),
    "classes": Curve(
        "classes",
        {"rows": 60_000, "width": 32},
        {
            "random": (2, 10, 100, 1000, 10_000),
            "SMOTE": (2, 10, 100, 1000, 10_000),
            "ADASYN": (2, 100, 1000),
            "AMO": (2, 100),
        },
    ),
    "processes": Curve(
        "processes",
        {"rows": 300_000, "width": 128, "rare_share": 0.01},
        {"map, SMOTE": (1, 2), "map, random": (1, 2), "products": (1, 2)},
    ),
    "batch size": Curve("texts in a batch", {"tokens": 32}, {"MISO update": (8, 16, 32, 64, 128)}),
    "text length": Curve("tokens a text", {"batch": 32}, {"MISO update": (8, 16, 32, 64)}),
}
