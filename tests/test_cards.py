"""Cards of anyone's Trainer run, and Croissant metadata: from records and files alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import ClassLabel, Dataset
from huggingface_hub import DatasetCard, ModelCard

from hf_oversample.hub.card import dataset_card, generator_card
from hf_oversample.hub.citations import PAPERS, citation
from hf_oversample.hub.croissant import croissant
from hf_oversample.oversamplers import MULTI_LABEL_OVERSAMPLERS, OVERSAMPLERS
from test_hub import RUN

SAMPLE = {
    "label": "sp|am",
    "text": "win a *prize* <b>now</b>",
    "parent_label": "ham",
    "parent_text": "see you at noon",
}


def run_with(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(RUN) | {"samples": [SAMPLE], "steps": {"pretrain": 20}} | values


def head_of(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---")[1]))


def test_cards_tell_limits_samples_use_and_citation() -> None:
    made, model = dataset_card(run_with(), "someone/set"), generator_card(run_with(), "someone/gen")
    for text in (made, model):
        for part in ("Memorisation", "Licence of the source", "## Citation", "win a \\*prize\\*"):
            assert part in text
        assert "\\<b\\>now" in text  # shown, not run
        assert "tian2021difficult" in text
        assert "nobody has stated it" in text
    assert 'load_dataset("someone/set"' in made
    assert "see you at noon" in made
    assert "see you at noon" not in model  # who publishes a generator need not publish rows
    assert "Steps: pretrain 20." in model
    assert "| copy | 12 |" in made  # rejections


def test_a_card_tells_steps_of_a_training_that_was_cut_short_and_lists_no_kept_text() -> None:
    counts = {"way": "edit", "asked": 90, "planned": 85, "made": 80, "rejected": {"copy": 12}}
    rejections = {"copy": 12, "kept": 80}
    run = run_with(cut_short={"pretrain": 240}, rejections=rejections, made_texts=counts)
    told = "Steps: pretrain 20 of 240 (stopped by --max_train_seconds)."
    assert told in generator_card(run)
    for text in (generator_card(run), dataset_card(run)):
        assert "| copy | 12 |" in text
        assert "| kept |" not in text


def test_a_set_with_made_rows_says_that_a_machine_made_them() -> None:
    text = dataset_card(run_with())
    head = head_of(text)
    assert head["annotations_creators"] == head["language_creators"] == ["machine-generated"]
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "train.parquet"}]
    assert DatasetCard(text).data.annotations_creators == ["machine-generated"]
    run = run_with()
    run["counts"]["origin"] = {"real": 110, "synthetic": 0, "resampled": 90}
    head = head_of(dataset_card(run))
    assert "annotations_creators" not in head
    assert "language_creators" not in head


def test_the_licence_is_the_records() -> None:
    run = run_with()
    run["data"]["license"] = "cc-by-4.0"
    for text in (dataset_card(run), generator_card(run)):
        assert head_of(text)["license"] == "cc-by-4.0"
        assert "**Licence of the source**: cc-by-4.0." in text


def test_every_method_of_a_paper_is_cited_by_its_own() -> None:
    listed = [*OVERSAMPLERS, *MULTI_LABEL_OVERSAMPLERS]
    names = {name.removesuffix("Oversampler").lower() for name in listed}
    without = {"random", "languagemodel"}
    assert {method.replace("_", "") for method in PAPERS} == names - without
    run = run_with()
    run["arguments"]["method"] = "random"
    assert citation(run).count("@") == 1
    run["arguments"]["method"] = "smote"
    assert "chawla2002smote" in citation(run)


# ---- Croissant


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    rows = Dataset.from_dict(
        {
            "text": ["see you", "win", "win now"],
            "label": [0, 1, 1],
            "origin": [0, 0, 1],
            "parent": [-1, -1, 1],
        }
    )
    rows = rows.cast_column("label", ClassLabel(names=["ham", "spam"]))
    rows.to_parquet(str(tmp_path / "train.parquet"))
    return tmp_path / "train.parquet"


def test_croissant_is_valid_and_its_records_can_be_read(parquet: Path) -> None:
    """By MLCommons' own library, from the file beside the rows, without a network."""
    library = pytest.importorskip("mlcroissant")
    file = parquet.parent / "croissant.json"
    file.write_text(json.dumps(croissant(run_with(), [parquet])), encoding="utf-8")
    dataset = library.Dataset(str(file))
    assert not dataset.metadata.issues.errors
    rows = list(dataset.records("train"))
    assert [row["train/parent"] for row in rows] == [-1, -1, 1]
    assert [row["train/text"] for row in rows] == [b"see you", b"win", b"win now"]
    names = {int(row["origins/code"]): row["origins/name"] for row in dataset.records("origins")}
    # versions of the library differ in whether inline texts are bytes
    told = {k: v.decode() if isinstance(v, bytes) else v for k, v in names.items()}
    assert told == {0: "real", 1: "synthetic", 2: "resampled"}
    # a changed file is not the one that is described
    parquet.write_bytes(parquet.read_bytes() + b"x")
    with pytest.raises(Exception, match=r"Download\(train\.parquet\)"):
        list(library.Dataset(str(file)).records("train"))


