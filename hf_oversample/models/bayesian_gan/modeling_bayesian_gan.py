"""The Bayesian-network GAN (He et al., IJCAI 2021): generator, discriminator, control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_bayesian_gan import BayesianGanConfig
from .layers_bayesian_gan import Discriminator, DiscriminatorOutput, Generator
from .losses_bayesian_gan import (
    Structure,
    bounded_regularizer,
    class_loss,
    literal_regularizer,
    mutual_information_bound,
)
from .structure_bayesian_gan import StructureReport, report_structure

# Rows that are made together, whatever is asked for: products of other sizes differ in their last
# bits.
BLOCK_ROWS = 256


@dataclass
class BayesianGanOutput(ModelOutput):
    """
    What the discriminator sees in rows.

    Args:
        loss: cross-entropy of the class's code, where labels were given.
        logits: the class's code, `[n, classes]`.
        codes: c', `[n, codes]`, in the order of `config.network["latent"]`.
        noise: z', `[n, noise_size]`.
        scores: how real the rows look for their labels, `[n]`: 1 for real ones.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    codes: Tensor | None = None
    noise: Tensor | None = None
    scores: Tensor | None = None


class BayesianGanModel(PreTrainedModel):
    """
    A GAN whose codes follow a Bayesian network, and which is told the class.

    * `generate` and `traverse` make rows of a class, with variables set or moved.
    * `forward` reads rows: the class's logits, the codes, and how real they look.
    * `structure` reports how the codes depend on the variables.

    Rows are in the data's own units throughout: `center` and `scale` (set by `set_data_scale`, and
    saved) take them to those in which the networks compute.
    """

    config_class = BayesianGanConfig
    base_model_prefix = ""
    main_input_name = "rows"

    def __init__(self, config: BayesianGanConfig) -> None:
        super().__init__(config)
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)
        # The network and the classes as columns of numbers.
        self.network_structure = Structure.of(config.network or {}, self.class_names)
        self.center = nn.Buffer(torch.zeros(config.input_size))
        self.scale = nn.Buffer(torch.ones(config.input_size))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            # Under spectral normalisation, `weight` is computed from what is stored, and reading it
            # moves the stored singular vectors: older transformers would read it in `super`, also
            # of a model that was just loaded.
            stored = getattr(module, "parametrizations", {"weight": None})["weight"]
            init.xavier_uniform_(module.weight if stored is None else stored.original)
            if module.bias is not None:
                init.zeros_(module.bias)
            return
        super()._init_weights(module)
        if isinstance(module, Discriminator):
            init.zeros_(module.log_variances)
        elif isinstance(module, BayesianGanModel):
            init.zeros_(module.center)
            init.ones_(module.scale)

    # ---- units ----------------------------------------------------------------------------------

    def set_data_scale(self, rows: Tensor) -> None:
        """
        Learn the data's units: for vectors mean and standard deviation of each number, for images
        the range, which becomes −1 to 1.

        Args:
            rows: `[n, input_size]`, finite.

        Raises:
            ValueError: another width, or rows that are all the same.
        """
        width = self.config.input_size
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(
                f"The rows have shape {tuple(rows.shape)}; the model reads [n, {width}]: set "
                f"input_size={rows.shape[-1]}."
            )
        if self.config.kind == "image":
            low, high = rows.min(), rows.max()
            center, scale = (low + high) / 2, (high - low) / 2
        else:
            center, scale = rows.mean(dim=0), rows.std(dim=0, unbiased=False)
        if not torch.any(scale > 0):
            raise ValueError("All rows are the same: there is nothing to learn from them.")
        # A number that is the same in all rows keeps its value: its deviation is 0.
        self.center.copy_(center.expand(width))
        self.scale.copy_(scale.expand(width))

    def to_model_units(self, rows: Tensor) -> Tensor:
        """Rows as the networks read them."""
        return (rows - self.center) / torch.where(self.scale > 0, self.scale, 1.0)

    def as_data(self, made: Tensor) -> Tensor:
        """What the generator makes, in the networks' units, with what `to_data_units` does to it:
        of length 1 in the data's units where `config.unit_rows` is set."""
        if not self.config.unit_rows:
            return made
        return self.to_model_units(self.to_data_units(made))

    def to_data_units(self, rows: Tensor) -> Tensor:
        """What the generator makes, as the data are; with `config.unit_rows` of length 1."""
        made = rows * self.scale + self.center
        return nn.functional.normalize(made, dim=-1) if self.config.unit_rows else made

    # ---- structure ------------------------------------------------------------------------------

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, by class id."""
        return [str(self.config.id2label[i]) for i in range(self.config.num_labels)]

    def columns(self, observed: Tensor, labels: Tensor, seen: DiscriminatorOutput) -> Tensor:
        """Variables, one-hot classes, codes and the classes' codes beside each other:
        `[n, columns]` in the order of `network_structure.names`."""
        one_hot = nn.functional.one_hot(labels, self.config.num_labels).to(observed.dtype)
        codes, logits = seen.codes.to(observed.dtype), seen.logits.to(observed.dtype)
        return torch.cat([observed, one_hot, codes, logits], dim=1)

    def regularizer(
        self, observed: Tensor, labels: Tensor, seen: DiscriminatorOutput
    ) -> dict[str, Tensor]:
        """
        The terms that `config.structure_loss` adds to the loss of generator and extractor.

        Args:
            observed: c that rows were made from, `[n, variables]`.
            labels: their classes, `[n]`.
            seen: what the discriminator sees in the rows.

        Returns:
            name of a term → value, all to be summed: "structure" and "leakage", or "information"
            (minus InfoGAN's bound).
        """
        if self.config.structure_loss == "infogan":
            order = [self._parent_place(code) for code in self.config.network["latent"]]
            bound = mutual_information_bound(
                observed[:, order], seen.codes.float(), seen.log_variances
            )
            return {"information": -bound}
        values = self.columns(observed.float(), labels, seen)
        if self.config.structure_loss == "literal":
            near, far = literal_regularizer(values, self.network_structure)
        else:
            near, far = bounded_regularizer(values, self.network_structure, self.config.ridge)
        return {"structure": near, "leakage": far}

    def _parent_place(self, code: str) -> int:
        network = self.config.network
        parent = next(parent for parent, child in network["edges"] if child == code)
        return network["observed"].index(parent)

    @torch.no_grad()
    def structure(self, n: int = 2048, seed: int = 0) -> StructureReport:
        """
        Fit Eq. 3 to n rows that the generator makes, of classes drawn evenly.

        Args:
            n: rows.
            seed: of their noise.
        """
        draws = torch.Generator().manual_seed(seed)
        labels = torch.randint(self.config.num_labels, (n,), generator=draws)
        noise, observed = self._draw(n, draws)
        rows = self.rows_from(noise, observed, labels).to(self.device, self.dtype)
        was_training = self.training
        self.eval()  # in training mode, spectral normalisation changes with every reading
        seen = self.discriminator(self.to_model_units(rows), labels.to(self.device))
        self.train(was_training)
        values = self.columns(observed.to(self.device), labels.to(self.device), seen.float())
        values = values.cpu().double()
        return report_structure(values, self.network_structure, self.config.ridge)

    # ---- reading rows ---------------------------------------------------------------------------

    @can_return_tuple
    def forward(self, rows: Tensor, labels: Tensor | None = None) -> BayesianGanOutput:
        """
        What the discriminator sees in rows.

        Args:
            rows: `[n, input_size]`, in the data's units.
            labels: `[n]`, class ids; without them, `scores` and `loss` are left out.
        """
        seen = self.discriminator(self.to_model_units(rows), labels)
        return BayesianGanOutput(
            loss=None if labels is None else class_loss(seen.logits, labels),
            logits=seen.logits,
            codes=seen.codes,
            noise=seen.noise,
            scores=seen.scores,
        )

    # ---- making rows ----------------------------------------------------------------------------

    @torch.no_grad()
    def rows_from(self, noise: Tensor, observed: Tensor, labels: Tensor) -> Tensor:
        """
        Rows in the data's units: `[n, input_size]` float32 on the CPU, the same for every n.

        Args:
            noise: z, `[n, noise_size]`.
            observed: c, `[n, variables]`, in the order of `config.network["observed"]`.
            labels: class ids, `[n]`.
        """
        was_training, made = self.training, []
        self.eval()
        for start in range(0, len(labels), BLOCK_ROWS):
            part = [values[start : start + BLOCK_ROWS] for values in (noise, observed, labels)]
            missing = BLOCK_ROWS - len(part[0])
            filled = [torch.cat([v, v[:1].expand(missing, *v.shape[1:])]) for v in part]
            z, c = (values.to(self.device, self.dtype) for values in filled[:2])
            y = filled[2].to(self.device)
            rows = self.to_data_units(self.generator(z, c, y)).float()
            made.append(rows[: len(part[0])].cpu())
        self.train(was_training)
        return torch.cat(made) if made else torch.empty(0, self.config.input_size)

    def generate(
        self,
        label: int | str,
        codes: Mapping[str, float] | None = None,
        n: int = 1,
        seed: int = 0,
    ) -> Tensor:
        """
        Rows of a class: `[n, input_size]` float32 on the CPU, in the data's units.

        Args:
            label: a class id, or a class's name.
            codes: observed variable → value to set it to, in standard deviations; the others are
                drawn from N(0, 1). A code with a single observed parent stands for that.
            n: rows.
            seed: of noise and variables. With the same seed, what is not set is the same: so two
                calls that differ in one of `codes` show what that one does.

        Raises:
            ValueError: an unknown class or variable, a value that is not finite, or n below 0.
        """
        class_id, fixed = self.class_id(label), self._places(codes or {})
        if n < 0:
            raise ValueError(f"n is {n}; it must be at least 0.")
        noise, observed = self._draw(n, torch.Generator().manual_seed(seed))
        for place, value in fixed.items():
            observed[:, place] = value
        return self.rows_from(noise, observed, torch.full((n,), class_id))

    def traverse(
        self,
        code: str,
        label: int | str,
        values: Sequence[float] = (-2.0, -1.0, 0.0, 1.0, 2.0),
        codes: Mapping[str, float] | None = None,
        n: int = 1,
        seed: int = 0,
    ) -> Tensor:
        """
        Rows along which one variable moves and nothing else: `[n, len(values), input_size]`.

        Args:
            code: the variable that moves, or a code with this single parent.
            label: a class id, or a class's name.
            values: where it moves to, in standard deviations.
            codes: others to set, as in `generate`.
            n: rows that are moved.
            seed: of all that is not set.

        Raises:
            ValueError: as `generate`, or no values.
        """
        if not len(values):
            raise ValueError("There are no values to move the code to: give at least one.")
        steps = [self.generate(label, {**(codes or {}), code: v}, n, seed) for v in values]
        return torch.stack(steps, dim=1)

    def class_id(self, label: int | str) -> int:
        """
        The id of a class, given by id or name.

        Raises:
            ValueError: an unknown one.
        """
        if isinstance(label, str) and label in self.class_names:
            return self.class_names.index(label)
        if isinstance(label, Integral) and 0 <= int(label) < self.config.num_labels:
            return int(label)
        raise ValueError(
            f"There is no class {label!r}; the generator knows {self.class_names} (ids 0 to "
            f"{self.config.num_labels - 1})."
        )

    def _places(self, codes: Mapping[str, float]) -> dict[int, float]:
        network, fixed = self.config.network, {}
        for name, value in codes.items():
            parents = [parent for parent, child in network["edges"] if child == name]
            if name not in network["observed"] and len(parents) > 1:
                raise ValueError(
                    f"The code {name!r} depends on {parents}, so it is moved by moving those."
                )
            if parents and parents[0] not in network["observed"]:
                raise ValueError(
                    f"The code {name!r} depends on the code {parents[0]!r}: move the observed "
                    f"variables {network['observed']} instead."
                )
            known = parents[0] if parents else name
            if known not in network["observed"]:
                raise ValueError(
                    f"There is no variable {name!r}; the generator knows {network['observed']}."
                )
            if not -float("inf") < value < float("inf"):
                raise ValueError(f"The variable {name!r} is set to {value}; it must be finite.")
            place = network["observed"].index(known)
            if place in fixed:
                raise ValueError(
                    f"The variable {known!r} is set twice, the second time as {name!r}: set it "
                    "once."
                )
            fixed[place] = float(value)
        return fixed

    def _draw(self, n: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """z and c of n rows, on the CPU, whatever the model's device."""
        noise = torch.randn(n, self.config.noise_size, generator=draws)
        return noise, torch.randn(n, len(self.config.network["observed"]), generator=draws)


__all__ = ["BayesianGanModel", "BayesianGanOutput"]
