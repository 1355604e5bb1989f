"""The recipe as a user starts it: a file in, and everything it promises out."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from miso_fixtures import CLASS_NAMES, encoder_folder, make_corpus

PROJECT = Path(__file__).resolve().parent.parent
FEW_STEPS = [
    *("--pretrain_steps", "4", "--critic_steps", "3", "--adversarial_steps", "2"),
    *("--batch_size", "8", "--pair_batch_size", "4", "--decoder_rows", "4"),
    *("--adversarial_rows", "2", "--max_length", "24", "--mixed_precision", "no"),
    *("--evaluation_steps_of_classifiers", "4"),
]


def run_recipe(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*(launcher or (sys.executable,)), str(PROJECT / "recipes" / "miso.py"), *arguments]
    environment = {"HF_HUB_OFFLINE": "1"} | os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=PROJECT)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the recipe says when it refuses; in this process, as nothing heavy is reached."""
    try:
        code = runpy.run_path(str(PROJECT / "recipes" / "miso.py"))["main"](list(arguments))
    except SystemExit as stop:  # argparse's own refusals
        code = stop.code
    assert code == 2
    return capsys.readouterr().err


def write_csv(path: Path, counts: tuple[int, ...] = (90, 30), seed: int = 0) -> Path:
    texts, labels = make_corpus(counts, seed)
    names = [CLASS_NAMES[label] for label in labels]
    datasets.Dataset.from_dict({"message": texts, "kind": names}).to_csv(str(path))
    return path


