"""Processes forked after the parent has run a model, as `datasets.map(num_proc=...)` makes them."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import torch

from hf_oversample.numeric.workers import one_thread_if_forked


def compute(end: Connection) -> None:
    one_thread_if_forked()
    product = torch.ones(512, 512) @ torch.ones(512, 512)
    end.send((torch.get_num_threads(), float(torch.nn.functional.gelu(product).sum())))


def test_a_forked_process_computes_on_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = float(
            torch.nn.functional.gelu(torch.ones(512, 512) @ torch.ones(512, 512)).sum()
        )
        one_thread_if_forked()  # not forked: nothing happens
        assert torch.get_num_threads() == 2
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=compute, args=(theirs,))
        process.start()
        try:
            assert ours.poll(60), "the forked process waits for threads that it does not have"
            assert ours.recv() == (1, expected)
        finally:
            process.kill()
            process.join()
    finally:
        torch.set_num_threads(before)
