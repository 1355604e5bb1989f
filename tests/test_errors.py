"""Errors of the libraries underneath, as the one line that a command prints."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
from datasets import load_dataset
from huggingface_hub import HfApi, snapshot_download
from safetensors.numpy import load_file
from transformers import AutoConfig

from hf_oversample.commands.errors import known_error
from hf_oversample.commands.main import parser_of
from hf_oversample.hub.push import push_folder
from hf_oversample.models.encoders import load_encoder, load_tokenizer
from hf_oversample.models.loading import check_weights
from miso_fixtures import encoder_folder, make_corpus

PROJECT = Path(__file__).resolve().parent.parent


def line_of(call: Callable[[], Any]) -> str:
    """What a command says of the error that a call raises: one line."""
    raised: Exception | None = None
    try:
        call()
    except Exception as error:  # of many types
        raised = error
    assert raised is not None, "nothing was raised"
    line = known_error(raised)
    assert line is not None, repr(raised)
    assert "\n" not in line
    assert "Traceback" not in line
    return line


def raise_it(error: Exception) -> None:
    raise error


def test_names_that_are_not_on_the_hub(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = line_of(lambda: snapshot_download("tester/none"))
    assert missing.startswith("tester/none is not on the Hub, or is private: check the name")
    assert "--encoder_name" in missing
    api = HfApi()
    api.create_repo("tester/there")
    revision = line_of(lambda: snapshot_download("tester/there", revision="v9"))
    assert revision.startswith("tester/there has no such revision: check --revision or --encoder_")
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.url)  # read at import
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    missing = line_of(lambda: load_dataset("tester/none", split="train"))
    assert "tester/none is not on the Hub" in missing
    assert "--dataset_name" in missing


def test_a_gated_repository(hub: Any) -> None:
    hub.gated.add("owner/closed")
    line = line_of(lambda: snapshot_download("owner/closed"))
    assert line.startswith("owner/closed is gated: ask for access on its page of the Hub, then `hf")


def test_offline() -> None:
    said = line_of(lambda: AutoConfig.from_pretrained("owner/encoder"))
    assert "connect, or name a folder or file that is here" in said
    said = line_of(lambda: load_dataset("owner/rows", split="train"))
    assert said.startswith("owner/rows is not among the downloaded files") or said.startswith(
        "owner/rows cannot be reached"
    )


def test_offline_the_model_that_was_asked_for_is_named(tmp_path: Path) -> None:
    """transformers tells of a page of its documentation, and not of the model."""
    for load in (load_encoder, load_tokenizer, check_weights):
        said = line_of(partial(load, "owner/encoder"))
        assert said.startswith("owner/encoder is not among the downloaded files"), said
    (tmp_path / "README.md").write_text("x")
    said = line_of(lambda: push_folder(tmp_path, "me/generator"))
    assert said.startswith(f"{tmp_path} cannot be pushed to me/generator: HF_HUB_OFFLINE=1")
    assert "Unset HF_HUB_OFFLINE" in said


@pytest.mark.parametrize("page", ["docs/transformers/installation", "api/repos/create"])
def test_a_page_of_the_hub_is_no_repository(page: str) -> None:
    error = ConnectionError(f"Cannot reach https://huggingface.co/{page}: broken pipe")
    said = line_of(lambda: raise_it(error))
    assert said.startswith("what was asked for cannot be reached: connect, or ")
    assert said.endswith(f"(Cannot reach https://huggingface.co/{page}: broken pipe)")


def test_what_could_not_be_reached_says_why() -> None:
    found = "https://huggingface.co/api/models/me/generator/"
    said = line_of(lambda: raise_it(ConnectionError(f"no route to {found}tree/main")))
    assert said.startswith("me/generator cannot be reached: connect, or ")
    assert said.endswith(f"(no route to {found}tree/main)")
    said = line_of(lambda: raise_it(ConnectionError(f"404 Not Found: {found}xet-write-token/main")))
    assert "HF_HUB_DISABLE_XET=1" in said
    assert said.endswith(f"(404 Not Found: {found}xet-write-token/main)")


def test_advice_names_flags_that_the_command_has(hub: Any) -> None:
    raised: list[Exception] = []
    try:
        snapshot_download("tester/none")
    except Exception as error:  # of huggingface_hub
        raised.append(error)
    for command, named in (
        ("generate", "check the name (--dataset_name, --generator), or log in"),
        ("audit", "check the name (--dataset_name, --encoder_name), or log in"),
        ("push", "check the name, or log in"),
    ):
        flags = parser_of(command, everything=False).flags()
        assert named in str(known_error(raised[0], flags))


def test_folders_that_are_no_encoder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    said = line_of(lambda: load_encoder(tmp_path))
    assert f"the folder {tmp_path} holds no config.json" in said
    assert "['notes.txt']" in said
    folder = tmp_path / "encoder"
    shutil.copytree(encoder_folder(), folder)
    whole = (folder / "model.safetensors").read_bytes()
    for kept in (0, 5, 300, len(whole) - 8):
        (folder / "model.safetensors").write_bytes(whole[:kept])
        assert f"the weights of {folder} (.safetensors) are damaged" in line_of(
            lambda: load_encoder(folder)
        )
    assert "a file of weights (.safetensors) is damaged" in line_of(
        lambda: load_file(folder / "model.safetensors")
    )
    (folder / "model.safetensors").unlink()
    assert str(folder) in line_of(lambda: load_encoder(folder))
    (folder / "config.json").write_text("{")
    assert "config.json" in line_of(lambda: load_encoder(folder))


def test_files_that_are_damaged(tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a"] * 100}), rows)
    rows.write_bytes(rows.read_bytes()[:-10])
    said = line_of(lambda: pq.read_table(rows))
    assert said.startswith("the file is damaged, or of another kind than its name says (")
    words = tmp_path / "tokenizer.json"
    words.write_text('{"version": "1.0"}')
    said = line_of(lambda: tokenizers.Tokenizer.from_file(str(words)))
    assert said.startswith("a tokenizer's file cannot be read: ")


def test_files_of_different_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "label": 0}) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({"body": "b", "kind": 0}) + "\n")
    files = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    said = line_of(
        lambda: load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    )
    assert "have different columns" in said
    assert "--train_file" in said


def test_errors_of_our_own_stay_and_faults_of_the_program_are_none() -> None:
    assert known_error(ValueError("column 'x',\n  row 3: null")) == "column 'x', row 3: null"
    assert known_error(FloatingPointError("the loss diverged")) == "the loss diverged"
    assert known_error(KeyError("x")) is None
    assert known_error(RuntimeError("shapes")) is None
    assert known_error(AssertionError()) is None

    def told_already() -> None:
        try:
            load_file("/nowhere/model.safetensors")
        except Exception as error:
            raise ValueError("the weights of X are damaged") from error

    assert line_of(told_already) == "the weights of X are damaged"


def test_no_library_is_imported_for_it() -> None:
    code = (
        "import sys, hf_oversample.commands.errors\n"
        "print([m for m in ('torch', 'datasets', 'transformers') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--encoder_name", "owner/none"), "connect, or name a folder"),
        (("--max_length", "65"), "max_length is 65, but "),
    ],
)
def test_a_command_ends_in_one_line(
    wrong: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, labels = make_corpus((30, 12))
    rows = tmp_path / "rows.jsonl"
    lines = [
        json.dumps({"text": text, "label": int(label)})
        for text, label in zip(texts, labels, strict=True)
    ]
    rows.write_text("\n".join(lines))
    options = {
        "--train_file": str(rows),
        "--output_dir": str(tmp_path / "out"),
        "--encoder_name": str(encoder_folder()),
        "--max_length": "24",
        "--evaluation_seeds": "0",
        "--language": "en",
        wrong[0]: wrong[1],
    }
    main = runpy.run_path(str(PROJECT / "recipes" / "miso.py"))["main"]
    assert main([word for pair in options.items() for word in pair]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_a_tokenizer_that_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoder_folder(), folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    said = line_of(lambda: load_tokenizer(folder))
    assert said.startswith(f"the tokenizer of {folder} cannot be read (")
