"""Configuration of the MISO generator (Tian et al., EMNLP 2021)."""

# No postponed annotations here: `strict` checks a field only where its type is no string.

from typing import Any, Literal, cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig


@strict
class MisoConfig(PreTrainedConfig):
    r"""
    Configuration of [`MisoModel`] and [`MisoForAnchorGeneration`].

    Args:
        encoder (`PreTrainedConfig` or `dict`, *optional*):
            The shared encoder, any architecture of `AutoModel` that takes `inputs_embeds` and whose
            word embeddings are as wide as its states (BERT, RoBERTa, DistilBERT; not ALBERT).
        decoder (`PreTrainedConfig` or `dict`, *optional*):
            The decoder, any architecture of `AutoModel` with `is_decoder` and
            `add_cross_attention`, of the encoder's hidden size and vocabulary: word embeddings are
            shared.
        target_classes (`list[int]`, defaults to `[1]`):
            The classes that anchors are written for: the minority in the paper, each in turn here.
        parts (`"miso"` or `"editor"`, defaults to `"miso"`):
            What is trained. `"editor"`: the encoder and the filler, all that the edit realiser
            reads without latents; pooling, fusion, critics, discriminators and decoders stay as
            random as they start, and only realisers that do not read them are to be used.
        language (`"en"` or `"zh"`, defaults to `"en"`):
            The language of the training texts, whose words are cut out.
        user_dictionary (`list`, *optional*):
            `[word, frequency or None, tag or None]` of each word that jieba knows besides its own.
        num_latent_heads (`int`, defaults to 8), latent_size (`int`, defaults to 64):
            The latent of a text is `[num_latent_heads, latent_size]`: h and d of section 6.
        share_decoder (`bool`, defaults to `True`):
            One decoder told apart by a class embedding; `False` is the paper's pair of decoders.
        use_sfm (`bool`, defaults to `True`), use_mi (`bool`, defaults to `True`):
            Semantic fusion module and mutual-information loss; both off is the paper's CAG ablation
            (section 7.2).
        critic_mode (`"class"`, `"pair"` or `"instance"`, defaults to `"class"`):
            `"instance"` is the paper's I(K; Q̄) − I(Q; Q̄) between single texts, whose optimum is a
            copy; `"class"` estimates how much a latent tells of its class, and `"pair"` that and
            how much it tells of the texts that it is made of (PAPERS.md).
        critic_bound (`"dv"` or `"jsd"`, defaults to `"dv"`):
            What the critics ascend: Donsker–Varadhan with an EMA-corrected gradient, or
            Jensen–Shannon.
        critic_hidden_size (`int`, defaults to 256), critic_score_limit (`float`, defaults to 5.0):
            Width of a critic, and the bound of its scores, `limit · tanh(T / limit)`; 0 leaves them
            unbounded.
        discriminator_hidden_size (`int`, defaults to 128):
            Width of the single hidden layer of D_φ+ and D_φ− (section 4.2).
        bank_size (`int`, defaults to 64):
            Pairs per class in the reference bank that stands for the batch when anchors are made.
        bank_temperature (`float`, defaults to 1.0):
            τ at inference: the value that the schedule ends with.
        output_vocab_size (`int`, defaults to 0):
            Number of tokens that can be written: those seen in the training texts; 0 allows all.
        latent_dropout (`float`, defaults to 0.0):
            Dropout on the latent slots that the decoder reads.

    Raises:
        `ValueError`: if a size is not positive, a target class is not a label, or the decoder
            cannot read the encoder.
    """

    model_type = "miso"
    # Releases before 5.20 know no `sub_configs_defaults`, so the two are built in `__post_init__`.
    sub_configs = {"encoder": AutoConfig, "decoder": AutoConfig}

    encoder: dict | PreTrainedConfig | None = None
    decoder: dict | PreTrainedConfig | None = None
    target_classes: list[int] | None = None
    parts: Literal["miso", "editor"] = "miso"
    language: Literal["en", "zh"] = "en"
    user_dictionary: list | None = None
    num_latent_heads: int = 8
    latent_size: int = 64
    share_decoder: bool = True
    use_sfm: bool = True
    use_mi: bool = True
    critic_mode: Literal["class", "pair", "instance"] = "class"
    critic_bound: Literal["dv", "jsd"] = "dv"
    critic_hidden_size: int = 256
    critic_score_limit: float | int = 5.0
    discriminator_hidden_size: int = 128
    bank_size: int = 64
    bank_temperature: float | int = 1.0
    output_vocab_size: int = 0
    latent_dropout: float | int = 0.0
    initializer_range: float = 0.02
    is_encoder_decoder: bool = True
    pad_token_id: int | None = 0

    def __post_init__(self, **kwargs: Any) -> None:
        for name in kwargs:
            own = getattr(type(self), name, None)
            if isinstance(own, property) and own.fset is None:
                raise ValueError(
                    f"{type(self).__name__} computes {name} from its other fields, and it cannot "
                    "be given: leave it out of config.json."
                )
        if self.target_classes is None:
            self.target_classes = [1]
        decoder = _built(self.decoder)
        self.encoder, self.decoder = _built(self.encoder), decoder
        super().__post_init__(**kwargs)
        decoder.is_decoder = True
        decoder.add_cross_attention = True

    @property
    def vocab_size(self) -> int:
        """The shared encoder's."""
        return cast(PreTrainedConfig, self.encoder).vocab_size

    @property
    def hidden_size(self) -> int:
        """The shared encoder's."""
        return cast(PreTrainedConfig, self.encoder).hidden_size

    def validate_sizes(self) -> None:
        """Every size is positive, and every target class is a label."""
        for name in (
            "num_latent_heads",
            "latent_size",
            "critic_hidden_size",
            "discriminator_hidden_size",
            "bank_size",
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"MisoConfig.{name} is {getattr(self, name)}; it must be at least 1."
                )
        if self.bank_temperature <= 0:
            raise ValueError(
                f"MisoConfig.bank_temperature is {self.bank_temperature}; τ must be positive."
            )
        labels = self.num_labels or 2
        wrong = [c for c in self.target_classes or [] if not 0 <= c < labels]
        if wrong:
            raise ValueError(
                f"MisoConfig.target_classes has {wrong}, but labels run from 0 to {labels - 1}."
            )

    def validate_decoder(self) -> None:
        """The decoder reads the encoder's word embeddings, so hidden size and vocabulary agree."""
        if not isinstance(self.encoder, PreTrainedConfig) or not isinstance(
            self.decoder, PreTrainedConfig
        ):
            return  # sub-configs are built in __post_init__, after which this runs again
        for name in ("hidden_size", "vocab_size"):
            ours, theirs = getattr(self.encoder, name), getattr(self.decoder, name)
            if ours != theirs:
                raise ValueError(
                    f"MisoConfig: the encoder's {name} is {ours} and the decoder's {theirs}. They "
                    f"share their word embeddings: give the decoder {name}={ours}."
                )


def _built(config: dict | PreTrainedConfig | None) -> PreTrainedConfig:
    """A configuration of what is one, its values, or None: BERT's with its defaults."""
    if isinstance(config, PreTrainedConfig):
        return config
    values = dict(config or {})
    return AutoConfig.for_model(values.pop("model_type", "bert"), **values)


__all__ = ["MisoConfig"]
