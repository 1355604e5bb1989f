"""The folder that a run writes to; nothing in it is ever half written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_oversample.commands.messages import warn
from hf_oversample.data.whole_files import whole_folder, writing_to


class OutputFolder:
    """
    Files and folders that are written beside their place and then renamed.

    Args:
        path: the folder; it is made when the first file is written.
        overwrite: whether a finished run in it may be replaced.

    Raises:
        FileExistsError: if it holds a finished run (`run.json`) and `overwrite` is not set.
        NotADirectoryError: if it is a file.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"{self.path} is a file: name a folder to write to.")
        if (self.path / "run.json").exists() and not overwrite:
            raise FileExistsError(
                f"{self.path} holds a finished run (run.json). Name another folder, or pass "
                "--overwrite."
            )

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A path to write to, which becomes the file `name`; nothing is left where that fails."""
        final = self.path / name
        temporary = final.with_name(f".part-{final.name}")
        with writing_to(self.path):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield temporary
                temporary.replace(final)
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A new folder to fill, which becomes the folder `name`; an older one is replaced. Nothing
        is left where that fails."""
        with whole_folder(self.path / name, self.path / f".{name}.part") as temporary:
            yield temporary

    def write(self, name: str, text: str) -> None:
        """A text file, in UTF-8."""
        with self.file(name) as path:
            path.write_text(text, encoding="utf-8")

    def remove_checkpoints(self) -> None:
        """Those of a training that is finished: its result is written."""
        from hf_oversample.training.checkpoints import remove_checkpoints  # torch

        remove_checkpoints(self.path)

    def checkpoint(self, name: str | None) -> Path | None:
        """
        The checkpoint to resume from: none, the "last" in this folder that is whole, with a warning
        for each newer one that is not, or the folder `name`.

        Raises:
            FileNotFoundError: if the last is asked for and there is none.
            ValueError: if there are some and none is whole.
        """
        if name is None:
            return None
        if name != "last":
            return Path(name)
        from hf_oversample.training.checkpoints import newest_whole  # torch

        return newest_whole(self.path, warn)
