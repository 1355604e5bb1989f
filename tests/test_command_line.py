"""The console command: its help, flags, exit statuses and what each subcommand leaves."""

from __future__ import annotations

import csv
import json
import os
import runpy
import subprocess
import sys
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
from datasets import Dataset, load_from_disk

from hf_oversample.commands.guard import DONE, FAULT, STOPPED, USERS, guarded
from hf_oversample.commands.main import main
from hf_oversample.commands.messages import note, quietly
from hf_oversample.commands.oversample_arguments import OversampleRunArguments
from hf_oversample.commands.subcommands import SUBCOMMANDS

HAM = ["see you at {} then", "call me at {} please", "lunch at {} today", "the train leaves at {}"]
SPAM = ["win a free prize now {}", "claim your {} pound reward", "free entry number {} today"]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A csv of 40 + 12 rows, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = [(HAM[i % 4].format(i), "ham") for i in range(40)]
    rows += [(SPAM[i % 3].format(i), "spam") for i in range(12)]
    path = tmp_path / "my.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("message", "kind"), *rows])
    return path


DATA = ["my.csv", "--text", "message", "--label", "kind"]


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in SUBCOMMANDS)])
def test_help_imports_no_heavy_library(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from hf_oversample.commands.main import main\n"
        f"status = main({words!r})\n"
        "heavy = ['numpy', 'torch', 'transformers', 'datasets', 'sklearn', 'accelerate']\n"
        "loaded = [name for name in heavy if name in sys.modules]\n"
        "sys.exit(f'{status} {loaded}' if status or loaded else 0)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "hf-oversample" in answer.stdout


def test_it_is_an_extension_of_hf(tmp_path: Path) -> None:
    """In processes of their own, with the `hf` that is installed."""
    scripts = Path(sys.executable).parent
    home = {**os.environ, "HOME": str(tmp_path), "HF_HUB_DISABLE_UPDATE_CHECK": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(scripts / words[0]), *words[1:]], capture_output=True, text=True, env=home
        )

    registered = run("hf-oversample", "--as-hf-extension")
    if metadata.version("huggingface_hub").startswith("1."):  # extensions of another kind
        assert registered.returncode == USERS
        assert "pip install -U huggingface_hub" in registered.stderr
        return
    assert registered.returncode == 0, registered.stderr
    assert run("hf", "oversample", "--version").stdout == run("hf-oversample", "--version").stdout
    refused = run("hf", "oversample", "audit", "none.csv", "--text", "a", "--label", "b")
    assert refused.returncode == USERS
    assert "'none.csv' is not a file" in refused.stderr


