"""What survives saving MISO's generator: weights, texts, shared embeddings; the Auto classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

from hf_oversample import MisoConfig, MisoForAnchorGeneration, MisoModel
from miso_fixtures import make_generator, set_random_bank, trained_generator_folder
from miso_model_fixtures import TEXTS, WAYS, generate, trained_generator


@pytest.fixture(scope="module")
def trained() -> MisoForAnchorGeneration:
    """Tests do not change it."""
    return trained_generator()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saving_keeps_weights_and_texts(
    trained: MisoForAnchorGeneration, way: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = MisoForAnchorGeneration.from_pretrained(trained_generator_folder(), dtype=dtype).eval()
    assert model.dtype == dtype
    model.save_pretrained(tmp_path / "saved")
    loaded = MisoForAnchorGeneration.from_pretrained(tmp_path / "saved").eval()
    assert loaded.dtype == dtype
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name
    assert generate(model, **WAYS[way]) == generate(loaded, **WAYS[way])
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    "settings_of_model",
    [
        {"share_decoder": False},
        {"use_sfm": False, "use_mi": False},
        {"critic_mode": "instance", "critic_bound": "jsd"},
    ],
)
def test_saving_other_architectures(settings_of_model: dict[str, Any], tmp_path: Path) -> None:
    model = make_generator(TEXTS, **settings_of_model).eval()
    set_random_bank(model)
    model.save_pretrained(tmp_path)
    loaded, report = MisoForAnchorGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    for label in (0, 1):
        classes = torch.full((5,), label)
        options = {"class_ids": classes, "fuse": label == 1 and model.config.use_sfm}
        assert generate(model, **options) == generate(loaded.eval(), **options)


def test_word_embeddings_stay_shared(tmp_path: Path) -> None:
    model = make_generator(TEXTS, share_decoder=False)
    model.save_pretrained(tmp_path)
    for one in (model, MisoForAnchorGeneration.from_pretrained(tmp_path)):
        words = one.get_input_embeddings().weight
        assert len(one.decoders) == 2
        for decoder in one.decoders:
            assert decoder.get_input_embeddings().weight is words


def test_auto_classes(tmp_path: Path) -> None:
    folder = trained_generator_folder()
    assert isinstance(AutoConfig.from_pretrained(folder), MisoConfig)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert isinstance(loaded, MisoForAnchorGeneration)
    body = AutoModel.from_pretrained(folder)
    assert isinstance(body, MisoModel)
    for name, value in body.state_dict().items():
        assert torch.equal(value, loaded.miso.state_dict()[name]), name
    texts = generate(loaded.eval())
    assert texts == generate(MisoForAnchorGeneration.from_pretrained(folder).eval())
