"""Cards of what a re-embedding run writes, from its record and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

from huggingface_hub import DatasetCardData, ModelCardData

from hf_oversample.hub.card import evaluation_results
from hf_oversample.hub.citations import citation
from hf_oversample.hub.rendering import environment_line, license_of, public, rendered
from hf_oversample.hub.tables import markdown_table, metrics_table

PARTS = ("classifier", "encoder", "triplets")
FORMAT = 4
_POOLED = {"mean": "mean of its last states over the tokens", "cls": "first token's last state"}
_BY = {
    "classification": "to tell the classes apart",
    "contrastive": "on rare texts that lie among others",
    "joint": "to tell the classes apart, and on rare texts that lie among others",
}
_TITLES = {
    "classifier": "A classifier of {}",
    "encoder": "A sentence encoder for {}",
    "triplets": "Triplets of {}",
}


def reembedding_card(
    run: Mapping[str, Any], part: Literal["classifier", "encoder", "triplets"] | str
) -> str:
    """
    The card (README.md) of one part of a run.

    Args:
        run: the record of the run, the content of its `run.json`.
        part: which of `PARTS`.

    Returns: Markdown with a YAML head.

    Raises:
        ValueError: the record is none of a re-embedding run of this version, or the part is
            unknown.
    """
    if run.get("kind") != "reembedding" or run.get("format") != FORMAT:
        raise ValueError(
            f"the record is of kind {run.get('kind')!r}, format {run.get('format')!r}, and this "
            f"card is written from a 'reembedding' record of format {FORMAT}."
        )
    if part not in PARTS:
        raise ValueError(f"part is {part!r}; it must be one of {list(PARTS)}.")
    arguments, found, data = run["arguments"], run["reembedding"], run["data"]
    training = arguments["training"]
    shown = {**{k: v for k, v in arguments.items() if k != "training"}, **training}
    metrics = "Nothing was held out to measure it."
    if run["metrics"]:
        metrics = metrics_table(run["metrics"], ("average_precision", "f1_tuned", "roc_auc", "f1"))
    return rendered(
        "reembedding.md",
        metadata=_metadata(run, part).strip(),
        name=_TITLES[part].format(data["name"]),
        part=part,
        pooling=_POOLED[arguments["pooling"]],
        data=data,
        triplets=run["triplets"],
        versions=run["versions"],
        rare=", ".join(f"`{name}`" for name in found["targets"]),
        classes_table=markdown_table(["class", "rows"], list(data["classes"].items())),
        objective=training["objective"] + ", balanced" * training["balanced"],
        by=_BY[training["objective"]],
        steps=found["steps"],
        rate=f"{found['learning_rate']:g}",
        rates=", ".join(
            f"{float(rate):g}: " + ("it diverged" if value is None else f"{value:.3f}")
            for rate, value in found["validation_of_rates"].items()
        ),
        is_plain=training["objective"] == "classification" and not training["balanced"],
        difficult=", ".join(
            f"`{name}` {100 * value:.1f} %" for name, value in found["difficult_share"].items()
        ),
        coefficient=found["coefficient"],
        average=run["average"],
        seed=run["seed"],
        timings="Seconds: "
        + ", ".join(f"{name} {value:.4g}" for name, value in run["timings"].items())
        + ".",
        metrics_table=metrics,
        arguments_table=markdown_table(
            ["argument", "value"],
            [(name, public(value)) for name, value in shown.items() if value is not None],
        ),
        environment=environment_line(run),
        license=license_of(run),
        citation=citation(run, method="reembedding"),
    )


def _metadata(run: Mapping[str, Any], part: str) -> str:
    """The head of a card."""
    tags = ["hf_oversample", "re-embedding", "imbalanced"]
    language = run["data"]["language"]
    if part == "triplets":
        data_set = DatasetCardData(
            pretty_name=_TITLES[part].format(run["data"]["name"]),
            license=license_of(run),
            language=language,
            task_categories=["sentence-similarity"],
            tags=[*tags, "sentence-transformers", "triplets"],
        )
        return str(data_set.to_yaml())
    name = run["encoder"]["name"]
    is_on_hub = isinstance(name, str) and name.count("/") == 1 and not PurePath(name).is_absolute()
    model = ModelCardData(
        model_name=_TITLES[part].format(run["data"]["name"]),
        license=license_of(run),
        language=language,
        library_name="transformers" if part == "classifier" else "sentence-transformers",
        pipeline_tag="text-classification" if part == "classifier" else "sentence-similarity",
        tags=tags,
        base_model=name if is_on_hub else None,
        eval_results=evaluation_results(run) or None,
    )
    return str(model.to_yaml())
