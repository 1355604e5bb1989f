"""The tables of benchmarks/miso.md from the lines that benchmarks/miso.py wrote.

python benchmarks/miso_tables.py benchmarks/miso.jsonl [benchmarks/miso_ablations.jsonl …]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from tasks import INDEPENDENT

from hf_oversample.hub.tables import markdown_table
from hf_oversample.metrics.statistics import holm, paired_test

# name in the record → heading; all but the last are better when larger
BINARY = {
    "f1": "F1 at 0.5",
    "macro_f1": "macro-F1",
    "average_precision_at_train": "AP at train prior",
    "average_precision": "AP on test",
    "roc_auc": "AUC",
    "f1_tuned": "F1 tuned",
    "f1_difficult": "F1 difficult",
    "f1_other": "F1 other",
    "difficult_share": "difficult share",
}
TESTED = ("average_precision_at_train", "roc_auc", "f1_tuned", "f1")
AGAINST = ("duplicates", "logit adjustment", "logit-adjusted loss", "synonym edits")
OURS = (
    "anchors",
    "anchors once + logit adjustment",
    "anchors once + logit-adjusted loss",
)


def shown(values: list[float]) -> str:
    """Mean ± sample deviation over seeds, in percent."""
    numbers = 100 * np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return "–"
    return (
        f"{numbers.mean():.1f} ± {numbers.std(ddof=1):.1f}"
        if len(numbers) > 1
        else f"{numbers[0]:.1f}"
    )


def collect(lines: list[dict]) -> dict:
    """(classifier, words) → remedy → metric → seed → value."""
    result: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for line in lines:
        for cell in line["cells"]:
            key = (cell["classifier"], cell["pretrained_words"])
            for metric, value in cell["metrics"].items():
                result[key][cell["remedy"]][metric][line["seed"]] = value
    return result


def tests(remedies: dict, overlap: float) -> str:
    """Paired tests of our remedies against the others, Holm-corrected over this table's tests of
    the same metric.

    Args:
        remedies: remedy → metric → seed → value.
        overlap: test rows over training rows where the seeds share rows; 0 where they do not.
    """
    rows, p_values = [], defaultdict[str, list[float]](list)
    metrics = [m for m in TESTED if any(m in values for values in remedies.values())] or [
        "macro_f1"
    ]
    for ours in OURS:
        for other in AGAINST:
            if ours not in remedies or other not in remedies:
                continue
            for metric in metrics:
                a, b = remedies[ours][metric], remedies[other][metric]
                seeds = sorted(set(a) & set(b))
                if len(seeds) < 2:
                    continue
                test = paired_test([a[s] for s in seeds], [b[s] for s in seeds], overlap)
                points = f"{100 * test.mean:+.1f} ± {100 * test.sd:.1f}"
                won = f"{test.wins} of {test.runs}"
                rows.append([f"{ours} − {other}", BINARY.get(metric, metric), points, won])
                p_values[metric].append(1.0 if np.isnan(test.p_value) else test.p_value)
                rows[-1].insert(0, metric)
    if not rows:
        return ""
    adjusted = {metric: iter(holm(own)) for metric, own in p_values.items()}
    for row in rows:
        p = next(adjusted[row.pop(0)])
        row.append(f"{'< 0.001' if p < 0.001 else f'{p:.3f}'}{' *' if p < 0.05 else ''}")
    return markdown_table(
        ["difference", "metric", "points (mean ± sd)", "seeds won", "p (Holm)"], rows
    )


def comparison(task: str, lines: list[dict]) -> str:
    """Every classifier's table on one task, with its tests."""
    seeds = sorted({line["seed"] for line in lines})
    counts = next(line["counts"] for line in lines if "counts" in line)
    rows = next(line["rows"] for line in lines if "rows" in line)
    overlap = 0.0 if task in INDEPENDENT else rows["test"] / rows["train"]
    parts = [f"### {task}", "", f"Training rows by class: {counts}; seeds {seeds}.", ""]
    for (classifier, words), remedies in collect(lines).items():
        name = classifier + (", pretrained word vectors" if words else "")
        metrics = [m for m in BINARY if any(m in values for values in remedies.values())]
        metrics = metrics or sorted(next(iter(remedies.values())))
        rows = [
            [remedy + _fewer(values, seeds), *[shown(list(values[m].values())) for m in metrics]]
            for remedy, values in remedies.items()
        ]
        parts += [
            f"**{name}**",
            "",
            markdown_table(["remedy", *[BINARY.get(m, m) for m in metrics]], rows),
            "",
        ]
        if table := tests(remedies, overlap):
            parts += [table, ""]
    return "\n".join(parts)