def test_everyday_help_is_short_and_help_all_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["balance", "--help"]) == 0
    everyday = capsys.readouterr().out
    assert main(["balance", "--help-all"]) == 0
    everything = capsys.readouterr().out
    assert "--text" in everyday
    assert "--critic_learning_rate" not in everyday
    assert "--critic_learning_rate" in everything
    assert len(everything) > 3 * len(everyday)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["blance"], "there is no command 'blance' (did you mean balance?)"),
        (["balance", "my.csv", "--metod", "x"], "no flag --metod (did you mean --method?)"),
        (["balance", "my.csv", "--metod=x"], "no flag --metod (did you mean --method?)"),
        (["balance", "my.csv", "two words"], "'two words' is one word too many"),
        (["balance", "my.csv", "--seed", "one"], "invalid int value: 'one'"),
        (["balance", "my.csv", "-o", "out", "--method", "magic"], "invalid choice: 'magic'"),
        (["balance", "my.cvs", "-o", "out"], "'my.cvs' is not a file (did you mean my.csv?)"),
        (["balance", "no/such/file.csv", "-o", "out"], "there is no folder no/such"),
        (["balance", ".", "-o", "out"], ". is a folder: name one file of rows, such as my.csv"),
        (["balance", *DATA, "-o", "my.csv"], "my.csv is a file: name a folder"),
        (["balance", *DATA], "balance needs -o"),
        (["balance", "none.csv", "-o", "out"], "'none.csv' is not a file"),
        (["balance", *DATA, "--demo", "sms", "-o", "out"], "named twice"),
        (["balance", *DATA[:3], "-o", "out"], "label"),
        (["audit", *DATA, "--dry-run"], "has no --dry-run"),
        (["report", "nowhere"], "is not a folder"),
        (["push", "out", "--repo", "alone"], "user/name"),
        (["generate", "my.csv", "--generator", "x", "--output_file", "a.txt"], ".jsonl"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_status_2(
    table: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(words) == USERS
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert not said.out
    assert [path.name for path in table.parent.iterdir()] == ["my.csv"]


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> None:
        raise error

    assert guarded(lambda: None) == DONE
    assert guarded(lambda: fail(ValueError("the label is null"))) == USERS
    assert guarded(lambda: fail(ZeroDivisionError("oops"))) == FAULT
    assert "a fault of hf_oversample" in capsys.readouterr().err
    assert guarded(lambda: fail(KeyboardInterrupt()), go_on=lambda: "Do it again.") == STOPPED
    assert "nothing is half written. Do it again." in capsys.readouterr().err
    told: list[tuple[int, str]] = []
    for error, status in ((ZeroDivisionError("oops"), FAULT), (ValueError("bad"), USERS)):
        assert (
            guarded(partial(fail, error), debug=True, tell=lambda *end: told.append(end)) == status
        )
        assert "Traceback" in capsys.readouterr().err
    assert told[1] == (USERS, "bad")


def test_a_line_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What several processes say stays in lines of its own, however little they buffer."""
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "write", written.append)
    note("one")
    guarded(lambda: int("no number"))
    guarded(lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
    monkeypatch.undo()
    assert len(written) == 3
    assert all(line.endswith("\n") for line in written)


def test_a_dry_run_counts_and_writes_nothing(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["balance", *DATA, "--dry-run", "--format", "json", "--encoder_name", "x"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["rows"] == {
        "before": {"ham": 40, "spam": 12},
        "after": {"ham": 40, "spam": 40},
        "made": 28,
    }
    assert plan["estimate"]["seconds"] > 0
    assert [path.name for path in table.parent.iterdir()] == ["my.csv"]


def test_a_comparisons_dry_run_counts_its_cells(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *DATA, "--dry-run", "--format", "json", "--folds", "3"]
    assert main([*words, "--methods", "duplicates", "--classifiers", "linear"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["remedies"] == ["none", "duplicates"]
    assert plan["cells"] == {"linear": 6}


def test_balance_by_repeats_and_its_report(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["balance", *DATA, "--method", "random", "-o", "out", "--encoder_name", "scratch"]
    assert main([*words, "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["counts"]["after"] == {"ham": 40, "spam": 40}
    rows = load_from_disk("out/balanced")["train"]
    assert rows["kind"].count(1) == 40
    assert main(words) == USERS  # a finished run is not replaced
    assert "--overwrite" in capsys.readouterr().err
    assert main(["report", "out"]) == 0
    assert "ham 40, spam 40" in capsys.readouterr().out
    assert main(["push", "out", "--repo", "some/one"]) == USERS
    assert "out/balanced" in capsys.readouterr().err
    assert (
        main(["push", "out/balanced", "--repo", "some/one", "--dry-run", "--format", "json"]) == 0
    )
    plan = json.loads(capsys.readouterr().out)
    assert plan["repo_type"] == "dataset"
    assert set(plan["files"]) == {"README.md", "croissant.json", "train.parquet"}


def test_quiet_ends_with_the_command(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with quietly():
        set_by_it = [name for name in os.environ if "DISABLE" in name or "QUIET" in name]
    before = {name: os.environ.get(name) for name in [*set_by_it, "TRANSFORMERS_VERBOSITY"]}
    assert len(before) > 3
    assert main(["audit", *DATA, "--quiet"]) == 0
    recipe = runpy.run_path(str(Path(__file__).parent.parent / "recipes" / "reembed.py"))["main"]
    assert recipe(["--train_file", "missing.csv", "-o", "out", "--quiet"]) == USERS
    assert {name: os.environ.get(name) for name in before} == before
    note("of the next command")  # in the same process
    assert "of the next command" in capsys.readouterr().err


@pytest.mark.slow
def test_train_then_generate_then_balance_with_the_generator(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--pretrain_steps", "4", "--batch_size", "8", "--encoder_name", "scratch", "--quiet"]
    assert main(["train", *DATA, "-o", "trained", *small]) == 0
    assert Path("trained/generator/README.md").is_file()
    assert "pretrain" not in capsys.readouterr().err  # --quiet, of the bars too
    words = ["generate", "my.csv", "--text", "message", "--generator", "trained/generator"]
    words += ["--class", "spam", "--per_text", "2"]
    for name in ("one.jsonl", "two.jsonl"):
        assert main([*words, "--output_file", name, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
    made = Dataset.from_json("one.jsonl")
    assert len(made) == told["anchors"] == told["draws"]["kept"] > 10
    assert set(made["label"]) == {"spam"}
    assert max(made["parent"].count(row) for row in set(made["parent"])) <= 2
    assert len(set(made["text"])) == len(made)
    assert main([*words, "--output_file", "one.jsonl"]) == USERS
    assert main([*words[:-4], "--class", "ham", "--output_file", "three.csv"]) == USERS
    assert "was trained to write ['spam']" in capsys.readouterr().err
    words = ["balance", *DATA, "--generator", "trained/generator", "-o", "out"]
    assert main(words) == 0
    assert load_from_disk("out/balanced")["train"]["kind"].count(1) == 40


def test_a_generator_is_trained_no_further_than_the_method_reads(tmp_path: Path) -> None:
    def parts(method: str, options: str = "{}") -> str:
        return OversampleRunArguments(
            str(tmp_path), demo="sms", method=method, method_options=options
        ).parts_read

    assert parts("miso") == "editor"
    assert parts("miso", '{"realizer": "generate"}') == "miso"
    assert parts("miso", '{"gate": ["critics"]}') == "miso"
    assert parts("smote") == "miso"
