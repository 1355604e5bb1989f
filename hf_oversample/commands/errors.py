"""What a user can put right, in one line: also of the errors of the libraries underneath.

No library is imported for it: its errors are known by their names.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from hf_oversample.models.asked_for import NOTE
from hf_oversample.numeric.memory import OUT_OF_MEMORY_TEXTS

_CONNECT = (
    "connect, or name a folder or file that is here (HF_HUB_OFFLINE=1 in the environment forbids "
    "downloads)"
)
_LESS_MEMORY = ": lower what is in memory at once (--batch_size, --max_length)"
# The name of an error's class (or of one it is derived from), and what to do: the first one that
# fits any error of the chain.
_ADVICE = (
    ("GatedRepoError", "is gated: ask for access on its page of the Hub, then `hf auth login`"),
    (
        "RevisionNotFoundError",
        "has no such revision: check --revision or --encoder_revision against its page on the Hub",
    ),
    (
        "RepositoryNotFoundError",
        "is not on the Hub, or is private: check the name (--dataset_name, --encoder_name, "
        "--generator), or log in with `hf auth login`",
    ),
    (
        "DatasetNotFoundError",
        "is not on the Hub, or is private or gated: check --dataset_name, or log in with "
        "`hf auth login`",
    ),
    ("DisabledRepoError", "was disabled on the Hub: choose another"),
    (
        "DataFilesNotFoundError",
        "holds no data files: check --dataset_name and --dataset_config",
    ),
    ("RemoteEntryNotFoundError", "lacks a file: it may not be what the argument asks for"),
    ("OfflineModeIsEnabled", f"is not among the downloaded files: {_CONNECT}"),
    ("LocalEntryNotFoundError", f"is not among the downloaded files: {_CONNECT}"),
    ("ConnectError", f"cannot be reached: {_CONNECT}"),
    ("ConnectionError", f"cannot be reached: {_CONNECT}"),
    ("TimeoutException", f"did not answer in time: try again, or {_CONNECT}"),
    ("HfHubHTTPError", "could not be read from the Hub: try again later"),
    (
        "SafetensorError",
        "a file of weights (.safetensors) is damaged or cut short: download or copy it again",
    ),
    (
        "DatasetGenerationCastError",
        "the files of the data set have different columns: name one configuration with "
        "--dataset_config, or give one file with --train_file",
    ),
    (
        "CastError",
        "the files of the data set have different columns: name one configuration with "
        "--dataset_config, or give one file with --train_file",
    ),
    ("ArrowException", "the file is damaged, or of another kind than its name says"),
    ("OutOfMemoryError", f"the GPU's memory is used up{_LESS_MEMORY}"),
    ("MemoryError", f"the machine's memory is used up{_LESS_MEMORY}"),
)

_OWN = (ValueError, OSError, FloatingPointError)
# Pages and services of the Hub are no repositories: the first URL is often that of a help page.
_REPOSITORY = re.compile(
    r"https?://[^/\s]+/(?:api/)?(?:models/|datasets/)?"
    r"(?!(?:api|docs|repos|models|datasets)/)([\w.-]+/[\w.-]+)(?=[/\s.]|$)"
)
# What the Hub stores large files with; its errors are ConnectionErrors, whatever the Hub answered.
_XET = re.compile(r"\bxet\b|hf_xet", re.IGNORECASE)
_WITHOUT_XET = (
    "large files do not go through the Hub's Xet storage: set HF_HUB_DISABLE_XET=1 in the "
    "environment, and give the command again"
)
_FLAGS = re.compile(r" \((--\w+(?:, --\w+)*)\)")


def known_error(error: BaseException, flags: Collection[str] | None = None) -> str | None:
    """
    One line that says what was found and what to do, for an error that the user can put right.

    Args:
        error: what a run raised.
        flags: those of the command that ran, which advice may name; None: any.

    Returns:
        The line; None for an error that is the program's own fault, and is to be shown whole.
    """
    chain = _chain(error)
    if told := [one for one in chain if getattr(one, "names_folder", False)]:
        return _line(told[0])  # ours, of a disk that is full or may only be read
    if writing := [one for one in chain if "Error while serializing: I/O error" in str(one)]:
        return f"weights could not be written: {_line(writing[0])}"  # a full disk, a folder removed
    for one in chain:
        if type(one).__name__ == "NotEnoughMemoryError":
            return _line(one)  # ours, which says what to lower
        if any(text in str(one) for text in OUT_OF_MEMORY_TEXTS):
            advice = f"the machine's memory is used up{_LESS_MEMORY}"
            return _with_advice(error, one, _for_command(advice, flags))
    for name, advice in _ADVICE:
        for one in chain:
            if any(kind.__name__ == name for kind in type(one).__mro__):
                return _with_advice(error, one, _for_command(advice, flags))
    if isinstance(error, _OWN):
        return _line(error)
    if any(kind.__name__ == "DatasetsError" for kind in type(error).__mro__):
        return _line(chain[-1])  # "An error occurred while generating the dataset", of a cause
    if isinstance(error, ImportError) and "install" in str(error):
        return _line(error)
    if type(error) is Exception:  # what the library tokenizers raises, whatever it finds
        return f"a tokenizer's file cannot be read: {_line(error)}"
    return None


def why_not_downloaded(error: BaseException) -> str | None:
    """As `known_error`, for where a run can go on without: what kept a download, without advice."""
    names = {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}
    if names & {"ConnectError", "ConnectionError"}:
        return "the Hub cannot be reached"
    if names & {"TimeoutException", "TimeoutError"}:
        return "the Hub does not answer in time"
    return known_error(error)


def _with_advice(error: BaseException, cause: BaseException, advice: str) -> str:
    if isinstance(error, ValueError) and error is not cause:
        return _line(error)  # ours, which names what was asked for
    first = _line(cause)
    chain = _chain(error)
    said = " ".join(str(one) for one in chain)
    unreached = advice.startswith("cannot be reached")
    if unreached and _XET.search(said):
        return f"{_WITHOUT_XET} ({first})"
    if advice.startswith(("the ", "a file")):
        return f"{advice} ({first})"
    asked = re.search(
        rf"{NOTE}(\S+)", " ".join(note for one in chain for note in getattr(one, "__notes__", ()))
    )
    named = re.search(r"'([\w.-]+(?:/[\w.-]+)?)'", _line(error))
    subject = asked or _REPOSITORY.search(said) or named
    if subject is None:
        return f"what was asked for {advice} ({first})"
    return f"{subject[1]} {advice}" + (f" ({first})" if unreached else "")


def _for_command(advice: str, flags: Collection[str] | None) -> str:
    """The advice with its list of flags cut down to those that a command has."""
    if flags is None:
        return advice

    def kept(found: re.Match[str]) -> str:
        there = [flag for flag in found[1].split(", ") if flag in flags]
        return f" ({', '.join(there)})" if there else ""

    return _FLAGS.sub(kept, advice)


def _line(error: BaseException) -> str:
    """The message without line breaks and without the pages that some libraries add to it."""
    text = str(error) or type(error).__name__
    parts = [part.strip() for part in text.splitlines() if part.strip()]
    kept = " ".join(parts)
    return kept if len(kept) <= 600 else f"{kept[:600]} …"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, the latest first."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return chain
