"""How fast MISO trains and writes, against plain transformers, alternating in one run.

    python benchmarks/throughput.py --output benchmarks/throughput.json

Training: a step of 64 texts of the demo's SMS data, MISO's phases 1 and 3 against a plain
`EncoderDecoderModel` of the same encoder and decoder with the same optimiser, as it comes and with
its word embeddings frozen, as MISO freezes a pretrained table. A step of MISO fills the blanks of
all rows and has the decoders rebuild some of them (`decoder_rows`): also with all of them.
Writing: texts per second of both realisers, by canonical lengths and token budget, against the same
model in arrival order, 16 texts a batch padded to the longest.
Only ratios are worth quoting: each is the median over rounds of two neighbouring timings.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from demo_training import DemoTexts
from transformers import (
    AutoConfig,
    AutoModel,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    set_seed,
)

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.models.miso.realizers import AnchorRequest, EditRealizer, GenerateRealizer
from hf_oversample.text.encoding import pad
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.optimization import decay_groups

ROWS, ARRIVAL_BATCH = 64, 16
PARTS = ("writing, float32", "training, float32", "training, mixed bfloat16")


def timed(work: Callable[[int], Any], number: int) -> float:
    """Seconds of one round of a work."""
    start = time.perf_counter()
    work(number)
    return time.perf_counter() - start


def alternate(works: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work, round by round, the order turned about each time."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for name in works:
        works[name](0)  # warm-up
    for number in range(1, rounds + 1):
        names = list(works) if number % 2 else list(works)[::-1]
        for name in names:
            seconds[name].append(timed(works[name], number))
    return seconds


def training(rounds: int, precision: Literal["no", "bf16"]) -> dict[str, Any]:
    """Seconds of a step, MISO's phases against a plain encoder–decoder, and their ratios."""
    demo, path = DemoTexts.read(), str(demo_encoder_path())
    encoded = demo.encoded

    def phases(decoder_rows: int) -> tuple[Any, dict[str, Callable[[int], None]]]:
        arguments = MisoTrainingArguments(
            pretrain_steps=rounds + 1,
            critic_steps=0,
            adversarial_steps=rounds + 1,
            mixed_precision=precision,
            decoder_rows=decoder_rows,
        )
        trainer = demo.trainer(arguments)

        def phase(step_function: Callable, first: int) -> Callable[[int], None]:
            def step(number: int) -> None:
                torch.manual_seed(number)
                trainer.model.train()
                step_function(first + number, 0.5)

            return step

        return trainer.model.config.decoder, {
            "1": phase(trainer._pretrain_step, 0),
            "3": phase(trainer._adversarial_step, rounds + 1),
        }

    decoder, usual = phases(MisoTrainingArguments.decoder_rows)
    every = phases(ROWS)[1]

    def plain(frozen: bool) -> Callable[[int], None]:
        config = EncoderDecoderConfig(
            encoder=AutoConfig.from_pretrained(path).to_dict(), decoder=decoder.to_dict()
        )
        set_seed(0)
        other = EncoderDecoderModel(config)
        other.encoder.load_state_dict(AutoModel.from_pretrained(path).state_dict())
        other.config.decoder_start_token_id, other.config.pad_token_id = 101, 0
        if frozen:
            other.encoder.get_input_embeddings().weight.requires_grad_(False)
        trained = [p for p in other.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(decay_groups(other, 0.01), 1e-4, fused=True)

        def step(number: int) -> None:
            rows = np.random.default_rng(number).integers(len(encoded), size=ROWS)
            ids, mask = pad([encoded[row].input_ids for row in rows], 0)
            other.train()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                labels = ids.masked_fill(mask == 0, -100)
                loss = other(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return step

    works = {
        "plain": plain(False),
        "plain, frozen words": plain(True),
        "MISO phase 1": usual["1"],
        "MISO phase 3": usual["3"],
        "MISO phase 1, all rows decoded": every["1"],
        "MISO phase 3, all rows decoded": every["3"],
    }
    seconds = alternate(works, rounds)
    tokens = ROWS * float(np.mean([len(text) for text in encoded]))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result: dict[str, dict[str, float]] = {
        name: {"seconds": median, "tokens_per_second": tokens / median}
        for name, median in medians.items()
    }
    for base in ("plain", "plain, frozen words"):
        for ours in [name for name in works if name.startswith("MISO")]:
            ratios = [a / b for a, b in zip(seconds[ours], seconds[base], strict=True)]
            result[f"{ours} / {base}"] = {"ratio": statistics.median(ratios)}
    return result


def writing(rounds: int, number: int) -> dict[str, Any]:
    """Texts per second of both realisers, against arrival order, and their ratios."""
    demo = DemoTexts.read(number)
    encoded, tokenizer, segmenter = demo.encoded, demo.tokenizer, demo.segmenter
    model = demo.generator().eval()
    model.miso.set_bank(1, torch.randn(64, 8, 64), torch.randn(64, 8, 64))
    requests = [AnchorRequest(text, 1, 0, (row, 0, 0)) for row, text in enumerate(encoded)]
    edit = EditRealizer(model, tokenizer, segmenter)
    # an untrained decoder never ends a text: all texts are of the longest length, the same for both
    generate = GenerateRealizer(model, tokenizer, segmenter, guidance=0.0, max_new_tokens=16)

    def arrival(work: Callable[[list[AnchorRequest]], Any]) -> Callable[[int], None]:
        def run(_: int) -> None:
            for start in range(0, len(requests), ARRIVAL_BATCH):
                work(requests[start : start + ARRIVAL_BATCH])

        return run

    def plain_generate(part: list[AnchorRequest]) -> None:
        ids, mask = pad([request.source.input_ids for request in part], tokenizer.pad_token_id)
        with torch.no_grad():
            classes = torch.ones(len(part), dtype=torch.long)
            model.generate(
                ids,
                attention_mask=mask,
                class_ids=classes,
                do_sample=True,
                top_k=50,
                max_new_tokens=16,
            )

    def padded_edit(part: list[AnchorRequest]) -> None:
        plans = [edit._mask(request) for request in part]
        with torch.no_grad():
            edit._fill(part, plans, max(len(ids) for ids, _ in plans), 1)

    works = {
        "generate, arrival order": arrival(plain_generate),
        "generate, ours": lambda _: generate(requests),
        "edit, arrival order": arrival(padded_edit),
        "edit, ours": lambda _: edit(requests),
    }
    seconds = alternate(works, rounds)
    result = {
        name: {"texts_per_second": number / statistics.median(v)} for name, v in seconds.items()
    }
    for kind in ("generate", "edit"):
        before, ours = seconds[f"{kind}, arrival order"], seconds[f"{kind}, ours"]
        ratios = [a / b for a, b in zip(before, ours, strict=True)]
        result[f"{kind}: ours over arrival order"] = {"ratio": statistics.median(ratios)}
    return result


def main() -> int:
    """Measure all and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "throughput.json")
    options = parser.parse_args()
    cores, threads = os.cpu_count(), torch.get_num_threads()
    record: dict[str, Any] = {
        "machine": f"{platform.machine()}, {cores} cores, {threads} threads",
        "versions": {name: metadata.version(name) for name in ("torch", "transformers", "numpy")},
        "rounds": options.rounds,
        "texts": options.texts,
    }
    for part in options.parts:
        if part == "writing, float32":
            record[part] = writing(max(3, options.rounds // 3), options.texts)
        else:
            record[part] = training(options.rounds, "no" if part.endswith("float32") else "bf16")
        print(json.dumps({part: record[part]}, indent=2), flush=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
