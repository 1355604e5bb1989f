"""What a model needs in a process that was forked, as `datasets.map(num_proc=...)` does."""

from __future__ import annotations

import os

_FORKED = False


def _note_fork() -> None:
    global _FORKED
    _FORKED = True


os.register_at_fork(after_in_child=_note_fork)


def one_thread_if_forked() -> None:
    """In a forked process, computes on one thread from here on; call it before a model is loaded.

    A fork inherits the state of torch's thread pool without its threads: where the parent has run a
    model, the child's first parallel operation would wait for them for ever.
    """
    if _FORKED:
        import torch

        torch.set_num_threads(1)
