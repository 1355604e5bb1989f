"""Models in memory, where a name is asked for.

What a map function holds is pickled, hashed, and sent to other processes: it may hold plain values
alone. So a model that is given in place of a name is saved, once, to a folder of this process, and
its name is `in-memory:` and a digest of that folder's files: the same for the same model in any
process. The processes that this one starts find the folder too. It is removed when this one ends.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

PREFIX = "in-memory:"
# Inherited by the processes that this one starts, whichever way they are started.
FOLDER_VARIABLE = "HF_OVERSAMPLE_IN_MEMORY"


def name_of(
    given: Any,
    parameter: str,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    with_tokenizer: bool = True,
    kind: type[PreTrainedModel] = PreTrainedModel,
) -> str:
    """
    The name of a model that is given by name or as itself.

    Args:
        given: a folder, a Hub name, a model, or a pair of a model and its tokenizer. A model is
            copied as it is now.
        parameter: what the user calls it, for errors.
        tokenizer: the model's, if it is not given as a pair.
        with_tokenizer: whether the model needs one.
        kind: the class that a model must be of.

    Raises:
        TypeError: neither a name nor such a model; a model without its tokenizer; a tokenizer
            beside a name.
    """
    if isinstance(given, tuple) and len(given) == 2 and tokenizer is None:
        given, tokenizer = given
    if isinstance(given, str | os.PathLike):
        if tokenizer is not None:
            raise TypeError(
                f"tokenizer goes with a model in memory, but {parameter} is the name "
                f"{str(given)!r}, whose own tokenizer is loaded: leave tokenizer out"
            )
        return str(given)
    if not isinstance(given, kind):
        raise TypeError(
            f"{parameter} is a {type(given).__name__}; it must be a folder, a Hub name or a "
            f"{kind.__name__} in memory"
        )
    if with_tokenizer and not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise TypeError(
            f"{parameter} is a model in memory, which has no tokenizer (got "
            f"{type(tokenizer).__name__}): give its tokenizer too"
        )
    return _keep(given, tokenizer)


def folder_or_name(name: str) -> str:
    """
    What `from_pretrained` loads a name from: the folder of a model in memory, else the name.

    Raises:
        ValueError: the model was in the memory of a process that has ended.
    """
    if not name.startswith(PREFIX):
        return name
    root = os.environ.get(FOLDER_VARIABLE)
    folder = Path(root or "", name.removeprefix(PREFIX))
    if root is None or not folder.is_dir():
        raise ValueError(
            f"{name} was a model in the memory of another process, which this one does not have: "
            "give the model again, or save it to a folder and give that"
        )
    return str(folder)


def _keep(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> str:
    root = _root()
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=root))
    try:
        model.save_pretrained(scratch)
        if tokenizer is not None:
            tokenizer.save_pretrained(scratch)
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(path for path in scratch.rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(scratch)).encode() + b"\0")
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        folder = root / digest.hexdigest()
        if not folder.exists():
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return PREFIX + folder.name


def _root() -> Path:
    """The folder of this process's models, or of the process that started it."""
    root = os.environ.get(FOLDER_VARIABLE)
    if root is None or not Path(root).is_dir():
        root = tempfile.mkdtemp(prefix="hf-oversample-models-")  # for this user alone
        os.environ[FOLDER_VARIABLE] = root
        atexit.register(_remove, root, os.getpid())
    return Path(root)


def _remove(root: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has this function too
        shutil.rmtree(root, ignore_errors=True)
