"""Cards come from the record alone; a push is one commit over real HTTP, and never a pickle."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard, HfApi, ModelCard, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from hf_oversample.hub import push
from hf_oversample.hub.card import dataset_card, evaluation_results, generator_card
from hf_oversample.hub.push import check_folder, push_folder

RUN: dict[str, Any] = {
    "format": 1,
    "arguments": {"dataset_name": "someone/messages", "encoder_name": "org/encoder", "k": 5},
    "versions": {"hf_oversample": "0.1.0", "torch": "2.13.0"},
    "machine": {"cores": 2, "device": "cpu"},
    "seed": 7,
    "data": {
        "name": "messages",
        "rows": 110,
        "classes": {"ham": 100, "sp|am": 10},
        "text_column": "text",
        "label_column": "label",
        "language": "en",
        "imbalance_ratio": 0.1,
    },
    "counts": {
        "before": {"ham": 100, "sp|am": 10},
        "after": {"ham": 100, "sp|am": 100},
        "origin": {"real": 110, "synthetic": 80, "resampled": 10},
    },
    "difficult_share": {"before": 0.421, "after": 0.22},
    "losses": {"pretrain": {"masked": 1.25}},
    "rejections": {"copy": 12, "empty": 0},
    "timings": {"pretrain": 61.5},
    "metrics": {
        "nothing": {"f1": 0.5, "average_precision": 0.61},
        "anchors": {"f1": 0.75, "average_precision": float("nan")},
    },
    "quality": {},
}


def test_generator_card_has_valid_metadata_and_the_records_numbers() -> None:
    text = generator_card(RUN, repo_id="someone/generator")
    card = ModelCard(text)
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["license"] == "unknown"
    assert metadata["language"] == "en"
    assert metadata["library_name"] == "transformers"
    assert "pipeline_tag" not in metadata  # transformers has no pipeline that writes with it
    assert metadata["base_model"] == "org/encoder"
    assert metadata["datasets"] == "someone/messages"
    assert "miso" in metadata["tags"]
    assert card.data.eval_results is not None
    values = [(r.metric_type, r.metric_value) for r in card.data.eval_results]
    assert values == [("f1", 0.5), ("average_precision", 0.61), ("f1", 0.75)]
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "messages"
    for part in ('from_pretrained("someone/generator")', "42.1 % before, 22.0 % after", "**75.0**"):
        assert part in text
    assert "sp\\|am" in text
    assert "{{" not in text


def test_a_card_tells_difficult_shares_beside_what_chance_gives() -> None:
    shares = {"before": 1.0, "after": 0.9, "before_by_chance": 0.999, "after_by_chance": 0.97}
    votes = {"before": 0.2, "after": 0.1, "before_by_chance": 0.62, "after_by_chance": 0.505}
    run = RUN | {"difficult_share": shares, "outvoted_share": votes}
    for text in (generator_card(run), dataset_card(run)):
        assert "100.0 % (by chance 99.9 %) before, 90.0 % (by chance 97.0 %) after." in text
        assert "20.0 % (by chance 62.0 %) before, 10.0 % (by chance 50.5 %) after." in text
        assert "each class's votes over its size" in text


def test_dataset_card_counts_the_rows() -> None:
    text = dataset_card(RUN)
    card = DatasetCard(text)
    assert card.data.task_categories == ["text-classification"]
    assert card.data.size_categories == "n<1K"
    assert "| sp\\|am | 10 | 100 |" in text
    assert "| synthetic | 80 |" in text
    assert "| copy | 12 |" in text
    assert "translated" not in text
    assert "told from real ones" not in text  # a record that did not look
    assert "asked for" not in text
    counts = {"way": "edit", "asked": 90, "planned": 85, "made": 80, "rejected": {"copy": 12}}
    for card in (dataset_card, generator_card):
        told = card({**RUN, "made_texts": counts})
        assert "Texts asked for: 90; made and kept: 80. 10 real rows are repeated" in told
        assert "| copy | 12 |" in told
    pair = {"source": "ham", "target": "spam", "drawn": 20, "translated": 9, "accepted": 7}
    text = dataset_card({**RUN, "acceptance": [pair]})
    assert "| from | target | drawn | translated | accepted |" in text
    assert "| ham | spam | 20 | 9 | 7 |" in text


def test_the_data_set_card_tells_what_gives_made_rows_away() -> None:
    one = {"auc": 0.931, "unknown_made": 0.25, "unknown_real": 0.1, "giveaways": ['word "a|b" (1)']}
    few = {"auc": None, "unknown_made": 0.0, "unknown_real": 0.0, "giveaways": []}
    screen = {"level": 0.75, "classes": {"spam": one, "news": few}}
    text = dataset_card(RUN | {"screen": screen})
    assert "## Are made rows told from real ones?" in text
    assert '| spam | 0.93 (warned of) | 25.0 % | 10.0 % | word "a\\|b" (1) |' in text
    assert "| news | too few rows | 0.0 % | 0.0 % | – |" in text
    assert "above 0.75 a classifier may learn" in text
    screen["classes"]["spam"]["auc"] = 0.7
    assert "| spam | 0.70 |" in dataset_card(RUN | {"screen": screen})
    assert "told from real ones" not in dataset_card(RUN | {"screen": None})


def test_a_local_path_is_not_a_base_model_and_a_licence_is_taken_from_the_record() -> None:
    run = copy.deepcopy(RUN)
    run["arguments"] |= {"encoder_name": "/models/of/mine/encoder", "dataset_name": None}
    run["data"]["license"] = "cc-by-4.0"
    text = generator_card(run)
    assert "| encoder_name | encoder |" in text
    assert "/of/mine" not in text
    metadata = yaml.safe_load(text.split("---")[1])
    assert "base_model" not in metadata
    assert metadata["license"] == "cc-by-4.0"
    assert evaluation_results(run)[0].dataset_type == "messages"


@pytest.mark.parametrize("key", ["metrics", "counts", "difficult_share", "format"])
def test_a_record_that_lacks_something_gives_no_card(key: str) -> None:
    run = {name: value for name, value in RUN.items() if name != key}
    for card in (generator_card, dataset_card):
        with pytest.raises(ValueError, match=repr(key)):
            card(run)


def test_a_record_of_another_format_gives_no_card() -> None:
    with pytest.raises(ValueError, match="format 2"):
        generator_card({**RUN, "format": 2})


def test_a_record_read_from_json_gives_the_same_card() -> None:
    assert generator_card(json.loads(json.dumps(RUN))) == generator_card(RUN)


def _model_folder(folder: Path) -> Path:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    (folder / "README.md").write_text(generator_card(RUN), encoding="utf-8")
    return folder


def test_model_and_card_are_pushed_in_one_commit_and_load_over_http(
    hub: Any, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForMaskedLM

    folder = _model_folder(tmp_path / "model")
    commit = push_folder(folder, "someone/tiny", commit_message="Add a tiny model")
    repository = hub.repositories["models", "someone/tiny"]
    assert repository.messages == ["Add a tiny model"]
    assert commit.oid == repository.head
    assert {"README.md", "config.json", "model.safetensors"} <= set(repository.files)

    here = AutoModelForMaskedLM.from_pretrained(folder)
    there = AutoModelForMaskedLM.from_pretrained("someone/tiny", revision=commit.oid)
    assert all(
        torch.equal(a, b)
        for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True)
    )
    assert any(request.startswith("PUT /large/") for request in hub.requests)

    # Pushing the same again makes no second repository and fails on nothing.
    push_folder(folder, "someone/tiny")
    assert HfApi().model_info("someone/tiny").sha == repository.head


def test_a_push_without_a_user_goes_to_the_tokens_user(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "README.md").write_text(dataset_card(RUN), encoding="utf-8")
    (tmp_path / "data" / "train.jsonl").write_text('{"text": "a"}\n')
    push_folder(tmp_path / "data", "balanced", repo_type="dataset", private=True)
    assert hub.repositories["datasets", "someone/balanced"].private
    copied = Path(snapshot_download("someone/balanced", repo_type="dataset"))
    assert (copied / "train.jsonl").read_text() == '{"text": "a"}\n'


def test_a_subprocess_reaches_the_same_hub(hub: Any, tmp_path: Path) -> None:
    push_folder(_model_folder(tmp_path / "model"), "someone/tiny")
    code = (
        "from huggingface_hub import HfApi; print(sorted(HfApi().list_repo_files('someone/tiny')))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "model.safetensors" in answer.stdout, answer.stderr


def test_unknown_repositories_and_missing_tokens_are_errors(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RepositoryNotFoundError):
        snapshot_download("someone/nothing")
    folder = _model_folder(tmp_path / "model")
    with pytest.raises(Exception, match="401"):
        push_folder(folder, "someone/tiny", token="hf_wrong")
    assert not hub.repositories


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "sub/weights.pt", "a.pkl", "x.ckpt", "optimizer.safetensors", "A.PKL"],
)
def test_pickles_and_training_states_are_refused_before_anything_is_made(
    hub: Any, tmp_path: Path, name: str
) -> None:
    folder = _model_folder(tmp_path / "model")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"anything")
    with pytest.raises(ValueError, match=name):
        push_folder(folder, "someone/tiny")
    assert hub.requests == []


def test_a_pickle_by_another_name_is_refused(tmp_path: Path) -> None:
    import torch

    folder = _model_folder(tmp_path / "model")
    torch.save({"a": torch.zeros(1)}, folder / "weights.safetensors.txt")
    with pytest.raises(ValueError, match="archive with a pickle inside"):
        check_folder(folder)


def test_empty_missing_and_cardless_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        check_folder(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="empty"):
        check_folder(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="README"):
        check_folder(tmp_path)


def test_the_network_beyond_this_machine_is_closed() -> None:
    import socket

    with pytest.raises(RuntimeError, match="tried to reach"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(RuntimeError, match="tried to reach"):
        socket.getaddrinfo("example.org", 80)


def folder_to_push(path: Path, text: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "README.md").write_text("---\nlicense: mit\n---\n")
    (path / "model.safetensors").write_bytes(text.encode())
    return path


@pytest.mark.parametrize("step", [("POST", "/api/repos/create"), ("POST", "/commit/")])
def test_a_busy_hub_is_asked_again(
    step: tuple[str, str], hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = list[float]()
    monkeypatch.setattr(push.time, "sleep", waited.append)
    folder = folder_to_push(tmp_path / "folder", "weights")
    hub.trouble[step] = [429, 503]
    push_folder(folder, "someone/busy")
    assert waited == list(push.WAITS[:2])
    assert hub.repositories["models", "someone/busy"].files["model.safetensors"] == b"weights"
    hub.trouble[step] = [503] * 9
    with pytest.raises(HfHubHTTPError, match="503"):
        push_folder(folder_to_push(folder, "other weights"), "someone/busy")
    assert waited[2:] == list(push.WAITS)
    # what no waiting mends is told at once
    hub.trouble[step] = [400]
    with pytest.raises(HfHubHTTPError, match="trouble, as the test wants it"):
        push_folder(folder, "someone/busy")
    assert waited[2:] == list(push.WAITS)


@pytest.mark.parametrize("step", [("PUT", ""), ("POST", "/commit/")])
def test_a_push_that_is_cut_off_leaves_the_revision_before_it(
    step: tuple[str, str], hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push.time, "sleep", lambda _: None)
    folder = folder_to_push(tmp_path / "folder", "weights")
    push_folder(folder, "someone/cut")
    repository = hub.repositories["models", "someone/cut"]
    before = repository.head
    hub.trouble[step] = [0] * 30
    with pytest.raises(Exception, match=r"disconnected|Error while uploading"):
        push_folder(folder_to_push(folder, "new weights"), "someone/cut")
    assert repository.head == before
    assert (
        Path(
            snapshot_download("someone/cut", cache_dir=tmp_path / "cache"), "model.safetensors"
        ).read_bytes()
        == b"weights"
    )
    hub.trouble.clear()
    push_folder(folder, "someone/cut")
    assert repository.files["model.safetensors"] == b"new weights"