def columns() -> list[str]:
    return ["--text_column", "message", "--label_column", "kind"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run by `accelerate launch`, on a csv file with a pretrained encoder."""
    folder = tmp_path_factory.mktemp("recipe")
    launcher = (
        sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
    )  # fmt: skip
    answer = run_recipe(
        "--train_file", str(write_csv(folder / "messages.csv")), *columns(),
        "--output_dir", str(folder / "out"), "--encoder_name", str(encoder_folder()),
        "--language", "en", *FEW_STEPS, "--save_steps", "3", "--gate", "", "--parts", "miso",
        launcher=launcher,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "TextCNN: anchors" in answer.stdout
    assert "rare texts that other classes outvote among their neighbours" in answer.stdout
    return folder / "out"


def test_it_writes_what_it_promises(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    balanced = datasets.load_from_disk(str(finished / "balanced"))
    train = balanced["train"]
    names = train.features["kind"].names
    counts = Counter(names[label] for label in train["kind"])
    assert len(set(counts.values())) == 1, "the classes must end equal"
    assert dict(counts) == record["counts"]["after"]
    origin = Counter(train.features["origin"].names[code] for code in train["origin"])
    assert dict(origin) == {k: v for k, v in record["counts"]["origin"].items() if v}
    assert origin["synthetic"] == record["rejections"]["kept"] > 0
    assert "\n- " in (finished / "anchors.md").read_text(), "a list of anchors"
    parquet = datasets.Dataset.from_parquet(str(finished / "balanced" / "train.parquet"))
    assert parquet["message"][:] == train["message"][:]
    for name in ("anchors.md", "report.png", "table.md", "generator/README.md"):
        assert (finished / name).stat().st_size > 0
    assert set(record["steps"]) == {"pretrain", "critics", "adversarial"}  # --parts miso
    assert record["arguments"]["training"]["pretrain_steps"] == 4
    assert sum(record["rejections"].values()) > 0
    for measure in ("difficult_share", "outvoted_share"):  # each beside what chance gives
        assert set(record[measure]) == {"before", "after", "before_by_chance", "after_by_chance"}
        assert all(0 <= share <= 1 for share in record[measure].values())
    assert record["outvoted_share"]["before"] <= record["difficult_share"]["before"]
    assert not list(finished.glob(".*part*")), "nothing half written is left"


def test_the_generator_loads_and_writes(finished: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    import hf_oversample  # noqa: F401

    model = AutoModelForSeq2SeqLM.from_pretrained(finished / "generator")
    tokenizer = AutoTokenizer.from_pretrained(finished / "generator")
    inputs = tokenizer(["win a free prize now !"], return_tensors="pt", return_token_type_ids=False)
    ids = model.generate(**inputs, max_new_tokens=5)
    assert ids.shape[0] == 1
    assert not list((finished / "generator").glob("*.bin"))


def test_parents_are_rows_of_the_training_part(finished: Path) -> None:
    train = datasets.load_from_disk(str(finished / "balanced"))["train"]
    origin, parent = np.asarray(train["origin"]), np.asarray(train["parent"])
    real = int((origin == 0).sum())
    assert (parent[origin == 0] == -1).all()
    assert ((parent[origin != 0] >= 0) & (parent[origin != 0] < real)).all()
    repeated = np.flatnonzero(origin == 2)
    texts = train["message"][:]
    assert all(texts[row] == texts[parent[row]] for row in repeated)


def test_a_finished_run_is_not_overwritten(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(finished.parent / "messages.csv")
    said = refused(capsys, "--train_file", file, *columns(), "--output_dir", str(finished))
    assert "--overwrite" in said


def test_a_finished_run_keeps_no_checkpoint(finished: Path) -> None:
    assert not list(finished.glob("checkpoint-*"))


@pytest.mark.slow
def test_resume_ends_with_the_same_generator(finished: Path, tmp_path: Path) -> None:
    """Of a run that is killed in the middle, from its last checkpoint: the same weights, texts."""
    from safetensors.numpy import load_file

    arguments = [
        "--train_file", str(finished.parent / "messages.csv"), *columns(),
        "--output_dir", str(tmp_path / "again"), "--encoder_name", str(encoder_folder()),
        "--language", "en", *FEW_STEPS, "--save_steps", "3", "--evaluation_seeds", "1",
        "--gate", "", "--parts", "miso",
    ]  # fmt: skip
    command = [sys.executable, str(PROJECT / "recipes" / "miso.py"), *arguments]
    environment = {"HF_HUB_OFFLINE": "1"} | os.environ | {"OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(
        command, env=environment, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while killed.poll() is None and not (tmp_path / "again" / "checkpoint-3").is_dir():
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "again" / "run.json").exists(), "it ended before it was killed"
    answer = run_recipe(*arguments, "--resume", "last")
    assert answer.returncode == 0, answer.stderr[-3000:]
    weights = [
        load_file(folder / "generator" / "model.safetensors")
        for folder in (finished, tmp_path / "again")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    texts = [
        datasets.load_from_disk(str(folder / "balanced"))["train"]["message"][:]
        for folder in (finished, tmp_path / "again")
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text_column", "body", "--label_column", "kind"], "no column 'body'"),
        (["--text_column", "message", "--label_column", "class"], "no column 'class'"),
        ([*columns(), "--imbalance_ratio", "3"], "ratio"),
        ([*columns(), "--demo", "sms"], "exactly one of"),
        ([*columns(), "--mask_share", "2"], "mask_share"),
        ([*columns(), "--gate_ceiling", "0.05"], "gate_quantile is 0.1 and gate_ceiling 0.05"),
        ([*columns(), "--protect", "("], "protect is '('"),
        ([*columns(), "--user_dictionary", "none.txt"], "user_dictionary 'none.txt' is not a file"),
        ([*columns(), "--gate_quantile", "2"], "gate_quantile is 2.0"),
        ([*columns(), "--gate", "critics", "--use_mi", "false"], "use_mi is false"),
        ([*columns(), "--parts", "editor", "--use_latent", "true"], "parts is 'editor'"),
        ([*columns(), "--push_to_hub", "--hub_model_id", "mine"], "write it as user/name"),
        ([*columns(), "--neighbors", "200"], "--neighbors to"),
        ([*columns(), "--minority_class", "eggs", "--imbalance_ratio", "0.1"], "eggs"),
        ([*columns(), "--resume", "last"], "no checkpoint"),
    ],
)
def test_bad_arguments_say_what_is_wrong(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_csv(tmp_path / "messages.csv")
    said = refused(
        capsys, "--train_file", str(file), "--output_dir", str(tmp_path / "out"), *arguments
    )
    assert message in said
    assert not (tmp_path / "out" / "run.json").exists()


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--output_dir", "x", "--demo", "sms", "--learning_rat", "1")
    assert "--learning_rat" in said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("one text", "a"), ("", "b"), ("two", "a")], "row 1"),
        ([("one text", "a"), ("two", "a"), ("three", "a")], "class"),
    ],
)
def test_bad_rows_are_named(
    rows: list[tuple[str, str]],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": t, "label": c}) + "\n" for t, c in rows))
    said = refused(capsys, "--train_file", str(file), "--output_dir", str(tmp_path / "out"))
    assert message in said


def test_help_needs_no_torch_and_shows_sources() -> None:
    code = (
        "import sys, runpy; sys.argv = ['miso.py', '--help']\n"
        f"try:\n    runpy.run_path({str(PROJECT / 'recipes' / 'miso.py')!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip().endswith("[]"), answer.stdout[-500:]
    assert "paper, section 6" in " ".join(answer.stdout.split())


@pytest.mark.slow
def test_push_and_tracker(hub: Any, tmp_path: Path) -> None:
    """The generator goes to the Hub in one commit with its card, and loads from there."""
    from transformers import AutoModelForSeq2SeqLM

    answer = run_recipe(
        "--train_file", str(write_csv(tmp_path / "messages.csv")), *columns(),
        "--output_dir", str(tmp_path / "out"), "--encoder_name", str(encoder_folder()),
        *FEW_STEPS, "--evaluation_seeds", "0", "--logging_steps", "1",
        "--report_to", "tensorboard", "--push_to_hub", "--hub_model_id", "someone/miso-tiny",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    repository = hub.repositories["models", "someone/miso-tiny"]
    assert len(repository.messages) == 1
    assert {"README.md", "config.json", "model.safetensors"} <= set(repository.files)
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in repository.files)
    card = (tmp_path / "out" / "generator" / "README.md").read_text(encoding="utf-8")
    assert len(repository.files["README.md"]) == len(card.encode())
    assert card.count('from_pretrained("someone/miso-tiny")') == 1
    assert "run.json" not in card, "which is not pushed: it holds paths of this machine"
    model = AutoModelForSeq2SeqLM.from_pretrained("someone/miso-tiny")
    assert type(model).__name__ == "MisoForAnchorGeneration"
    assert list((tmp_path / "out" / "logs").rglob("events.out.tfevents.*"))


CHINESE = (
    (
        "股市今日大幅上涨",
        "央行宣布降低利率",
        "公司发布季度财报",
        "基金经理看好科技股",
        "人民币汇率保持稳定",
    ),
    ("球队昨晚赢得比赛", "教练对训练表示满意", "冠军在决赛中获胜", "球员因伤缺席比赛"),
)


@pytest.mark.slow
def test_chinese_from_scratch(tmp_path: Path) -> None:
    """jieba, an encoder from scratch, and texts without inserted spaces."""
    rng = np.random.default_rng(0)
    places = ["北京", "上海", "广州", "深圳", "成都", "杭州", "武汉", "西安"]
    rows = []
    for label, count in ((0, 60), (1, 20)):
        for number in range(count):
            text = f"{rng.choice(places)}{rng.choice(CHINESE[label])}{number}次"
            rows.append({"text": text, "label": ["财经", "体育"][label]})
    file = tmp_path / "news.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    answer = run_recipe(
        "--train_file", str(file), "--output_dir", str(tmp_path / "out"), *FEW_STEPS,
        "--evaluation_seeds", "0", "--gate", "",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["data"]["language"] == "zh"
    train = datasets.load_from_disk(str(tmp_path / "out" / "balanced"))["train"]
    made = train.filter(lambda row: row["origin"] == 1)
    assert len(made) > 0
    assert not any(" " in text for text in made["text"])
    assert set(train["label"]) == {0, 1}


@pytest.mark.slow
def test_every_class_is_brought_to_the_largest(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "three.csv", counts=(50, 25, 15))
    answer = run_recipe(
        "--train_file", str(file), *columns(), "--output_dir", str(tmp_path / "out"),
        "--encoder_name", str(encoder_folder()), *FEW_STEPS,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert len(set(record["counts"]["after"].values())) == 1
    assert len(record["counts"]["after"]) == 3
    assert "macro_f1" in record["metrics"]["TextCNN: none"]


def test_few_anchors_are_explained_on_the_screen_and_on_the_cards(tmp_path: Path) -> None:
    """One rare row: its words cannot be edited, or come out as copies; no share of nothing."""
    texts = [f"see you at the station {number} tonight" for number in range(39)]
    rows = {"message": [*texts, "[win] <a> {free} 8007 prize"], "kind": ["ham"] * 39 + ["spam"]}
    datasets.Dataset.from_dict(rows).to_csv(str(tmp_path / "one.csv"))
    answer = run_recipe(
        "--train_file", str(tmp_path / "one.csv"), *columns(), "--language", "en",
        "--output_dir", str(tmp_path / "out"), "--encoder_name", str(encoder_folder()),
        *FEW_STEPS, "--evaluation_seeds", "0", "--protect", "prize", "--gate_ceiling", "0.5",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    counts = record["made_texts"]
    assert counts["asked"] == 19
    assert counts["made"] == record["counts"]["origin"]["synthetic"] < 19
    said = answer.stdout
    assert f"Fewer anchors than asked: {counts['made']} of 19;" in said
    for reason, number in counts["rejected"].items():
        assert f"{reason} {number}" in said
    assert "nothing to edit" in counts["rejected"]
    assert "narrow --protect" in said
    assert "class 'spam' has too few different rows to hold one out" in answer.stderr
    if not counts["made"]:
        assert "distinct" not in said
    if counts["made"]:
        assert record["screen"]["classes"]["spam"]["auc"] is None
        assert f"spam: {counts['made']} made and 1 real texts are too few to say" in said
    for card in ("generator", "balanced"):
        text = (tmp_path / "out" / card / "README.md").read_text()
        assert f"Texts asked for: 19; made and kept: {counts['made']}." in text
        assert "| nothing to edit |" in text
