"""What comes from the Hub is loaded whole or not at all, and none of it runs.

Every flow is over real HTTP against the loopback hub, with the real clients.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM

from hf_oversample import MisoForAnchorGeneration, MisoOversampler, Oversampler, SmoteOversampler
from hf_oversample.commands.main import main
from hf_oversample.hub.push import check_folder
from hf_oversample.models.encoders import load_encoder, load_tokenizer
from hf_oversample.models.loading import load_complete, write_sums
from hub_server import TOKEN
from miso_fixtures import make_corpus, make_generator, tokenizer
from oversampler_checks import case_of, plain

CARD = "---\nlicense: mit\n---\n"
EVIL = "import pathlib\npathlib.Path({marker!r}).write_text('ran')\nclass Evil: pass\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator as a run writes it; tests copy it."""
    folder = tmp_path_factory.mktemp("generator") / "generator"
    make_generator(make_corpus((12, 6))[0]).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    write_sums(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "generator"))


def put(hub: Any, folder: Path, name: str, *, private: bool = False) -> str:
    """A folder on the hub, whatever is in it: someone else may have pushed it."""
    api = HfApi()
    api.create_repo(name, private=private, exist_ok=True)
    return api.upload_folder(repo_id=name, folder_path=folder).oid


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x11
    path.write_bytes(bytes(content))


# ---- damaged weights


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "damaged or cut short"),
        (lambda path: path.write_bytes(b""), "damaged or cut short"),
        (flip, "not the file that .*SHA256SUMS was written for"),
    ],
    ids=["truncated", "empty", "tampered"],
)
def test_damaged_weights_of_a_generator_are_told(
    hub: Any, folder: Path, damage: Any, message: str
) -> None:
    damage(folder / "model.safetensors")
    put(hub, folder, "someone/damaged")
    with pytest.raises(ValueError, match=message) as told:
        load_complete(MisoForAnchorGeneration, "someone/damaged")
    assert "Download or copy" in str(told.value) or "download or copy" in str(told.value)


def test_a_damaged_generator_leaves_the_oversampler_unfitted(hub: Any, folder: Path) -> None:
    flip(folder / "model.safetensors")
    put(hub, folder, "someone/damaged")
    texts, labels = make_corpus((12, 6))
    oversampler = MisoOversampler("someone/damaged", max_length=24)
    with pytest.raises(ValueError, match="SHA256SUMS"):
        oversampler.fit(Dataset.from_dict({"text": texts, "label": labels.tolist()}))
    with pytest.raises(RuntimeError, match="is not fitted"):
        oversampler.fitted_plan()


