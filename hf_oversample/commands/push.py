"""A folder to the Hub in one commit: what `hf-oversample push` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from hf_oversample.commands.folder_arguments import PushArguments
from hf_oversample.commands.outcome import Outcome
from hf_oversample.hub.push import check_folder, files_to_push, push_folder

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
# Parquet files alone: the Arrow files of a saved data set hold the same rows.
DATASET_FILES = ("*.parquet", "README.md", "croissant.json")


def push(arguments: PushArguments, resume: str | None = None) -> Outcome:
    """
    Push a folder, card included, as one commit. The token is the one of `hf auth login` or of
    HF_TOKEN; it is neither shown nor written.

    Raises:
        FileNotFoundError: the folder is missing or empty.
        ValueError: it is none of ours, has no card, or holds pickles; nothing is uploaded then.
    """
    a = arguments
    folder, kind = _kind(a)
    try:
        commit = push_folder(
            folder,
            a.repo,
            repo_type=kind,
            private=a.private or None,
            only=_only(kind),
        )
    except LocalTokenNotFoundError as error:
        raise ValueError(_LOG_IN) from error
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code not in (401, 403):
            raise
        raise ValueError(
            f"the Hub does not let you write to {a.repo} ({error.response.status_code}): {_LOG_IN}"
        ) from error
    record = {"repo": a.repo, "repo_type": kind, "commit": commit.oid, "url": commit.commit_url}
    loads = (
        f'load_dataset("{a.repo}", revision="{commit.oid}")'
        if kind == "dataset"
        else f'from_pretrained("{a.repo}", revision="{commit.oid}")'
    )
    return Outcome(record, f"{folder} is at {commit.commit_url}\nLoad it with {loads}")


def plan_push(arguments: PushArguments) -> Outcome:
    """What would be uploaded."""
    folder, kind = _kind(arguments)
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in files_to_push(folder, _only(kind))
    }
    lines = [f"{size:>12,} bytes  {name}" for name, size in files.items()]
    told = f"{arguments.repo} ({kind}) would get, in one commit, if the token may write there:"
    record = {"repo": arguments.repo, "repo_type": kind, "files": files}
    return Outcome(record, "\n".join([told, *lines]))


def _only(kind: Literal["model", "dataset"]) -> Sequence[str] | None:
    """Patterns of the files that are pushed; None: all."""
    return DATASET_FILES if kind == "dataset" else None


def _kind(a: PushArguments) -> tuple[Path, Literal["model", "dataset"]]:
    """The folder, and what it holds.

    Raises:
        ValueError: a run's folder, whose parts are pushed one by one, or something else.
    """
    folder = Path(a.folder)
    if (folder / "run.json").is_file():
        parts = [
            name
            for name in ("generator", "balanced", "reviewed", "classifier", "encoder", "triplets")
            if (folder / name).is_dir()
        ]
        raise ValueError(
            f"{folder} is the folder of a run: push one of its parts, "
            f"{' or '.join(str(folder / part) for part in parts)}."
        )
    _write_card(folder, a.repo)
    check_folder(folder)
    if a.repo_type is not None:
        return folder, a.repo_type
    if (folder / "dataset_info.json").is_file() or any(folder.glob("*.parquet")):
        return folder, "dataset"
    if (folder / "config.json").is_file():
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return folder, "model"
    raise ValueError(
        f"{folder} holds neither a config.json (a generator or an oversampler) nor a data set: "
        "name such a folder, or say what it is with --repo_type."
    )


def _write_card(folder: Path, repo: str) -> None:
    """A saved oversampler's card, where it has none: a repository is pushed with one."""
    config = folder / "config.json"
    if not config.is_file() or (folder / "README.md").exists():
        return
    if "oversampler" in json.loads(config.read_text(encoding="utf-8")):
        from hf_oversample.oversamplers.base import Oversampler  # seconds

        Oversampler.from_pretrained(folder).card(repo).save(folder / "README.md")
