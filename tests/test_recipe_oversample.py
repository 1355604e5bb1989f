"""The recipe as a user starts it: a text file in, a balanced text data set out, by every method."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_oversample.commands.command import balanced_summary
from hf_oversample.commands.oversample_arguments import METHODS, NOT_OF_EMBEDDINGS, WITHOUT_MODELS
from hf_oversample.data.row_weights import read_weights
from hf_oversample.oversamplers import OVERSAMPLERS
from hf_oversample.oversamplers.anchors.judge import (
    LinearJudge,
    chosen_regularization,
    out_of_fold_margins,
)
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from miso_fixtures import (
    CLASS_NAMES,
    contract_generator_folder,
    encoder_folder,
    make_corpus,
    trained_generator_folder,
)
from writer_fixtures import contract_writer_folder

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = PROJECT / "recipes" / "oversample.py"
OPTIONS = {
    "amo": {"epochs": 2, "hidden_size": 8},
    "simpor": {"steps": 3, "query_rounds": 2, "hidden_size": 0},
    "borderline_smote": {"fallback": "smote"},
    "adasyn": {"fallback": "smote"},
    "language_model": {"training_words_only": False},
}
OF_EMBEDDINGS = [name for name in METHODS if name not in NOT_OF_EMBEDDINGS]


def recipe(*arguments: str) -> int:
    """Runs in this process."""
    try:
        return runpy.run_path(str(RECIPE))["main"](list(arguments))
    except SystemExit as stop:  # argparse's own refusals
        return int(stop.code or 0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts, labels = make_corpus((40, 16))
    names = [CLASS_NAMES[label] for label in labels]
    path = tmp_path_factory.mktemp("data") / "messages.csv"
    datasets.Dataset.from_dict({"message": texts, "kind": names}).to_csv(str(path))
    return path


def common(file: Path, output: Path, method: str) -> list[str]:
    return [
        *("--train_file", str(file), "--text_column", "message", "--label_column", "kind"),
        *("--output_dir", str(output), "--method", method, "--max_length", "24"),
        *("--mixed_precision", "no", "--language", "en"),
        *("--method_options", json.dumps(OPTIONS.get(method, {}))),
    ]


@pytest.mark.parametrize("method", list(METHODS))
def test_texts_in_balanced_texts_out(
    method: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    generator = ["--generator", str(contract_generator_folder()), "--gate", "", "--max_tries", "2"]
    if method == "language_model":
        # a saved writer, its own mean states as the judge's space
        generator = ["--writer", str(contract_writer_folder()), "--max_tries", "2"]
    answer = recipe(*common(file, output, method), *([] if method in WITHOUT_MODELS else generator))
    said = capsys.readouterr()
    assert answer == 0, said.err
    assert "Rows by class: ham 40, spam 40." in said.out
    record = json.loads((output / "run.json").read_text())
    train = datasets.load_from_disk(str(output / "balanced"))["train"]
    assert train.column_names == ["message", "kind", "origin", "parent"]
    assert Counter(train["kind"]) == {0: 40, 1: 40}
    assert all(isinstance(text, str) and text.strip() for text in train["message"])
    origin = Counter(train.features["origin"].names[code] for code in train["origin"])
    assert dict(origin) == {name: n for name, n in record["counts"]["origin"].items() if n}
    assert origin["real"] == 56
    real = datasets.Dataset.from_csv(str(file))["message"][:]
    assert train["message"][:56] == real
    texts, parents = train["message"][56:], train["parent"][56:]
    for text, parent, code in zip(texts, parents, train["origin"][56:], strict=True):
        assert (text == real[parent]) == (code == 2)
    parquet = datasets.Dataset.from_parquet(str(output / "balanced" / "train.parquet"))
    assert parquet["message"][:] == train["message"][:]
    assert "balanced by hf_oversample" in (output / "balanced" / "README.md").read_text()
    if method == "language_model":
        assert (output / "writer" / "class-1" / "adapter_model.safetensors").is_file()
        assert record["writer"]["why"] == "given"
        assert record["made_texts"]["made"] == origin["synthetic"] > 0
    if method not in WITHOUT_MODELS:
        assert sum(record["rejections"].values()) > 0
        assert "Texts drawn: " in said.out
    if method == "amo":
        assert sum(pair["drawn"] for pair in record["acceptance"]) == 24
        accepted = sum(pair["accepted"] for pair in record["acceptance"])
        assert f"AMO: {accepted} of 24 rows accepted, " in said.out
        assert ("fewer than half of AMO's rows" in said.out) == (accepted < 12)
    else:
        assert record["acceptance"] == []
        assert "AMO: " not in said.out
    assert not list(output.glob(".*part*")), "nothing half written is left"
    assert recipe(*common(file, output, method)) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_weights_undo_the_class_ratio(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recipe(*common(file, tmp_path / "out", "random"), "--weights") == 0
    train = datasets.load_from_disk(str(tmp_path / "out" / "balanced"))["train"]
    totals = np.bincount(train["kind"][:], weights=read_weights(train))
    np.testing.assert_allclose(totals, [80 * 40 / 56, 80 * 16 / 56])
    taken = tmp_path / "taken.csv"
    rows = datasets.Dataset.from_csv(str(file))
    rows.add_column("weight", [1.0] * len(rows)).to_csv(str(taken))
    assert recipe(*common(taken, tmp_path / "again", "random"), "--weights") == 2
    assert "--weights writes the column 'weight'" in capsys.readouterr().err


def test_the_default_gate_judges_every_text(file: Path, tmp_path: Path) -> None:
    generator = trained_generator_folder()
    output = tmp_path / "out"
    keep = ["--unknown_words", "keep"]  # this is about the judges
    assert recipe(*common(file, output, "smote"), "--generator", str(generator), *keep) == 0
    record = json.loads((output / "run.json").read_text())
    train = datasets.load_from_disk(str(output / "balanced"))["train"]
    real = train.select(range(56))
    made = train.filter(lambda row: row["origin"] == 1)
    assert len(made), "a trained generator gets texts through"
    assert record["rejections"]["kept"] == len(made)
    assert record["rejections"]["wrong class"] > 0
    assert record["rejections"]["tries used up"] == 24 - len(made)
    # The gate's rule, on its own: a margin over 0 and over the tenth percentile of the real rows',
    # each judged by those of other folds.
    embed = MisoOversampler(str(generator), max_length=24).embed
    labels = np.asarray(real["kind"][:])
    embeddings = embed(real["message"][:])
    strength = chosen_regularization(embeddings, labels, 2, seed=0)
    judge = LinearJudge.fit(embeddings, labels, 2, strength)
    own = out_of_fold_margins(embeddings, labels, 2, seed=0, regularization=strength)[labels == 1]
    margins = judge.margin(embed(made["message"][:]), np.ones(len(made), np.int64))
    assert margins.min() > max(0.0, float(np.quantile(own, 0.1, method="weibull")))


@pytest.mark.parametrize("method", OF_EMBEDDINGS)
def test_embeddings_only(method: str, file: Path, tmp_path: Path) -> None:
    embed = ["--embeddings_only", "--encoder_name", str(encoder_folder())]
    assert recipe(*common(file, tmp_path / "out", method), *embed) == 0
    train = datasets.load_from_disk(str(tmp_path / "out" / "balanced"))["train"]
    assert train.features["embedding"].length == 32
    assert np.isfinite(np.asarray(train["embedding"][:])).all()
    assert Counter(train["kind"]) == {0: 40, 1: 40}
    made = [t for t, code in zip(train["message"], train["origin"], strict=True) if code]
    assert made == [None] * 24


def test_the_same_run_gives_the_same_texts(file: Path, tmp_path: Path) -> None:
    generator = ["--generator", str(contract_generator_folder()), "--gate", ""]
    texts = []
    for name, seed in (("first", "0"), ("second", "0"), ("other", "1")):
        arguments = [*common(file, tmp_path / name, "smote"), *generator, "--seed", seed]
        assert recipe(*arguments) == 0
        texts.append(datasets.load_from_disk(str(tmp_path / name / "balanced"))["train"]["message"])
    assert texts[0][:] == texts[1][:]
    assert texts[0][:] != texts[2][:]


@pytest.mark.slow
def test_it_trains_a_generator_where_none_is_given(file: Path, tmp_path: Path) -> None:
    few = [
        *("--pretrain_steps", "4", "--critic_steps", "3", "--adversarial_steps", "2"),
        *("--batch_size", "8", "--pair_batch_size", "4", "--decoder_rows", "4"),
        *("--adversarial_rows", "2", "--encoder_name", str(encoder_folder()), "--gate", ""),
    ]
    launcher = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    ]
    answer = subprocess.run(
        [*launcher, str(RECIPE), *common(file, tmp_path / "out", "smote"), *few],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=PROJECT,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert set(record["steps"]) == {"pretrain", "critics", "adversarial"}
    assert (tmp_path / "out" / "generator" / "model.safetensors").is_file()
    train = datasets.load_from_disk(str(tmp_path / "out" / "balanced"))["train"]
    assert Counter(train["kind"]) == {0: 40, 1: 40}
    assert all(text for text in train["message"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text_column", "body"], "no column 'body'"),
        (["--method_options", "[1]"], "JSON object"),
        (["--method_options", "{k: 1}"], "method_options"),
        (["--method_options", '{"depth": 1}'], "depth"),
        (["--method_options", '{"k_neighbors": 0}'], "k_neighbors"),
        (["--method", "amo", "--method_options", '{"steps": 2.5}'], "steps must be an int"),
        (["--method", "amo", "--method_options", '{"beta": "x"}'], "beta must be a plain number"),
        (["--method", "amo", "--method_options", '{"head_options": {"rate": 1}}'], "['rate']"),
        (["--embeddings_only"], "give encoder_name"),
        (["--embeddings_only", "--method", "random"], "makes no embeddings"),
        (["--resume", "last"], "no checkpoint"),
        (["--gate_quantile", "2"], "gate_quantile is 2.0"),
        (["--gate_quantile", "2", "--method", "miso"], "gate_quantile is 2.0"),
        (["--gate", "jury"], "gate has ['jury']"),
        (["--minority_class", "eggs"], "minority_class is 'eggs'"),
        (["--method", "magic"], "magic"),
        (["--realizer", "edit"], "--realizer"),
    ],
)
def test_bad_arguments_say_what_is_wrong(
    arguments: list[str],
    message: str,
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert recipe(*common(file, tmp_path / "out", "smote"), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(("accepted", "warns"), [(12, False), (11, True)])
def test_the_summary_warns_of_few_accepted_rows(accepted: int, warns: bool) -> None:
    pair = {"source": "ham", "target": "spam", "drawn": 24, "translated": 20, "accepted": accepted}
    record = {
        "counts": {"origin": dict.fromkeys(("real", "synthetic", "resampled"), 0), "after": {}},
        "acceptance": [pair],
        "rejections": {},
        "timings": {},
    }
    said = balanced_summary(record)
    assert f"AMO: {accepted} of 24 rows accepted, 20 were translated." in said
    assert ("Warning: fewer than half" in said) == warns


def test_every_method_is_there() -> None:
    others = {"BayesianGanOversampler"}  # which has a recipe of its own
    listed = {path for name, path in OVERSAMPLERS.items() if name not in others}
    assert listed <= set(METHODS.values())


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, runpy; sys.argv = ['oversample.py', '--help']\n"
        f"try:\n    runpy.run_path({str(RECIPE)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip().endswith("[]"), answer.stdout[-500:]
    assert "--method" in answer.stdout
