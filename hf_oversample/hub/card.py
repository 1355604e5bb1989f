"""Cards for generators and balanced data sets, written from the record of a run and nothing else.

The record is `run.json`, as `recipes/miso.py` writes it. A number that is not in the record is not
on the card: a missing key is an error, not an empty line. Templates: `hf_oversample/hub/templates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import DatasetCardData, EvalResult, ModelCardData

from hf_oversample.hub.citations import citation
from hf_oversample.hub.rendering import (
    UNNAMED,
    environment_line,
    is_number,
    license_of,
    public,
    rejections,
    rendered,
    repository_name,
    samples_list,
)
from hf_oversample.hub.tables import markdown_table, metrics_table

FORMAT = 1
_NEEDED: dict[str, tuple[str, ...]] = {
    "format": (),
    "arguments": (),
    "versions": ("hf_oversample",),
    "machine": (),
    "seed": (),
    "data": ("name", "rows", "classes", "text_column", "label_column", "language"),
    "counts": ("before", "after", "origin"),
    "difficult_share": ("before", "after"),
    "losses": (),
    "rejections": (),
    "timings": (),
    "metrics": (),
}
# Metrics that the Hub knows by another name than ours.
_HUB_METRICS = {
    **{"macro_f1": "f1", "f1_tuned": "f1", "f1_difficult": "f1", "f1_other": "f1"},
    **{"f1_outvoted": "f1", "f1_not_outvoted": "f1"},
}


def generator_card(run: Mapping[str, Any], repo_id: str | None = None) -> str:
    """The model card (README.md) of the generator that a run trained.

    Args:
        run: the record of the run, the content of its `run.json`.
        repo_id: what a reader passes to `from_pretrained`; None where the generator is not on the
            Hub, and its card says `UNNAMED`, which a push replaces.

    Returns:
        Markdown with a YAML head: licence, language, library, task, tags, base model, and the run's
        results as a model-index.

    Raises:
        ValueError: if the record has another format, or lacks a key; the message names it.
    """
    _check(run)
    name = f"MISO generator for {run['data']['name']}"
    metadata = ModelCardData(
        model_name=name,
        license=license_of(run),
        language=run["data"]["language"],
        library_name="transformers",
        tags=["hf_oversample", "miso", "oversampling", "imbalanced", "synthetic-data"],
        datasets=repository_name(run["arguments"].get("dataset_name")),
        metrics=sorted({_HUB_METRICS.get(m, m) for m in _metric_names(run)}) or None,
        base_model=repository_name(
            run["encoder"]["name"] if "encoder" in run else run["arguments"].get("encoder_name")
        ),
        eval_results=evaluation_results(run) or None,
    )
    place = repo_id or UNNAMED
    return _render("generator.md", run, metadata.to_yaml(), name=name, repo_id=place)


def dataset_card(run: Mapping[str, Any], repo_id: str | None = None) -> str:
    """The data-set card (README.md) of the balanced data set that a run made.

    Args:
        run: the record of the run, the content of its `run.json`.
        repo_id: what a reader passes to `load_dataset`; None where it is not on the Hub.

    Returns:
        Markdown with a YAML head: licence, language, task, size, tags, source data set.

    Raises:
        ValueError: if the record has another format, or lacks a key; the message names it.
    """
    _check(run)
    name = f"{run['data']['name']}, balanced"
    source = repository_name(run["arguments"].get("dataset_name"))
    made = bool(run["counts"]["origin"].get("synthetic"))
    # nobody wrote or labelled made rows; of the real ones only who ran this knows
    by_machine: dict[str, Any] = {
        f"{what}_creators": ["machine-generated"] for what in ("annotations", "language") if made
    }
    files = [{"split": split, "path": f"{split}.parquet"} for split in _splits(run)]
    metadata = DatasetCardData(
        pretty_name=name,
        configs=[{"config_name": "default", "data_files": files}],
        **by_machine,
        license=license_of(run),
        language=run["data"]["language"],
        task_categories=["text-classification"],
        size_categories=_size_category(sum(run["counts"]["origin"].values())),
        source_datasets=[source] if source else None,
        tags=[
            *("hf_oversample", "oversampling", "imbalanced"),
            *(["synthetic"] if made else []),
        ],
    )
    place = repo_id or UNNAMED
    return _render("dataset.md", run, metadata.to_yaml(), name=name, repo_id=place)


def _splits(run: Mapping[str, Any]) -> list[str]:
    """The parts that a run wrote, each a parquet file; a record without them has the train part."""
    return list(run["data"].get("splits") or ["train"])


def evaluation_results(run: Mapping[str, Any]) -> list[EvalResult]:
    """The record's metrics as entries of a model-index, one for each remedy and metric.

    Values that are not finite numbers (a remedy that was not run) have no entry.
    """
    data = run["data"]
    results = []
    for remedy, metrics in run["metrics"].items():
        for metric, value in metrics.items():
            if not is_number(value):
                continue
            results.append(
                EvalResult(
                    task_type="text-classification",
                    task_name="Text classification",
                    dataset_type=repository_name(run["arguments"].get("dataset_name"))
                    or data["name"],
                    dataset_name=data["name"],
                    dataset_split="test",
                    metric_type=_HUB_METRICS.get(metric, metric),
                    metric_name=f"{metric} of a classifier trained with: {remedy}",
                    metric_value=round(float(value), 6),
                )
            )
    return results


def _check(run: Mapping[str, Any]) -> None:
    for key, inner in _NEEDED.items():
        if key not in run:
            raise ValueError(f"The run's record has no {key!r}, so no card can be written.")
        for name in inner:
            if name not in run[key]:
                raise ValueError(
                    f"The run's record has no {name!r} in {key!r}, so no card can be written."
                )
    if run["format"] != FORMAT:
        raise ValueError(
            f"The run's record has format {run['format']!r}, and this version reads {FORMAT}: "
            "write the card with the version of hf_oversample that made the run."
        )


def _render(
    template: str, run: Mapping[str, Any], metadata: str, *, name: str, repo_id: str = ""
) -> str:
    data = dict(run["data"])
    before, after = run["counts"]["before"], run["counts"]["after"]
    data["rare_classes"] = _listed([c for c in after if after[c] > before.get(c, 0)])
    ratio = data.get("imbalance_ratio")
    return rendered(
        template,
        metadata=metadata.strip(),
        name=name,
        repo_id=repo_id,
        data=data,
        versions=run["versions"],
        counts=run["counts"],
        seed=run["seed"],
        ratio=f", imbalance ratio {_number(ratio)}" if ratio is not None else "",
        classes_table=markdown_table(["class", "rows"], list(data["classes"].items())),
        counts_table=markdown_table(
            ["class", "before", "after"], [(c, before.get(c, 0), after[c]) for c in after]
        ),
        steps=_steps(run),
        losses_table=markdown_table(
            ["phase", "loss", "last value"],
            [
                (phase, loss, value)
                for phase, losses in run["losses"].items()
                for loss, value in losses.items()
            ],
        ),
        made_texts=_made_texts(run.get("made_texts")),
        rejections_table=_or_nothing(["reason", "texts"], rejections(run)),
        acceptance_table=_acceptance_table(run.get("acceptance", ())),
        metrics_table=metrics_table(run["metrics"]) if run["metrics"] else "",
        screen_table=_screen_table(run.get("screen")),
        screen_level=(run.get("screen") or {}).get("level"),
        timings="Seconds: "
        + ", ".join(f"{phase} {_number(value)}" for phase, value in run["timings"].items())
        + ".",
        difficult=_difficult(run),
        arguments_table=markdown_table(
            ["argument", "value"],
            [(k, public(v)) for k, v in _arguments(run) if v is not None],
        ),
        environment=environment_line(run),
        license=license_of(run),
        samples=samples_list(run.get("samples") or (), with_parents=template == "dataset.md"),
        review=run.get("review"),
        copies=_copies(run.get("quality") or {}),
        citation=citation(run),
    )


def _steps(run: Mapping[str, Any]) -> str:
    """The steps that each phase took, and of how many where the time was up before."""
    done, cut = run.get("steps") or {}, run.get("cut_short") or {}
    told = [
        f"{phase} {done.get(phase, 0)}"
        + (f" of {cut[phase]} (stopped by --max_train_seconds)" if phase in cut else "")
        for phase in {**done, **cut}
    ]
    return ", ".join(told)


def _or_nothing(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return markdown_table(head, rows) if rows else ""


def _arguments(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name → value; those of a training, each by itself, where there was one."""
    arguments = dict(run["arguments"])
    training = arguments.pop("training", None) or {}
    named = [(f"training.{name}", value) for name, value in training.items()]
    return [*arguments.items(), *(named if run["losses"] else [])]


