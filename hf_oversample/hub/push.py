"""Pushing a folder to the Hub in one commit, and refusing what must not leave the machine."""

from __future__ import annotations

import logging
import time
import zipfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError

from hf_oversample.hub.rendering import UNNAMED

Answer = TypeVar("Answer")

WAITS = (1.0, 4.0, 16.0, 64.0)
"""Seconds before each new try where the Hub is too busy; its own `Retry-After` goes before."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.dill")
_TRAINING_STATES = ("optimizer*", "scheduler*", "random_states*", "scaler*", "sampler*.bin")


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    repo_type: Literal["model", "dataset"] = "model",
    token: str | bool | None = None,
    revision: str | None = None,
    private: bool | None = None,
    only: Sequence[str] | None = None,
    commit_message: str = "Upload with hf_oversample",
) -> CommitInfo:
    """Uploads a folder, card included, as one commit; makes the repository if there is none.

    A push that is cut off leaves the revision before it whole: files are uploaded first, and the
    commit is one request. Where the Hub answers 429 (too many requests) or 5xx, it is tried again
    after `WAITS`; a commit that had arrived is not made twice, for it would change no file.

    Args:
        folder: what to upload: weights as safetensors, tokenizer, configuration and card, or
            parquet files and card.
        repo_id: `"user/name"`.
        repo_type: `"model"` or `"dataset"`.
        token: the token to use; by default the one that `hf auth login` keeps.
        revision: the branch to commit to, which must be there; by default the main one.
        private: whether a repository made by this call is private; by default as the account says.
        only: patterns of the files that are uploaded; None: all.
        commit_message: first line of the commit.

    Returns:
        The commit; `.oid` is its hash, `.commit_url` its page.

    Raises:
        FileNotFoundError: if the folder is missing or empty.
        ValueError: if the folder has no README.md, or holds pickles or the state of a training; or
            HF_HUB_OFFLINE forbids it. Nothing is created or uploaded then.
        HfHubHTTPError: if the Hub refuses, or is too busy at every try.
    """
    folder = Path(folder)
    check_folder(folder)
    if constants.is_offline_mode():
        raise ValueError(
            f"{folder} cannot be pushed to {repo_id}: HF_HUB_OFFLINE=1 in the environment forbids "
            "what goes over the network. Unset HF_HUB_OFFLINE, and push again."
        )
    api = HfApi(token=token)
    # `create_repo` answers with the full name where `repo_id` leaves out the user.
    created = _patiently(
        lambda: api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
    )
    return _patiently(
        lambda: api.create_commit(
            repo_id=created.repo_id,
            operations=_additions(folder, created.repo_id, only),
            repo_type=repo_type,
            revision=revision,
            commit_message=commit_message,
        )
    )


def _additions(folder: Path, repo_id: str, only: Sequence[str] | None) -> list[CommitOperationAdd]:
    """The files to upload; the card has the repository's name where it could have none before."""
    card = folder / "README.md"
    return [
        CommitOperationAdd(
            path.relative_to(folder).as_posix(),
            _named(path, repo_id) if path == card else str(path),
        )
        for path in files_to_push(folder, only)
    ]


def files_to_push(folder: Path, only: Sequence[str] | None = None) -> list[Path]:
    """The files that `push_folder` uploads: all but those of git and of a download's cache.

    Args:
        folder: what to upload.
        only: patterns of the files that are uploaded; None: all.
    """
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (only is None or any(map(path.match, only)))
        and not {".git", ".cache"} & set(path.relative_to(folder).parts)
    ]


def _named(card: Path, repo_id: str) -> bytes:
    """A card's text with the name of its repository."""
    return card.read_text(encoding="utf-8").replace(UNNAMED, repo_id).encode()


def _patiently(ask: Callable[[], Answer]) -> Answer:
    for wait in WAITS:
        try:
            return ask()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status != 429 and status < 500:
                raise
            asked = error.response.headers.get("Retry-After", "")
            wait = float(asked) if asked.isdigit() else wait
            logging.getLogger(__name__).warning(
                "The Hub answers %d; the next try is in %g seconds.", status, wait
            )
        time.sleep(wait)
    return ask()


def check_folder(folder: str | Path) -> None:
    """Raises as `push_folder` does if the folder must not be pushed; touches no network."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to push.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise FileNotFoundError(f"The folder {folder} is empty: there is nothing to push.")
    refused = [
        f"{path.relative_to(folder)} ({reason})" for path in files if (reason := _refusal(path))
    ]
    if refused:
        raise ValueError(
            f"{folder} holds files that are never pushed: {', '.join(refused)}. Loading a pickle "
            "runs whatever code is in it: save weights with save_pretrained (safetensors) and keep "
            "training checkpoints on this machine."
        )
    if not (folder / "README.md").is_file():
        raise ValueError(
            f"{folder} has no README.md. A repository is pushed with its card in the same commit: "
            "write one with hf_oversample.hub.card."
        )


def _refusal(path: Path) -> str | None:
    """Why a file is not pushed; None if it may be."""
    name = path.name.lower()
    if any(fnmatch(name, pattern) for pattern in _TRAINING_STATES):
        return "training state"
    if any(fnmatch(name, pattern) for pattern in _PICKLES):
        return "pickle"
    # torch.save writes a zip with a pickle inside, whatever the file is called.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.endswith(".pkl") for entry in archive.namelist()):
                return "archive with a pickle inside"
    return None
