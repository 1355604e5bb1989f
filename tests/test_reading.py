from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_oversample.data import reading as data

ROWS = {"text": ["a b", "NA", "c, d"], "label": ["ham", "spam", "ham"]}


def labelled(labels, texts=None, names=None):
    names = names or [f"class{index}" for index in range(max(labels) + 1)]
    return Dataset.from_dict(
        {"text": texts or [f"text {row}" for row in range(len(labels))], "label": list(labels)},
        features=Features({"text": Value("string"), "label": ClassLabel(names=names)}),
    )


class TestLoad:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "parquet"])
    def test_files(self, suffix, tmp_path):
        path = tmp_path / f"rows.{suffix}"
        dataset = Dataset.from_dict(ROWS)
        writer = {"csv": dataset.to_csv, "parquet": dataset.to_parquet}
        writer.get(suffix, dataset.to_json)(str(path))
        loaded = data.load_text_dataset(train_file=path)
        assert loaded.to_dict() == ROWS

    def test_a_name_is_given_to_datasets(self, tmp_path):
        Dataset.from_dict(ROWS).to_parquet(str(tmp_path / "train.parquet"))
        assert data.load_text_dataset(dataset_name=str(tmp_path))["label"][:] == ROWS["label"]

    def test_a_folder_that_datasets_cannot_read_is_a_value_error(self, tmp_path):
        (tmp_path / "train.jsonl").write_text('{"text": "a", "label": "b"}\n{"text": "cut o')
        with pytest.raises(ValueError, match=r"the data set '.*' cannot be read: .*train_file"):
            data.load_text_dataset(dataset_name=str(tmp_path))
        with pytest.raises(ValueError, match=r"train\.jsonl' is a file: give it as train_file"):
            data.load_text_dataset(dataset_name=str(tmp_path / "train.jsonl"))

    def test_errors(self, tmp_path):
        suffixes = r"\.csv, \.tsv, \.json, \.jsonl, .*\.gz, \.parquet"
        with pytest.raises(ValueError, match=rf"'\.xlsx'.*{suffixes}"):
            data.load_text_dataset(train_file="x.xlsx")
        with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
            data.load_text_dataset(train_file=tmp_path / "nothing.csv")
        with pytest.raises(ValueError, match="give one of"):
            data.load_text_dataset()
        with pytest.raises(ValueError, match="give one of"):
            data.load_text_dataset(dataset_name="x", train_file="x.csv")


class TestLabels:
    @pytest.mark.parametrize(
        ("values", "names", "ids"),
        [
            (["spam", "ham", "spam"], ["ham", "spam"], [1, 0, 1]),
            ([True, False, True], ["False", "True"], [1, 0, 1]),
            ([10, 2, 10], ["2", "10"], [1, 0, 1]),
        ],
    )
    def test_become_sorted_classes_in_place(self, values, names, ids):
        dataset = data.prepare_labels(Dataset.from_dict({"label": values, "text": ["a"] * 3}))
        assert dataset.features["label"] == ClassLabel(names=names)
        assert dataset["label"][:] == ids
        assert dataset.column_names == ["label", "text"]

    def test_survive_a_selection(self):
        dataset = Dataset.from_dict({"label": ["b", "a", "c"]}).select([2, 0])
        assert data.prepare_labels(dataset)["label"][:] == [1, 0]

    def test_class_labels_are_untouched(self):
        dataset = labelled([0, 1, 1], names=["z", "a"])
        assert data.prepare_labels(dataset) is dataset

    def test_numbers_written_as_strings_are_in_their_order(self):
        dataset = data.prepare_labels(Dataset.from_dict({"label": ["10", "2", "10"]}))
        assert dataset.features["label"].names == ["2", "10"]
        assert dataset["label"][:] == [1, 0, 1]

    def test_names_become_one_where_that_is_asked(self):
        written = Dataset.from_dict({"label": ["ham", "ham ", "Ham", "\u00a0spam"]})
        plain = data.prepare_labels(written)
        assert plain.features["label"].names == ["Ham", "ham", "ham ", "\u00a0spam"]
        stripped = data.prepare_labels(written, strip=True)
        assert stripped.features["label"].names == ["Ham", "ham", "spam"]
        assert stripped["label"][:] == [1, 1, 0, 2]
        both = data.prepare_labels(written, strip=True, lowercase=True)
        assert both.features["label"].names == ["ham", "spam"]
        assert both["label"][:] == [0, 0, 0, 1]
        # a ClassLabel keeps its order
        coded = labelled([2, 0, 1], names=["spam", "ham", "spam "])
        again = data.prepare_labels(coded, strip=True)
        assert again.features["label"].names == ["spam", "ham"]
        assert again["label"][:] == [0, 0, 1]
        assert data.prepare_labels(again, strip=True, lowercase=True) is again

    def test_an_empty_name_is_no_class(self):
        with pytest.raises(ValueError, match=r"row 1: the label is empty \(1 in all\)"):
            data.prepare_labels(Dataset.from_dict({"label": ["a", " "]}), strip=True)
        with pytest.raises(ValueError, match="row 0: the label is empty"):
            data.prepare_labels(Dataset.from_dict({"label": ["", "a"]}))

    def test_errors_name_the_row(self):
        with pytest.raises(ValueError, match="column 'label', row 1: the label is null"):
            data.prepare_labels(Dataset.from_dict({"label": ["a", None]}))
        with pytest.raises(ValueError, match="row 1: label -1 is outside"):
            data.prepare_labels(labelled([0, -1], names=["a", "b"]))
        with pytest.raises(ValueError, match=r"no column 'label'; there are \['x'\]"):
            data.prepare_labels(Dataset.from_dict({"x": [1]}))
        with pytest.raises(ValueError, match="of type double"):
            data.prepare_labels(Dataset.from_dict({"label": [0.5]}))
        with pytest.raises(ValueError, match="DatasetDict"):
            data.prepare_labels(DatasetDict(train=labelled([0])))  # type: ignore[arg-type]


class TestTextColumn:
    def test_good_texts_pass(self):
        data.check_text_column(labelled([0, 1]))

    @pytest.mark.parametrize(
        ("texts", "message"),
        [
            (["a", None, None], r"column 'text', row 1: the text is null \(2 in all\)"),
            (["a", "b", " \n"], "column 'text', row 2: the text is empty"),
            ([1, 2, 3], "is of type int64, not string"),
        ],
    )
    def test_errors_name_the_row(self, texts, message):
        with pytest.raises(ValueError, match=message):
            data.check_text_column(Dataset.from_dict({"text": texts}))

    def test_missing_column_lists_those_present(self):
        with pytest.raises(ValueError, match=r"no column 'body'; there are \['text', 'label'\]"):
            data.check_text_column(labelled([0]), "body")