def _difficult(run: Mapping[str, Any]) -> str:
    """The share of difficult rows, and where the run measured it that of outvoted ones, each with
    what chance gives."""
    measures = {
        "difficult_share": (
            "Share of rare rows that are difficult (a row of another class among their nearest "
            "neighbours)"
        ),
        "outvoted_share": (
            "Share of rare rows that other classes outvote (among their nearest neighbours, each "
            "class's votes over its size)"
        ),
    }
    lines = []
    for name, words in measures.items():
        if name in run and any(is_number(value) for value in run[name].values()):
            before, after = (_with_chance(run[name], when) for when in ("before", "after"))
            lines.append(f"{words}: {before} before, {after} after.")
    return "\n\n".join(lines)


def _with_chance(shares: Mapping[str, Any], when: str) -> str:
    chance = shares.get(f"{when}_by_chance")
    return _share(shares[when]) + ("" if chance is None else f" (by chance {_share(chance)})")


def _acceptance_table(pairs: Sequence[Mapping[str, Any]]) -> str:
    """Rows that AMO drew, translated and accepted, by pair of classes; empty without any."""
    columns = ("source", "target", "drawn", "translated", "accepted")
    rows = [[pair[name] for name in columns] for pair in pairs]
    return markdown_table(["from", *columns[1:]], rows) if rows else ""