def _fewer(values: dict[str, dict[int, float]], seeds: list[int]) -> str:
    """Which seeds a remedy was run with, where it was not with all."""
    own = sorted(set().union(*values.values()))
    return "" if own == seeds else f" (seeds {', '.join(map(str, own))})"


def quality(lines: list[dict]) -> str:
    """What the anchors are worth on their own, the mean over seeds; "(3 of 5)" of so many seeds."""
    names = {
        "anchors": "anchors",
        "exact_copies": "exact copies",
        "near_copies": "near copies",
        "distinct": "distinct",
        "distinct_2": "distinct-2",
        "self_bleu": "self-BLEU",
        "judged_own_class": "judged own class",
        "judged_own_class_real": "real test rows judged own class",
        "judged_by_words_own_class": "judged by words",
        "judged_by_words_own_class_real": "real test rows judged by words",
    }
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for line in lines:
        groups[line["task"], line["variant"]].append(line["quality"])
    rows = []
    for (task, variant), found in groups.items():
        values = [[q[n] for q in found if n in q] for n in names]
        cells = [f"{np.mean(values[0]):.0f}"]
        for numbers in values[1:]:
            part = "" if len(numbers) in (0, len(found)) else f" ({len(numbers)} of {len(found)})"
            cells.append(shown(numbers) + part)
        rows.append([task, variant, *cells])
    return markdown_table(["task", "variant", *names.values()], rows)


def rejections(lines: list[dict]) -> str:
    """Texts that the gate kept and rejected, by reason."""
    reasons = sorted({r for line in lines for r in line["quality"]["rejections"]})
    rows = [
        [line["task"], line["seed"], *[line["quality"]["rejections"].get(r, 0) for r in reasons]]
        for line in lines
    ]
    return markdown_table(["task", "seed", *reasons], rows)


def ablations(task: str, lines: list[dict]) -> str:
    """What each part adds on one task."""
    metrics = ("average_precision_at_train", "roc_auc", "f1_tuned")
    shares = ("judged_own_class", "judged_by_words_own_class", "near_copies")
    groups: dict[str, list[dict]] = defaultdict(list)
    for line in lines:
        groups[line["variant"]].append(line)
    rows = []
    for variant, found in groups.items():
        remedies = collect(found)["textcnn", False]
        once = remedies["anchors once + logit adjustment"]["roc_auc"]
        rows.append(
            [
                variant,
                f"{np.mean([line['quality']['anchors'] for line in found]):.0f}",
                *[
                    shown([line["quality"][name] for line in found if name in line["quality"]])
                    for name in shares
                ],
                *[shown(list(remedies["anchors"][metric].values())) for metric in metrics],
                shown(list(once.values())),
            ]
        )
    head = [
        *("variant", "anchors", "judged own class", "judged by words", "near copies"),
        *[BINARY[m] for m in metrics],
        "AUC, once + logit adjustment",
    ]
    seeds = sorted({line["seed"] for line in lines})
    title = f"### {task}, TextCNN from scratch on data + anchors, seeds {seeds}"
    return f"{title}\n\n{markdown_table(head, rows)}\n"


def _start_of(text: str, length: int = 240) -> str:
    """A text on one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[:length]} […]"


def samples(lines: list[dict]) -> str:
    """Texts and their anchors, of each task's first seed; what advertises pornography is left out
    of a page that anybody may open."""
    parts = []
    for line in lines:
        if line["seed"] == min(other["seed"] for other in lines if other["task"] == line["task"]):
            parts += [f"**{line['task']}**", ""]
            parts += [
                f"- {_start_of(source)} → {_start_of(anchor)}"
                for source, anchor in line["quality"].get("samples", [])
                if "xxx" not in source.lower()
            ]
            parts.append("")
    return "\n".join(parts)


def main(paths: list[str]) -> int:
    """Print the tables of all lines."""
    lines = [json.loads(line) for path in paths for line in Path(path).read_text().splitlines()]
    default = [line for line in lines if line["variant"] == "default"]
    alone = [line for line in lines if line["variant"] == "remedies alone"]
    print(
        "## Anchors\n\n"
        + quality(default)
        + "\n\n"
        + rejections(default)
        + "\n\n"
        + samples(default)
    )
    print("## Classifiers\n")
    for task in dict.fromkeys(line["task"] for line in default):
        print(comparison(task, [line for line in default + alone if line["task"] == task]))
    others = [line for line in lines if line not in default + alone]
    if others:
        print("## Ablations\n")
        for task in dict.fromkeys(line["task"] for line in others):
            seeds = {line["seed"] for line in others if line["task"] == task}
            base = [line for line in default if line["task"] == task and line["seed"] in seeds]
            print(ablations(task, base + [line for line in others if line["task"] == task]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
