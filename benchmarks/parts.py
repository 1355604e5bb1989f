"""What each part of MISO does: taken away (its weights randomised), swapped, and led.

    OMP_NUM_THREADS=1 python benchmarks/parts.py --data_dir DATA --output benchmarks/parts.json

Yelp at 1 % with at most so many rows of the majority. A generator of all parts is trained with
critics of pairs and one with critics of classes. Of each: `z/swap`, how far z moves when a text is
given another majority text; what class and pair explain of a critic's scores; over how many pairs
attention spreads. Of the first: in each way of writing, the share of texts that are other ones once
a part's weights are randomised; and, of edits with z and without, how many a judge of words places
with the class, by guidance.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from focus import fewer
from miso import agreement, machine, mini_lm
from tasks import TaskRows, task_rows
from torch import nn

from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.data.labeled_texts import Texts
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers import AnchorRequest, EditRealizer, GenerateRealizer
from hf_oversample.neighbors.difficult import difficult_samples
from hf_oversample.text.encoding import TextEncoder
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.generator import TrainedGenerator, train_generator

PARTS: dict[str, tuple[str, ...]] = {
    "encoder": ("miso.encoder",),
    "filler": ("fill_head", "fill_class_embedding"),
    "pooling": ("miso.pooling",),
    "fusion": ("miso.fusion",),
    "z to filler": ("latent_to_hidden",),
    "decoders": ("decoders", "latent_to_decoder", "slot_embedding", "decoder_head"),
    "critics": ("minority_critic", "majority_critic"),
    "discriminators": ("minority_discriminator", "majority_discriminator"),
}
Realizer = Callable[[list[AnchorRequest]], list[str]]
WAYS: dict[str, Callable[..., Realizer]] = {
    "edits": EditRealizer,
    "edits with z": lambda *parts, **options: EditRealizer(*parts, use_latent=True, **options),
    "written from z": GenerateRealizer,
}
GUIDANCE = (0.0, 1.0, 2.0)
REPORTED = ("z/swap", "critic/pair", "critic/class", "attention/pairs", "attention/features")
LAST = 10
"""Steps of phase 3 whose reports are averaged."""


def requests(trained: TrainedGenerator, p: TaskRows, number: int) -> list[AnchorRequest]:
    """Half from difficult rare texts, half from their nearest majority texts."""
    embeddings = mini_lm()[2].embed(p.train.texts)
    samples = difficult_samples(embeddings, p.train.labels, k=5, minority=list(p.targets))
    order = np.argsort(-samples.weighted_other_share, kind="stable")
    found: list[AnchorRequest] = []
    encode = TextEncoder(trained.tokenizer, trained.segmenter, p.max_length)
    target = p.targets[0]
    for place in order.tolist():
        row = int(samples.rows[place])
        others = samples.confusers[place]
        for source in (row, *others[others >= 0][:1].tolist()):
            text = encode.many([p.train.texts[source]])[0]
            found.append(AnchorRequest(text, target, 1 - target, (source, len(found), 0)))
    return found[:number]


def realizer(way: str, trained: TrainedGenerator, model: nn.Module, **options: Any) -> Realizer:
    """A way of writing, by a model."""
    return WAYS[way](model, trained.tokenizer, trained.segmenter, seed=1, **options)


def without(model: MisoForAnchorGeneration, names: tuple[str, ...]) -> MisoForAnchorGeneration:
    """The model with the weights of some modules drawn anew, but the word embeddings."""
    other = copy.deepcopy(model)
    random = torch.Generator().manual_seed(0)
    words = other.get_input_embeddings().weight  # of encoder and decoders both
    with torch.no_grad():
        for name in names:
            for weight in other.get_submodule(name).parameters():
                if weight is words:
                    continue
                weight.copy_(torch.randn(weight.shape, generator=random) * 0.1)
    return other


def what_matters(trained: TrainedGenerator, asked: list[AnchorRequest]) -> dict[str, Any]:
    """Way → part → share of the texts that change when the part is randomised."""
    found: dict[str, dict[str, float]] = {}
    for way in WAYS:
        whole = realizer(way, trained, trained.model)(asked)
        found[way] = {}
        for part, names in PARTS.items():
            texts = realizer(way, trained, without(trained.model, names))(asked)
            changed = [a != b for a, b in zip(whole, texts, strict=True)]
            found[way][part] = round(float(np.mean(changed)), 3)
        print(way, found[way], flush=True)
    return found


def what_guides(
    trained: TrainedGenerator, asked: list[AnchorRequest], p: TaskRows
) -> dict[str, Any]:
    """Way → g → share of edited texts that a judge of words places with the class."""
    embed, found = mini_lm()[2].embed, dict[str, dict[str, float]]()
    for way in ("edits", "edits with z"):
        found[way] = {}
        for g in GUIDANCE:
            texts = realizer(way, trained, trained.model, guidance=g)(asked)
            made = Texts(texts, np.full(len(texts), p.targets[0]))
            found[way][str(g)] = agreement(p, made, embed)["judged_by_words_own_class"]
        print(way, found[way], flush=True)
    return found


def reported(trained: TrainedGenerator) -> dict[str, float]:
    """Means over the last steps of phase 3."""
    steps = [one for one in trained.trainer.record.history if one["phase"] == "adversarial"]
    return {
        name: round(float(np.mean([one[name] for one in steps[-LAST:]])), 4) for name in REPORTED
    }


def main() -> None:
    """Train both, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--encoder", choices=["scratch", "minilm"], default="minilm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--anchors", type=int, default=100)
    parser.add_argument("--pretrain_steps", type=int, default=100)
    parser.add_argument("--critic_steps", type=int, default=100)
    parser.add_argument("--adversarial_steps", type=int, default=60)
    parser.add_argument("--batch_size", type=int, default=16)
    a = parser.parse_args()
    p = fewer(task_rows("yelp-1%", a.data_dir, a.seed), a.rows, a.seed)
    training = MisoTrainingArguments(
        seed=a.seed,
        max_length=p.max_length,
        pretrain_steps=a.pretrain_steps,
        critic_steps=a.critic_steps,
        adversarial_steps=a.adversarial_steps,
        batch_size=a.batch_size,
        pair_batch_size=a.batch_size,
        decoder_rows=a.batch_size // 2,
        logging_steps=1,
        mixed_precision="no",
    )
    chosen = {name: value for name, value in vars(a).items() if name not in ("data_dir", "output")}
    record: dict[str, Any] = {**machine(), "task": "yelp-1%", **chosen, "critics": {}}
    for mode in ("pair", "class"):
        trained = train_generator(
            p.train,
            class_names=p.class_names,
            target_classes=p.targets,
            language=p.language,
            training=training,
            encoder_name=str(demo_encoder_path()) if a.encoder == "minilm" else None,
            parts="miso",
            critic_mode=mode,
        )
        record["critics"][mode] = reported(trained)
        print(mode, record["critics"][mode], flush=True)
        if mode == "pair":
            asked = requests(trained, p, a.anchors)
            record["share_changed_by_randomising"] = what_matters(trained, asked)
            record["judged_of_the_class_by_words"] = what_guides(trained, asked, p)
        a.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
