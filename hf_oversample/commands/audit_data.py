"""The rows that an audit looks at, and the words that name them to another command."""

from __future__ import annotations

import shlex

from datasets import Dataset

from hf_oversample.commands.audit_arguments import AuditArguments
from hf_oversample.data.demo import demo_bbc, demo_sms
from hf_oversample.data.reading import load_text_dataset


def read_parts(a: AuditArguments) -> dict[str, Dataset]:
    """The parts by name, the training rows first."""
    if a.demo is not None:
        return {"train": {"sms": demo_sms, "bbc": demo_bbc}[a.demo]()}
    if a.train_file is not None:
        files = {"train": a.train_file, "validation": a.validation_file, "test": a.test_file}
        return {
            name: load_text_dataset(train_file=path, encoding=a.encoding)
            for name, path in files.items()
            if path is not None
        }
    splits = {"train": "train", "validation": a.validation_split, "test": a.test_split}
    return {
        name: load_text_dataset(
            dataset_name=a.dataset_name,
            dataset_config=a.dataset_config,
            revision=a.revision,
            split=split,
        )
        for name, split in splits.items()
        if split is not None
    }


def source_words(a: AuditArguments) -> str:
    """The words that name the same data to another command."""
    data = a.train_file or a.dataset_name or f"demo:{a.demo}"
    names = [
        *("test_file", "validation_file", "encoding", "dataset_config", "revision", "test_split"),
        *("encoder_name", "language"),
    ]
    words = [shlex.quote(data)]
    words += [f"--{n} {shlex.quote(getattr(a, n))}" for n in names if getattr(a, n) is not None]
    if a.text_column != "text":
        words.append(f"--text {shlex.quote(a.text_column)}")
    if a.label_column != "label":
        words.append(f"--label {shlex.quote(a.label_column)}")
    words += [f"--{n}" for n in ("strip_labels", "lowercase_labels") if getattr(a, n)]
    return " ".join(words)
