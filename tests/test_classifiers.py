"""TextCNN and TextRNN as models, and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForSequenceClassification

from hf_oversample.models.classifiers.textcnn import TextCnnConfig, TextCnnForSequenceClassification
from hf_oversample.models.classifiers.textrnn import TextRnnConfig, TextRnnForSequenceClassification
from hf_oversample.training.losses import LogitAdjustedLoss, balanced_class_weights

SIZES = {"vocab_size": 40, "embedding_size": 12}
VARIANTS = {
    "cnn": lambda **kwargs: TextCnnForSequenceClassification(
        TextCnnConfig(**{**SIZES, "num_filters": 8, **kwargs})
    ),
    "gru": lambda **kwargs: TextRnnForSequenceClassification(
        TextRnnConfig(**{**SIZES, "hidden_size": 8, **kwargs})
    ),
    "lstm": lambda **kwargs: TextRnnForSequenceClassification(
        TextRnnConfig(**{**SIZES, "hidden_size": 8, "cell": "lstm", "num_layers": 2, **kwargs})
    ),
    "attention": lambda **kwargs: TextRnnForSequenceClassification(
        TextRnnConfig(**{**SIZES, "hidden_size": 8, "pooling": "attention", **kwargs})
    ),
}


@pytest.fixture(params=VARIANTS)
def make(request):
    def build(**kwargs):
        torch.manual_seed(0)
        return VARIANTS[request.param](**kwargs).eval()

    return build


class TestModels:
    @pytest.mark.parametrize("length", [1, 2, 7])
    @pytest.mark.parametrize("side", ["left", "right", "both"])
    def test_padding_changes_nothing(self, make, length, side):
        model = make()
        ids = torch.randint(1, 40, (3, length))
        with torch.no_grad():
            expected = model(ids).logits
            for added in (1, 5):
                # Whatever stands at the padding: only the mask counts.
                filler = torch.full((3, added), 7)
                left = filler if side != "right" else filler[:, :0]
                right = filler if side != "left" else filler[:, :0]
                padded = torch.cat([left, ids, right], dim=1)
                mask = torch.cat([left * 0, torch.ones_like(ids), right * 0], dim=1)
                torch.testing.assert_close(model(padded, mask).logits, expected)

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=25, deadline=None)
    def test_a_cnn_is_its_convolutions(self, seed):
        """Scores and gradients, with padding on any side and words that come again."""
        torch.manual_seed(seed)
        model = VARIANTS["cnn"]().eval()
        ids, mask = torch.randint(0, 9, (4, 6)), torch.rand(4, 6) < 0.7
        vectors = (model.embedding(ids) * mask.unsqueeze(-1)).transpose(1, 2)
        responses = [one(F.pad(vectors, (0, one.kernel_size[0] - 1))) for one in model.filters]
        pooled = (torch.cat(responses, dim=1).relu() * mask.unsqueeze(1)).amax(2)
        results = []
        for logits in (model.classifier(pooled), model(ids, mask).logits):
            model.zero_grad()
            logits.sin().sum().backward()
            results.append([logits.detach()] + [p.grad for p in model.parameters()])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)

    def test_mask_defaults_to_the_padding_token(self, make):
        model = make()
        ids = torch.tensor([[5, 6, 0, 0], [7, 8, 9, 4]])
        torch.testing.assert_close(model(ids).logits, model(ids, (ids != 0).long()).logits)

    def test_a_text_of_padding_only_is_finite(self, make):
        logits = make()(torch.zeros(2, 3, dtype=torch.long)).logits
        assert torch.isfinite(logits).all()

    def test_outputs(self, make):
        model = make(num_labels=3)
        ids = torch.randint(1, 40, (4, 6))
        labels = torch.tensor([0, 1, 2, 1])
        output = model(ids, labels=labels, output_hidden_states=True)
        assert output.logits.shape == (4, 3)
        torch.testing.assert_close(
            output.loss, torch.nn.functional.cross_entropy(output.logits, labels)
        )
        torch.testing.assert_close(output.hidden_states[0], model.features(ids))
        torch.testing.assert_close(model.classifier(output.hidden_states[0]), output.logits)
        assert isinstance(model(ids, return_dict=False), tuple)

    def test_every_weight_gets_a_gradient(self, make):
        model = make()
        model(torch.randint(1, 40, (8, 9)), labels=torch.tensor([0, 1] * 4)).loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_saves_and_reloads_through_auto_classes(self, make, tmp_path):
        model = make(id2label={0: "ham", 1: "spam"}, label2id={"ham": 0, "spam": 1})
        model.save_pretrained(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        assert type(again) is type(model)
        assert again.config.id2label == {0: "ham", 1: "spam"}
        ids = torch.randint(1, 40, (2, 5))
        torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=0, atol=0)
        assert type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)

    def test_bfloat16(self, make):
        assert make().to(torch.bfloat16)(torch.randint(1, 40, (2, 5))).logits.isfinite().all()

    def test_word_vectors_are_loaded(self, make):
        model = make()
        matrix = torch.randn(40, 12)
        model.load_word_vectors(matrix, trainable=False)
        torch.testing.assert_close(model.embedding.weight[1:], matrix[1:])
        assert not model.embedding.weight[0].any()
        assert not model.embedding.weight.requires_grad
        with pytest.raises(ValueError, match=r"shape \(3, 12\).*\(40, 12\)"):
            model.load_word_vectors(matrix[:3])
        with pytest.raises(ValueError, match="NaN"):
            model.load_word_vectors(matrix * torch.nan)


@pytest.mark.parametrize(
    ("config", "bad"),
    [
        (TextCnnConfig, {"filter_widths": []}),
        (TextCnnConfig, {"num_filters": 0}),
        (TextCnnConfig, {"dropout": 1.0}),
        (TextRnnConfig, {"hidden_size": 0}),
    ],
)
def test_bad_sizes_are_refused(config, bad):
    with pytest.raises(Exception, match="must be"):
        config(**bad)


def test_a_filter_sees_neighbouring_words_in_order():
    model = VARIANTS["cnn"]().eval()
    one, other = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[6, 5, 4, 3]])
    assert not torch.allclose(model(one).logits, model(other).logits)


class TestLosses:
    def test_loss_is_right_at_equal_frequency(self):
        # With the logits 0, the adjusted probabilities are the class shares.
        loss = LogitAdjustedLoss([3, 1], reduction="none")
        values = loss(torch.zeros(2, 2), torch.tensor([0, 1]))
        torch.testing.assert_close(values, -torch.log(torch.tensor([0.75, 0.25])))
        mean = LogitAdjustedLoss([3, 1])(torch.zeros(2, 2), torch.tensor([0, 1]))
        torch.testing.assert_close(mean, values.mean())

    def test_class_weights(self):
        np.testing.assert_allclose(balanced_class_weights([90, 10]), [100 / 180, 5.0])

    def test_errors(self):
        with pytest.raises(ValueError, match=r"counts=\[0, 1\]"):
            balanced_class_weights([0, 1])
        with pytest.raises(ValueError, match="3 counts, but logits of 2"):
            LogitAdjustedLoss([1, 1, 1])(torch.zeros(1, 2), torch.tensor([0]))


@pytest.mark.parametrize("config", [TextCnnConfig, TextRnnConfig])
def test_configurations_check_types(config: type) -> None:
    with pytest.raises(Exception, match="vocab_size"):
        config(vocab_size="many")
