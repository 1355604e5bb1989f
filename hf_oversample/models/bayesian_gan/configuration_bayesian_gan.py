"""Configuration of the Bayesian-network GAN (He et al., IJCAI 2021)."""

# No postponed annotations here: `strict` checks a field only where its type is no string.

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig


@strict
class BayesianGanConfig(PreTrainedConfig):
    r"""
    Configuration of [`BayesianGanModel`]. The classes are those of `id2label`.

    Args:
        network (`dict`, *optional*):
            The Bayesian network as plain values: `observed` and `latent` (lists of names) and
            `edges` (lists of a parent and a code), as `BayesianNetwork.to_dict()` gives them, which
            checks them. By default one code for each of five observed variables. The class and its
            code are always there and not listed.
        kind (`"vector"` or `"image"`, defaults to `"vector"`):
            Rows of numbers, by two multi-layer perceptrons; or square images of one channel, rows
            being their pixels line by line, by a small convolutional pair.
        input_size (`int`, defaults to 384):
            Numbers in a row; of an image, the square of its side, which is a multiple of 4.
        noise_size (`int`, defaults to 64):
            Width of z.
        hidden_size (`int`, defaults to 256):
            Units of a hidden layer; for images, of the last one of the discriminator.
        num_hidden_layers (`int`, defaults to 2):
            Hidden layers of the perceptrons.
        num_channels (`int`, defaults to 32):
            Channels of the first convolution; the second has twice as many.
        spectral_norm (`bool`, defaults to `True`):
            Spectral normalisation of the discriminator's layers, its heads for codes apart.
        structure_loss (`"bounded"`, `"literal"` or `"infogan"`, defaults to `"bounded"`):
            The regulariser: `"bounded"` (1 − R² on the parents and squared semi-partial
            correlations with what is no descendant), Eq. 6 as printed, which is unbounded below, or
            InfoGAN's lower bound of the mutual information, for one-to-one networks.
        ridge (`float`, defaults to 1e-4):
            Added to the parents' correlation matrix, so that a batch's least squares has a
            solution.
        unit_rows (`bool`, defaults to `False`):
            Whether rows that are made are scaled to length 1, as embeddings often are.

    Raises:
        `ValueError`: if a size is not positive, the ridge is negative, an image is not square with
            a side divisible by 4, or the network does not fit the regulariser.
    """

    model_type = "bayesian_gan"

    network: dict | None = None
    kind: Literal["vector", "image"] = "vector"
    input_size: int = 384
    noise_size: int = 64
    hidden_size: int = 256
    num_hidden_layers: int = 2
    num_channels: int = 32
    spectral_norm: bool = True
    structure_loss: Literal["bounded", "literal", "infogan"] = "bounded"
    ridge: float | int = 1e-4
    unit_rows: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        for name in kwargs:
            own = getattr(type(self), name, None)
            if isinstance(own, property) and own.fset is None:
                raise ValueError(
                    f"{type(self).__name__} computes {name} from its other fields, and it cannot "
                    "be given: leave it out of config.json."
                )
        if self.network is None:
            names = [f"c{number}" for number in range(1, 6)]
            self.network = {
                "observed": names,
                "latent": [f"{name}'" for name in names],
                "edges": [[name, f"{name}'"] for name in names],
            }
        super().__post_init__(**kwargs)

    @property
    def image_side(self) -> int:
        """Pixels along a side of an image."""
        return round(self.input_size**0.5)

    def validate_sizes(self) -> None:
        """Every size is positive, and an image is square."""
        for name in ("input_size", "noise_size", "hidden_size", "num_hidden_layers"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"BayesianGanConfig.{name} is {getattr(self, name)}; it must be at least 1."
                )
        if self.num_channels < 1:
            raise ValueError(
                f"BayesianGanConfig.num_channels is {self.num_channels}; it must be at least 1."
            )
        if self.ridge < 0:
            raise ValueError(f"BayesianGanConfig.ridge is {self.ridge}; it must not be negative.")
        if self.kind == "image" and (self.image_side**2 != self.input_size or self.image_side % 4):
            raise ValueError(
                f"BayesianGanConfig.input_size is {self.input_size}; rows of images are squares of "
                "a side divisible by 4, such as 28 · 28 = 784. Pad the images, or use "
                "kind='vector'."
            )

    def validate_network(self) -> None:
        """The network has its three lists; InfoGAN's bound needs one variable for each code."""
        if self.network is None:
            return  # built in __post_init__, after which this runs again
        if set(self.network) != {"observed", "latent", "edges"}:
            raise ValueError(
                "BayesianGanConfig.network has the keys "
                f"{sorted(self.network)}; it needs observed, latent and edges: give "
                "BayesianNetwork(…).to_dict(), which checks them."
            )
        observed, latent = list(self.network["observed"]), list(self.network["latent"])
        edges = [tuple(edge) for edge in self.network["edges"]]
        unknown = {name for edge in edges for name in edge} - {*observed, *latent}
        if unknown:
            raise ValueError(
                f"BayesianGanConfig.network has edges of unknown names {sorted(unknown)}; it knows "
                f"{[*observed, *latent]}."
            )
        if len({*observed, *latent}) < len(observed) + len(latent):
            raise ValueError(
                f"BayesianGanConfig.network has a name twice in {[*observed, *latent]}: every "
                "variable needs its own."
            )
        free, waiting = set(observed), list(latent)
        while waiting:
            next_ones = [c for c in waiting if all(p in free for p, child in edges if child == c)]
            if not next_ones:
                raise ValueError(
                    f"BayesianGanConfig.network has a cycle among {waiting}: give "
                    "BayesianNetwork(…).to_dict(), which checks it."
                )
            free |= set(next_ones)
            waiting = [code for code in waiting if code not in free]
        if self.structure_loss != "infogan":
            return
        parents = {code: [p for p, child in edges if child == code] for code in latent}
        for code, names in parents.items():
            if len(names) != 1 or names[0] not in observed:
                raise ValueError(
                    "BayesianGanConfig.structure_loss is 'infogan', which reads each code as an "
                    f"estimate of one observed variable, but the code {code!r} has the parents "
                    f"{names}: use a one-to-one network, or structure_loss='bounded'."
                )


__all__ = ["BayesianGanConfig"]
