"""Small heads on fixed vectors: linear, or two layers with ReLU."""

# No postponed annotations here: `strict` checks a field only where its type is no string.

import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple


@strict
class MlpConfig(PreTrainedConfig):
    r"""
    Configuration of [`MlpForEmbeddingClassification`].

    Args:
        input_size (`int`, defaults to 384): width of the vectors.
        hidden_size (`int`, defaults to 0):
            Units of the hidden layer; 0 makes the head linear. AMO's experiments on text use two
            layers without naming a width (section 3.1).

    Raises:
        `ValueError`: if `input_size` is not positive, or `hidden_size` is negative.
    """

    model_type = "embedding_mlp"

    input_size: int = 384
    hidden_size: int = 0

    def validate_sizes(self) -> None:
        if self.input_size < 1 or self.hidden_size < 0:
            raise ValueError(
                f"input_size={self.input_size} must be positive and "
                f"hidden_size={self.hidden_size} at least 0"
            )


class MlpForEmbeddingClassification(PreTrainedModel):
    """Classes of vectors: `classifier(x)`, or `classifier(relu(hidden(x)))`.

    It reads embeddings, not token ids: what embedding-space oversamplers judge their rows with, and
    what is trained on a data set that they balanced.
    """

    config_class = MlpConfig
    base_model_prefix = ""
    main_input_name = "embeddings"

    def __init__(self, config: MlpConfig) -> None:
        super().__init__(config)
        width = config.input_size
        self.hidden = None
        if config.hidden_size:
            self.hidden = nn.Linear(width, config.hidden_size)
            width = config.hidden_size
        self.classifier = nn.Linear(width, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)

    def features(self, embeddings: Tensor) -> Tensor:
        """What the last layer reads: [n, hidden_size], or the embeddings themselves."""
        return embeddings if self.hidden is None else F.relu(self.hidden(embeddings))

    @can_return_tuple
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> SequenceClassifierOutput:
        """Class scores of vectors.

        Args:
            embeddings: [n, input_size].
            labels: [n], class ids, for the cross-entropy loss.
            output_hidden_states: whether ``hidden_states`` is ``(features,)``.

        Returns:
            ``loss`` (with labels), ``logits`` [n, num_labels], ``hidden_states``.
        """
        features = self.features(embeddings)
        logits = self.classifier(features)
        loss = None if labels is None else F.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=(features,) if output_hidden_states else None
        )
