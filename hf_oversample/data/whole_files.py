"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEND = {
    errno.ENOSPC: "there is no room left on the disk: free some",
    errno.EDQUOT: "the disk quota is used up: free some room",
    errno.EFBIG: "a file may not be so large (ulimit -f): raise the limit",
    errno.EROFS: "it may only be read: make it writable",
    errno.EACCES: "it may not be written to: change its rights",
    errno.EPERM: "it may not be written to: change its rights",
    errno.EIO: "a file was not written whole: see that the disk is not full, and works",
}
# of an error that tells no errno
_UNTOLD = errno.EIO
# What libraries that do not say an errno say of a write that failed.
_FAILED_WRITE = re.compile(
    "Error while serializing: I/O error"  # safetensors
    "|PytorchStreamWriter failed"  # torch.save
    "|basic_ios::clear: iostream error"  # torch.save, at the file's end
    "|Error writing bytes to file"  # Arrow
    r"|^\d+ requested and \d+ written$"  # numpy
)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to write a file at, which has its name once all of it is there.

    Its folder is made where it is missing. Several processes, of several machines, may write the
    same file: the last to end stays.

    Raises:
        OSError: the disk is full or may only be read; the message names the folder.
    """
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield scratch
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """
    What keeps a folder from being written to, as an error that names it and says what to do.

    Libraries tell of a full disk in their own ways, most without a path.

    Raises:
        OSError: for any error of a full disk, a quota, a limit of size, or missing rights.
    """
    try:
        yield
    except Exception as error:
        code = _failed_write(error, folder)
        if code is None or getattr(error, "names_folder", False):
            raise
        told = OSError(
            code,
            f"{folder} could not be written to: {_MEND[code]}, or name another folder. Nothing in "
            "it is half written",
        )
        told.names_folder = True  # type: ignore[attr-defined]  # an outer folder adds nothing
        raise told from error


def _failed_write(error: BaseException, folder: Path) -> int | None:
    """The errno of an error that is of a write that failed; None for any other."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError) and one.errno in _MEND:
            # what lies elsewhere was read, and its error names it
            name = one.filename
            is_here = name is None or Path(os.fsdecode(name)).is_relative_to(folder)
            return one.errno if is_here else None
        if _FAILED_WRITE.search(str(one)):
            found = [code for code in _MEND if f"os error {code})" in str(one)]
            return found[0] if found else _UNTOLD
        one = one.__cause__ or one.__context__
    return None


@contextmanager
def whole_folder(folder: Path, scratch: Path) -> Iterator[Path]:
    """
    A new folder to fill, which has its name once all of it is there; an older one is replaced.

    Args:
        folder: its place.
        scratch: where it is filled, beside it; what a killed run left there is removed.

    Raises:
        OSError: the disk is full or may only be read; the message names the parent folder.
    """
    with writing_to(folder.parent):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
            put_folder(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def put_folder(scratch: Path, folder: Path) -> None:
    """Rename a finished folder to its place; one that is there makes way. A stop in between leaves
    no half of either under the name."""
    with _out_of_the_way(folder):
        scratch.rename(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder; a stop in between leaves no half of it under its name."""
    with _out_of_the_way(folder):
        pass


@contextmanager
def _out_of_the_way(folder: Path) -> Iterator[None]:
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # of a run that was killed here
    if folder.exists():
        folder.rename(old)
    yield
    shutil.rmtree(old, ignore_errors=True)