def test_croissant_says_where_rows_come_from(parquet: Path) -> None:
    told = croissant(run_with(), [parquet])
    (part,) = [one for one in told["recordSet"] if one["@id"] == "train"]
    fields = {one["@id"]: one for one in part["field"]}
    assert fields["train/origin"]["references"] == {"field": {"@id": "origins/code"}}
    assert fields["train/parent"]["equivalentProperty"] == "prov:wasDerivedFrom"
    assert fields["train/parent"]["dataType"] == "sc:Integer"
    assert told["prov:wasDerivedFrom"]["prov:label"] == "someone/messages"
    assert "copy: 12" in told["rai:dataPreprocessingProtocol"][0]
    with pytest.raises(ValueError, match="no parquet files"):
        croissant(run_with(), [])


# ---- the Trainer


def made_rows() -> Dataset:
    rows = Dataset.from_dict(
        {
            "text": ["see you", "so long", "win", "win now", "win it"],
            "label": [0, 0, 1, 1, 1],
            "origin": [0, 0, 0, 1, 1],
            "parent": [-1, -1, -1, 2, 2],
            "input_ids": [[1, 2], [2, 3], [4, 5], [4, 6], [4, 7]],
        }
    )
    rows = rows.cast_column("label", ClassLabel(names=["ham", "spam"]))
    return rows.cast_column("origin", ClassLabel(names=["real", "synthetic", "resampled"]))


def test_a_trainers_run_gets_its_card(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    from hf_oversample import TextCnnConfig, TextCnnForSequenceClassification
    from hf_oversample.hub.card_callback import CardCallback, trainer_card

    rows = made_rows()
    kept = CardCallback(
        rows, name="someone/messages", method="miso", remedies=["class weights"], language="en"
    )
    with pytest.raises(RuntimeError, match="no record yet"):
        kept.save(tmp_path / "early")
    assert not (tmp_path / "early").exists()
    model = TextCnnForSequenceClassification(TextCnnConfig(vocab_size=9, num_labels=2))
    arguments = TrainingArguments(
        str(tmp_path / "run"),
        max_steps=2,
        report_to="none",
        seed=7,
        use_cpu=True,
        hub_token="hf_secret_of_a_test",
        save_strategy="no",
    )
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=[kept])
    trainer.train()
    assert "Nothing was measured" in (tmp_path / "run" / "README.md").read_text()
    measured = trainer.evaluate()
    text = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    card = ModelCard(text)
    assert card.data.eval_results is not None
    values = {one.metric_name: one.metric_value for one in card.data.eval_results}
    assert values["eval_loss, seed 7"] == pytest.approx(measured["eval_loss"], abs=1e-5)
    for part in (
        "| spam | 1 | 3 |",
        "3 real, 2 synthetic rows",
        "- class weights",
        "2 steps",
        "Seed 7.",
        "win now",
        "tian2021difficult",
        "`TextCnnForSequenceClassification`",
    ):
        assert part in text, part
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.suffix in (".md", ".json"):
            assert b"hf_secret_of_a_test" not in path.read_bytes()
    record = json.loads((tmp_path / "run" / "training_record.json").read_text())
    assert trainer_card(record) == text  # the record alone
    saved = kept.save(tmp_path / "elsewhere", "someone/classifier").read_text()
    assert 'from_pretrained("someone/classifier")' in saved


def test_a_trainers_card_without_texts(tmp_path: Path) -> None:
    from hf_oversample.hub.card_callback import CardCallback

    assert CardCallback(made_rows(), name="x", show_texts=False).record["samples"] == []
    with pytest.raises(ValueError, match="no column 'class'"):
        CardCallback(made_rows(), name="x", label_column="class")
    with pytest.raises(ValueError, match="method is 'magic'"):
        CardCallback(made_rows(), name="x", method="magic")
