"""How fast a TextCNN trains: products of words looked up against convolutions, in one run.

    python benchmarks/textcnn.py --output benchmarks/textcnn.json
    python benchmarks/textcnn.py --data_dir DATA --tasks sms-1% imdb-1%

Batches of 64 texts (forward and backward, cut by length as in training) of the demo's SMS data, or
of the tasks of tasks.py: the library's TextCNN and the same network by `Conv1d`, with the same
numbers but for rounding. Only ratios are worth quoting: medians over rounds of two neighbouring
timings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from compare import machine
from tasks import TASKS, task_rows
from torch import Tensor

from hf_oversample.data.demo import demo_sms
from hf_oversample.models.classifiers.textcnn import (
    TextCnnConfig,
    TextCnnForSequenceClassification,
)
from hf_oversample.text.encoding import length_groups, pad
from hf_oversample.text.words import Segmenter
from hf_oversample.training.words import encode_words, word_vocabulary

BATCH = 64


class Convolutions(TextCnnForSequenceClassification):
    """The same network by `Conv1d` over padded word vectors."""

    def _text_vectors(self, vectors: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        channels = (F.embedding(places, vectors) * mask.unsqueeze(-1)).transpose(1, 2)
        responses = [one(F.pad(channels, (0, one.kernel_size[0] - 1))) for one in self.filters]
        return (F.relu(torch.cat(responses, dim=1)) * mask.unsqueeze(1)).amax(dim=2)


def ratio(texts: list[str], language: str, rounds: int, seed: int) -> dict[str, float]:
    """Seconds of a batch by both, and the median of the rounds' ratios."""
    segmenter = Segmenter(language)
    vocabulary = word_vocabulary(texts, segmenter)
    encoded = [np.asarray(ids) for ids in encode_words(vocabulary, texts, segmenter)]
    torch.manual_seed(seed)
    config = TextCnnConfig(vocab_size=len(vocabulary))
    models = {
        "words": TextCnnForSequenceClassification(config),
        "convolution": Convolutions(config),
    }
    models["convolution"].load_state_dict(models["words"].state_dict())
    seconds: dict[str, list[float]] = {name: [] for name in models}
    rng = np.random.default_rng(seed)
    for number in range(rounds + 1):
        rows = rng.choice(len(encoded), size=BATCH, replace=False)
        groups = [pad([encoded[row] for row in rows], 0) for rows in length_groups(rows, encoded)]
        for name in sorted(models, reverse=bool(number % 2)):
            start = time.perf_counter()
            for ids, mask in groups:
                logits = models[name](input_ids=ids, attention_mask=mask).logits
                F.cross_entropy(logits, torch.arange(len(ids)) % 2).backward()
            if number:  # the first round is to warm up
                seconds[name].append(time.perf_counter() - start)
            models[name].zero_grad()
    ratios = [c / w for c, w in zip(seconds["convolution"], seconds["words"], strict=True)]
    return {
        "mean_words": round(float(np.mean([len(ids) for ids in encoded])), 1),
        "seconds": round(statistics.median(seconds["words"]), 4),
        "seconds_convolution": round(statistics.median(seconds["convolution"]), 4),
        "ratio": round(statistics.median(ratios), 2),
    }


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, help="with --tasks")
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=[])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    texts = {"demo SMS": (list(demo_sms()["text"]), "en")}
    for task in options.tasks:
        if options.data_dir is None:
            parser.error("--tasks needs --data_dir")
        rows = task_rows(task, options.data_dir, options.seed)
        texts[task] = (rows.train.texts, rows.language)
    found = {
        name: ratio(rows, language, options.rounds, options.seed)
        for name, (rows, language) in texts.items()
    }
    record = {
        **machine(),
        "threads": torch.get_num_threads(),
        "seed": options.seed,
        "rounds": options.rounds,
        **found,
    }
    print(json.dumps(record, indent=2))
    if options.output:
        options.output.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