def _screen_table(screen: Mapping[str, Any] | None) -> str:
    """Whether made texts are told from real ones, class by class; empty where none were made or
    the run did not look."""
    if not screen:
        return ""
    rows = []
    for name, one in screen["classes"].items():
        area = "too few rows" if one["auc"] is None else f"{one['auc']:.2f}"
        mark = " (warned of)" if one["auc"] is not None and one["auc"] > screen["level"] else ""
        shares = (_share(one["unknown_made"]), _share(one["unknown_real"]))
        rows.append([name, area + mark, *shares, "; ".join(one["giveaways"][:5]) or "–"])
    head = ["class", "AUC", "with unknown words", "of real ones", "told by"]
    return markdown_table(head, rows)


def _made_texts(counts: Mapping[str, Any] | None) -> str:
    """How many texts were asked for and made; empty where none were asked for."""
    if not counts:
        return ""
    asked, made = counts["asked"], counts["made"]
    few = f" {asked - made} real rows are repeated in place of the others." if made < asked else ""
    return f"Texts asked for: {asked}; made and kept: {made}.{few}"


def _copies(quality: Mapping[str, Any]) -> str:
    """How many made texts are copies of training texts, where the run counted them."""
    shares = {"exact": quality.get("exact_copies"), "near": quality.get("near_copies")}
    told = [
        f"{_share(value)} are {name} copies" for name, value in shares.items() if value is not None
    ]
    return f" Of the made texts {' and '.join(told)} of training texts." if told else ""


def _metric_names(run: Mapping[str, Any]) -> set[str]:
    return {m for metrics in run["metrics"].values() for m, v in metrics.items() if is_number(v)}


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _share(value: Any) -> str:
    return f"{100 * value:.1f} %" if is_number(value) else "not measured"


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "rare classes"
    return ("class " if len(names) == 1 else "classes ") + ", ".join(f"`{name}`" for name in names)


def _size_category(rows: int) -> str:
    # The Hub's own buckets.
    for limit, category in [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K")]:
        if rows < limit:
            return category
    return "100K<n<1M" if rows < 10**6 else "1M<n<10M"
