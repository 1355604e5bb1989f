"""
Anchors of single texts by a trained generator: what `hf-oversample generate` does.

The texts and the classes are checked before a model is loaded, and the columns before torch is
imported, which together take half a minute on a slow machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datasets import Dataset

from hf_oversample.commands.generate_arguments import GenerateArguments
from hf_oversample.commands.outcome import Outcome
from hf_oversample.data.demo import demo_bbc, demo_sms
from hf_oversample.data.reading import check_text_column, load_text_dataset
from hf_oversample.data.whole_files import whole

if TYPE_CHECKING:
    from hf_oversample.models.miso.configuration_miso import MisoConfig
    from hf_oversample.oversamplers.miso.models import MisoModels


def generate(arguments: GenerateArguments, resume: str | None = None) -> Outcome:
    """
    Write anchors for texts, each an edit of its text that the generator fills as its class.

    No classifier looks at them: there are no training rows here to fit one on. What repeats
    itself, and what copies a text that was read or an anchor before it, is drawn again, and
    counted. A text's anchors depend on the seed, its row and the texts that were read.

    Args:
        arguments: the command's.
        resume: unused; a file is written whole or not at all.

    Raises:
        ValueError: a missing column, a bad text, or a class that the generator does not write.
    """
    a = arguments
    rows = _read(a)
    _check_columns(a, rows)
    texts = rows[a.text_column][:]

    from hf_oversample.commands.data import generator_at_revision
    from hf_oversample.models.loading import load_config
    from hf_oversample.models.miso.configuration_miso import MisoConfig  # torch

    generator = generator_at_revision(a.generator, a.generator_revision)
    labels = _labels(a, rows, load_config(MisoConfig, generator))

    from hf_oversample.oversamplers.miso.models import MisoModels

    models = MisoModels.load(
        generator,
        None,
        realizer="edit",
        language=None,
        max_length=None,
        precision="float32",
        user_dictionary=(),
        edit_options={"protection": a.protection},
        seed=a.seed,
        guidance=a.guidance,
    )
    kept, reasons = _anchors(a, texts, labels, models)
    names = models.model.config.id2label
    made = Dataset.from_dict(
        {
            "text": [text for _, text in kept],
            "label": [str(names[labels[row]]) for row, _ in kept],
            "source": [texts[row] for row, _ in kept],
            "parent": [row for row, _ in kept],
        }
    )
    _write(made, Path(a.output_file))
    counted = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    told = (
        f"{len(kept)} anchors of {len({row for row, _ in kept})} of {len(texts)} texts in "
        f"{a.output_file}. Draws: {counted or 'none'}. No gate has judged whether they are of "
        "their class: read them before you train on them."
    )
    if len(kept) < a.per_text * len(texts):
        told += (
            f"\nFewer than the {a.per_text * len(texts)} asked for: raise --max_tries or "
            "--edit_share, or name texts with more words."
        )
    record = {
        "output_file": a.output_file,
        "texts": len(texts),
        "anchors": len(kept),
        "draws": dict(reasons),
        "generator": a.generator,
        "generator_revision": a.generator_revision,
        "seed": a.seed,
    }
    return Outcome(record, told)


def _read(a: GenerateArguments) -> Dataset:
    if a.demo is not None:
        return {"sms": demo_sms, "bbc": demo_bbc}[a.demo]()
    return load_text_dataset(
        dataset_name=a.dataset_name, train_file=a.train_file, encoding=a.encoding
    )


def _check_columns(a: GenerateArguments, rows: Dataset) -> None:
    """
    Raises:
        ValueError: a column that is named is not there, or a text is null or empty.
    """
    there = rows.column_names
    if a.text_column not in there:
        raise ValueError(
            f"there is no column {a.text_column!r}; there are {there}. Name yours with --text."
        )
    if a.label_column is not None and a.label_column not in there:
        raise ValueError(
            f"there is no column {a.label_column!r}; there are {there}. Name the class with "
            "--class, or another column with --label."
        )
    check_text_column(rows, a.text_column)


def _labels(a: GenerateArguments, rows: Dataset, config: MisoConfig) -> list[int]:
    """The generator's label that each text's anchors are for."""
    known = {str(name): int(label) for name, label in config.label2id.items()}
    written = [str(config.id2label[label]) for label in config.target_classes or ()]
    if a.label_column is not None:
        feature = rows.features[a.label_column]
        values = rows[a.label_column][:]
        names = [feature.int2str(v) if hasattr(feature, "int2str") else str(v) for v in values]
    elif a.class_name is not None or len(written) == 1:
        names = [a.class_name if a.class_name is not None else written[0]] * len(rows)
    else:
        raise ValueError(
            f"the generator writes {written}: name one with --class, or a column of classes with "
            "--label."
        )
    for row, name in enumerate(names):
        if name not in written:
            raise ValueError(
                f"row {row}: anchors of the class {name!r} are asked for, and the generator was "
                f"trained to write {written}: ask for one of these, or train a generator for it."
            )
    return [known[name] for name in names]


def _anchors(
    a: GenerateArguments, texts: Sequence[str], labels: Sequence[int], models: MisoModels
) -> tuple[list[tuple[int, str]], Counter[str]]:
    """(row, anchor) in the order of the rows, and how many draws ended in which way."""
    from hf_oversample.models.miso.realizers import AnchorRequest  # torch
    from hf_oversample.oversamplers.anchors.surface import surface_reason
    from hf_oversample.text.copies import CopyIndex
    from hf_oversample.text.words import normalized

    config = models.model.config
    encoded = models.encoder.many(texts)
    copies = CopyIndex.build(texts, models.segmenter)
    others = [[c for c in range(config.num_labels) if c != label] for label in labels]
    found: dict[int, list[str]] = {row: [] for row in range(len(texts))}
    seen: set[str] = set()
    reasons: Counter[str] = Counter()
    for attempt in range(a.max_tries):
        wanted = [(row, child) for row in found for child in range(len(found[row]), a.per_text)]
        requests = [
            AnchorRequest(
                encoded[row],
                label=labels[row],
                avoid=others[row][child % len(others[row])],
                key=(row, child, attempt),
                share=a.edit_share,
            )
            for row, child in wanted
        ]
        for (row, _), text in zip(wanted, models.realizer(requests), strict=True):
            reason = surface_reason(text, texts[row], copies, models.segmenter)
            if reason is None and normalized(text) in seen:
                reason = "sibling"
            reasons[reason or "kept"] += 1
            if reason is None:
                seen.add(normalized(text))
                found[row].append(text)
    return [(row, text) for row, anchors in found.items() for text in anchors], reasons


def _write(made: Dataset, path: Path) -> None:
    """The file, whole."""
    write = {".jsonl": made.to_json, ".csv": made.to_csv, ".parquet": made.to_parquet}
    options = {"force_ascii": False} if path.suffix.lower() == ".jsonl" else {}
    with whole(path) as scratch:
        write[path.suffix.lower()](str(scratch), **options)