def test_the_command_tells_damaged_weights_in_one_line(
    hub: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(folder / "model.safetensors")
    put(hub, folder, "someone/damaged")
    (tmp_path / "rows.jsonl").write_text('{"text": "free prize"}\n', encoding="utf-8")
    out = tmp_path / "anchors.jsonl"
    words = ["generate", str(tmp_path / "rows.jsonl"), "--generator", "someone/damaged"]
    words += ["--class", "spam", "--output_file", str(out)]
    assert main(words) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("error: the weights of ")
    assert "damaged or cut short" in told
    assert not out.exists()


def test_weights_of_other_shapes_or_too_few_are_told(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    first = next(iter(sorted(weights)))
    (folder / "SHA256SUMS").unlink()  # as someone who writes other weights leaves it
    save_file(
        {name: value for name, value in weights.items() if name != first},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"lack 1 of its weights, such as"):
        load_complete(MisoForAnchorGeneration, folder)
    save_file(
        weights | {first: torch.zeros(3, 5)},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ValueError, match="other shapes than its config"):
        load_complete(MisoForAnchorGeneration, folder)
    key = next(name for name, value in sorted(weights.items()) if value.is_floating_point())
    save_file(
        weights | {key: torch.full_like(weights[key], float("nan"))},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ValueError, match="not finite"):
        load_complete(MisoForAnchorGeneration, folder)


@pytest.mark.parametrize("damage", [cut, flip], ids=["truncated", "tampered"])
@pytest.mark.parametrize("name", ["SmoteOversampler", "BayesianGanOversampler"])
def test_damaged_files_of_an_oversampler_are_told(
    hub: Any, tmp_path: Path, name: str, damage: Any
) -> None:
    _, oversampler = plain(case_of(name))
    oversampler.save_pretrained(tmp_path / "saved")
    for path in sorted((tmp_path / "saved").rglob("*.safetensors")):
        other = Path(shutil.copytree(tmp_path / "saved", tmp_path / f"{path.stem}-copy"))
        damage(other / path.relative_to(tmp_path / "saved"))
        put(hub, other, f"someone/{path.stem}")
        with pytest.raises(ValueError, match=f"{path.name} is not the file that"):
            Oversampler.from_pretrained(f"someone/{path.stem}")
    (tmp_path / "saved" / "SHA256SUMS").unlink()
    with pytest.raises(FileNotFoundError, match="the folder is not whole"):
        Oversampler.from_pretrained(tmp_path / "saved")


# ---- hostile configurations


def hostile(folder: Path, marker: Path, **values: Any) -> Path:
    """Code beside the weights, and a configuration that names it everywhere it can."""
    (folder / "evil.py").write_text(EVIL.format(marker=str(marker)), encoding="utf-8")
    names = ("AutoConfig", "AutoModel", "AutoModelForSeq2SeqLM", "AutoTokenizer")
    auto_map: dict[str, Any] = dict.fromkeys(names, "evil.Evil")
    auto_map["AutoTokenizer"] = ["evil.Evil", "evil.Evil"]
    change_config(folder, auto_map=auto_map, trust_remote_code=True, **values)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        told = json.loads(path.read_text()) | {"auto_map": auto_map, "trust_remote_code": True}
        path.write_text(json.dumps(told), encoding="utf-8")
    return folder


def test_code_beside_a_generator_is_neither_fetched_nor_run(
    hub: Any, folder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    put(hub, hostile(folder, marker), "someone/hostile")
    assert load_complete(MisoForAnchorGeneration, "someone/hostile").config.model_type == "miso"
    model = AutoModelForSeq2SeqLM.from_pretrained("someone/hostile", trust_remote_code=False)
    assert type(model) is MisoForAnchorGeneration
    load_tokenizer("someone/hostile")
    assert not marker.exists()
    assert not [one for one in hub.requests if "evil" in one and one.startswith("GET")]


def test_an_unknown_architecture_with_code_is_refused(
    hub: Any, folder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    put(hub, hostile(folder, marker, model_type="evil", architectures=["Evil"]), "someone/evil")
    with pytest.raises(ValueError, match=r"brings code of its own .* is never run"):
        load_encoder("someone/evil")
    with pytest.raises(ValueError, match="evil"):
        MisoOversampler("someone/evil", embedder=None).fit(
            Dataset.from_dict({"text": ["a b", "c d"] * 4, "label": [0, 0, 0, 1] * 2})
        )
    assert not marker.exists()
    assert not [one for one in hub.requests if "evil.py" in one and one.startswith("GET")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bank_size": 10**12}, "says bank_size = 1000000000000"),
        ({"latent_size": 10**9}, "says latent_size"),
        ({"model_type": "bert"}, "bert"),
    ],
)
def test_absurd_sizes_are_told_before_anything_is_built(
    folder: Path, values: dict[str, Any], message: str
) -> None:
    change_config(folder, **values)
    with pytest.raises(ValueError, match=message):
        load_complete(MisoForAnchorGeneration, folder)


def test_absurd_layers_of_an_inner_model_are_told(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    change_config(folder, encoder=config["encoder"] | {"num_hidden_layers": 10**9})
    with pytest.raises(ValueError, match=r"says encoder\.num_hidden_layers = 1000000000"):
        load_complete(MisoForAnchorGeneration, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"oversampler": "os:system"}, "names the oversampler 'os:system'"),
        ({"oversampler": "subprocess.Popen"}, "which this version does not know"),
        ({"params": {"sampling_strategy": "auto", "shell": "rm"}}, "does not take"),
        ({"params": {}}, "lack 'sampling_strategy'"),
        ({"fitted": {}}, "lack 'label_column_'"),
    ],
)
def test_a_hostile_configuration_of_an_oversampler_is_refused(
    hub: Any, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    _, oversampler = plain(case_of("SmoteOversampler"))
    oversampler.save_pretrained(tmp_path / "saved")
    change_config(tmp_path / "saved", **change)
    put(hub, tmp_path / "saved", "someone/hostile")
    with pytest.raises(ValueError, match=message):
        Oversampler.from_pretrained("someone/hostile")
    (tmp_path / "saved" / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="no configuration of an oversampler"):
        Oversampler.from_pretrained(tmp_path / "saved")


# ---- revisions, private repositories, no network, other processes


def test_a_revision_is_the_one_that_is_loaded(hub: Any, tmp_path: Path) -> None:
    rows, first = plain(case_of("SmoteOversampler"))
    first.push_to_hub("someone/two")
    old = hub.repositories["models", "someone/two"].head
    second = SmoteOversampler(**(first.get_params() | {"seed": 99}))
    second.fit(rows)
    second.push_to_hub("someone/two")
    assert Oversampler.from_pretrained("someone/two").get_params()["seed"] == 99
    again = Oversampler.from_pretrained("someone/two", revision=old)
    assert again.get_params()["seed"] == first.get_params()["seed"]
    assert len(hub.repositories["models", "someone/two"].messages) == 2  # a commit each


def test_generate_takes_the_revision_of_a_generator(hub: Any, folder: Path, tmp_path: Path) -> None:
    commit = put(hub, folder, "someone/generator")
    change_config(folder, vocab_size=7)  # the newest one is of no use
    put(hub, folder, "someone/generator")
    file = tmp_path / "texts.csv"
    Dataset.from_dict({"text": make_corpus((3, 3))[0]}).to_csv(str(file))
    words = ["generate", str(file), "--generator", "someone/generator", "--class", "spam"]
    assert main([*words, "--output_file", str(tmp_path / "a.jsonl")]) == 2
    out = tmp_path / "b.jsonl"
    assert main([*words, "--generator_revision", commit, "--output_file", str(out)]) == 0
    assert out.is_file()
    words[3] = str(folder)
    assert main([*words, "--generator_revision", commit, "--output_file", str(out)]) == 2


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size"])
def test_a_configuration_cannot_set_what_is_computed(folder: Path, name: str) -> None:
    change_config(folder, **{name: 7})
    with pytest.raises(ValueError, match=f"computes {name} from its other fields"):
        load_complete(MisoForAnchorGeneration, folder)


def test_an_editor_says_that_it_writes_nothing_by_itself(folder: Path) -> None:
    model = MisoForAnchorGeneration.from_pretrained(folder)
    model.config.parts = "editor"
    with pytest.raises(ValueError, match="it edits texts and writes none"):
        model.generate(torch.tensor([[1, 2]]))


def test_a_folder_of_no_model_names_the_generator_in_it(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run / "generator")
    with pytest.raises((ValueError, OSError), match=r"config\.json"):
        load_complete(MisoForAnchorGeneration, run)


def test_a_private_repository_is_read_with_the_token_alone(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, oversampler = plain(case_of("SmoteOversampler"))
    oversampler.push_to_hub("someone/mine", private=True)
    assert hub.repositories["models", "someone/mine"].private
    cache = tmp_path / "of-someone-else"
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(Exception, match="404"):
        Oversampler.from_pretrained("someone/mine", cache_dir=cache)
    again = Oversampler.from_pretrained("someone/mine", token=TOKEN, cache_dir=cache)
    assert repr(again) == repr(oversampler)


def test_a_fresh_process_loads_what_was_downloaded_without_a_network(
    hub: Any, folder: Path
) -> None:
    commit = put(hub, folder, "someone/generator")
    load_complete(MisoForAnchorGeneration, "someone/generator", revision=commit)
    asked = len(hub.requests)
    code = (
        "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n"
        "import hf_oversample\n"
        "from transformers import AutoModelForSeq2SeqLM\n"
        f"model = AutoModelForSeq2SeqLM.from_pretrained('someone/generator', revision={commit!r})\n"
        "print(type(model).__name__, sum(p.numel() for p in model.parameters()))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    size = sum(p.numel() for p in MisoForAnchorGeneration.from_pretrained(folder).parameters())
    assert answer.stdout.split() == ["MisoForAnchorGeneration", str(size)], answer.stderr
    assert len(hub.requests) == asked


# ---- the token, and pickles


def test_the_token_is_neither_told_nor_written(
    hub: Any,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of all that a push says, logs and writes; also where it fails."""
    caplog.set_level(logging.DEBUG)
    _, oversampler = plain(case_of("SmoteOversampler"))
    oversampler.push_to_hub("someone/told", token=TOKEN)
    oversampler.save_pretrained(tmp_path / "saved")
    words = ["push", str(folder), "--repo", "someone/generator"]
    assert main(words) == 0
    assert main([*words, "--format", "json"]) == 0
    hub.trouble["POST", "/commit/"] = [400]
    (folder / "new.txt").write_text("new")
    assert main([*words, "--debug"]) != 0
    said = capfd.readouterr()
    assert "someone/generator" in said.out
    pushed = [file for one in hub.repositories.values() for file in one.files.values()]
    for where in (said.out, said.err, caplog.text, repr(oversampler)):
        assert TOKEN not in where
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for content in (*pushed, *(path.read_bytes() for path in written)):
        assert TOKEN.encode() not in content


@pytest.mark.parametrize("name", ["SmoteOversampler", "AmoOversampler", "BayesianGanOversampler"])
def test_no_pickle_is_in_what_is_pushed(hub: Any, tmp_path: Path, name: str) -> None:
    _, oversampler = plain(case_of(name))
    oversampler.push_to_hub("someone/pushed")
    files = hub.repositories["models", "someone/pushed"].files
    assert "README.md" in files
    for path, content in files.items():
        target = tmp_path / "pushed" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        assert Path(path).suffix in (".json", ".safetensors", ".md", ""), path
        assert not content.startswith(b"\x80"), path  # how a pickle begins
    check_folder(tmp_path / "pushed")


def test_a_balanced_set_reloads_with_its_origins(hub: Any, tmp_path: Path) -> None:
    texts, labels = make_corpus((14, 7))
    rows = [
        {"text": text, "label": ["ham", "spam"][code]}
        for text, code in zip(texts, labels, strict=True)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = tmp_path / "out"
    words = ["balance", str(file), "--method", "random", "-o", str(out), "--language", "en"]
    assert main([*words, "--license", "cc-by-4.0"]) == 0
    assert main(["push", str(out / "balanced"), "--repo", "someone/balanced"]) == 0
    files = hub.repositories["datasets", "someone/balanced"].files
    assert set(files) == {"README.md", "croissant.json", "train.parquet"}
    assert b"license: cc-by-4.0" in files["README.md"]
    assert b'load_dataset("someone/balanced"' in files["README.md"]  # the folder had no name
    # a fresh process, as a reader's: datasets reads its settings when it is imported
    code = (
        "from datasets import load_dataset\n"
        f"cache = {str(tmp_path / 'c')!r}\n"
        "rows = load_dataset('someone/balanced', split='train', cache_dir=cache)\n"
        "print(rows['origin'][:].count(2), *rows.features['origin'].names, *rows.column_names)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = "7 real synthetic resampled text label origin parent"
    assert answer.stdout.strip() == expected, answer.stderr
    # and as rows that compare is to judge
    command = [sys.executable, "-m", "hf_oversample.commands.main", "compare", str(file)]
    command += ["--made", "copies=someone/balanced", "--language", "en", "--dry-run"]
    environment = os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "c")}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert "copies: left out 21 real rows" in answer.stderr
