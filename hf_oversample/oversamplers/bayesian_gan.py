"""The Bayesian-network GAN as an oversampler of embeddings.

"Interpretable Minority Synthesis for Imbalanced Classification" (IJCAI 2021): a GAN that is told
the class, and whose codes follow a network that the user draws.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from huggingface_hub.errors import StrictDataclassError

from hf_oversample.models.bayesian_gan.configuration_bayesian_gan import BayesianGanConfig
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.models.in_memory import folder_or_name, name_of
from hf_oversample.models.loading import load_complete
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import work_in_batches
from hf_oversample.oversamplers.embedding import EmbeddingOversampler, MadeEmbeddings
from hf_oversample.oversamplers.plan import Plan
from hf_oversample.oversamplers.strategy import spread
from hf_oversample.training.bayesian_gan import BayesianGanTrainer, new_bayesian_gan
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments

GENERATOR_FOLDER = "generator"
# Of the configuration, what differs between a model and the same one saved and loaded, and what is
# found from the data or has a keyword of its own.
_OF_A_FILE = ("_name_or_path", "architectures", "dtype", "transformers_version")
_OF_THE_TRAINER = {"seed", "save_steps", "save_total_limit", "report_to"}
_NOT_OPTIONS = {"network", "kind", "input_size", "id2label", "label2id", "num_labels"}


class BayesianGanOversampler(EmbeddingOversampler):
    """
    Draws rows of the classes that grow from a Bayesian-network GAN: a given one, or one that is
    trained on the data set when fitted.

    A child is made of noise, not of a row: its ``parent`` (rows of its class in turn) says which
    draw it is, and which row's columns it takes with ``copy_columns``. All children are made when
    fitted, in blocks of one size, so that they do not depend on how they are asked for.

    Args:
        generator: folder or Hub name of a :class:`BayesianGanModel` whose classes and width are
            those of the data set, or such a model in memory, which is copied as it is then; None
            trains one.
        structure: the network, a :class:`~hf_oversample.BayesianNetwork` or its ``to_dict()``; None
            takes one code for each of five variables. With ``generator``, that one's network
            counts, and None must stay.
        training: fields of :class:`BayesianGanTrainingArguments` by name, but ``seed``,
            ``save_steps``, ``save_total_limit`` and ``report_to``.
        kind: "vector", or "image" for rows that are the pixels of square images.
        model_options: further fields of :class:`BayesianGanConfig` by name, such as
            ``hidden_size`` or ``structure_loss``.
        codes: observed variable → value at which it is held for all children, in standard
            deviations; the others are drawn.
        sampling_strategy, seed, copy_columns: as for every oversampler.

    Attributes (after ``fit``):
        center_: [d] float64 or None, see `EmbeddingOversampler`: a generator that was trained here
            on such columns makes rows about it.
        generator_: the model; ``generator_.generate``, ``.traverse`` and ``.structure`` are its
            controls.
        structure_: its :class:`StructureReport` as plain values.
        losses_: term → last value of the training; empty with ``generator``.

    Raises:
        TypeError: a generator that is neither a name nor a model.
        ValueError: a network, training or model option that cannot work; when fitted, a generator
            of other classes or another width.
        FloatingPointError: when fitted, training diverged; the message names the term.
    """

    code_version = 2
    _lazy_attributes = ("_model",)

    def __init__(
        self,
        *,
        generator: str | Path | BayesianGanModel | None = None,
        structure: BayesianNetwork | Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        kind: Literal["vector", "image"] = "vector",
        model_options: Mapping[str, Any] | None = None,
        codes: Mapping[str, float] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.generator = None
        if generator is not None:
            self.generator = name_of(
                generator, "generator", with_tokenizer=False, kind=BayesianGanModel
            )
        if isinstance(structure, Mapping):
            structure = BayesianNetwork.from_dict(structure)
        self.structure = None if structure is None else structure.to_dict()
        self.training, self.model_options = dict(training or {}), dict(model_options or {})
        self.kind, self.codes = kind, {name: float(value) for name, value in (codes or {}).items()}
        if self.generator is not None and (structure or training or model_options):
            raise ValueError(
                f"generator={self.generator!r} is trained already, so structure, training and "
                "model_options are without effect: leave them out, or the generator"
            )
        known = set(BayesianGanConfig.__annotations__) - _NOT_OPTIONS
        if unknown := sorted(set(self.model_options) - known):
            raise ValueError(f"model_options has {unknown}; it takes {sorted(known)}")
        known = set(BayesianGanTrainingArguments.__dataclass_fields__) - _OF_THE_TRAINER
        if unknown := sorted(set(self.training) - known):
            raise ValueError(
                f"training has {unknown}; it takes {sorted(known)} (the seed is the oversampler's; "
                "checkpoints and trackers are BayesianGanTrainer's)"
            )
        self._check_values()
        self._model: BayesianGanModel | None = None

    def _check_values(self) -> None:
        """Values that cannot work are told at once, not after an embedding run and a training."""
        self._arguments()
        network = {} if self.structure is None else {"network": self.structure}
        try:
            config = BayesianGanConfig(**network, **self.model_options)
        except StrictDataclassError as error:
            raise ValueError(f"the model cannot be made so: {error.__cause__ or error}") from error
        if wrong := [name for name, value in self.codes.items() if not math.isfinite(value)]:
            raise ValueError(f"codes sets {wrong[0]!r} to {self.codes[wrong[0]]}: give a number")
        if self.generator is None:
            self._check_codes(config)

    def _check_codes(self, config: BayesianGanConfig) -> None:
        observed = (config.network or {})["observed"]
        if unknown := sorted(set(self.codes) - set(observed)):
            raise ValueError(f"codes sets {unknown}; the generator's variables are {observed}")

    def _arguments(self) -> BayesianGanTrainingArguments:
        seed = int(noise.hash_counters(self.seed, noise.stream("bayesian gan")) >> np.uint64(1))
        return BayesianGanTrainingArguments(**self.training, seed=seed)

    # ---- fitting --------------------------------------------------------------------------------

    def _learn(self, embeddings: npt.NDArray[np.float32], children: Mapping[int, int]) -> Plan:
        labels = np.asarray(self.labels_, dtype=np.int64)
        if self.generator is None:
            self._model = self._train(
                embeddings, labels, [code for code, number in children.items() if number]
            )
        else:
            self._model = load_complete(BayesianGanModel, folder_or_name(self.generator))
            self.losses_: dict[str, float] = {}
        class_ids = self._class_ids(self._model, embeddings.shape[1])
        self.structure_ = self._model.structure(seed=self.seed).to_dict()
        self._keep_weights(self._model)
        plans = []
        for code, total in children.items():
            rows = np.flatnonzero(labels == code)
            plans.append(Plan.from_counts(rows, spread(total, rows, self.seed), code))
        plan = Plan.join(plans)
        self.made_ = self._make_rows(self._model, plan, class_ids)
        return Plan(plan.parent, plan.child, plan.label, {"entry": np.arange(len(plan))})

    def _moves_rows(self) -> bool:
        return self.generator is None

    def _train(
        self, embeddings: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], targets: list[int]
    ) -> BayesianGanModel:
        network = None if self.structure is None else BayesianNetwork.from_dict(self.structure)
        model = new_bayesian_gan(
            embeddings,
            self.label_names_,
            network,
            seed=self.seed,
            kind=self.kind,
            **self.model_options,
        )
        # Where one process fits while others wait, training together would wait for ever; and the
        # same rows come out whatever the number of processes.
        trainer = BayesianGanTrainer(
            model, embeddings, labels, self._arguments(), targets=targets, together=False
        )
        self.losses_ = dict(trainer.train().losses)
        return model.eval()

    def _class_ids(self, model: BayesianGanModel, width: int) -> npt.NDArray[np.int64]:
        """The generator's id of each class code, by name."""
        if model.config.input_size != width:
            raise ValueError(
                f"the generator makes rows of {model.config.input_size} numbers and the data "
                f"set's have {width}: give one that was trained on such rows"
            )
        missing = [name for name in self.label_names_ if name not in model.class_names]
        if missing:
            raise ValueError(
                f"the generator does not know the class(es) {missing}; it was trained with "
                f"{model.class_names}: train one on this data set, or rename the labels"
            )
        return np.array([model.class_names.index(name) for name in self.label_names_])

    def _make_rows(
        self, model: BayesianGanModel, plan: Plan, class_ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        config = model.config
        observed = config.network["observed"]
        self._check_codes(config)
        made = np.empty((len(plan), config.input_size), dtype=np.float32)
        width, size = config.noise_size, 64 * 256  # bounds the draws' memory

        def make(part: np.ndarray, _: int) -> None:
            draws = noise.normal(
                self.seed,
                noise.stream("bayesian gan child"),
                plan.parent[part, None],
                plan.child[part, None],
                np.arange(width + len(observed)),
            )
            values = torch.from_numpy(draws.astype(np.float32))
            for name, value in self.codes.items():
                values[:, width + observed.index(name)] = value
            labels = torch.from_numpy(class_ids[plan.label[part]])
            rows = model.rows_from(values[:, :width], values[:, width:], labels)
            made[part] = rows.numpy()

        work_in_batches(
            [
                (np.arange(start, min(start + size, len(plan))), config.input_size)
                for start in range(0, len(plan), size)
            ],
            make,
            what="making rows",
            unit="rows of {} numbers",
            exact=False,
        )
        if not np.isfinite(made).all():
            raise FloatingPointError(
                "the generator made rows that are not finite: it diverged, train it again with "
                "lower learning rates"
            )
        return made

    def _make_embeddings(self, plan: Plan) -> MadeEmbeddings:
        return MadeEmbeddings(self.made_[plan.extra["entry"]])

    # ---- the generator, and saving --------------------------------------------------------------

    @property
    def generator_(self) -> BayesianGanModel:
        """The generator, rebuilt from its weights where this is a copy or was loaded.

        Raises:
            RuntimeError: not fitted.
        """
        self.fitted_plan()
        if self._model is None:
            model = BayesianGanModel(BayesianGanConfig.from_dict(self._config_dict))
            model.load_state_dict({n: torch.from_numpy(v.copy()) for n, v in self._weights.items()})
            self._model = model.eval()
        return self._model

    def _keep_weights(self, model: BayesianGanModel) -> None:
        # Plain values: a model would pickle differently in every process.
        values = model.config.to_dict()
        self._config_dict = {k: v for k, v in values.items() if k not in _OF_A_FILE}
        self._weights = {
            name: np.array(value.detach().cpu().numpy())
            for name, value in sorted(model.state_dict().items())
        }

    def _decided_by_files(self) -> list[str]:
        # The generator's folder may hold another one than when it was first named.
        return [hashlib.sha256(self.made_.data).hexdigest()]

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {"made": self.made_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.made_ = self._loaded_rows(arrays)

    def _state_config(self) -> dict[str, Any]:
        return {"structure": self.structure_, "losses": self.losses_}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.structure_, self.losses_ = config["structure"], config["losses"]

    def _save_files(self, folder: Path) -> None:
        self.generator_.save_pretrained(folder / GENERATOR_FOLDER)

    def _load_files(self, folder: Path) -> None:
        self._model = load_complete(BayesianGanModel, folder / GENERATOR_FOLDER)
        self._keep_weights(self._model)
